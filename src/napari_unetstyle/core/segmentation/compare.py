"""Two label pictures against each other: only where both lie on the same grid in the same place."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from napari_unetstyle.core.errors import ImageError
from napari_unetstyle.core.imaging import geometry as geo
from napari_unetstyle.core.imaging.dicom_labels import is_segmentation, on_grid, on_one_grid
from napari_unetstyle.core.imaging.geometry import Geometry, in_words
from napari_unetstyle.core.imaging.image import Image
from napari_unetstyle.core.imaging.turn import Turn
from napari_unetstyle.core.metrics import Differences, iter_evaluate
from napari_unetstyle.core.models.spec import ClassSpec
from napari_unetstyle.core.progress import Steps

TOLERANCE_MM = 1.0  # of NSD where nobody states one and sizes are in millimeters

_SAME_SIZE = 1e-4  # of a pixel; over 500 pixels that is a twentieth of one
_COLORS = {  # orange, blue and pink stay apart for color-blind eyes
    "false positive": ("#e66100", "#ffa766", "#a84700"),
    "false negative": ("#1a85ff", "#8cc1ff", "#0a4f9e"),
    "other": ("#d35fb7", "#f3aee2", "#92307a"),
}


def read_label_pair(prediction: Path, truth: Path, axes: str | None = None) -> tuple[Image, Image]:
    """Two label files; where one has several levels, it is the one that has the pixels of the other, and that is noted.

    DICOM-SEG, which leaves out empty slices, comes onto the grid of the other one where its voxels lie on that; two of
    them onto the smallest grid that holds both. Then the first is turned :func:`along` the second.

    Raises
    ------
    UnetstyleError
        If one cannot be read.
    """
    from napari_unetstyle.core.imaging.files import read_image

    first, second = (read_image(path, axes) for path in (prediction, truth))
    if first.label_shape != second.label_shape:
        first = _level_like(second, first, prediction)
        second = _level_like(first, second, truth)
    first, second = _on_one_grid(first, second, is_segmentation(prediction), is_segmentation(truth))
    return along(first, second), second


def along(prediction: Image, truth: Image) -> Image:
    """Labels of which the voxels are those of the truth, stored another way round, as the truth is stored.

    Axes are put in another order and reversed, nothing is resampled, and a note says so. Labels that do not lie on the
    voxels of the truth then are left as they are.
    """
    places = prediction.geometry, truth.geometry
    if prediction.label_axes != truth.label_axes or not all(place.orientation for place in places):
        return prediction
    turn = Turn.onto(*places)
    turned = turn.image(prediction)
    if turned is prediction or not _is_comparable(turned, truth):
        return prediction
    stored: Any = prediction.array
    if prediction.axes == prediction.label_axes and hasattr(stored, "transpose"):  # dask's stay lazy
        turned = replace(turned, array=turn.seen(stored), axes=prediction.axes)
    note = (
        "The prediction is stored another way round than the truth "
        f"({in_words(places[0].orientation)}; the truth: {in_words(places[1].orientation)}) and was turned onto it."
    )
    return replace(turned, notes=(*turned.notes, note))


def _is_comparable(prediction: Image, truth: Image) -> bool:
    try:
        common_geometry(prediction, truth)
    except ImageError:
        return False
    return True


def _on_one_grid(first: Image, second: Image, is_first_sparse: bool, is_second_sparse: bool) -> tuple[Image, Image]:
    """The two of them, with the slices that DICOM-SEG leaves out."""
    if is_first_sparse and is_second_sparse:
        return on_one_grid(first, second)
    if is_first_sparse:
        return on_grid(first, second.geometry, second.label_shape), second
    if is_second_sparse:
        return first, on_grid(second, first.geometry, first.label_shape)
    return first, second


def _level_like(other: Image, finest: Image, path: Path) -> Image:
    """The level of a file that has the shape of another picture, placed by the finest one, which it is if none has."""
    from napari_unetstyle.core.imaging.files import read_image, read_levels

    for grid in read_levels(path):
        level = read_image(path, finest.axes, level=grid.index)
        if grid.index and level.label_shape == other.label_shape:
            note = f"Level {grid.index} of {path} was compared, which has as many pixels as the other file."
            return replace(level, geometry=grid.geometry(finest.geometry, finest.axes), notes=(*level.notes, note))
    return finest


def iter_compare(
    prediction: Image,
    truth: Image,
    *,
    output: Literal["objects", "areas"] | None = "areas",
    ignore: int | None = None,
    tolerance: float | None = None,
    geometry: Geometry | None = None,
) -> Steps[dict[str, Any]]:
    """Scores of :func:`~napari_unetstyle.core.metrics.evaluate` for two label pictures, as a job.

    Parameters
    ----------
    prediction, truth
        Label pictures; float values are taken if all are whole numbers, as some programs store labels so.
    output, ignore
        As in `evaluate`; None: values are classes, unless they are too many to be.
    tolerance
        Of NSD, in the unit of the pictures; if None, 1 mm where sizes are in mm, otherwise there is no NSD.
    geometry
        Pixel size of both, in place of what they say; where they lie is then not compared.

    Raises
    ------
    ImageError
        If shapes, axes, pixel sizes or places differ, or the pictures hold no labels.
    OptionError
        If nobody called the values classes, and they are more than 255.
    """
    place = geometry or common_geometry(prediction, truth)
    pair = (whole_labels(prediction, "prediction"), whole_labels(truth, "truth"))
    if output == "objects":
        return (yield from iter_evaluate(*pair, output=output, ignore=ignore, tolerance=tolerance))
    if tolerance is None and place.unit == "mm":
        tolerance = TOLERANCE_MM
    options: dict[str, Any] = {"spacing": place.spacing, "unit": place.unit, "tolerance": tolerance}
    return (yield from iter_evaluate(*pair, output=output, ignore=ignore, **options))


def common_geometry(prediction: Image, truth: Image) -> Geometry:
    """The grid that two label pictures share; what one does not say is taken from the other.

    Raises
    ------
    ImageError
        If they have different axes, shapes, pixel sizes or places.
    """
    if prediction.label_axes != truth.label_axes:
        raise ImageError(
            f"The axes of the prediction are {prediction.axes}, those of the truth {truth.axes}. State what they are."
        )
    if prediction.label_shape != truth.label_shape:
        raise ImageError(
            f"Prediction and truth must have the same shape, but they have {prediction.label_shape} and "
            f"{truth.label_shape}. Compare labels of the same picture."
        )
    first, second = prediction.geometry, truth.geometry
    if _is_silent(first) or _is_silent(second):
        return first if _is_silent(second) else second
    if first.is_physical and second.is_physical:
        first = first.in_unit(second.unit)
    if not np.allclose(first.spacing, second.spacing, rtol=_SAME_SIZE, atol=0):
        raise ImageError(
            f"Pixel sizes differ: {_sizes(first)} in the prediction, {_sizes(second)} in the truth. "
            "Compare labels on the same grid, or state the size that holds for both."
        )
    if not first.is_physical or not second.is_physical:
        return first if first.is_physical else second
    if first.is_anatomical == second.is_anatomical:
        _check_same_place(first, second, truth)
    return second


def _is_silent(geometry: Geometry) -> bool:
    return not geometry.is_physical and set(geometry.spacing) == {1.0}


def _check_same_place(first: Geometry, second: Geometry, truth: Image) -> None:
    apart = geo.apart(first, second, [truth.size(axis) for axis in second.axes])
    if apart > geo.SAME_PLACE * min(second.spacing):
        raise ImageError(
            f"Prediction and truth lie in different places: corners are up to {apart:.4g} {second.unit} apart, or "
            "mirrored. Compare labels of the same scan; if they are, bring one onto the grid of the other first."
        )


def _sizes(geometry: Geometry) -> str:
    return f"{' × '.join(f'{s:.6g}' for s in geometry.spacing)} {geometry.unit}"


def whole_labels(image: Image, name: str) -> Any:
    """The labels of a picture in the order T Z Y X; not copied, if they are whole numbers in that order.

    Raises
    ------
    ImageError
        If there are several channels, or values that are no whole numbers.
    """
    if image.size("C") > 1:
        raise ImageError(
            f"The {name} has {image.size('C')} channels; labels are one whole number for each pixel. "
            "Save the labels themselves, not a picture of them."
        )
    array = image.array
    if image.axes != image.label_axes:
        stored = np.asarray(array)
        kept = image.axes.replace("C", "")
        if "C" in image.axes:
            stored = stored.take(0, axis=image.axes.index("C"))
        array = stored.transpose([kept.index(axis) for axis in image.label_axes])
    return array if np.dtype(array.dtype).kind != "f" else whole_numbers(np.asarray(array), f"The {name}")


def whole_numbers(values: NDArray[Any], what: str) -> NDArray[np.int64]:
    """Labels that a program stored as floats, exactly; `what` begins the message.

    Raises
    ------
    ImageError
        If one is a fraction, no number, or so large that its type does not hold each whole number.
    """
    exact = 2 ** (np.finfo(values.dtype).nmant + 1)
    if not (np.isfinite(values).all() and (np.abs(values) <= exact).all() and (values == np.rint(values)).all()):
        raise ImageError(
            f"{what} has values of type {values.dtype} that are no whole numbers up to {exact}; labels are whole "
            "numbers. Is it a picture or a probability map?"
        )
    return values.astype(np.int64)


def difference_classes(found: Differences, names: Mapping[int, str] | None = None) -> tuple[ClassSpec, ...]:
    """Names and colors for labels of differences: orange is too much, blue too little, pink something else.

    Parameters
    ----------
    found
        What :func:`~napari_unetstyle.core.metrics.differences` gives.
    names
        Name of each class.
    """
    counts = dict.fromkeys(_COLORS, 0)
    classes = []
    for label, kind in found.kinds.items():
        color = _COLORS[kind.kind][counts[kind.kind] % 3]
        counts[kind.kind] += 1
        classes.append(
            ClassSpec(value=label, name=_words(kind.kind, kind.predicted, kind.true, names or {}), color=color)
        )
    return tuple(classes)


def _words(kind: str, predicted: int | None, true: int | None, names: Mapping[int, str]) -> str:
    if predicted is None or true is None:
        return "another object" if kind == "other" else kind
    first, second = (names.get(value) or f"class {value}" for value in (predicted, true))
    if kind == "other":
        return f"{first} instead of {second}"
    return f"{kind}: {first if predicted else second}"


def with_sizes(image: Image, spacing: tuple[float, ...], unit: str) -> Geometry:
    """The pixel size of a label picture as a person states it.

    Raises
    ------
    ImageError
        If there is not one number for each spatial axis, or they are not allowed.
    """
    if len(spacing) != len(image.geometry.spacing):
        raise ImageError(
            f"Pixel size {spacing} has {len(spacing)} numbers, but the labels have the spatial axes "
            f"{image.geometry.axes}: give one number for each."
        )
    return replace(image.geometry.sizes(len(spacing)), spacing=spacing, unit=unit)


def place_notes(prediction: Image, truth: Image, stated: Geometry | None = None) -> tuple[str, ...]:
    """What a person should know of labels that are compared pixel by pixel, wherever they lie.

    Parameters
    ----------
    prediction, truth
        Label pictures.
    stated
        The pixel size that a person stated for both.
    """
    if stated is not None:
        try:
            sized = (image.geometry.with_spacing(stated.spacing, stated.unit) for image in (prediction, truth))
            one, other = (replace(image, geometry=own) for image, own in zip((prediction, truth), sized, strict=True))
            common_geometry(one, other)
        except ImageError as error:
            return (f"With a stated pixel size labels are compared pixel by pixel, wherever they lie. {error}",)
    if prediction.geometry.is_anatomical == truth.geometry.is_anatomical:
        return ()
    which = "prediction" if prediction.geometry.is_anatomical else "truth"
    return (
        f"Only the {which} says where it lies in the patient, so labels were compared pixel by pixel; if the other is "
        "stored another way round, the scores are wrong.",
    )
