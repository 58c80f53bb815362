"""What the dock asks of the core. The functions are found when they are called, so the dock opens without torch."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari_unetstyle.widgets.loading import iter_load

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from napari_unetstyle.core.annotation.corrections import Correction
    from napari_unetstyle.core.imaging.image import Image
    from napari_unetstyle.core.models.model import Model
    from napari_unetstyle.core.models.store import ModelStore
    from napari_unetstyle.core.progress import Steps
    from napari_unetstyle.core.segmentation.folder_report import FolderReport
    from napari_unetstyle.core.segmentation.options import SegmentOptions
    from napari_unetstyle.core.segmentation.result import SegmentResult, Table
    from napari_unetstyle.core.style.bank import StyleBank
    from napari_unetstyle.core.style.change import StyleOptions
    from napari_unetstyle.core.style.kept_style import KeptStyle
    from napari_unetstyle.core.training.candidate import Candidate
    from napari_unetstyle.core.training.contradictions import Contradiction
    from napari_unetstyle.core.training.options import FineTuneOptions
    from napari_unetstyle.core.training.style_trial import StyleTrial
    from napari_unetstyle.widgets.style_preview import StylePreviewed, StyleRequest
    from napari_unetstyle.widgets.style_sight import Judged


def _iter_segment(image: Image, model: str | Model, options: SegmentOptions, store: ModelStore) -> Steps[SegmentResult]:
    from napari_unetstyle.core.segmentation.segment import iter_segment

    return (yield from iter_segment(image, model, options, store=store))


def _iter_refine(result: SegmentResult, **wanted: Any) -> Steps[SegmentResult]:
    from napari_unetstyle.core.segmentation.deciding import iter_refine

    return (yield from iter_refine(result, **wanted))


def _iter_preview(
    image: Image,
    model: str | Model,
    options: SegmentOptions,
    store: ModelStore,
    kept: dict[Any, Any],
    index: tuple[int, ...],
    box: tuple[tuple[int, int], ...],
) -> Steps[NDArray[Any]]:
    """Labels of a part of a run; `kept` holds the fitted model, and what was computed, between calls."""
    from napari_unetstyle.core.progress import share
    from napari_unetstyle.core.segmentation.fitting import iter_fit
    from napari_unetstyle.core.segmentation.remembered import Remembered
    from napari_unetstyle.core.segmentation.segment import iter_preview

    whole = options.changed(box=None, polygon=None, frames=_fitted_frames(image, options, index))
    key = (id(image.array), image.axes, image.geometry, model if isinstance(model, str) else id(model), whole)
    if key not in kept:
        loaded = store.load(model) if isinstance(model, str) else model
        fitted = yield from share(iter_fit(image, loaded, whole), 0.0, 0.5)
        kept.clear()
        kept[key] = Remembered.of(fitted)
    part = tuple(slice(*sides) for sides in box)
    return (yield from share(iter_preview(kept[key], index, part), 0.5, 1.0))


def _fitted_frames(image: Image, options: SegmentOptions, index: tuple[int, ...]) -> tuple[tuple[int, ...], ...] | None:
    """The frames of a run that decide what it gives in one of them; None where it is the same for all."""
    from napari_unetstyle.core.segmentation.planes import turned

    if options.statistics == "frame":  # the first tells the size of objects, and whether there are several matters
        run = options.frames or turned(image, options.plane).frames(len(image.label_axes) - len(index))
        return tuple(sorted({run[0], run[-1], index}))
    return options.frames if options.has_linked_slices else None


def _iter_predict(
    image: Image, model: str, options: SegmentOptions, store: ModelStore, kept: dict[Any, Any]
) -> Steps[int]:
    """Bytes of memory that a run will take; `kept` holds the model between calls."""
    if "torch" not in sys.modules:
        yield from iter_load()
    from napari_unetstyle.core.progress import Progress
    from napari_unetstyle.core.segmentation.memory import predict_memory

    yield Progress(0, 1)
    if (model, store.root) not in kept:
        kept.clear()
        kept[model, store.root] = store.load(model)
    return predict_memory(image, kept[model, store.root], options)


def _iter_folder(
    folder: Path,
    out: Path,
    model: str,
    options: SegmentOptions,
    store: ModelStore,
    stated: Mapping[Path, Mapping[str, Any]],
    *,
    asks: bool,
) -> Steps[FolderReport]:
    from napari_unetstyle.core.segmentation.folder import iter_segment_folder
    from napari_unetstyle.core.segmentation.folder_report import FolderFiles

    more: dict[str, Any] = {"stated": stated, "files": FolderFiles(table=True, measure=True), "asks": asks}
    return (yield from iter_segment_folder([folder], out, model, options, store=store, **more))


def _iter_teach(
    corrections: Sequence[Correction],
    parent: str,
    options: FineTuneOptions,
    store: ModelStore,
    should_stop: Callable[[], bool],
) -> Steps[Candidate]:
    from napari_unetstyle.core.training.apart import iter_taught_apart

    steps = iter_taught_apart(corrections, store.load(parent), options, store=store, should_stop=should_stop)
    return (yield from steps)


def _iter_try_styles(
    corrections: Sequence[Correction],
    parent: str,
    options: FineTuneOptions,
    store: ModelStore,
    should_stop: Callable[[], bool],
) -> Steps[StyleTrial]:
    from napari_unetstyle.core.training.apart import iter_taught_apart
    from napari_unetstyle.core.training.style_trial import iter_try_styles

    teach = partial(iter_taught_apart, should_stop=should_stop)
    steps = iter_try_styles(corrections, parent, options, store=store, teach=teach, should_stop=should_stop)
    return (yield from steps)


def _iter_contradictions(
    corrections: Sequence[Correction],
    model: str,
    options: SegmentOptions,
    store: ModelStore,
    known: Sequence[NDArray[Any] | None],
    added: Sequence[str],
) -> Steps[list[Contradiction]]:
    from napari_unetstyle.core.training.contradictions import iter_contradictions

    return (yield from iter_contradictions(corrections, store.load(model), options, known, added))


def _iter_teach_new(
    corrections: Sequence[Correction],
    classes: Sequence[str],
    options: FineTuneOptions,
    store: ModelStore,
    should_stop: Callable[[], bool],
) -> Steps[Candidate]:
    from napari_unetstyle.core.training.apart import iter_taught_apart

    steps = iter_taught_apart(corrections, None, options, store=store, classes=classes, should_stop=should_stop)
    return (yield from steps)


def _iter_stylize(
    image: Image, styles: Sequence[Image | KeptStyle], options: StyleOptions, labels: Any | None
) -> Steps[Judged]:
    from napari_unetstyle.core.style.stylize import iter_stylize
    from napari_unetstyle.widgets.style_sight import iter_judged

    return (yield from iter_judged(iter_stylize(image, styles, options), image, labels))


def _iter_style_preview(request: StyleRequest, kept: dict[Any, Any]) -> Steps[StylePreviewed]:
    from napari_unetstyle.widgets.style_sight import iter_preview

    return (yield from iter_preview(request, kept))


def _iter_keep_style(
    name: str, pictures: Sequence[Image], bank: StyleBank, *, thumbnail: bool, about: str, license_note: str
) -> Steps[KeptStyle]:
    from napari_unetstyle.core.progress import Progress
    from napari_unetstyle.core.style.kept_style import KeptStyle

    yield Progress(0, 1)
    style = KeptStyle.of(name, pictures, about=about, license_note=license_note, thumbnail=thumbnail)
    return bank.add(style)


def _bank(root: Path | None) -> StyleBank:
    from napari_unetstyle.core.style.bank import FOLDER, StyleBank

    return StyleBank(None if root is None else root / FOLDER)


def _store(root: Path | None) -> ModelStore:
    from napari_unetstyle.core.models.store import ModelStore

    return ModelStore(root)


def _iter_measure(labels: NDArray[Any], image: Image, **options: Any) -> Steps[Table]:
    from napari_unetstyle.core.segmentation.measure import iter_measure

    return (yield from iter_measure(labels, image, **options))


@dataclass(frozen=True, kw_only=True)
class CoreCalls:
    """The functions behind the buttons; a test may hand over others.

    Attributes
    ----------
    iter_segment
        ``(image, model reference, options, store)`` to a job that returns a result.
    iter_refine
        ``(result, threshold=, min_pixels=, keep_largest=, fill_holes=)`` to a job that decides the result anew.
    iter_preview
        ``(image, model or its reference, options, store, kept, index, box)`` to a job that returns the labels of a
        box of one frame of a run.
    iter_predict
        ``(image, model reference, options, store, kept)`` to a job that returns the bytes of memory of a run.
    iter_folder
        ``(folder, output folder, model reference, options, store, what is stated of pictures, asks=)`` to a job that
        yields the state of pictures.
    iter_measure
        ``(labels, image, geometry=, classes=, stains=)`` to a job that returns a table of columns.
    iter_teach
        ``(corrections, model reference, options, store, should_stop)`` to a job that returns a candidate.
    iter_try_styles
        As `iter_teach`, to a job that returns what came of teaching with the styles of the options and without.
    iter_contradictions
        ``(corrections, model reference, options, store, known probabilities, names of added classes)`` to a job that
        returns places.
    iter_teach_new
        ``(corrections, names of classes, options, store, should_stop)`` to a job that returns a candidate.
    iter_stylize
        ``(image, styles, options, labels or None)`` to a job that returns a styled picture, and whether labels that lie
        on the picture still fit.
    iter_style_preview
        ``(request, kept)`` to a job that returns the part in sight, before and after.
    iter_keep_style
        ``(name, pictures, bank, thumbnail=, about=, license_note=)`` to a job that returns the kept style.
    iter_load
        ``()`` to a job that loads what the others need.
    store
        ``(model folder or None)`` to a model store.
    bank
        ``(model folder or None)`` to the bank of styles beside the models.
    """

    iter_segment: Callable[..., Steps[SegmentResult]] = _iter_segment
    iter_refine: Callable[..., Steps[SegmentResult]] = _iter_refine
    iter_preview: Callable[..., Steps[NDArray[Any]]] = _iter_preview
    iter_predict: Callable[..., Steps[int]] = _iter_predict
    iter_folder: Callable[..., Steps[FolderReport]] = _iter_folder
    iter_measure: Callable[..., Steps[Table]] = _iter_measure
    iter_teach: Callable[..., Steps[Candidate]] = _iter_teach
    iter_try_styles: Callable[..., Steps[StyleTrial]] = _iter_try_styles
    iter_contradictions: Callable[..., Steps[list[Contradiction]]] = _iter_contradictions
    iter_teach_new: Callable[..., Steps[Candidate]] = _iter_teach_new
    iter_stylize: Callable[..., Steps[Judged]] = _iter_stylize
    iter_style_preview: Callable[..., Steps[StylePreviewed]] = _iter_style_preview
    iter_keep_style: Callable[..., Steps[KeptStyle]] = _iter_keep_style
    iter_load: Callable[[], Steps[None]] = iter_load
    store: Callable[[Path | None], ModelStore] = _store
    bank: Callable[[Path | None], StyleBank] = _bank
