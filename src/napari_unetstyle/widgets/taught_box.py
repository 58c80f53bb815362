"""What a teaching came to, in words, and what a person can do about it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qtpy.QtCore import Signal
from qtpy.QtGui import QHideEvent, QShowEvent
from qtpy.QtWidgets import QHBoxLayout, QPushButton, QVBoxLayout, QWidget

from napari_unetstyle.core.training.scores import ENOUGH, FOUND
from napari_unetstyle.widgets.flip_key import FLIP_KEY
from napari_unetstyle.widgets.parts import NamedBox, Words
from napari_unetstyle.widgets.share_model import ShareModel
from napari_unetstyle.widgets.summary import as_score
from napari_unetstyle.widgets.taught_details import TaughtDetails

if TYPE_CHECKING:
    from napari_unetstyle.core.training.candidate import Candidate
    from napari_unetstyle.core.training.scores import Comparison
    from napari_unetstyle.core.training.style_trial import Difference, StyleTrial
    from napari_unetstyle.widgets.lesson_run import Taught

HOW_SURE = (
    "Dice on {} places that neither model learned from; in parentheses what looking at other such places could make of "
    "the difference, in 95 of 100 cases"
)
USE = "For new runs, and to look at old and new; Go back undoes it"
PLACES = "In the places that are framed on the picture; neither model learned from them"
DIFFERENT = "Outline what is new or different (yellow) and what is gone (red)"


class TaughtBox(NamedBox):
    """Two numbers, a verdict, and the buttons that follow from it.

    Parameters
    ----------
    share
        Shares the model once it is in use.
    """

    use_wanted = Signal()
    back_wanted = Signal()
    flip_wanted = Signal()
    seen = Signal(bool)  # whether it is, from now on

    def __init__(self, share: ShareModel, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.share, self.details = share, TaughtDetails()
        self.added, self.yours, self.looks, self.old, self.verdict = Words(), Words(), Words(), Words(), Words()
        self.trial = Words()
        self.use = QPushButton("Use it")
        self.back = QPushButton("Go back")
        self.flip = QPushButton(f"Flip old/new {FLIP_KEY}")
        self.changes = QPushButton("Show changes")
        self.changes.setCheckable(True)
        self.back.setToolTip("Use the model before for new runs; this one stays among your models")
        self.flip.setToolTip("Show the old labels in place of the new ones, or the other way round")
        buttons = QHBoxLayout()
        for button in (self.use, self.flip, self.changes):
            buttons.addWidget(button)
        buttons.addStretch()
        layout = QVBoxLayout(self)
        for words in (self.added, self.yours, self.looks, self.old, self.trial, self.verdict):
            layout.addWidget(words)
        of_model = QHBoxLayout()
        of_model.addWidget(self.back)
        of_model.addWidget(self.share)
        of_model.addStretch()
        layout.addLayout(of_model)
        layout.addWidget(self.share.pictures)
        layout.addLayout(buttons)
        layout.addWidget(self.details)
        self.use.clicked.connect(self.use_wanted)
        self.back.clicked.connect(self.back_wanted)
        self.flip.clicked.connect(self.flip_wanted)
        self.hide()

    def show_taught(self, taught: Taught, *, can_flip: bool, is_changed: bool) -> None:
        """Say what came of it, whether there are old and new labels to look at, and whether these differ."""
        comparison = taught.candidate.comparison
        self.setTitle(_title(taught.candidate) if taught.kept is None else f"{taught.kept.name} {taught.kept.version}")
        self.added.setText("\n".join(f"{name}: {_found(dice)}" for name, dice in comparison.child.on_added.items()))
        self.added.setVisible(bool(comparison.child.added))
        self.yours.setToolTip(PLACES if taught.candidate.places else "")
        self.yours.setText(_line("your pictures", comparison, "on_places", "better", "worse"))
        self.looks.setText(_line("in the other looks", comparison, "on_looks", "better", "worse"))
        self.looks.setVisible(comparison.child.on_looks is not None)
        self.old.setText(_line("old pictures", comparison, "on_old", "better", _loss(comparison)))
        self.old.setVisible(comparison.child.on_old is not None)
        self._show_trial(taught.trial)
        self.verdict.setText(_verdict(taught, can_flip=can_flip))
        self.use.setVisible(taught.kept is None)
        self.let_use(not (can_flip and comparison.verdict == "unchecked"))
        self.back.setVisible(taught.kept is not None and taught.candidate.parent is not None)
        self.share.offer(taught.kept)
        self.share.setVisible(taught.kept is not None)
        self.details.show_taught(taught)
        self.flip.setVisible(can_flip)
        self.changes.setVisible(can_flip)
        self.changes.setEnabled(is_changed)
        self.changes.setToolTip(DIFFERENT if is_changed else "No object looks different on the open pictures")
        self.show()

    def showEvent(self, event: QShowEvent) -> None:
        """Tell that it is seen."""
        super().showEvent(event)
        self.seen.emit(True)

    def hideEvent(self, event: QHideEvent) -> None:
        """Tell that it is not."""
        super().hideEvent(event)
        self.seen.emit(False)

    def let_use(self, is_allowed: bool = True) -> None:
        """Offer the model; where nobody can tell whether it is better, only once a person has looked."""
        self.use.setEnabled(is_allowed)
        self.use.setToolTip(USE if is_allowed else f"First look at old and new: {FLIP_KEY}")

    def _show_trial(self, trial: StyleTrial | None) -> None:
        self.trial.setVisible(trial is not None)
        if trial is not None:
            self.trial.setText(_tried(trial))
            self.trial.setToolTip("" if trial.looks is None else HOW_SURE.format(trial.looks.places))

    def say(self, sentence: str) -> None:
        """Say what a button has just done."""
        self.verdict.setText(sentence)


def _title(candidate: Candidate) -> str:
    return f"{candidate.model.spec.name} (not in use)"


def _found(dice: float | None) -> str:
    """How well an added class is found."""
    if dice is None:
        return "not checked"
    return f"{as_score(dice)}, {'found' if dice > FOUND else 'not found'}"


def _tried(trial: StyleTrial) -> str:
    """Whether other looks helped, with both scores."""
    if trial.own is None or trial.looks is None:
        return trial.sentence()
    found = "help, so this is the model that saw them" if trial.helps else "do not surely help, so this is one without"
    lines = (("other looks", trial.looks), ("your pictures", trial.own))
    return "\n".join([f"The other looks {found}. Without → with:", *(f"{what}: {_both(both)}" for what, both in lines)])


def _both(found: Difference) -> str:
    low, high = (f"{round(end, 3) + 0:+.3f}" for end in (found.low, found.high))  # no minus before a zero
    return f"{as_score(found.without)} → {as_score(found.with_styles)} ({low} to {high})"


def _loss(comparison: Comparison) -> str:
    return "worse" if comparison.verdict == "forgets" else "a little worse"


def _line(what: str, comparison: Comparison, field: str, up: str, down: str) -> str:
    after = getattr(comparison.child, field)
    before = None if comparison.parent is None else getattr(comparison.parent, field)
    if after is None:
        return f"{what}: not checked"
    if before is None:
        return f"{what}: {as_score(after)}"
    change = "same" if as_score(before) == as_score(after) else up if after > before else down
    return f"{what}: {as_score(before)} → {as_score(after)}, {change}"


def _verdict(taught: Taught, *, can_flip: bool) -> str:
    comparison = taught.candidate.comparison
    if taught.kept is not None:
        return "✓ In use for new runs."
    if taught.problem:
        return "It could not be put among your models, so the model you had stays. Use it once there is space."
    more = ENOUGH - len(comparison.child.places)
    added = " and ".join(comparison.child.added)
    look = "Flip to look at old and new, then decide." if can_flip else "Use it to look at it; Go back undoes that."
    if comparison.verdict == "not better" and added:
        return (
            f"{added} is not found, or what it knew is found worse, so the model you had stays. More of it painted, or "
            "more minutes, may help."
        )
    if comparison.verdict == "not better" and comparison.lost_class is not None:
        was, now = comparison.lost_class
        return (
            f"It finds one class worse ({as_score(was)} → {as_score(now)}), so the model you had stays. More fixes of "
            "that class, or more minutes, may help."
        )
    if comparison.verdict == "unchecked" and more <= 0:
        return f"Too little to check it: paint {added} in more places. {look}"
    return {
        "forgets": "It would forget what it knew, so the model you had stays. You can use this one all the same.",
        "not better": "It is not better on places that it did not learn from, so the model you had stays. More fixes, "
        "or more minutes, may help.",
        "unchecked": f"Too little to check it: {more} more area{'' if more == 1 else 's'} called right would do. "
        f"{look}",
    }.get(comparison.verdict, "")
