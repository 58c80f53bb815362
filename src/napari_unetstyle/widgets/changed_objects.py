"""What is different in new labels of a picture: objects that changed, and those that are gone."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

CHANGED, GONE = 1, 2
SAME = 0.75  # of the union of two outlines that both cover; what differs less is not seen as another object


def changed_objects(old: NDArray[Any], new: NDArray[Any], output: str) -> NDArray[np.uint8]:
    """Where labels of one picture differ.

    Parameters
    ----------
    old, new
        Labels of the same shape.
    output
        ``"objects"``, which are compared one by one, or ``"areas"``, pixel by pixel.

    Returns
    -------
    numpy.ndarray
        uint8 of that shape: 1 where a new object has no counterpart among the old ones, or another outline; 2 where an
        old one has no counterpart any more and nothing new lies; 0 elsewhere.
    """
    if output == "areas":
        out = np.where(new > 0, CHANGED, GONE).astype(np.uint8)
        out[old == new] = 0
        return out
    is_kept_new, is_kept_old = _kept(old, new)
    out = np.where(is_kept_old, 0, GONE).astype(np.uint8)
    out[new > 0] = CHANGED
    out[is_kept_new & (new > 0)] = 0
    return out


def _kept(old: NDArray[Any], new: NDArray[Any]) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """For each pixel whether its new object, and its old one, have a counterpart; true for background."""
    from scipy import sparse

    old_ids, i = np.unique(old, return_inverse=True)
    new_ids, j = np.unique(new, return_inverse=True)
    ones = np.ones(old.size, np.int64)
    both = sparse.coo_matrix((ones, (i.ravel(), j.ravel())), (len(old_ids), len(new_ids))).tocsr().tocoo()
    size_old, size_new = np.bincount(i.ravel()), np.bincount(j.ravel())
    union = size_old[both.row] + size_new[both.col] - both.data
    is_pair = (both.data >= SAME * union) & (old_ids[both.row] > 0) & (new_ids[both.col] > 0)
    kept_old, kept_new = old_ids == 0, new_ids == 0
    kept_old[both.row[is_pair]] = True
    kept_new[both.col[is_pair]] = True
    return kept_new[j].reshape(new.shape), kept_old[i].reshape(old.shape)
