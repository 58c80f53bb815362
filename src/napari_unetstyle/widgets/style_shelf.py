"""Keeping styles: a name for what a picture looks like, so that the picture need not be open the next time."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from qtpy.QtCore import Signal
from qtpy.QtWidgets import QCheckBox, QGridLayout, QHBoxLayout, QLineEdit, QPushButton, QVBoxLayout, QWidget

from napari_unetstyle.core.errors import UnetstyleError
from napari_unetstyle.core.files import plain_name
from napari_unetstyle.widgets.core_calls import CoreCalls
from napari_unetstyle.widgets.jobs import Failed, Finished, JobSlot, Outcome, failure
from napari_unetstyle.widgets.message_row import MessageRow
from napari_unetstyle.widgets.opening import ask_for_path
from napari_unetstyle.widgets.parts import Words, bring_into_sight, named
from napari_unetstyle.widgets.settings import read_settings
from napari_unetstyle.widgets.statements import picture_of
from napari_unetstyle.widgets.style_layers import Style, is_kept

if TYPE_CHECKING:
    from napari_unetstyle.core.style.bank import StyleBank
    from napari_unetstyle.core.style.kept_style import KeptStyle

FILE = "Styles (*.style.json *.style.safetensors)"
WHAT_IS_KEPT = (
    "Kept are numbers: how bright and how colored. No part of the picture, unless you want a small one. The name, and "
    "what you write here, go along when the style is shared: name the scanner or the stain, and nobody."
)
NO_NAME = (
    "Give the style a name of letters or digits, such as scanner-2: you find it by that, and it is shared with it."
)
EXAMPLE = "of the scanner or stain: scanner-2"


class StyleShelf(QWidget):
    """Keep, share, import and remove.

    Parameters
    ----------
    calls
        The core's functions.
    ticked
        Gives what is ticked in the list of styles.
    """

    changed = Signal()

    def __init__(self, calls: CoreCalls, ticked: Callable[[], Sequence[Style]], parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._calls, self._ticked = calls, ticked
        self._slot = JobSlot(self)
        self.keep, self.share = QPushButton("Keep this style…"), QPushButton("Share…")
        self.import_, self.remove = QPushButton("Import…"), QPushButton("Remove")
        self.form = QWidget()
        self.name, self.about, self.license = QLineEdit(), QLineEdit(), QLineEdit()
        self.thumbnail = QCheckBox("with a small picture, 64 x 64 pixels")
        self.confirm, self.cancel = QPushButton("Keep"), QPushButton("Not now")
        self.message = MessageRow()
        self._lay_out()
        self.keep.clicked.connect(self._on_keep)
        self.confirm.clicked.connect(self._on_confirm)
        self.cancel.clicked.connect(self.form.hide)
        self.share.clicked.connect(self._on_share)
        self.import_.clicked.connect(lambda: ask_for_path(self, "Import a style", self.import_from, filters=FILE))
        self.remove.clicked.connect(self._on_remove)
        self._slot.done.connect(self._on_kept)
        self.refresh()

    def _lay_out(self) -> None:
        inside = QVBoxLayout(self.form)
        inside.setContentsMargins(12, 0, 0, 0)
        for words, field, example in (
            ("Name", self.name, EXAMPLE),
            ("About", self.about, "optional: what it is the style of"),
            ("License", self.license, "optional: who may use it"),
        ):
            field.setPlaceholderText(example)
            field.returnPressed.connect(self._on_confirm)
            inside.addWidget(named(words, field))
        inside.addWidget(self.thumbnail)
        inside.addWidget(Words(WHAT_IS_KEPT))
        answers = QHBoxLayout()
        answers.addWidget(self.confirm)
        answers.addWidget(self.cancel)
        answers.addStretch()
        inside.addLayout(answers)
        self.form.hide()
        buttons = QGridLayout()
        for place, button in enumerate((self.keep, self.import_, self.share, self.remove)):
            buttons.addWidget(button, place // 2, place % 2)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addLayout(buttons)
        layout.addWidget(self.form)
        layout.addWidget(self.message)

    @property
    def bank(self) -> StyleBank:
        """The styles beside the models of the folder that the settings name."""
        return self._calls.bank(read_settings().model_folder)

    def refresh(self) -> None:
        """What is ticked has changed; what was said and asked of something else is taken back."""
        self.message.clear()
        one = self._one_kept()
        can_keep = bool(self._pictures())
        self.keep.setEnabled(can_keep)
        self.keep.setToolTip("" if can_keep else "Tick an open picture, and no kept style")
        self.share.setEnabled(one is not None)
        self.share.setToolTip("As a file for others" if one else "Tick one kept style, and nothing else")
        is_own = one is not None and not self.bank.is_bundled(one.name)
        self.remove.setEnabled(is_own)
        self.remove.setToolTip("" if is_own else "Tick one style that you kept; those that came with the package stay")
        if not can_keep:
            self.form.hide()

    def close_down(self) -> None:
        """Stop what is under way."""
        self._slot.cancel()

    def import_from(self, path: Path) -> None:
        """Keep a style that somebody handed on."""
        self._tell(lambda: f"The style {self.bank.import_(path).name!r} is kept.")

    def share_to(self, path: Path, style: KeptStyle, *, thumbnail: bool) -> None:
        """Write a style as one file; an existing one is never replaced."""
        self._tell(lambda: f"Wrote {self.bank.export(style.name, path, thumbnail=thumbnail)}.")

    def _pictures(self) -> Sequence[Style]:
        ticked = self._ticked()
        return [] if any(map(is_kept, ticked)) else ticked

    def _one_kept(self) -> KeptStyle | None:
        match self._ticked():
            case [style] if is_kept(style):
                return style
        return None

    def _on_keep(self) -> None:
        for field in (self.name, self.about, self.license):  # nothing of the picture: its name may be that of a patient
            field.clear()
        self.thumbnail.setChecked(False)
        self.message.clear()
        self.form.show()
        self.name.setFocus()
        bring_into_sight(self.form)

    def _on_confirm(self) -> None:
        if self._slot.is_busy or not self._pictures():
            return
        name = plain_name(self.name.text(), "")
        if not name:
            self.message.say(NO_NAME)
            bring_into_sight(self.message)
            return
        try:
            pictures = [picture_of(layer) for layer in self._pictures()]
        except UnetstyleError as error:
            self.message.fail(failure(error))
            return
        self.confirm.setEnabled(False)
        self._slot.start(
            self._calls.iter_keep_style(
                name,
                pictures,
                self.bank,
                thumbnail=self.thumbnail.isChecked(),
                about=self.about.text().strip(),
                license_note=self.license.text().strip(),
            )
        )

    def _on_kept(self, outcome: Outcome) -> None:
        self.confirm.setEnabled(True)
        match outcome:
            case Finished(value=style):
                self.form.hide()
                self.changed.emit()
                self._say(f"The style {style.name!r} is kept.")
            case Failed():
                self.message.fail(outcome)
                bring_into_sight(self.message)

    def _on_share(self) -> None:
        style = self._one_kept()
        if style is None:
            return
        if style.picture is None:
            self._ask_where(style, thumbnail=False)
            return
        self.message.ask(
            f"Share {style.name!r} with its small picture?",
            ("Numbers only", lambda: self._ask_where(style, thumbnail=False)),
            ("With the picture", lambda: self._ask_where(style, thumbnail=True)),
        )
        bring_into_sight(self.message)

    def _ask_where(self, style: KeptStyle, *, thumbnail: bool) -> None:
        def write(path: Path) -> None:
            self.share_to(path, style, thumbnail=thumbnail)

        ask_for_path(self, "Share a style", write, name=style.file_name, filters=FILE, mode="save")

    def _on_remove(self) -> None:
        style = self._one_kept()
        if style is not None:
            question = f"Remove the style {style.name!r}? Its file is removed from this computer."
            self.message.ask(question, ("Remove", lambda: self._remove(style.name)))
            bring_into_sight(self.message)

    def _remove(self, name: str) -> None:
        def removed() -> str:
            self.bank.remove(name)
            return f"The style {name!r} is removed."

        self._tell(removed)

    def _tell(self, act: Callable[[], str]) -> None:
        """Change the bank, and say what happened."""
        try:
            said = act()
        except UnetstyleError as error:
            self.message.fail(failure(error))
            bring_into_sight(self.message)
            return
        self.changed.emit()
        self._say(said)

    def _say(self, text: str) -> None:
        self.message.say(text)
        bring_into_sight(self.message)
