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
from napari_unetstyle.widgets.scope import canvas_map, current_frame

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
        follow(widget, viewer.dims.events.current_step, self._draw)

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
        if current_frame(layer, spot.image, self._viewer) != spot.slice:
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
        follow(widget, viewer.dims.events.current_step, self._draw)
        follow(widget, viewer.layers.events.removed, self._draw)

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
        boxes = tuple((spot.box[-2], spot.box[-1]) for spot in spots if spot.is_in(now))
        where = partial(canvas_map, layer, image, self._viewer)
        return Frames(boxes=boxes, color=COLOR, canvas_map=where) if boxes else None


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
    leading = image.label_axes[:-2]
    position = np.array(layer.world_to_data(viewer.dims.point), float)
    for axis, index in zip(leading, spot.slice, strict=True):
        position[image.axes.index(axis)] = index
    world = np.asarray(layer.data_to_world(position), float)
    for axis in leading:
        viewer.dims.set_point(viewer.dims.ndim - len(world) + image.axes.index(axis), world[image.axes.index(axis)])
    canvas = np.array(viewer.canvas.size, float)
    matrix, offset = canvas_map(layer, image, viewer)
    middle = np.array([(side.start + side.stop - 1) / 2 for side in spot.box[-2:]])
    sides = np.array([max(side.stop - side.start, least) for side in spot.box[-2:]], float)
    moved = (matrix @ middle + offset - canvas / 2) / camera.zoom
    camera.center = (*camera.center[:-2], *(np.array(camera.center[-2:]) + moved))
    camera.zoom *= _FILLS * canvas.min() / max(np.abs(matrix @ sides).max(), 1e-9)
