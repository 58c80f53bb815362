"""How well labels agree with the truth."""

from napari_unetstyle.core.metrics.differences import Difference, Differences, differences, iter_differences
from napari_unetstyle.core.metrics.scores import THRESHOLDS, evaluate, iter_evaluate
from napari_unetstyle.core.metrics.table import score_table, strict_json

__all__ = [
    "THRESHOLDS",
    "Difference",
    "Differences",
    "differences",
    "evaluate",
    "iter_differences",
    "iter_evaluate",
    "score_table",
    "strict_json",
]
