"""Which class each object of corrected labels has, where a model tells several apart."""

from __future__ import annotations

from typing import TYPE_CHECKING

from napari_unetstyle.core.annotation.edits import free_id
from napari_unetstyle.core.annotation.project import CLASSES

if TYPE_CHECKING:
    from napari_unetstyle.widgets.corrected_layer import CorrectedLayer


class ObjectClasses:
    """Gives new objects the class that a person has in hand; the others keep the one they have.

    A class is a fact of the journal about an object's number. So an object of which the class is changed gets a new
    number: then Ctrl+Z takes that back like any stroke.

    Parameters
    ----------
    target
        The labels.
    """

    def __init__(self, target: CorrectedLayer) -> None:
        self._target = target
        self.hand = 1
        self._is_fresh = False  # whether what the brush paints is a new object

    @property
    def are_several(self) -> bool:
        """Whether there is anything to tell apart."""
        return self._target.header.output == "objects" and len(self._target.classes) > 1

    @property
    def shown(self) -> dict[int, int]:
        """Class of each object, and of the one that is about to be painted."""
        coming = {int(self._target.layer.selected_label): self.hand} if self._is_fresh else {}
        return self._target.owners | coming

    def of(self, number: int) -> int:
        """Class value of an object."""
        return self._target.owners.get(number, 1)

    def give(self, number: int, value: int) -> None:
        """Say of what class an object is."""
        if self.are_several and self._target.owners.get(number) != value:
            owners = self._target.owners | {number: value}
            self._target.say(**{CLASSES: {str(i): c for i, c in owners.items()}})

    def take(self, value: int) -> None:
        """Paint a new object of this class from here on."""
        self.hand = value
        self._target.take_brush(self.new_number())
        self.on_selected()  # of the same label there is no event
        self._target.changed.emit()

    def new_number(self) -> int:
        """One that no object has."""
        return free_id(self._target.labels)

    def on_selected(self) -> None:
        """The brush has another label: look whether there is an object of it."""
        number = self._target.layer.selected_label
        self._is_fresh = self.are_several and number > 0 and not (self._target.layer.data == number).any()

    def on_paint(self) -> None:
        """The brush was lifted."""
        if self._is_fresh:
            self._is_fresh = False
            self.give(int(self._target.layer.selected_label), self.hand)
