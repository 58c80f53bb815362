"""``napari-unetstyle models``: which there are, what they are for, compare, import, export and remove."""

from __future__ import annotations

import json
import shutil
import textwrap
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from napari_unetstyle.cli.models_compare import compare_models

if TYPE_CHECKING:
    from napari_unetstyle.core.models.spec import ModelSpec

HELP = """List, show, compare, import, export and remove models.

**Examples**

`napari-unetstyle models list`

`napari-unetstyle models show nuclei`

`napari-unetstyle models compare nuclei nuclei-mine slides/*.tif`

`napari-unetstyle models import downloads/axons.zip --name axons-of-our-lab`

`napari-unetstyle models export nuclei-mine -o to-a-colleague/`

`napari-unetstyle models remove axons-of-our-lab`
"""

app = typer.Typer(help=HELP, no_args_is_help=True, rich_markup_mode="markdown")

_INDENT = 14
_STEP = "  "  # of the tree
_JSON = typer.Option("--json", help="Print JSON for machines, nothing else.")

app.command("compare")(compare_models)


@app.command("list")
def list_models(as_json: Annotated[bool, _JSON] = False) -> None:
    """Every installed model: name, what it gives, and what it is for; a taught one below the one it came from."""
    from napari_unetstyle.core import ModelStore
    from napari_unetstyle.core.models.descent import by_descent

    store = ModelStore()
    specs, problems = store.list(), store.problems()
    if as_json:
        rows = [{**_row(spec), "bundled": store.is_bundled(f"{spec.name}@{spec.version}")} for spec in specs]
        typer.echo(json.dumps({"models": rows, "problems": {str(k): v for k, v in problems.items()}}))
        return
    versions = Counter(spec.name for spec in specs)
    lines = [(_STEP * row.depth + _asked_by(row.spec, versions), row.spec) for row in by_descent(specs)]
    width = max((len(name) for name, _ in lines), default=0)
    for name, spec in lines:
        typer.echo(f"{name:<{width}}  {_gives(spec):<17}  {spec.card.purpose}")
    if not specs:
        typer.echo(f"There is no model. Import one; models are kept in {store.root}.")
    for problem in problems.values():
        typer.echo(f"Not usable: {problem}", err=True)


@app.command("show")
def show_model(
    name: Annotated[str, typer.Argument(help="Name, name@version, or a model folder.")],
    as_json: Annotated[bool, _JSON] = False,
) -> None:
    """A model's card: what it is for, what it was trained on, how it was measured, its license and limits."""
    from napari_unetstyle.core import ModelStore

    model = ModelStore().load(name)
    if as_json:
        typer.echo(json.dumps({"folder": str(model.folder), **model.spec.model_dump(mode="json")}))
        return
    width = max(40, min(110, shutil.get_terminal_size().columns))
    for title, text in _card(model.spec, model.folder):
        lines = textwrap.wrap(text, width - _INDENT, break_long_words=False, break_on_hyphens=False)
        typer.echo(textwrap.indent("\n".join(lines), " " * _INDENT).replace(" " * _INDENT, f"{title:<{_INDENT}}", 1))


@app.command("import")
def import_model(
    path: Annotated[Path, typer.Argument(help="Model folder, or a .zip of one.")],
    name: Annotated[str | None, typer.Option(help="What to call it here. [default: its own name]")] = None,
) -> None:
    """Copy a model into the store, after checking all of it; nothing in it is run as code."""
    from napari_unetstyle.core import ModelStore

    store = ModelStore()
    spec = store.import_(path, name=name)
    typer.echo(f"Model {spec.name!r} is installed in {store.folder(f'{spec.name}@{spec.version}')}.")
    typer.echo(f"{spec.card.purpose.rstrip('.')}. {spec.card.intended_use}")


@app.command("export")
def export_model(
    name: Annotated[str, typer.Argument(help="Name, or name@version.")],
    out: Annotated[Path, typer.Option("--out", "-o", help="New file, or a folder for it.", show_default=False)],
    pictures: Annotated[
        bool, typer.Option("--pictures", help="Also the small pictures of its first training that it carries.")
    ] = False,
) -> None:
    """Write a model as one file for a colleague, who drops it on napari or imports it; no picture of yours is in it."""
    from napari_unetstyle.core import ModelStore

    typer.echo(f"Wrote {ModelStore().share(name, out, pictures=pictures)}.")


@app.command("remove")
def remove_model(name: Annotated[str, typer.Argument(help="Name, or name@version.")]) -> None:
    """Delete a model that was imported; those that came with the package stay."""
    from napari_unetstyle.core import ModelStore

    store = ModelStore()
    spec = store.spec(name)
    store.remove(name)
    typer.echo(f"Model {spec.name!r} (version {spec.version}) was removed.")


def _asked_by(spec: ModelSpec, versions: Counter[str]) -> str:
    """The name alone means the newest version."""
    return spec.name if versions[spec.name] == 1 and spec.version == 1 else f"{spec.name}@{spec.version}"


def _gives(spec: ModelSpec) -> str:
    return "objects and areas" if spec.separation else "areas"


def _row(spec: ModelSpec) -> dict[str, Any]:
    return {
        "name": spec.name,
        "version": spec.version,
        "gives": ["objects", "areas"] if spec.separation else ["areas"],
        "classes": [c.name for c in spec.classes],
        "purpose": spec.card.purpose,
        "license": spec.card.license,
        "parent": spec.parent,
    }


def _card(spec: ModelSpec, folder: Path) -> list[tuple[str, str]]:
    card, size = spec.card, spec.input.object_diameter
    rows = [
        ("Model", f"{spec.name}, version {spec.version}"),
        ("Came from", spec.parent or ""),
        ("For", card.purpose),
        ("", card.summary),
        ("Gives", f"{_gives(spec)}; classes: {', '.join(c.name for c in spec.classes)}"),
        ("Takes", f"{spec.input.channels} pictures, {spec.network.spatial_dims}D"),
        ("Object size", f"about {size:g} pixels" if size else ""),
        ("Trained on", card.training_data),
        ("Date", spec.provenance.get("date", "")),
        ("Recipe", spec.provenance.get("recipe", "")),
        ("License", card.license),
        ("Thanks to", card.attribution),
        ("Done unasked", spec.postprocessing.words),
        ("Limits", card.limits),
        *[("Measured" if i == 0 else "", _measured(m)) for i, m in enumerate(card.measured)],
        ("Intended use", card.intended_use),
        ("Folder", str(folder)),
    ]
    return [(title, text) for title, text in rows if text]


def _measured(row: Any) -> str:
    interval = f" ({row.low:.3f} to {row.high:.3f})" if row.low is not None and row.high is not None else ""
    count = f", {row.count} pictures" if row.count is not None else ""
    return f"{row.data}: {row.metric} {row.value:.3f}{interval}{count}"
