"""A taught model that is not in use yet: kept, written elsewhere, or forgotten."""

from __future__ import annotations

import os
from dataclasses import dataclass

from napari_unetstyle.core.models.spec import Measurement, ModelSpec
from napari_unetstyle.core.models.store import Model, ModelStore
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
        return (store or ModelStore()).take_in(self.model, _with_comparison(self.model.spec, self.comparison))

    def write(self, folder: str | os.PathLike[str], store: ModelStore | None = None) -> Model:
        """Make it a model folder of its own, which must not exist yet."""
        return (store or ModelStore()).write(self.model, _with_comparison(self.model.spec, self.comparison), folder)

    def forget(self, store: ModelStore | None = None) -> None:
        """Remove it."""
        (store or ModelStore()).forget(self.model)


def _with_comparison(spec: ModelSpec, comparison: Comparison) -> ModelSpec:
    """`spec` with a comparison in its card."""
    scores = {"parent": comparison.parent, "this model": comparison.child}
    rows = []
    for who, score in ((who, score) for who, score in scores.items() if score is not None):
        for what, value, count in (
            ("held-out places of the corrected pictures", score.on_places, len(score.places)),
            ("the same places in the other looks", score.on_looks, len(score.looks)),
            ("pictures of the earlier training that were kept to check", score.on_old, len(score.old)),
        ):
            if value is not None:
                rows.append(Measurement(data=f"{what}, {who}", metric="Dice", value=round(value, 4), count=count))
    return spec.model_copy(update={"card": spec.card.model_copy(update={"measured": tuple(rows)})})
