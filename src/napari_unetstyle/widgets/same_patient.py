"""Several volumes on one canvas: placed so that the same points of a patient lie on one another, or said where not."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import product
from typing import TYPE_CHECKING, Any
from weakref import WeakSet

import numpy as np
from napari.utils.notifications import show_warning
from numpy.typing import NDArray

from napari_unetstyle.core.errors import ImageError
from napari_unetstyle.core.imaging.geometry import SAME_PLACE
from napari_unetstyle.widgets.anatomy import LAID, UNPLACED, bind, names, place_among
from napari_unetstyle.widgets.label_layers import OUTLINED, outline_on_scan
from napari_unetstyle.widgets.layers import PLACE, axes_of, shape_in_space, view_of
from napari_unetstyle.widgets.parts import Words, follow

if TYPE_CHECKING:
    import napari.layers
    import napari.viewer

_SEEN_BY_EYE = 0.5  # of a voxel, by which corners are turned away
_TRANSFORMS = ("scale", "rotate", "shear", "affine", "visible")
_BAR = "#c78a1b"  # seen on both of napari's themes
_TAKEN: WeakSet[Any] = WeakSet()  # layers that were placed and outlined once; what a person then does to them holds


@dataclass(frozen=True, kw_only=True, eq=False)
class Lie:
    """How a volume lies on the canvas and in the patient.

    Attributes
    ----------
    to_patient
        The map from napari's world ``ZYX`` to the patient ``ZYX``, homogeneous.
    corners
        Of its grid in napari's world, homogeneous columns ``(4, 8)``.
    voxel
        Least distance of neighbors.
    axes
        Where Z, Y and X are among the layer's axes.
    units
        Of napari's world along them.
    """

    to_patient: NDArray[np.float64]
    corners: NDArray[np.float64]
    voxel: float
    axes: list[int]
    units: tuple[str, ...]

    @classmethod
    def of(cls, layer: napari.layers.Layer, layers: Iterable[napari.layers.Layer]) -> Lie | None:
        """Of a layer among those that are open; None if it is no volume, or where it lies is not certain."""
        if not layer.metadata.get(PLACE, {}).get("is_anatomical"):
            return None
        try:
            axes, _ = axes_of(layer)
            place, (view, unit) = place_among(layer, axes, layers), view_of(layer, axes)
            if len(place.spacing) != 3 or not place.is_anatomical:
                return None
            place = place.in_unit(unit)
        except ImageError:
            return None
        where = [axes.index(a) for a in "ZYX"]
        corners = np.array([(*c, 1) for c in product(*((0, n - 1) for n in shape_in_space(layer, axes)))]).T
        return cls(
            to_patient=place.affine @ np.linalg.inv(view),
            corners=view @ corners,
            voxel=min(place.spacing),
            axes=where,
            units=tuple(str(layer.units[i]) for i in where),
        )

    def onto(self, other: Lie) -> NDArray[np.float64] | None:
        """What would move this volume to where the other one shows the same points; None if their units differ."""
        if self.units != other.units:
            return None
        moved: NDArray[np.float64] = np.linalg.solve(other.to_patient, self.to_patient)
        return moved

    def is_apart(self, step: NDArray[np.float64], other: NDArray[np.float64], tolerance: float) -> bool:
        """Whether two such moves bring corners to places that differ by more than a part of a voxel."""
        away = np.linalg.norm(((step - other) @ self.corners)[:3], axis=0).max()
        return bool(away > tolerance * self.voxel)

    def straightened(self, step: NDArray[np.float64]) -> NDArray[np.float64]:
        """The move nearest to `step` that only mirrors axes and shifts; the middle goes where `step` has it."""
        straight = np.eye(4)
        straight[:3, :3] = np.diag(np.where(step.diagonal()[:3] < 0, -1.0, 1.0))
        middle = self.corners.mean(axis=1)
        straight[:3, 3] = ((step - straight) @ middle)[:3]
        return straight

    def is_turned(self, step: NDArray[np.float64]) -> bool:
        """Whether a move does more than shift, as far as an eye sees it."""
        shifted = np.eye(4)
        shifted[:3, 3] = ((step - shifted) @ self.corners.mean(axis=1))[:3]
        return self.is_apart(step, shifted, _SEEN_BY_EYE)


def watch(viewer: napari.viewer.ViewerModel) -> None:
    """Take care of the volumes that are open in a viewer, and of those to come."""
    viewer.layers.events.inserted.connect(_on_inserted)  # once, however often it is asked for
    for i, layer in enumerate(viewer.layers):
        _take(layer, viewer.layers[:i])


def _on_inserted(event: Any) -> None:
    _take(event.value, [layer for layer in event.source if layer is not event.value])


def _take(layer: napari.layers.Layer, others: list[napari.layers.Layer]) -> None:
    if layer in _TAKEN:
        return
    _TAKEN.add(layer)
    outline_on_scan(layer)
    place(layer, others)
    other = next((one for one in others if _differ(one, layer, [*others, layer])), None)
    if other is not None:
        show_warning(different([other, layer]))
    _bind(layer, others)


def _bind(layer: napari.layers.Layer, others: list[napari.layers.Layer]) -> None:
    """Labels by hand belong to the picture that they were made on, or, if they were there first, that came on them."""
    if type(layer).__name__ == "Labels" and PLACE not in layer.metadata:
        layer.metadata[OUTLINED] = True  # a person paints areas, and copies look alike
        try:
            bind(layer, others)
        except ImageError as error:
            layer.metadata[UNPLACED] = str(error)
    for other in others:
        if type(other).__name__ == "Labels":
            with contextlib.suppress(ImageError):  # their place is asked for when they are saved
                bind(other, [layer])


def place(layer: napari.layers.Layer, others: list[napari.layers.Layer]) -> None:
    """Show a volume in the frame of the first one that it is mirrored to, unless it is shown as another one is.

    Its transform does it, along the axes; data and the place that its metadata keep stay as in the file.
    """
    own = Lie.of(layer, [*others, layer])
    if own is None:
        return
    steps = [step for one in others if (lie := Lie.of(one, others)) and (step := own.onto(lie)) is not None]
    if any(not own.is_apart(step, np.eye(4), SAME_PLACE) for step in steps):
        return
    for step in steps:
        straight = own.straightened(step)
        if not own.is_apart(step, straight, SAME_PLACE):
            whole = np.eye(layer.ndim + 1)
            index = [*own.axes, layer.ndim]
            whole[np.ix_(index, index)] = straight
            layer.affine = whole @ np.array(layer.affine.affine_matrix)
            layer._initial_affine = layer.affine  # what Alt and a click on napari's transform button put back
            layer.metadata[PLACE] = {**layer.metadata[PLACE], LAID: straight}  # nobody turned it
            return


def different(layers: Iterable[napari.layers.Layer]) -> str:
    """What to say of two volumes that are shown in different directions of the patient."""
    return (
        f"{names(layers)} lie in the patient in different directions, and each is shown along its own axes. Do not "
        "compare them by eye: one spot on the screen is not one spot of the patient. Segmenting and saving go by the "
        "places in their files. To look at one, hide the other or open it alone."
    )


def differing(layers: Iterable[napari.layers.Layer]) -> list[napari.layers.Layer]:
    """The first two of those that are seen which are shown in different directions of the patient; else none."""
    every = list(layers)
    seen = [layer for layer in every if layer.visible]
    for i, layer in enumerate(seen[1:], 1):
        other = next((one for one in seen[:i] if _differ(one, layer, every)), None)
        if other is not None:
            return [other, layer]
    return []


def _differ(one: napari.layers.Layer, other: napari.layers.Layer, layers: list[napari.layers.Layer]) -> bool:
    below, above = Lie.of(one, layers), Lie.of(other, layers)
    step = None if below is None or above is None else above.onto(below)
    return step is not None and above is not None and above.is_turned(step)


class DirectionsLine(Words):
    """Says as long as it is so that two volumes are shown in different directions of the patient.

    Parameters
    ----------
    viewer
        Whose layers are looked at.
    """

    def __init__(self, viewer: napari.viewer.ViewerModel) -> None:
        super().__init__()
        self._viewer = viewer
        self.setStyleSheet(f"border: none; border-left: 3px solid {_BAR}; padding: 2px 2px 2px 8px;")
        for layer in viewer.layers:
            self._follow(layer)
        events = viewer.layers.events
        follow(self, events.inserted, self._on_inserted)
        follow(self, events.removed, self.refresh)
        self.refresh()

    def refresh(self) -> None:
        """Look anew at what is shown."""
        found = differing(self._viewer.layers)
        self.setText(different(found) if found else "")
        self.setVisible(bool(found))

    def _follow(self, layer: napari.layers.Layer) -> None:
        for name in _TRANSFORMS:
            follow(self, getattr(layer.events, name), self.refresh)

    def _on_inserted(self, event: Any) -> None:
        self._follow(event.value)
        self.refresh()
