"""Scores as rows for a spreadsheet, and as JSON."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

_MEANS = ("dice", "iou", "hd95", "assd", "nsd")


def score_table(scores: Mapping[str, Any], names: Mapping[int, str] | None = None) -> dict[str, NDArray[Any]]:
    """Scores of :func:`~napari_unetstyle.core.metrics.evaluate` as columns of equal length.

    Parameters
    ----------
    scores
        As `evaluate` gives them.
    names
        Name of each class.

    Returns
    -------
    dict
        For areas a row for each class and a last one, ``mean``, that has only what a mean is given of; for objects
        one row. Units stand in the columns' names (``hd95_mm``, ``nsd_1_mm``, ``volume_true_ml``); a value that is
        not there is NaN, one without bound is infinite.
    """
    if "classes" not in scores:
        row = {name: value for name, value in scores.items() if name != "average_precision"}
        row |= {f"average_precision_{t}": value for t, value in scores["average_precision"].items()}
        return {name: np.array([value]) for name, value in row.items()}
    rows, known = scores["classes"], names or {}
    columns = {
        "class": np.array([*map(str, rows), ""], dtype=object),
        "class_name": np.array([*(known.get(value, "") for value in rows), "mean"], dtype=object),
    }
    for name in next(iter(rows.values()), [name for name in _MEANS if name in scores]):
        values = [*(row[name] for row in rows.values()), scores.get(name, math.nan)]
        columns[_with_unit(name, scores)] = np.array(values, float)
    return columns


def strict_json(scores: Any) -> Any:
    """Scores for a JSON file: what is infinite becomes None, as JSON knows no infinity."""
    if isinstance(scores, Mapping):
        return {str(name): strict_json(value) for name, value in scores.items()}
    if isinstance(scores, (list, tuple)):
        return [strict_json(value) for value in scores]
    return None if isinstance(scores, float) and not math.isfinite(scores) else scores


def _with_unit(name: str, scores: Mapping[str, Any]) -> str:
    if name in ("hd95", "assd"):
        return f"{name}_{scores['unit']}"
    if name == "nsd":
        return f"nsd_{scores['tolerance']:g}_{scores['unit']}"
    return f"{name}_{scores['volume_unit']}" if name.startswith("volume") and "relative" not in name else name
