"""Parent and child measured side by side, through the whole program, on what neither was taught with."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from napari_unetstyle.core.imaging.geometry import in_known_unit, unknown
from napari_unetstyle.core.imaging.image import Image
from napari_unetstyle.core.models.memory import Memory
from napari_unetstyle.core.models.spec import ModelSpec
from napari_unetstyle.core.models.store import Model
from napari_unetstyle.core.progress import Steps, share
from napari_unetstyle.core.segmentation.fitting import iter_fit
from napari_unetstyle.core.segmentation.options import SegmentOptions
from napari_unetstyle.core.segmentation.segment import iter_preview, iter_segment
from napari_unetstyle.core.training.lessons import Said
from napari_unetstyle.core.training.patches import UNKNOWN
from napari_unetstyle.core.training.places import ENOUGH, Place

TOLERATED = 0.01
"""Dice that old pictures may lose."""

Verdict = Literal["better", "not better", "forgets", "unchecked", "new"]


@dataclass(frozen=True)
class Counts:
    """Pixels of one class found, true, and both; what Dice is made of."""

    found: int = 0
    true: int = 0
    both: int = 0

    def __add__(self, other: Counts) -> Counts:
        return Counts(self.found + other.found, self.true + other.true, self.both + other.both)

    @property
    def dice(self) -> float:
        """Dice; 1 where the class is neither found nor there."""
        total = self.found + self.true
        return 2 * self.both / total if total else 1.0


@dataclass(frozen=True)
class Scores:
    """How well one model does.

    Attributes
    ----------
    places
        For each held-out place its counts, class by class.
    old
        For each old picture its Dice, class by class.
    """

    places: tuple[tuple[Counts, ...], ...]
    old: tuple[tuple[float, ...], ...]

    @property
    def on_places(self) -> float | None:
        """Dice of all places together, mean over the classes that are there; None without places."""
        if not self.places:
            return None
        classes = [sum(counts, Counts()) for counts in zip(*self.places, strict=True)]
        seen = [c.dice for c in classes if c.found or c.true]
        return float(np.mean(seen)) if seen else 1.0

    @property
    def on_old(self) -> float | None:
        """Mean Dice over old pictures and classes; None without them."""
        return float(np.mean(self.old)) if self.old else None


@dataclass(frozen=True)
class Comparison:
    """What decides whether a taught model takes over.

    Attributes
    ----------
    parent, child
        Scores of the model that was taught (None: taught from nothing) and of what it became.
    """

    parent: Scores | None
    child: Scores

    @property
    def verdict(self) -> Verdict:
        """``"forgets"`` counts before everything else: more than 0.01 Dice lost on old pictures.

        Then ``"unchecked"``, fewer than three held-out places; then ``"better"`` on these, or ``"not better"``. A
        model that comes from none is ``"new"``.
        """
        if self.parent is None:
            return "new"
        before, after = self.parent.on_old, self.child.on_old
        if before is not None and after is not None and after < before - TOLERATED:
            return "forgets"
        if len(self.child.places) < ENOUGH:
            return "unchecked"
        was, becomes = self.parent.on_places, self.child.on_places
        return "better" if was is not None and becomes is not None and becomes > was else "not better"

    @property
    def takes_over(self) -> bool:
        """Whether the child is used from now on without anybody having looked."""
        return self.verdict in ("better", "new")

    def sentence(self) -> str:
        """The verdict for a person, with its numbers."""
        was = self.parent or Scores((), ())
        old = f"old pictures {_pair(was.on_old, self.child.on_old)}"
        new = f"your pictures {_pair(was.on_places, self.child.on_places)}"
        missing = ENOUGH - len(self.child.places)
        more = f"{missing} more {'area' if missing == 1 else 'areas'} called right would make it checkable"
        return {
            "better": f"Better: {new}, {old}.",
            "not better": f"Not better, so the model you had stays: {new}, {old}.",
            "forgets": f"It would forget, so the model you had stays: {old}, {new}.",
            "unchecked": f"Too little to check the result ({old}): look at old and new, then decide. {more}.",
            "new": f"A new model: {new}." if missing <= 0 else f"A new model, not checked: {more}.",
        }[self.verdict]


def _pair(before: float | None, after: float | None) -> str:
    if after is None:
        return "none"
    return f"{after:.3f} Dice" if before is None else f"{before:.3f} to {after:.3f} Dice"


def iter_scores(
    model: Model, said: Sequence[Said], places: Sequence[Place], old: Sequence[Memory], options: SegmentOptions
) -> Steps[Scores]:
    """Measure a model on held-out places and on old pictures.

    Parameters
    ----------
    model
        What is measured, as it would be run.
    said
        What the places are of.
    places
        Boxes that were held out.
    old
        Pictures that the model's family knows.
    options
        How the person's pictures are segmented.
    """
    pictures = sorted({place.said for place in places})
    count = len(pictures) + len(old)
    counted: dict[Place, tuple[Counts, ...]] = {}
    for i, index in enumerate(pictures):
        here = [place for place in places if place.said == index]
        steps = _iter_place_counts(model, said[index], here, options)
        counted.update(zip(here, (yield from share(steps, i / count, (i + 1) / count)), strict=True))
    kept = []
    for i, memory in enumerate(old, len(pictures)):
        result = yield from share(iter_segment(remembered(memory, model.spec), model), i / count, (i + 1) / count)
        known = memory.targets[0] != UNKNOWN
        found = _as_classes(result.labels, result.output)
        kept.append(tuple(c.dice for c in _counts(found, memory.targets[0], known, model.spec)))
    return Scores(tuple(counted[place] for place in places), tuple(kept))


def _iter_place_counts(
    model: Model, said: Said, places: Sequence[Place], options: SegmentOptions
) -> Steps[list[tuple[Counts, ...]]]:
    fitted = yield from share(iter_fit(said.correction.image, model, options), 0.0, 0.5)
    counts = []
    for i, place in enumerate(places):
        steps = iter_preview(fitted, said.index, place.box)
        labels = yield from share(steps, 0.5 + i / len(places) / 2, 0.5 + (i + 1) / len(places) / 2)
        found = _as_classes(labels, fitted.options.output or "areas")
        counts.append(_counts(found, said.targets[0][place.box], said.valid[place.box], model.spec))
    return counts


def _as_classes(labels: NDArray[Any], output: str) -> NDArray[Any]:
    return (labels > 0).astype(np.uint8) if output == "objects" else labels


def _counts(found: NDArray[Any], true: NDArray[Any], known: NDArray[np.bool_], spec: ModelSpec) -> tuple[Counts, ...]:
    pairs = [((found == c.value) & known, (true == c.value) & known) for c in spec.classes]
    return tuple(Counts(int(f.sum()), int(t.sum()), int((f & t).sum())) for f, t in pairs)


def remembered(memory: Memory, spec: ModelSpec) -> Image:
    """An old picture as an image at the model's pixel size."""
    dims = spec.network.spatial_dims
    spacing = spec.input.spacing
    geometry = unknown(dims) if spacing is None else in_known_unit(spacing, spec.input.unit or "um")
    return Image(array=memory.pixels, axes="C" + "ZYX"[-dims:], geometry=geometry)
