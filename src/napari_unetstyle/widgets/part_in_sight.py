"""The part of a run's labels that is on screen."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from numpy.typing import NDArray

from napari_unetstyle.core.errors import OptionError
from napari_unetstyle.core.segmentation.planes import through
from napari_unetstyle.widgets import scope
from napari_unetstyle.widgets.level_grid import seen
from napari_unetstyle.widgets.overlay import Outlines, outline_mask

if TYPE_CHECKING:
    import napari.viewer

    from napari_unetstyle.core.segmentation.options import SegmentOptions
    from napari_unetstyle.widgets.run_request import RunRequest

AVERAGED = "What is averaged over three directions takes the whole volume, so a slice of it has no preview."
ACROSS = "The run goes along {}: roll the axes until those slices are on screen, and they have a preview."
AT_ONCE = (
    "Objects are found in the whole volume at once, so a slice has no preview; with 'objects go on from slice to "
    "slice' it has one."
)


@dataclass(frozen=True, kw_only=True, eq=False)
class PartInSight:
    """Rows and columns of one slice of a run.

    Attributes
    ----------
    request
        The run.
    plane
        That the slice lies in, its rows first: ``"YX"``, ``"ZX"`` or ``"ZY"``.
    at
        Which one it is: along T, and along the axis that goes through it where there is one.
    sides
        Rows and columns, in pixels of the run's picture.
    is_slab
        Whether the model sees volumes, so that the slice is a box one pixel thick.
    """

    request: RunRequest
    plane: str
    at: tuple[int, ...]
    sides: scope.Box
    is_slab: bool

    @classmethod
    def of(cls, request: RunRequest, dims: int, viewer: napari.viewer.ViewerModel) -> PartInSight:
        """What the viewer shows of a run of a model of 2 or 3 dimensions.

        Raises
        ------
        OptionError
            In one sentence, if nothing of the picture is on screen, or a slice that only the whole run gives.
        """
        layer, image = seen(request.placement), request.image
        plane = scope.plane_in_sight(layer, image, viewer)
        sides = scope.visible_box(layer, image, viewer, plane or "YX")  # which refuses what is no plane
        plane = plane or "YX"
        if dims == 2 and image.size("Z") > 1:
            _check_preview(request.options, plane)
        at = scope.current_frame(layer, image, viewer, plane)
        return cls(request=request, plane=plane, at=at, sides=sides, is_slab=dims == 3 and "Z" in image.axes)

    @property
    def index(self) -> tuple[int, ...]:
        """Of the frame that the model sees."""
        return self.at[:-1] if self.is_slab else self.at

    @property
    def box(self) -> scope.Sides:
        """Ranges along the axes of the frame."""
        if not self.is_slab:
            return self.sides
        return scope.slab(self.plane, (self.at[-1], self.at[-1] + 1), self.sides)

    @property
    def pixels(self) -> int:
        """How many there are."""
        (y0, y1), (x0, x1) = self.sides
        return (y1 - y0) * (x1 - x0)

    @property
    def slice(self) -> tuple[Any, ...]:
        """Names the slice that outlines may be drawn on."""
        return id(self.request.image.array), self.plane, self.at

    def mask(self, labels: NDArray[Any]) -> NDArray[Any]:
        """Outlines ``(rows, columns)`` of labels of `box`."""
        return outline_mask(labels.take(0, "ZYX".index(through(self.plane))) if self.is_slab else labels)

    def outlines(self, mask: NDArray[Any], color: str, viewer: napari.viewer.ViewerModel) -> Outlines:
        """A mask of the part, to be drawn where the camera shows it."""
        (y0, _), (x0, _) = self.sides
        placed = partial(scope.canvas_map, seen(self.request.placement), self.request.image, viewer, self.plane)
        return Outlines(mask=mask, origin=(y0, x0), color=color, canvas_map=placed)


def _check_preview(options: SegmentOptions, plane: str) -> None:
    """Refuse what one slice of a volume does not tell."""
    if options.plane == "all":
        raise OptionError(AVERAGED)
    if options.plane != plane:
        raise OptionError(ACROSS.format(through(options.plane).lower()))
    if plane != "YX" and options.output != "areas" and not options.link:
        raise OptionError(AT_ONCE)
