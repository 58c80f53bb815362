"""Parent and child measured side by side, through the whole program, on what neither was taught with."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from napari_unetstyle.core.annotation.known import classes_known, is_known
from napari_unetstyle.core.imaging.geometry import in_known_unit, unknown
from napari_unetstyle.core.imaging.image import Image
from napari_unetstyle.core.models.memory import Memory
from napari_unetstyle.core.models.model import Model
from napari_unetstyle.core.models.spec import ModelSpec
from napari_unetstyle.core.progress import Steps, share, told
from napari_unetstyle.core.segmentation.fitting import iter_fit
from napari_unetstyle.core.segmentation.options import SegmentOptions
from napari_unetstyle.core.segmentation.segment import iter_part, iter_segment
from napari_unetstyle.core.training.calibration import Evidence
from napari_unetstyle.core.training.lessons import Said
from napari_unetstyle.core.training.looks import Look
from napari_unetstyle.core.training.places import Place
from napari_unetstyle.core.training.scores import Counts, Scores

T = TypeVar("T")


def iter_scores(
    model: Model,
    said: Sequence[Said],
    places: Sequence[Place],
    old: Sequence[Memory],
    options: SegmentOptions,
    looks: Sequence[Look] = (),
    *,
    asks_how_sure: bool = True,
) -> Steps[Scores]:
    """Measure a model on held-out places, on old pictures, and on the places in other looks.

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
    looks
        See :func:`~napari_unetstyle.core.training.looks.iter_looks`.
    asks_how_sure
        Whether the temperature is wanted, which takes a tenth of the time of small pictures.
    """
    pictures = sorted({place.said for place in places})
    count = len(pictures) + len(old) + len(looks)
    counted: dict[Place, tuple[Counts, ...]] = {}
    evidence = Evidence() if asks_how_sure else None
    name = model.spec.name
    for number, index in enumerate(pictures, 1):
        here = [place for place in places if place.said == index]
        steps = _iter_place_counts(model, said[index], said[index].correction.image, here, options, evidence)
        counted.update(zip(here, (yield from _iter_told(steps, name, number, count)), strict=True))
    kept = []
    for number, memory in enumerate(old, len(pictures) + 1):
        result = yield from _iter_told(iter_segment(remembered(memory, model.spec), model), name, number, count)
        true = memory.targets[0]
        counts = _counts(result.class_values(), true, np.ones(true.shape, bool), model.spec)
        kept.append(tuple(c.dice for c in counts[: classes_known(true, len(counts))]))
    seen: list[tuple[Counts, ...]] = []
    for number, look in enumerate(looks, len(pictures) + len(old) + 1):
        steps = _iter_place_counts(model, said[look.said], look.image, look.places, options)
        seen += yield from _iter_told(steps, name, number, count)
    on_places = tuple(counted[place] for place in places)
    temperature = evidence.temperature() if evidence is not None else None
    return Scores(on_places, tuple(kept), tuple(seen), temperature=temperature)


def _iter_told(steps: Steps[T], name: str, number: int, count: int) -> Steps[T]:
    """Measuring on one of several pictures: its progress says on which, whatever is done there."""
    words = f"Measuring {name} on {number} of {count} picture{'' if count == 1 else 's'}"
    return share(told(steps, words), (number - 1) / count, number / count)


def _iter_place_counts(
    model: Model,
    said: Said,
    image: Image,
    places: Sequence[Place],
    options: SegmentOptions,
    evidence: Evidence | None = None,
) -> Steps[list[tuple[Counts, ...]]]:
    fitted = yield from share(iter_fit(image, model, options), 0.0, 0.5)
    counts = []
    for i, place in enumerate(places):
        steps = iter_part(fitted, said.index, place.box)
        result = yield from share(steps, 0.5 + i / len(places) / 2, 0.5 + (i + 1) / len(places) / 2)
        true, valid = said.targets[0][place.box], said.valid[place.box]
        counts.append(_counts(result.class_values(), true, valid, model.spec))
        if evidence is not None:  # the looks are made up: how sure a model may be of them, nobody asks
            evidence.add(result.probability_bytes[: 1 + len(model.spec.classes)], true, valid)
    return counts


def _counts(found: NDArray[Any], true: NDArray[Any], valid: NDArray[np.bool_], spec: ModelSpec) -> tuple[Counts, ...]:
    pairs = [((found == c.value) & valid & is_known(true, c.value), (true == c.value) & valid) for c in spec.classes]
    return tuple(Counts(int(f.sum()), int(t.sum()), int((f & t).sum())) for f, t in pairs)


def remembered(memory: Memory, spec: ModelSpec) -> Image:
    """An old picture as an image at the model's pixel size."""
    dims = spec.network.spatial_dims
    spacing = spec.input.spacing
    geometry = unknown(dims) if spacing is None else in_known_unit(spacing, spec.input.unit or "um")
    return Image(array=memory.pixels, axes="C" + "ZYX"[-dims:], geometry=geometry)
