"""Labels piece by piece, so that those on disk never have to fit into memory."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_unetstyle.core import scratch
from napari_unetstyle.core.errors import OutputError
from napari_unetstyle.core.imaging.ome_zarr_labels import label_pieces

ROWS = 64
_RELEASED = 32  # bands, after which memory of labels on disk is given back


def planes(array: NDArray[Any]) -> Iterator[NDArray[Any]]:
    """Each plane ``(Y, X)``, in order."""
    for index in np.ndindex(array.shape[:-2]):
        yield array[index]


def bands(array: NDArray[Any]) -> Iterator[NDArray[Any]]:
    """Bands of `ROWS` rows of each plane, in order."""
    cut = (plane[top : top + ROWS] for plane in planes(array) for top in range(0, plane.shape[0], ROWS))
    for i, band in enumerate(cut, 1):
        yield np.asarray(band)
        if i % _RELEASED == 0:
            scratch.release(array)


def smallest_type(
    array: NDArray[Any],
    path: Path,
    types: Sequence[type[np.integer[Any]]],
    limit: int,
    what: str,
) -> np.dtype[Any]:
    """The first of `types` that holds all labels, up to `limit`.

    Raises
    ------
    OutputError
        If none does; `what` names the kind of file.
    """
    if array.dtype.kind not in "bui":
        raise OutputError(f"Could not write {path}: labels must be integers, got {array.dtype}.")
    pieces = bands(array) if isinstance(array, np.ndarray) else label_pieces(array)
    ranges = [(int(piece.min()), int(piece.max())) for piece in pieces]
    low, high = min((a for a, _ in ranges), default=0), max((b for _, b in ranges), default=0)
    for candidate in types:
        if low >= 0 and high <= min(limit, np.iinfo(candidate).max):
            return np.dtype(candidate)
    raise OutputError(
        f"Could not write {path}: label ids run from {low} to {high}; {what} of labels holds 0 to {limit}. "
        "Number the objects anew. Nothing was written."
    )
