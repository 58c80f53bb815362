"""Which part of a picture is segmented: from what is on screen to a row of options."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from napari_unetstyle.core.errors import OptionError
from napari_unetstyle.core.imaging.image import Image
from napari_unetstyle.core.segmentation.options import SegmentOptions
from napari_unetstyle.core.segmentation.planes import PLANES, through, turned
from napari_unetstyle.widgets.slice_range import Span, range_axis

if TYPE_CHECKING:
    import napari.layers
    import napari.viewer

WHOLE, SCREEN, SHAPE, SLICE, RANGE, ALL, FOLDER = "whole", "screen", "shape", "slice", "range", "all", "folder"
Box = tuple[tuple[int, int], tuple[int, int]]
Sides = tuple[tuple[int, int], ...]
Frames = tuple[tuple[int, ...], ...]
ROLLED = "The picture's rows and columns are not what is on screen."


def choices(image: Image | None) -> list[tuple[str, str]]:
    """Keys and words of what can be segmented."""
    folder = (FOLDER, "a folder…")
    if image is None:
        return [folder]
    is_stack = len(image.frames(2)) > 1
    one = "time point" if image.size("Z") < 2 else "slice"
    this = f" (this {one})" if is_stack else ""
    return [
        (WHOLE, f"all {one}s" if is_stack else "whole picture"),
        *([(SLICE, f"this {one}"), (RANGE, f"{one}s from … to")] if is_stack else []),
        (SCREEN, f"on screen{this}"),
        (SHAPE, f"in shape{this}"),
        (ALL, "all open pictures"),
        folder,
    ]


def narrowed(
    options: SegmentOptions,
    key: str,
    layer: napari.layers.Image,
    image: Image,
    viewer: napari.viewer.ViewerModel,
    *,
    dims: int = 2,
    span: Span = (0, 1),
) -> SegmentOptions:
    """Options for the chosen part of a layer's picture.

    Parameters
    ----------
    options
        The others.
    key
        Of :func:`choices`.
    layer, image, viewer
        The picture, and where it is shown.
    dims
        2 or 3: a model of volumes takes a slice as a thin box of its volume, and sees what lies around it; a model of
        pictures takes a slice across rows or columns, where that is what is on screen, as a picture.
    span
        For a range of slices: the first one, and the one after the last.

    Raises
    ------
    OptionError
        If nothing of the picture is on screen, or no slice of a plane of it, or no closed shape is selected.
    """
    if key not in (SLICE, RANGE, SCREEN, SHAPE):
        return options
    plane = _chosen_plane(key, layer, image, viewer)
    sides: Sides | None = visible_box(layer, image, viewer, plane) if key == SCREEN else None
    if key == SHAPE:
        options = options.changed(polygon=selected_polygon(layer, image, viewer))
    frame = current_frame(layer, image, viewer, plane)
    if dims == 3 and "Z" in image.axes:
        depth = span if key == RANGE and range_axis(image) == "Z" else (frame[-1], frame[-1] + 1)
        sides = slab(plane, depth, sides or tuple((0, image.size(axis)) for axis in plane))
    elif plane != "YX":  # objects of one slice are those of a picture
        options = options.changed(plane=plane, link=options.output != "areas")
    frames = _frames(turned(image, plane), frame, dims, span if key == RANGE else None)
    return options.changed(box=sides, frames=frames)


def slab(plane: str, depth: tuple[int, int], sides: Sides) -> Sides:
    """A box ``ZYX`` of slices of a plane: which ones, and their rows and columns."""
    ranges = dict(zip((through(plane), *plane), (depth, *sides), strict=True))
    return tuple(ranges[axis] for axis in "ZYX")


def _chosen_plane(key: str, layer: napari.layers.Image, image: Image, viewer: napari.viewer.ViewerModel) -> str:
    """The plane of the slices that a part is of: the one on screen; shapes and ranges are of rows and columns."""
    if key == RANGE or viewer.dims.ndisplay != 2:
        return "YX"
    plane = plane_in_sight(layer, image, viewer)
    if plane is None or (key == SHAPE and plane != "YX"):
        raise OptionError(f"{ROLLED} Roll the axes back, or choose another part of it.")
    return plane


def _frames(image: Image, shown: tuple[int, ...], dims: int, span: Span | None) -> Frames | None:
    """The frames to segment: those of a range, or the one that is shown; None where there is only one."""
    everything = image.frames(dims)
    if len(everything) < 2:
        return None
    if span is None:
        return (shown[: len(everything[0])],)
    axis = image.label_axes.index(range_axis(image))
    if axis >= len(everything[0]):  # slices inside of volumes: a box says which
        return None
    return tuple(index for index in everything if span[0] <= index[axis] < span[1])


def current_frame(
    layer: napari.layers.Image, image: Image, viewer: napari.viewer.ViewerModel, plane: str = "YX"
) -> tuple[int, ...]:
    """Index of the slice that is shown, along the label axes that are not of its plane."""
    position = layer.world_to_data(viewer.dims.point)
    leading = [axis for axis in image.label_axes if axis not in plane]
    where = (int(np.rint(position[image.axes.index(axis)])) for axis in leading)
    return tuple(min(max(i, 0), image.size(axis) - 1) for i, axis in zip(where, leading, strict=True))


def shown_slice(layer: napari.layers.Image, image: Image, viewer: napari.viewer.ViewerModel) -> int | None:
    """Which of the slices that a range is of is on screen; None in 3D, and where axes are rolled."""
    plane, axis = plane_in_sight(layer, image, viewer), range_axis(image)
    if plane is None or axis in plane:
        return None
    return current_frame(layer, image, viewer, plane)[[a for a in image.label_axes if a not in plane].index(axis)]


def current_channel(layer: napari.layers.Image, image: Image, viewer: napari.viewer.ViewerModel) -> int:
    """The channel that is shown."""
    position = layer.world_to_data(viewer.dims.point)
    return min(max(int(np.rint(position[image.axes.index("C")])), 0), image.size("C") - 1)


def visible_box(layer: napari.layers.Image, image: Image, viewer: napari.viewer.ViewerModel, plane: str = "YX") -> Box:
    """Rows and columns of the picture, or of slices in another plane of it, that are on screen.

    Raises
    ------
    OptionError
        If the picture is out of view, or the viewer shows volumes or slices in another plane.
    """
    corners = _corners_on_screen(layer, image, viewer, plane)
    shape = tuple(image.size(axis) for axis in plane)
    low = np.maximum(np.floor(corners.min(axis=0) + 0.5).astype(int), 0)
    high = np.minimum(np.ceil(corners.max(axis=0) + 0.5).astype(int), shape)
    if (low >= high).any():
        raise OptionError("Nothing of the picture is on screen. Move it into view, or choose 'whole picture'.")
    return (int(low[0]), int(high[0])), (int(low[1]), int(high[1]))


def canvas_map(
    layer: napari.layers.Image, image: Image, viewer: napari.viewer.ViewerModel, plane: str = "YX"
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Matrix ``(2, 2)`` and offset ``(2,)`` from picture (y, x) in pixels, or the axes of `plane`, to canvas (y, x)."""
    origin = np.array(layer.world_to_data(viewer.dims.point), dtype=float)
    axes = [image.axes.index(axis) for axis in plane]
    origin[axes] = 0.0
    steps = [origin.copy(), origin.copy()]
    for step, axis in zip(steps, axes, strict=True):
        step[axis] = 1.0
    shown = list(viewer.dims.displayed)[-2:]
    first, *ends = (_world(layer, point, viewer.dims.ndim)[shown] for point in (origin, *steps))
    zoom, center = viewer.scene.camera.zoom, np.array(viewer.scene.camera.center[-2:])
    vertical, horizontal = viewer.scene.camera.orientation2d
    toward = zoom * np.array([1 if vertical == "down" else -1, 1 if horizontal == "right" else -1])
    matrix = np.stack([end - first for end in ends], axis=1) * toward[:, np.newaxis]
    return matrix, (first - center) * toward + np.array(viewer.canvas.size) / 2


def shows_rows_and_columns(
    layer: napari.layers.Image, image: Image, viewer: napari.viewer.ViewerModel, plane: str = "YX"
) -> bool:
    """Whether slices are shown whose rows and columns, in either order, are the picture's, or those of `plane`."""
    return viewer.dims.ndisplay == 2 and abs(np.linalg.det(canvas_map(layer, image, viewer, plane)[0])) >= 1e-12


def plane_in_sight(layer: napari.layers.Image, image: Image, viewer: napari.viewer.ViewerModel) -> str | None:
    """The plane of the slice that is shown: ``"YX"`` or, of a volume, ``"ZX"`` or ``"ZY"``; None where it is none."""
    planes = PLANES if image.size("Z") > 1 else PLANES[:1]
    first = viewer.dims.ndim - layer.ndim  # of the viewer's axes, the last ones are the layer's
    shown = {image.axes[axis - first] for axis in viewer.dims.displayed if axis >= first}
    found = (p for p in planes if set(p) == shown and shows_rows_and_columns(layer, image, viewer, p))
    return next(found, None)


def _world(layer: napari.layers.Image, point: NDArray[np.float64], ndim: int) -> NDArray[np.float64]:
    place = np.asarray(layer.data_to_world(point[: layer.ndim]), dtype=float)
    return np.concatenate([np.zeros(max(0, ndim - layer.ndim)), place])  # a layer that is gone may have had more


def _corners_on_screen(
    layer: napari.layers.Image, image: Image, viewer: napari.viewer.ViewerModel, plane: str
) -> NDArray[np.float64]:
    if viewer.dims.ndisplay != 2 or viewer.canvas.grid.enabled:
        raise OptionError("Switch to the 2D view, without the grid, to segment what is on screen.")
    matrix, offset = canvas_map(layer, image, viewer, plane)
    if not shows_rows_and_columns(layer, image, viewer, plane):
        raise OptionError(f"{ROLLED} Choose 'whole picture'.")
    height, width = viewer.canvas.size
    corners = np.array([(0, 0), (0, width), (height, 0), (height, width)], dtype=float)
    return np.linalg.solve(matrix, (corners - offset).T).T


def selected_polygon(
    layer: napari.layers.Image, image: Image, viewer: napari.viewer.ViewerModel
) -> tuple[tuple[float, float], ...]:
    """Vertices ``(y, x)`` in pixels of the picture of the selected shape.

    Raises
    ------
    OptionError
        If no rectangle, ellipse or polygon is selected, or it was drawn across the slices.
    """
    shapes, index = _selected_shape(viewer)
    kind, vertices = shapes.shape_type[index], np.asarray(shapes.data[index], dtype=float)
    if kind == "ellipse":
        vertices = _ellipse(vertices)
    elif kind not in ("rectangle", "polygon"):
        raise OptionError(f"A {kind} has no inside. Draw a rectangle, an ellipse or a polygon and select it.")
    axes = [image.axes.index("Y"), image.axes.index("X")]
    inside = np.array([layer.world_to_data(shapes.data_to_world(vertex)) for vertex in vertices])[:, axes]
    if np.linalg.matrix_rank(inside - inside[0], tol=0.01) < 2:  # pixels; Shapes keep 32 bits
        raise OptionError(
            "The selected shape was drawn across the slices, so in rows and columns it is a line. Draw it on a slice, "
            "or choose another part of the picture."
        )
    return tuple((float(y), float(x)) for y, x in inside)


def _selected_shape(viewer: napari.viewer.ViewerModel) -> tuple[napari.layers.Shapes, int]:
    layers = [layer for layer in viewer.layers if type(layer).__name__ == "Shapes" and len(layer.data)]
    for layer in sorted(layers, key=lambda layer: layer is not viewer.layers.selection.active):
        if layer.selected_data:
            return layer, min(layer.selected_data)
    if len(layers) == 1 and len(layers[0].data) == 1:  # there is only one that can be meant
        return layers[0], 0
    raise OptionError("No shape is selected. Add a Shapes layer, draw around what you want, and select the shape.")


def _ellipse(corners: NDArray[np.float64], count: int = 64) -> NDArray[np.float64]:
    """Points on the ellipse inside four corners."""
    center = corners.mean(axis=0)
    half_axes = (corners[1] - corners[0]) / 2, (corners[3] - corners[0]) / 2
    turn = np.linspace(0, 2 * np.pi, count, endpoint=False)[:, np.newaxis]
    return center + np.cos(turn) * half_axes[0] + np.sin(turn) * half_axes[1]
