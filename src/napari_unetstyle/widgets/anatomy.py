"""Where labels lie on the anatomy, however they and their picture were moved or turned on the screen."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable
from dataclasses import asdict
from itertools import product
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import numpy as np
from numpy.typing import NDArray

from napari_unetstyle.core.errors import ImageError
from napari_unetstyle.core.imaging.geometry import SAME_PLACE, Geometry, apart
from napari_unetstyle.widgets.layers import (
    PICTURE_ID,
    PLACE,
    STATED,
    axes_of,
    is_along_own_axes,
    is_as_in_file,
    kept_place,
    placed_geometry,
    shape_in_space,
    translate_of,
    view_of,
)

if TYPE_CHECKING:
    import napari.layers

    from napari_unetstyle.core.imaging.levels import LevelGrid

LAID = "laid"  # of the place that a layer keeps: the move by which it was laid on another one when it was opened
UNPLACED = "unetstyle_unplaced"  # in the metadata of labels: why they belong to none of the scans that were open
NOWHERE = "unetstyle_nowhere"  # in the metadata of labels: that the picture they are of says nothing of a place
_PICTURE, _VIEW = "picture", "view"  # of the place that labels keep: which picture is theirs, and how they were shown
_ONLY = "unetstyle_only"  # in the metadata of labels without a place: the one picture that can still give them one
_MAYBE = "unetstyle_maybe"  # in the metadata of labels: where the scans lay that they may be of, where these differed
_SAME_VIEW = 1e-3  # of a pixel


def place_on(layer: napari.layers.Layer, axes: str, grid: LevelGrid | None) -> dict[str, Any]:
    """What the metadata of labels keep: where their picture lies in its file, which one it is, how it was shown.

    Of a DICOM series they keep the files, too, which DICOM-SEG refers to; of a picture without a place that it has
    none, as pixels that somebody made of a scan may be mirrored.

    Parameters
    ----------
    layer, axes, grid
        The picture, its axes, and the level of it that the labels are on.
    """
    from napari_unetstyle.widgets.series_chooser import FILES

    files = {FILES: layer.metadata[FILES]} if FILES in layer.metadata else {}
    if kept_place(layer, axes) is None:
        return {NOWHERE: True, **files}
    try:
        place, (view, _) = placed_geometry(layer, axes), view_of(layer, axes)
    except ImageError:  # cut out and turned: labels of it lie nowhere, either, unless both are turned back
        return {_ONLY: layer.metadata[PLACE].get(PICTURE_ID), **files}
    step = np.eye(len(view))
    if grid is not None:
        place = grid.geometry(place, axes)
        where = [axes.index(a) for a in place.axes]
        step = np.diag([*(grid.factor[i] for i in where), 1.0])
        step[:-1, -1] = [grid.offset[i] for i in where]
        view = view @ step
    own = layer.metadata[PLACE]
    shape = shape_in_space(layer, axes, 0 if grid is None else grid.index)
    picture = own.get(_PICTURE, own.get(PICTURE_ID))
    more = {LAID: own[LAID]} if LAID in own else {}
    if STATED in own:
        more[STATED] = own[STATED] @ step
    return {PLACE: {**asdict(place), "shape": shape, _PICTURE: picture, _VIEW: view, **more}, **files}


def keep_stated(layer: napari.layers.Layer, axes: str, place: Geometry, drawn: Iterable[napari.layers.Labels]) -> None:
    """Keep in a picture, and in what was drawn on it by hand, the place that a person stated for it.

    Parameters
    ----------
    layer, axes
        The picture, and the axes of its data.
    place
        What was stated.
    drawn
        The open labels that no run has made.

    Raises
    ------
    ImageError
        If the picture is turned between space and other axes.
    """
    before, (view, unit) = kept_place(layer, axes), view_of(layer, axes)
    if before is None and unit == "px" and not place.is_physical:
        return
    kept = layer.metadata[PLACE] if before is not None else {PICTURE_ID: uuid4().hex}
    if STATED in kept or (before is not None and unit != "px" and is_as_in_file(layer, axes, before)):
        view = _opened_view(kept, before or place, unit)
    layer.metadata[PLACE] = {**kept, **asdict(place), "shape": shape_in_space(layer, axes), STATED: view}
    for labels in drawn:
        if _PICTURE not in labels.metadata.get(PLACE, {}):
            with contextlib.suppress(ImageError):  # their place is asked for when they are saved
                bind(labels, [layer])
        elif labels.metadata[PLACE][_PICTURE] == layer.metadata[PLACE][PICTURE_ID] and _has_grid_of(labels, layer):
            labels.metadata.update(place_on(layer, axes, None))


def place_among(layer: napari.layers.Layer, axes: str, layers: Iterable[napari.layers.Layer]) -> Geometry:
    """Where a layer lies in the patient, or in the world of its file.

    A picture lies where its file says. Labels lie where they are seen on their picture; labels from a file where that
    says, unless they alone were moved.

    Parameters
    ----------
    layer, axes
        The layer, and the axes of its data.
    layers
        All that are open.

    Raises
    ------
    ImageError
        If that is not certain.
    """
    place = placed_geometry(layer, axes)
    kept = layer.metadata.get(PLACE)
    if kept is None or type(layer).__name__ != "Labels" or kept_place(layer, axes) is None:
        return place
    own = _pictures_of(layer, layers)
    if own:
        seen = [(other, _seen_on(layer, axes, other)) for other in own]
        if kept["shape"] == own[0].metadata[PLACE]["shape"] and all(_is_own(one, other) for other, one in seen):
            return place  # of the picture when they were made: what was stated since is not what they were measured by
        return agreed(layer, seen)[1]
    view, unit = view_of(layer, axes)
    if _is_same(view, kept.get(_VIEW, _opened_view(kept, place, unit)), place, kept["shape"]):
        return place
    seen = [(other, _seen_on(layer, axes, other)) for other in layers if _is_picture(other, place)]
    if any(_are_same(one, place, kept["shape"]) for _, one in seen):
        return place  # both were moved
    if seen:
        return agreed(layer, seen)[1]
    if _PICTURE not in kept:
        return place
    raise ImageError(
        f"Layer {layer.name!r} was moved on the screen since it was made, and the picture that it was made on is not "
        "open, so where it lies is not known. Open that picture again, or put the layer's transform back."
    )


def agreed(
    layer: napari.layers.Layer, answers: list[tuple[napari.layers.Layer, Geometry]]
) -> tuple[napari.layers.Layer, Geometry]:
    """The first of some open layers and the place that it gives to `layer`, if all give one, or all that are seen do.

    Raises
    ------
    ImageError
        If they differ.
    """
    for some in (answers, [(other, place) for other, place in answers if other.visible]):
        if some and all(_are_same(place, some[0][1], shape_in_space(layer, axes_of(layer)[0])) for _, place in some):
            return some[0]
    raise ImageError(
        f"Layer {layer.name!r} would lie in different places of the patient by {names([a for a, _ in answers])}, which "
        "share its place on the screen. Show only the one that it was painted on, and hide the others."
    )


def bind(labels: napari.layers.Labels, layers: Iterable[napari.layers.Layer]) -> None:
    """Keep in labels that say nothing of a place where the open picture lies on whose grid they are seen, once for all.

    Where several pictures would give different places, those count that are visible.

    Raises
    ------
    ImageError
        If these differ, too, or one of those that once differed was closed, or there is no such picture, but scans of
        patients that they may be of.
    """
    if PLACE in labels.metadata or NOWHERE in labels.metadata:
        return
    only = labels.metadata.get(_ONLY)
    placed = [one for one in layers if PLACE in one.metadata and only in (None, one.metadata[PLACE].get(PICTURE_ID))]
    fitting = [other for other in placed if _has_grid_of(labels, other)]
    answers = [(other, place_among(other, axes_of(other)[0], layers)) for other in fitting]
    shape = shape_in_space(labels, axes_of(labels)[0])
    for maybe in labels.metadata.get(_MAYBE, ()):
        if not any(_are_same(place, maybe, shape) for _, place in answers):
            raise ImageError(
                f"Layer {labels.name!r} was added where several scans lay on the screen, and one of them was closed "
                "since, so which one it is of is not known. Open that one again, and show only the one that it is of."
            )
    if fitting:
        try:
            picture, _ = agreed(labels, answers)
        except ImageError:
            labels.metadata[_MAYBE] = [place for _, place in answers]
            raise
        if axes_of(labels)[1]:
            labels.axis_labels = picture.axis_labels
        labels.metadata.update(place_on(picture, axes_of(picture)[0], None))
        return
    scans = [other for other in placed if other.metadata[PLACE]["is_anatomical"] and _may_be_of(labels, other)]
    if scans:
        raise ImageError(
            f"Where layer {labels.name!r} lies in the patient is not known, as it does not have the grid of "
            f"{names(scans)}. Select the one that it is of, press New Labels, and draw there."
        )


def turned(layer: napari.layers.Layer, axes: str) -> str:
    """How a layer is shown otherwise than its file says, in one word or two; nothing if it is not."""
    kept = kept_place(layer, axes)
    try:
        view, unit = view_of(layer, axes)
    except ImageError:
        return "turned"
    if kept is None or unit == "px" or not is_as_in_file(layer, axes, kept):
        return ""
    own = layer.metadata[PLACE]
    if _is_same(view, _opened_view(own, kept, unit), kept, own["shape"]):
        return ""
    return "moved or stretched" if is_along_own_axes(view) else "turned"


def note_on(layer: napari.layers.Layer, layers: Iterable[napari.layers.Layer]) -> str:
    """What to say when labels are saved whose picture, or which themselves, are not shown as the file says."""
    pictures = _pictures_of(layer, layers) or [layer]
    how = next((how for other in pictures if (how := turned(other, axes_of(other)[0]))), "")
    return f"The picture was {how} on the screen; the labels are saved as it lies in its file." if how else ""


def names(layers: Iterable[napari.layers.Layer]) -> str:
    """Of layers, as a sentence has them."""
    *most, last = [repr(layer.name) for layer in layers]
    return f"{', '.join(most)} and {last}" if most else last


def _pictures_of(labels: napari.layers.Layer, layers: Iterable[napari.layers.Layer]) -> list[napari.layers.Layer]:
    """The open layers with the picture that labels were made on, of which there may be copies."""
    picture = labels.metadata.get(PLACE, {}).get(_PICTURE)
    open_ones = layers if picture is not None else ()
    copies = [other for other in open_ones if other.metadata.get(PLACE, {}).get(PICTURE_ID) == picture]
    return [other for other in copies if kept_place(other, axes_of(other)[0]) is not None]  # projections have none


def _has_grid_of(labels: napari.layers.Labels, other: napari.layers.Layer) -> bool:
    shape = tuple(other.data.shape)
    shape = shape[:-1] if getattr(other, "rgb", False) else shape
    if tuple(labels.data.shape) != shape:
        return False
    ends = [np.zeros(labels.ndim), np.array(shape) - 1.0, *np.eye(labels.ndim)]
    step = float(np.abs(other.scale).min())
    return all(
        np.allclose(labels.data_to_world(end), other.data_to_world(end), rtol=0, atol=step * 1e-3) for end in ends
    )


def _may_be_of(labels: napari.layers.Labels, scan: napari.layers.Layer) -> bool:
    """Not if they have no unit of length and another size: such labels are of a picture that lies nowhere."""
    axes = axes_of(labels)[0]
    return view_of(labels, axes)[1] != "px" or shape_in_space(labels, axes) == shape_in_space(scan, axes_of(scan)[0])


def _is_picture(layer: napari.layers.Layer, place: Geometry) -> bool:
    if type(layer).__name__ != "Image" or PLACE not in layer.metadata:
        return False
    kept = kept_place(layer, axes_of(layer)[0])
    return kept is not None and kept.is_anatomical and len(kept.spacing) == len(place.spacing)


def _seen_on(labels: napari.layers.Layer, axes: str, picture: napari.layers.Layer) -> Geometry:
    """Where labels lie if they lie on a picture as they are seen on it."""
    below = axes_of(picture)[0]
    place = placed_geometry(picture, below)
    (view, unit), (under, unit_under) = view_of(labels, axes), view_of(picture, below)
    if len(view) != len(under):
        raise ImageError(
            f"Layer {labels.name!r} and its picture {picture.name!r} have different axes in space. Name them alike."
        )
    factor = {("um", "mm"): 1e-3, ("mm", "um"): 1e3}.get((unit, unit_under), 1.0)
    step = np.linalg.solve(under, np.diag([*[factor] * (len(view) - 1), 1.0]) @ view)
    if np.allclose(step, np.eye(len(step)), rtol=0, atol=1e-9):
        return place
    try:
        return Geometry.from_affine(place.affine @ step, place.unit, is_anatomical=place.is_anatomical)
    except ImageError as error:
        raise ImageError(
            f"Layer {labels.name!r} is sheared against {picture.name!r}, so it has no regular grid in its file. "
            "Put its transform back."
        ) from error


def _is_own(place: Geometry, picture: napari.layers.Layer) -> bool:
    """Whether a place is that of an open picture."""
    return place == placed_geometry(picture, axes_of(picture)[0])


def _opened_view(kept: dict[str, Any], place: Geometry, unit: str) -> NDArray[np.float64]:
    """How a picture is shown when it is opened: along its own axes, or laid on another one."""
    if STATED in kept:
        return np.array(kept[STATED])
    place = place.in_unit(unit) if unit != "px" else place
    view = np.diag([*place.spacing, 1.0])
    view[:-1, -1] = translate_of(place)
    opened: NDArray[np.float64] = kept.get(LAID, np.eye(len(view))) @ view
    return opened


def _is_same(view: NDArray[np.float64], other: NDArray[np.float64], place: Geometry, shape: Iterable[int]) -> bool:
    """Whether two views show corners at the same spots."""
    corners = np.array([(*corner, 1) for corner in product(*((0, n - 1) for n in shape))])
    away = np.linalg.solve(other, (view - other) @ corners.T)[: len(place.spacing)]
    return bool(np.abs(away).max() <= _SAME_VIEW)


def _are_same(one: Geometry, other: Geometry, shape: Iterable[int]) -> bool:
    return apart(one, other, shape) <= SAME_PLACE * min(other.spacing)
