"""From probabilities to labels, again and again: what *fewer - more* and *smallest* change needs no network."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from napari_unetstyle.core import scratch
from napari_unetstyle.core.errors import DeviceError
from napari_unetstyle.core.free_memory import SHORT, give_back
from napari_unetstyle.core.progress import Steps, run, share
from napari_unetstyle.core.segmentation.flips import Index
from napari_unetstyle.core.segmentation.holes import iter_fill_holes
from napari_unetstyle.core.segmentation.linking import iter_linked
from napari_unetstyle.core.segmentation.objects import iter_objects
from napari_unetstyle.core.segmentation.options import SegmentOptions
from napari_unetstyle.core.segmentation.postprocessing import iter_areas, shared_rows
from napari_unetstyle.core.segmentation.result import SegmentResult, Table
from napari_unetstyle.core.segmentation.table import iter_area_table, object_table

_FEWEST = 16  # rows of a band: what is looked at around lower ones would be most of it


LabelsMaker = Callable[[tuple[int, ...], DTypeLike], Any]
"""Makes an array, all background, of a shape and type; or what can be sliced like one in frames and bands of rows."""


def iter_decide(result: SegmentResult, make: LabelsMaker | None = None) -> Steps[SegmentResult]:
    """Labels and their table from the probability bytes: the only place where a pixel is decided.

    Object ids go on from frame to frame. Where memory is short it is done in lower bands, to the same labels.

    Parameters
    ----------
    result
        Of which nothing is decided yet, or which is decided anew.
    make
        Makes the place of the labels; if None memory or a scratch file, where *fewer - more* can decide anew what is on
        screen.

    Raises
    ------
    DeviceError
        If there is not even the memory for those.
    """
    objects, options = result.output == "objects", result.options
    make = make or partial(scratch.zeros, in_memory=options.memory)
    labels = make(result.probability_bytes.shape[1:], np.int32 if objects else np.uint8)
    tables, used, count, bands = [], 0, len(result.frames), _Bands()
    for i, index in enumerate(result.frames):
        steps = bands.iter_decide_frame(result, index, labels[index], first_id=used + 1)
        steps = scratch.releasing(steps, labels, result.probability_bytes)
        table = yield from share(steps, i / count, (i + 1) / count)
        tables.append(_with_frame(table, index, result.label_axes))
        used += len(table["label"])
    notes = result.notes if bands.rows is None else tuple(dict.fromkeys((*result.notes, SHORT)))
    return result.changed(labels=labels, objects=_concatenated(tables), notes=notes)


@dataclass
class _Bands:
    """Rows that are decided at once: as many as are usual (None), and fewer from where memory was short."""

    rows: int | None = None

    def iter_decide_frame(
        self, result: SegmentResult, index: Index, out: NDArray[Any], *, first_id: int
    ) -> Steps[Table]:
        """Decide one frame, again in lower bands until it fits."""
        while True:
            try:
                return (yield from _iter_decide_frame(result, index, out, first_id=first_id, band=self.rows))
            except MemoryError as error:
                usual = min(shared_rows(out.shape), out.shape[0])
                if (self.rows or usual) <= _FEWEST:
                    raise DeviceError(
                        "Not enough memory to find what is in the picture. Close other programs, or segment a smaller "
                        "part."
                    ) from error
                self.rows = max(_FEWEST, (self.rows or usual) // 4)
            give_back()


def _iter_decide_frame(
    result: SegmentResult, index: Index, out: NDArray[Any], *, first_id: int, band: int | None
) -> Steps[Table]:
    key: Any = (slice(None), *index)
    values, options = result.probability_bytes[key], result.options
    threshold = options.threshold or 0.5
    if result.output == "areas":
        classes = values[: 1 + len(result.classes)]
        yield from share(_iter_areas(classes, out, threshold, options, band), 0.0, 0.9)
        return (yield from share(iter_area_table(out, result.classes, result.geometry, band=band), 0.9, 1.0))
    rise, zoom = result.seed_rise, result.zoom
    fill_holes = bool(options.fill_holes)
    find = partial(
        iter_objects, foreground_threshold=threshold, seed_rise=rise, zoom=zoom, fill_holes=fill_holes, band=band
    )
    if options.link and options.plane != "all":
        find = partial(iter_linked, find=find, plane=options.plane)
    owners = yield from find(values, out, min_pixels=options.min_pixels or 0, first_id=first_id)
    return object_table(out, owners, result.classes, result.geometry, first_id=first_id, band=band)


def _iter_areas(
    values: NDArray[np.uint8], out: NDArray[np.uint8], threshold: float, options: SegmentOptions, band: int | None
) -> Steps[None]:
    decide = iter_areas(
        values,
        out,
        threshold=threshold,
        min_pixels=options.min_pixels or 0,
        keep_largest=bool(options.keep_largest),
        band=band,
    )
    yield from share(decide, 0.0, 0.6 if options.fill_holes else 1.0)
    if options.fill_holes:
        yield from share(iter_fill_holes(out, band), 0.6, 1.0)


def _with_frame(table: Table, index: Index, label_axes: str) -> Table:
    rows = len(table["label"])
    leading = {f"frame_{axis.lower()}": np.full(rows, i) for axis, i in zip(label_axes, index, strict=False)}
    return {"label": table["label"], **leading, **{k: v for k, v in table.items() if k != "label"}}


def _concatenated(tables: list[Table]) -> Table:
    return {column: np.concatenate([table[column] for table in tables]) for column in tables[0]}


def refine(
    result: SegmentResult,
    *,
    threshold: float | None = None,
    min_pixels: int | None = None,
    keep_largest: bool | None = None,
    fill_holes: bool | None = None,
) -> SegmentResult:
    """The same run decided anew from its probabilities, without running the network.

    Parameters
    ----------
    result
        A finished run.
    threshold, min_pixels, keep_largest, fill_holes
        As in :class:`~napari_unetstyle.core.SegmentOptions`; None keeps the run's.
    """
    steps = iter_refine(
        result, threshold=threshold, min_pixels=min_pixels, keep_largest=keep_largest, fill_holes=fill_holes
    )
    return run(steps)


def iter_refine(
    result: SegmentResult,
    *,
    threshold: float | None = None,
    min_pixels: int | None = None,
    keep_largest: bool | None = None,
    fill_holes: bool | None = None,
) -> Steps[SegmentResult]:
    """Like :func:`refine`, as a job."""
    wanted = {
        "threshold": threshold,
        "min_pixels": min_pixels,
        "keep_largest": keep_largest,
        "fill_holes": fill_holes,
    }
    options = result.options.changed(**{name: value for name, value in wanted.items() if value is not None})
    provenance = {**result.provenance, "options": options.kept()}
    return (yield from iter_decide(result.changed(options=options, provenance=provenance)))


def relabeled(result: SegmentResult, labels: NDArray[Any], owners: Mapping[int, int] | None = None) -> SegmentResult:
    """The same run with labels that were changed, numbered and measured anew.

    Parameters
    ----------
    result
        A finished run.
    labels
        Object ids or class values, of the shape of the run's labels; not changed.
    owners
        Class value of objects by their id in `labels`; where nothing is said, that of the run's object of that id, or
        the first class if there is none.
    """
    out = scratch.zeros(labels.shape, result.labels.dtype, result.options.memory)
    said = result.owners | dict(owners or {})
    tables, used = [], 0
    for index in np.ndindex(labels.shape[: len(result.frames[0])]):
        if result.output == "areas":
            out[index] = labels[index]
            table = run(scratch.releasing(iter_area_table(out[index], result.classes, result.geometry), out))
        else:
            out[index], before = _in_raster_order(labels[index], used)
            known = np.array([said.get(int(i), result.classes[0].value) for i in before], np.uint8)
            table = object_table(out[index], known, result.classes, result.geometry, first_id=used + 1)
            used += len(before)
        if index in result.frames or (result.output == "objects" and table["label"].size):
            tables.append(_with_frame(table, index, result.label_axes))
    return result.changed(labels=out, objects=_concatenated(tables))


def with_table(result: SegmentResult) -> SegmentResult:
    """The same run with the table of its labels, whose ids are the same but whose grid is another."""
    tables = []
    for index in result.frames:
        labels, rows = result.labels[index], np.ones(len(result.objects["label"]), bool)
        for axis, i in zip(result.label_axes, index, strict=False):
            rows &= result.objects[f"frame_{axis.lower()}"] == i
        if result.output == "areas":
            table = run(scratch.releasing(iter_area_table(labels, result.classes, result.geometry), labels))
        else:
            ids, owners = (result.objects[column][rows] for column in ("label", "class"))
            first = int(ids[0]) if len(ids) else 1
            table = object_table(labels, owners, result.classes, result.geometry, first_id=first)
        tables.append(_with_frame(table, index, result.label_axes))
    return result.changed(objects=_concatenated(tables))


def _in_raster_order(labels: NDArray[Any], used: int) -> tuple[NDArray[np.int64], NDArray[Any]]:
    """Ids after `used` in the order in which the objects begin, and what they were before."""
    ids, first, position = np.unique(labels, return_index=True, return_inverse=True)
    is_object = ids > 0
    order = np.argsort(first[is_object], kind="stable")
    numbers = np.zeros(len(ids), np.int64)
    numbers[np.flatnonzero(is_object)[order]] = used + 1 + np.arange(len(order))
    return numbers[position.reshape(labels.shape)], ids[is_object][order]
