"""What the dock asks of the core. The functions are found when they are called, so the dock opens without torch."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from napari_unetstyle.core.imaging.image import Image
    from napari_unetstyle.core.models.store import ModelStore
    from napari_unetstyle.core.progress import Steps
    from napari_unetstyle.core.segmentation.options import SegmentOptions
    from napari_unetstyle.core.segmentation.result import SegmentResult, Table


def _iter_segment(image: Image, model: str, options: SegmentOptions, store: ModelStore) -> Steps[SegmentResult]:
    from napari_unetstyle.core.segmentation.segment import iter_segment

    return (yield from iter_segment(image, model, options, store=store))


def _iter_refine(result: SegmentResult, *, threshold: float, min_pixels: int) -> Steps[SegmentResult]:
    from napari_unetstyle.core.segmentation.segment import iter_refine

    return (yield from iter_refine(result, threshold=threshold, min_pixels=min_pixels))


def _store(root: Path | None) -> ModelStore:
    from napari_unetstyle.core.models.store import ModelStore

    return ModelStore(root)


def _measure(labels: Any, image: Image, **options: Any) -> Table:
    from napari_unetstyle.core.segmentation.measure import measure

    return measure(labels, image, **options)


@dataclass(frozen=True, kw_only=True)
class CoreCalls:
    """The functions behind the buttons; a test may hand over others.

    Attributes
    ----------
    iter_segment
        ``(image, model reference, options, store)`` to a job that returns a result.
    iter_refine
        ``(result, threshold=, min_pixels=)`` to a job that decides the result anew.
    measure
        ``(labels, image, geometry=, stains=)`` to a table of columns.
    store
        ``(model folder or None)`` to a model store.
    """

    iter_segment: Callable[..., Steps[SegmentResult]] = _iter_segment
    iter_refine: Callable[..., Steps[SegmentResult]] = _iter_refine
    measure: Callable[..., Table] = _measure
    store: Callable[[Path | None], ModelStore] = _store
