"""A taught model that is not in use yet: kept, written elsewhere, or forgotten."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from napari_unetstyle.core.models.aside import forget, take_in, write_to
from napari_unetstyle.core.models.before_after import BeforeAfter, What, measurements
from napari_unetstyle.core.models.model import Model
from napari_unetstyle.core.models.spec import Measurement, ModelSpec
from napari_unetstyle.core.models.store import ModelStore
from napari_unetstyle.core.training.scores import Comparison


@dataclass(frozen=True)
class Checked:
    """A place that was held out of teaching.

    Attributes
    ----------
    picture
        Index of its correction.
    frame
        Along the leading label axes of the picture.
    box
        In pixels of the frame.
    """

    picture: int
    frame: tuple[int, ...]
    box: tuple[slice, ...]


@dataclass(frozen=True, kw_only=True, eq=False)
class Candidate:
    """A taught model that is not in use yet.

    Attributes
    ----------
    model
        Complete, in a folder of its own that no list of models shows.
    parent
        What it came from; None if it was taught from nothing.
    comparison
        Both, measured.
    places
        Where they were compared.
    notes
        Sentences a person should see.
    """

    model: Model
    parent: Model | None
    comparison: Comparison
    places: tuple[Checked, ...]
    notes: tuple[str, ...] = ()

    def keep(self, store: ModelStore | None = None) -> Model:
        """Make it the next version of its name in `store`, where its folder moves, with the comparison in its card."""
        return take_in(store or ModelStore(), self.model, _with_comparison(self.model.spec, self.comparison))

    def write(self, folder: str | os.PathLike[str], store: ModelStore | None = None) -> Model:
        """Make it a model folder of its own, which must not exist yet."""
        spec = _with_comparison(self.model.spec, self.comparison)
        return write_to(store or ModelStore(), self.model, spec, Path(folder))

    def forget(self, store: ModelStore | None = None) -> None:
        """Remove it."""
        forget(store or ModelStore(), self.model)


def _with_comparison(spec: ModelSpec, comparison: Comparison) -> ModelSpec:
    """`spec` with a comparison in its card, and how sure it may be."""
    was, now = comparison.parent, comparison.child
    found: tuple[tuple[What, str, int], ...] = (
        ("places", "on_places", len(now.places)),
        ("looks", "on_looks", len(now.looks)),
        ("old", "on_old", len(now.old)),
    )
    scores = [
        BeforeAfter(what=what, before=getattr(was, name, None), after=after, count=count)
        for what, name, count in found
        if (after := getattr(now, name)) is not None
    ]
    data = "{} on held-out places of the corrected pictures, this model"
    added = [
        Measurement(data=data.format(name), metric="Dice", value=round(dice, 4), count=len(now.places))
        for name, dice in now.on_added.items()
        if dice is not None
    ]
    measured = (*measurements(scores), *added)
    card = spec.card.model_copy(update={"measured": measured})
    return spec.model_copy(update={"card": card, "temperature": now.temperature})
