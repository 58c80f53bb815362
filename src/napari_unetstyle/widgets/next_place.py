"""The button *Next place*: the view goes where the model is least sure and nobody has looked."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qtpy.QtWidgets import QPushButton

from napari_unetstyle.core.annotation.corrections import learned
from napari_unetstyle.core.annotation.next_place import Looked, iter_next_place
from napari_unetstyle.core.annotation.project import correction_of
from napari_unetstyle.widgets.jobs import Finished, JobSlot, Outcome
from napari_unetstyle.widgets.spot import Spot, go_to

if TYPE_CHECKING:
    import napari.viewer

    from napari_unetstyle.core.progress import Steps
    from napari_unetstyle.widgets.corrected_layer import CorrectedLayer
    from napari_unetstyle.widgets.corrections import Corrections

SIDE = 128  # pixels of a place
NOTHING_LEFT = "Nothing unsure is left here"
UNKNOWN = "Segment it again first"
WORDS = "Next place ▸"


class NextPlace(QPushButton):
    """Goes from place to place in the active result, in whichever slice or frame they are.

    Parameters
    ----------
    viewer
        Whose view moves.
    corrections
        What can be corrected.
    """

    def __init__(self, viewer: napari.viewer.ViewerModel, corrections: Corrections) -> None:
        super().__init__(WORDS)
        self.setToolTip("Go where the model is least sure and nobody has looked yet, in any slice")
        self._viewer, self._corrections = viewer, corrections
        self._looked: dict[CorrectedLayer, list[Looked]] = {}
        self._target: CorrectedLayer | None = None
        self._slot = JobSlot(self)
        self._slot.done.connect(self._on_found)
        self.clicked.connect(self._look)
        corrections.changed.connect(self.refresh)
        self.refresh()

    def refresh(self) -> None:
        """Begin again with the active result."""
        self._looked = {one: places for one, places in self._looked.items() if one in self._corrections.layers}
        self.setVisible(self._corrections.active is not None)
        self.setText(WORDS)

    def _look(self) -> None:
        active = self._corrections.active
        if active is None:
            return
        if active.result is None:  # labels of an earlier day
            self.setText(UNKNOWN)
            return
        self._target = active
        result, image, looked = active.result(), active.image, tuple(self._looked.get(active, ()))
        state = active.state() if active.is_corrected else None  # as it is now; what follows from it is the job's

        def find() -> Steps[Looked | None]:
            judged = None if state is None else learned(correction_of(state, image))[1]
            return (yield from iter_next_place(result, judged, looked, SIDE))

        self._slot.replace(find)

    def _on_found(self, outcome: Outcome) -> None:
        target = self._target
        if not isinstance(outcome, Finished) or target is None or target not in self._corrections.layers:
            return
        place = outcome.value
        if place is None:
            self.setText(NOTHING_LEFT)
            return
        self._looked.setdefault(target, []).append(place)
        go_to(self._viewer, Spot(placement=target.placement, image=target.image, frame=place.index, box=place.box))
