"""Places in a picture: the view goes to one, and frames are drawn around them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from itertools import zip_longest
from typing import TYPE_CHECKING

import numpy as np
from qtpy.QtWidgets import QWidget

from napari_unetstyle.widgets.level_grid import seen
from napari_unetstyle.widgets.overlay import Drawing, Frames, Outlines
from napari_unetstyle.widgets.parts import follow
from napari_unetstyle.widgets.scope import canvas_map, current_frame, plane_in_sight

if TYPE_CHECKING:
    import napari.layers
    import napari.viewer

    from napari_unetstyle.core.imaging.image import Image
    from napari_unetstyle.widgets.placement import Placement

KEY, PLACES, COLOR = "spot", "places", "#ff9f1c"
AROUND = 96  # pixels that are seen of the picture at least, so that a small place is known for what it is
_MARGIN = 3  # pixels between a place and its frame
_FILLS = 0.5  # of the canvas


@dataclass(frozen=True, kw_only=True, eq=False)
class Spot:
    """A box of a picture that is open.

    Attributes
    ----------
    placement, image
        The picture.
    frame
        Along the leading label axes of the picture.
    box
        In pixels of the frame.
    """

    placement: Placement
    image: Image
    frame: tuple[int, ...]
    box: Sequence[slice]

    @property
    def slice(self) -> tuple[int, ...]:
        """The slice ``YX`` in the middle of it, along all leading label axes."""
        return (*self.frame, *((side.start + side.stop) // 2 for side in self.box[:-2]))

    def is_in(self, index: tuple[int, ...]) -> bool:
        """Whether a slice, along all leading label axes, shows some of it."""
        count = len(self.frame)
        sides = zip(self.box[:-2], index[count:], strict=True)
        return index[:count] == tuple(self.frame) and all(side.start <= i < side.stop for side, i in sides)


class SpotFrame:
    """Goes to one place after another; the frame is seen in its own slice only.

    Parameters
    ----------
    widget
        In a dock of the viewer's window.
    viewer
        Whose view moves.
    """

    def __init__(self, widget: QWidget, viewer: napari.viewer.ViewerModel) -> None:
        self._viewer = viewer
        self._spot: Spot | None = None
        self.drawing = Drawing(widget, viewer, KEY)
        for event in (viewer.dims.events.current_step, viewer.dims.events.order):
            follow(widget, event, self._draw)

    def show(self, spot: Spot | None) -> None:
        """Go to a place, or take the frame away."""
        self._spot = spot
        if spot is not None:
            go_to(self._viewer, spot, AROUND)
        self._draw()

    def _draw(self) -> None:
        spot = self._spot
        if spot is None or spot.placement.layer not in self._viewer.layers:
            self.drawing.show(None)
            return
        layer = seen(spot.placement)
        if not _is_in_sight(self._viewer, layer, spot.image, spot.slice):
            self.drawing.show(None)
            return
        y, x = spot.box[-2:]
        mask = np.ones((y.stop - y.start + 2 * _MARGIN, x.stop - x.start + 2 * _MARGIN), bool)
        mask[1:-1, 1:-1] = False
        self.drawing.show(
            Outlines(
                mask=mask,
                origin=(y.start - _MARGIN, x.start - _MARGIN),
                color=COLOR,
                canvas_map=partial(canvas_map, layer, spot.image, self._viewer),
            )
        )


class PlaceFrames:
    """Thin frames around many places at once, each in its own slices.

    Parameters
    ----------
    widget
        In a dock of the viewer's window.
    viewer
        Whose canvas they are drawn on.
    """

    def __init__(self, widget: QWidget, viewer: napari.viewer.ViewerModel) -> None:
        self._widget, self._viewer = widget, viewer
        self._spots: list[Spot] = []
        self.drawings: list[Drawing] = []
        """One for each picture."""
        for event in (viewer.dims.events.current_step, viewer.dims.events.order, viewer.layers.events.removed):
            follow(widget, event, self._draw)

    def show(self, spots: list[Spot]) -> None:
        """Frame these places instead of those before."""
        self._spots = spots
        self._draw()

    def _draw(self) -> None:
        of_pictures: dict[napari.layers.Image, list[Spot]] = {}
        for spot in self._spots:
            if spot.placement.layer in self._viewer.layers:
                of_pictures.setdefault(spot.placement.layer, []).append(spot)
        while len(self.drawings) < len(of_pictures):
            self.drawings.append(Drawing(self._widget, self._viewer, f"{PLACES} {len(self.drawings)}"))
        drawn = [self._frames(spots) for spots in of_pictures.values()]
        for drawing, frames in zip_longest(self.drawings, drawn):
            drawing.show(frames)

    def _frames(self, spots: list[Spot]) -> Frames | None:
        image, layer = spots[0].image, seen(spots[0].placement)
        now = current_frame(layer, image, self._viewer)
        is_seen = _is_in_sight(self._viewer, layer, image, now)
        boxes = tuple((spot.box[-2], spot.box[-1]) for spot in spots if is_seen and spot.is_in(now))
        where = partial(canvas_map, layer, image, self._viewer)
        return Frames(boxes=boxes, color=COLOR, canvas_map=where) if boxes else None


def _is_in_sight(
    viewer: napari.viewer.ViewerModel, layer: napari.layers.Image, image: Image, index: tuple[int, ...]
) -> bool:
    """Whether a slice along z is what is shown; in slices that lie across, its frames would be lines."""
    is_across = viewer.dims.ndisplay == 2 and plane_in_sight(layer, image, viewer) != "YX"
    return not is_across and current_frame(layer, image, viewer) == index


def go_to(viewer: napari.viewer.ViewerModel, spot: Spot, least: int = 0) -> None:
    """Bring a place into the middle of the canvas, large enough to judge.

    Parameters
    ----------
    viewer
        Whose view moves, to the slice first.
    spot
        The place.
    least
        Pixels of the picture that fill as much of the canvas as the place would, if it is smaller.
    """
    layer, image, camera = seen(spot.placement), spot.image, viewer.scene.camera
    middle = [(side.start + side.stop - 1) / 2 for side in spot.box[-2:]]
    position = np.array(layer.world_to_data(viewer.dims.point), float)
    for axis, index in zip(image.label_axes, (*spot.slice, *middle), strict=True):
        position[image.axes.index(axis)] = index
    world, ahead = np.asarray(layer.data_to_world(position), float), viewer.dims.ndim - layer.ndim
    for axis in map(image.axes.index, image.label_axes):
        viewer.dims.set_point(ahead + axis, world[axis])
    camera.center = (*camera.center[:-2], *(world[axis - ahead] for axis in viewer.dims.displayed[-2:]))
    plane = plane_in_sight(layer, image, viewer) or "YX"
    lengths = dict(zip(image.label_axes[::-1], [side.stop - side.start for side in spot.box[::-1]], strict=False))
    matrix, _ = canvas_map(layer, image, viewer, plane)
    sides = np.array([max(lengths.get(axis, 1), least) for axis in plane], float)
    camera.zoom *= _FILLS * min(viewer.canvas.size) / max(np.abs(matrix @ sides).max(), 1e-9)
