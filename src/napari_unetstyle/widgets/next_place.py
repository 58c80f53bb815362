"""The button *Next place*: the view goes where the model is least sure and nobody has looked."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from qtpy.QtWidgets import QPushButton

from napari_unetstyle.core.annotation.corrections import Mask, learned
from napari_unetstyle.core.annotation.next_place import Box, next_place, uncertainty
from napari_unetstyle.core.annotation.project import correction_of
from napari_unetstyle.widgets.jobs import Finished, JobSlot, Outcome, as_steps
from napari_unetstyle.widgets.spot import Spot, go_to

if TYPE_CHECKING:
    import napari.viewer

    from napari_unetstyle.widgets.corrected_layer import CorrectedLayer
    from napari_unetstyle.widgets.corrections import Corrections

SIDE = 128  # pixels of a place
NOTHING_LEFT = "Nothing unsure is left here"
UNKNOWN = "Segment it again first"
WORDS = "Next place ▸"


class NextPlace(QPushButton):
    """Goes from place to place in the slice in sight of the active result.

    Parameters
    ----------
    viewer
        Whose view moves.
    corrections
        What can be corrected.
    """

    def __init__(self, viewer: napari.viewer.ViewerModel, corrections: Corrections) -> None:
        super().__init__(WORDS)
        self.setToolTip("Go where the model is least sure and nobody has looked yet")
        self._viewer, self._corrections = viewer, corrections
        self._shown: dict[tuple[CorrectedLayer, tuple[int, ...]], list[Box]] = {}
        self._target: tuple[CorrectedLayer, tuple[int, ...]] | None = None
        self._slot = JobSlot(self)
        self._slot.done.connect(self._on_found)
        self.clicked.connect(self._look)
        corrections.changed.connect(self.refresh)
        self.refresh()

    def refresh(self) -> None:
        """Begin again with the active result."""
        self.setVisible(self._corrections.active is not None)
        self.setText(WORDS)

    def _look(self) -> None:
        active = self._corrections.active
        if active is None:
            return
        if active.foreground is None:  # labels of an earlier day
            self.setText(UNKNOWN)
            return
        frame = tuple(active.frame)
        self._target = active, frame
        foreground, image = np.asarray(active.foreground(frame)), active.image
        shown = self._shown.get((active, frame), [])
        state = active.state() if active.is_corrected else None  # as it is now; what follows from it is the job's

        def find() -> Box | None:
            judged = np.zeros(foreground.shape, bool)
            if state is not None:
                judged = learned(correction_of(state, image))[1][frame]
            return _find(foreground, judged, shown)

        self._slot.replace(lambda: as_steps(find))

    def _on_found(self, outcome: Outcome) -> None:
        if not isinstance(outcome, Finished) or self._target is None:
            return
        active, frame = self._target
        if outcome.value is None or active not in self._corrections.layers:
            self.setText(NOTHING_LEFT)
            return
        self._shown.setdefault((active, frame), []).append(outcome.value)
        go_to(self._viewer, Spot(placement=active.placement, image=active.image, frame=frame, box=outcome.value))


def _find(foreground: NDArray[Any], judged: Mask, shown: list[Box]) -> Box | None:
    unsure = uncertainty(np.stack([255 - foreground, foreground]))
    judged = judged.copy()
    for box in shown:
        judged[box] = True
    return next_place(unsure, judged, SIDE)
