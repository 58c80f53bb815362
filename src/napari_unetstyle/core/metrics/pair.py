"""Two label arrays of the same picture, read piece by piece."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_unetstyle.core.errors import ImageError

PIECE = 2**22  # pixels read at once: a fraction of a second, so that a job stops soon

Box = tuple[slice, ...]


@dataclass(frozen=True, kw_only=True, eq=False)
class Pair:
    """Prediction and truth on one grid.

    Attributes
    ----------
    prediction, truth
        Integer labels of one shape, which may be lazy (zarr, dask, memory-mapped): they are only sliced.
    dims
        The last `dims` axes are spatial; each index of the others is a frame.
    ignore
        Pixels of this value in `truth` do not count.
    """

    prediction: Any
    truth: Any
    dims: int
    ignore: int | None = None

    def __post_init__(self) -> None:
        for name, labels in (("prediction", self.prediction), ("truth", self.truth)):
            if np.dtype(labels.dtype).kind not in "bui":
                raise ImageError(f"The {name} has values of type {labels.dtype}; labels are whole numbers (integers).")
        first, second = tuple(self.prediction.shape), tuple(self.truth.shape)
        if first != second:
            raise ImageError(
                f"Prediction and truth must have the same shape, but they have {first} and {second}. "
                "Compare labels of the same picture."
            )

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of one frame."""
        return tuple(self.truth.shape[len(self.truth.shape) - self.dims :])

    @property
    def frames(self) -> list[tuple[int, ...]]:
        """Indices of the leading axes."""
        return list(np.ndindex(tuple(self.truth.shape[: len(self.truth.shape) - self.dims])))

    def boxes(self) -> list[Box]:
        """The pieces of a frame, in order."""
        return list(_boxes(self.shape, PIECE))

    def piece(self, frame: tuple[int, ...], box: Box, halo: int = 0) -> Piece:
        """Read a box of a frame with `halo` pixels around it, as far as the frame goes.

        Raises
        ------
        ImageError
            If a label is too large to be told from others.
        """
        around = tuple(
            slice(max(s.start - halo, 0), min(s.stop + halo, n)) for s, n in zip(box, self.shape, strict=True)
        )
        inner = tuple(slice(s.start - a.start, s.stop - a.start) for s, a in zip(box, around, strict=True))
        read = (np.asarray(labels[(*frame, *around)]) for labels in (self.prediction, self.truth))
        prediction, truth = (_signed(labels) for labels in read)
        ignored = None if self.ignore is None else truth == self.ignore
        return Piece(frame=frame, box=box, inner=inner, prediction=prediction, truth=truth, ignored=ignored)


@dataclass(frozen=True, kw_only=True, eq=False)
class Piece:
    """A box of a frame, read with what is around it.

    Attributes
    ----------
    frame, box
        Where it lies.
    inner
        The box inside the arrays.
    prediction, truth
        Labels.
    ignored
        Pixels that do not count, or None if all do.
    """

    frame: tuple[int, ...]
    box: Box
    inner: Box
    prediction: NDArray[Any]
    truth: NDArray[Any]
    ignored: NDArray[np.bool_] | None

    def counting(self) -> tuple[NDArray[Any], NDArray[Any]]:
        """Labels of the box in a row, without those that do not count."""
        predicted, true = self.prediction[self.inner].reshape(-1), self.truth[self.inner].reshape(-1)
        if self.ignored is None:
            return predicted, true
        kept = ~self.ignored[self.inner].reshape(-1)
        return predicted[kept], true[kept]


def ranks(values: NDArray[Any], labels: NDArray[Any]) -> NDArray[np.int32]:
    """Index of each label among sorted values, for labels that are among them; others get any index."""
    if labels.dtype.kind == "u" and labels.dtype.itemsize <= 2:  # looking up is faster than searching
        table = ranks(values, np.arange(np.iinfo(labels.dtype).max + 1))
        return np.asarray(table[labels], np.int32)
    return np.minimum(np.searchsorted(values, labels), len(values) - 1).astype(np.int32)


def _boxes(shape: tuple[int, ...], limit: int) -> Iterator[Box]:
    if not shape:
        yield ()
        return
    row = math.prod(shape[1:])
    if row > limit and len(shape) > 1:
        inside = list(_boxes(shape[1:], limit))
        yield from ((slice(i, i + 1), *rest) for i in range(shape[0]) for rest in inside)
        return
    rows, whole = max(limit // max(row, 1), 1), tuple(slice(0, n) for n in shape[1:])
    for start in range(0, shape[0], rows):
        yield (slice(start, min(start + rows, shape[0])), *whole)


def _signed(labels: NDArray[Any]) -> NDArray[Any]:
    """Labels in a type that compares exactly with int64; numpy would compare uint64 as float."""
    if labels.dtype != np.uint64:
        return labels.view(np.uint8) if labels.dtype == np.bool_ else labels
    if labels.size and labels.max() > np.iinfo(np.int64).max:
        raise ImageError(f"There are labels above {np.iinfo(np.int64).max}; number them anew.")
    return labels.astype(np.int64)
