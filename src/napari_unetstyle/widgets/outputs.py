"""A Labels layer that the dock made, written to again only while nobody has touched it."""

from __future__ import annotations

import contextlib
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from napari_unetstyle.core.annotation.changes import Changes
from napari_unetstyle.core.errors import ImageError
from napari_unetstyle.core.imaging.geometry import Geometry
from napari_unetstyle.core.imaging.restyled import RESTYLED
from napari_unetstyle.core.progress import Progress
from napari_unetstyle.widgets.anatomy import note_on, place_among
from napari_unetstyle.widgets.label_layers import METADATA, add_labels, features, own_metadata
from napari_unetstyle.widgets.layers import axes_of, kept_place
from napari_unetstyle.widgets.placement import Placement, transform_of

if TYPE_CHECKING:
    import napari.layers
    import napari.viewer
    import pandas as pd

    from napari_unetstyle.core.imaging.image import Image
    from napari_unetstyle.core.progress import Steps
    from napari_unetstyle.core.segmentation.result import SegmentResult

RESTYLED_COLUMN = "restyled"


@dataclass(frozen=True)
class Fresh:
    """A result as it came out of its job, with what would take the GUI thread long.

    Attributes
    ----------
    result
        What the run gave; its labels are painted into.
    sum
        Of the labels.
    features
        For the layer.
    original
        The labels as nobody has painted into them, packed.
    """

    result: SegmentResult
    sum: int
    features: pd.DataFrame
    original: Changes


def iter_fresh(steps: Steps[SegmentResult]) -> Steps[Fresh]:
    """The job of a result, made ready for a layer."""
    result = marked((yield from steps))
    return Fresh(result, checksum(result.labels), features(result.objects), Changes.of(result.labels))


def marked(result: SegmentResult) -> SegmentResult:
    """With a column that says it in each row of the table, where the picture was a restyled one."""
    if restyled_note(result) is None:
        return result
    return result.changed(objects={**result.objects, RESTYLED_COLUMN: np.full(len(result.objects["label"]), "yes")})


def restyled_note(result: SegmentResult) -> str | None:
    """That the picture was a restyled one, as it came with the picture; None if it was not."""
    return next((note for note in result.notes if note.startswith(RESTYLED)), None)


@dataclass(frozen=True)
class Check:
    """Whether a layer's values were those that this dock wrote, at the moment that `changes` had been counted."""

    changes: int
    is_same: bool


class Output:
    """One run's labels in the viewer.

    A stroke says so itself. Other events (undo, direct writing, a mere look at another slice) are alike, and direct
    writing may send none, so before the layer is written to its values are compared with what was written, by
    :meth:`iter_check` in a job's thread and :meth:`settle`.

    Parameters
    ----------
    viewer
        Where the layer is.
    image
        The picture, as it was given to the run.
    fresh
        What the run gave.
    placement
        Where the picture lay.
    name
        Name of the layer to add.
    """

    def __init__(
        self,
        viewer: napari.viewer.ViewerModel,
        image: Image,
        fresh: Fresh,
        placement: Placement,
        name: str,
    ) -> None:
        self.image, self.result, self.placement = image, fresh.result, placement
        self._viewer = viewer
        self._is_writing = self._is_painted = False
        self.is_refined = False  # whether a person had the labels decided otherwise than the run did
        self._changes = self._settled = 0
        self.layer: napari.layers.Labels = add_labels(viewer, fresh.result, placement, name, fresh.features)
        self._sum, self.original = fresh.sum, fresh.original
        self._left = self.layer.name, transform_of(self.layer)
        events = self.layer.events
        events.paint.connect(self._on_paint)
        events.labels_update.connect(self._on_paint)  # in the middle of a stroke
        events.set_data.connect(self._on_refresh)

    @property
    def is_open(self) -> bool:
        """Whether the layer is still in the viewer."""
        return self.layer in self._viewer.layers

    @property
    def is_reshaped(self) -> bool:
        """Whether the layer's data no longer lie on the picture's grid."""
        return tuple(self.layer.data.shape) != tuple(self.placement.to_layer(self.result.labels).shape)

    @property
    def is_as_left(self) -> bool:
        """Whether the layer has the name and lies in the place that this dock gave it."""
        name, transform = self._left
        return self.layer.name == name and np.array_equal(transform_of(self.layer), transform)

    @property
    def is_painted(self) -> bool:
        """Whether somebody surely painted in the layer since this dock wrote it."""
        return self._is_painted

    @property
    def is_touched(self) -> bool:
        """Whether anybody painted in the layer since this dock wrote it, or may have: what is not settled counts."""
        return self._is_painted or self._changes != self._settled

    @property
    def is_free(self) -> bool:
        """Whether the layer may be written to: it is open, and nobody has touched it."""
        return self.is_open and not self.is_touched

    def claim(self) -> None:
        """The labels are a person's from here on, as they stand: some were called right, say."""
        self._is_painted = True

    def iter_check(self) -> Steps[Check]:
        """Compare what the layer holds with what was written; reads all of it, so off the GUI thread."""
        changes = self._changes  # first: what happens from here on makes the answer worthless
        yield Progress(0, 1, "Looking for paint")
        is_same = not self._is_painted and not self.is_reshaped and self._sum == checksum(self.labels)
        return Check(changes, is_same)

    def settle(self, check: Check) -> bool:
        """Take the answer of a check; False if something has happened to the layer since it began."""
        if check.changes != self._changes:
            return False
        self._is_painted |= not check.is_same
        self._settled = self._changes
        return True

    def distrust(self) -> None:
        """Nobody could find out: until a check says otherwise, the layer counts as touched."""
        self._changes += 1

    @property
    def labels(self) -> NDArray[Any]:
        """What the layer shows now, paint included, in the order T Z Y X.

        Raises
        ------
        ImageError
            If its data were replaced by others that do not lie on the picture.
        """
        if self.is_reshaped:
            raise ImageError(
                f"Layer {self.layer.name!r} has other data now, of shape {tuple(self.layer.data.shape)}, which do not "
                f"lie on {self.placement.name!r}. Segment the picture again."
            )
        return self.placement.to_labels(self.layer.data)

    @property
    def geometry(self) -> Geometry:
        """Where the layer's labels lie now: as in the run, unless they were moved against their picture.

        Raises
        ------
        ImageError
            If that is not certain.
        """
        place, axes = self.result.geometry, axes_of(self.layer)[0]
        made = kept_place(self.layer, axes)
        if made is None or not place.is_physical:
            return place
        now = place_among(self.layer, axes, self._viewer.layers)
        if now == made:
            return place
        moved = place.affine @ np.linalg.solve(made.affine, now.in_unit(made.unit).affine)
        return Geometry.from_affine(moved, place.unit, is_anatomical=place.is_anatomical)

    @property
    def note(self) -> str:
        """What to say when the labels are saved and their picture was turned on the screen."""
        return note_on(self.layer, self._viewer.layers)

    def is_place_of(self, result: SegmentResult, placement: Placement) -> bool:
        """Whether another run's result belongs here: same picture, same place, same kind."""
        return (
            placement.layer is self.placement.layer
            and placement.changes(self._viewer) == []
            and self.placement.changes(self._viewer) == []
            and result.labels.shape == self.result.labels.shape
            and result.output == self.result.output
        )

    def write(self, fresh: Fresh, *, is_refined: bool = False) -> None:
        """Replace the layer's data; its undo history goes, as it would write old patches into new labels."""
        layer, result = self.layer, fresh.result
        self.result, self.original, self.is_refined = result, fresh.original, is_refined
        with self._writing():
            layer.data = self.placement.to_layer(result.labels)
            mode = layer.mode
            layer.editable = False  # the public way to reset the history
            layer.editable = True
            layer.mode = mode
            layer.features = fresh.features
            layer.metadata[METADATA] = own_metadata(result)
        self._sum, self._is_painted, self._settled = fresh.sum, False, self._changes

    @contextlib.contextmanager
    def _writing(self) -> Iterator[None]:
        self._is_writing = True
        try:
            yield
        finally:
            self._is_writing = False

    def _on_paint(self) -> None:
        if not self._is_writing:
            self._is_painted = True
            self._changes += 1

    def _on_refresh(self) -> None:
        if not self._is_writing:
            self._changes += 1


def checksum(array: NDArray[Any]) -> int:
    """A number that changes when a value changes; reads plane by plane, so nothing large is copied."""
    total = zlib.crc32(repr((array.shape, array.dtype.str)).encode())
    for plane in np.atleast_3d(array) if array.ndim < 3 else array.reshape(-1, *array.shape[-2:]):
        total = zlib.crc32(np.ascontiguousarray(plane), total)
    return total
