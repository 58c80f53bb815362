"""What a person must know of a model, as rich text."""

from __future__ import annotations

import html
from typing import TYPE_CHECKING

from napari_unetstyle.core.models.before_after import BeforeAfter, What, before_and_after, others
from napari_unetstyle.widgets.summary import as_score, model_title

if TYPE_CHECKING:
    from napari_unetstyle.core.models.spec import Measurement, ModelSpec

_WHERE: dict[What, str] = {
    "places": "new pictures, {} left out of teaching",
    "looks": "the same places in other looks, {}",
    "old": "old pictures, {}",
}
_COUNTED: dict[What, str] = {"places": "place", "looks": "place", "old": "picture"}


def card_text(spec: ModelSpec, parent: ModelSpec | None = None) -> str:
    """The model's card; `parent` is the model it came from, if that is installed."""
    card, is_taught = spec.card, spec.parent is not None
    story = [("Measured", "<br>".join(map(html.escape, _measured(spec)))), ("Recipe", html.escape(_recipe(spec)))]
    parts = [
        ("", f"<b>{html.escape(model_title(spec))}</b>: {html.escape(card.purpose)}"),
        ("", html.escape(card.summary)),
        ("Came from", html.escape(_origin(spec, parent))),
        *(story if is_taught else ()),
        ("Classes", ", ".join(html.escape(c.name) for c in spec.classes)),
        ("Trained on", html.escape(card.training_data)),
        *(() if is_taught else story),
        ("Done unasked", html.escape(spec.postprocessing.words)),
        ("Limits", html.escape(card.limits)),
        ("License", html.escape(" ".join(part for part in (card.license, card.attribution) if part))),
        ("", f"<i>{html.escape(card.intended_use)}</i>"),
    ]
    return "".join(f"<p>{f'<b>{title}</b><br>' if title else ''}{text}</p>" for title, text in parts if text)


def _origin(spec: ModelSpec, parent: ModelSpec | None) -> str:
    if spec.parent is None:
        return ""
    date = spec.provenance.get("date")
    taught = f", taught {date}" if date else ""
    if parent is not None:
        return f"{model_title(parent)}{taught}"
    name, _, version = spec.parent.partition("@")
    return f"{name}{'' if version == '1' else f' {version}'}, which is not on this computer{taught}"


def _measured(spec: ModelSpec) -> list[str]:
    rows = spec.card.measured
    if spec.parent is not None and not rows:
        return ["not checked: too little was called right"]
    return [*map(_change, before_and_after(rows)), *map(_measurement, others(rows))]


def _change(change: BeforeAfter) -> str:
    count = f"{change.count} {_COUNTED[change.what]}{'' if change.count == 1 else 's'}"
    before = "" if change.before is None else f"{as_score(change.before)} → "
    return f"{_WHERE[change.what].format(count)}: Dice {before}{as_score(change.after)}"


def _measurement(row: Measurement) -> str:
    spread = f" ({as_score(row.low)} to {as_score(row.high)})" if row.low is not None and row.high is not None else ""
    count = f", {row.count} pictures" if row.count is not None else ""
    return f"{row.data}: {row.metric} {as_score(row.value)}{spread}{count}"


def _recipe(spec: ModelSpec) -> str:
    date = "" if spec.parent else spec.provenance.get("date", "")
    return ", ".join(part for part in (spec.provenance.get("recipe", ""), date) if part)
