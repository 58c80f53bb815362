"""Fixes of earlier days are opened: read in a thread, and put on their picture when that is done."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from qtpy.QtCore import QObject, Signal

from napari_unetstyle.core.annotation.project import Entry, classes_of
from napari_unetstyle.core.errors import ImageFileError, JournalError, UnetstyleError
from napari_unetstyle.core.progress import Progress, Steps
from napari_unetstyle.widgets.corrected_layer import CorrectedLayer, Start, Take
from napari_unetstyle.widgets.jobs import Failed, Finished, JobSlot, Outcome, failure
from napari_unetstyle.widgets.label_layers import METADATA, label_colors, pictures_among
from napari_unetstyle.widgets.layers import Statement, image_from_layer
from napari_unetstyle.widgets.level_grid import level_grids
from napari_unetstyle.widgets.opening import LEVEL, SERIES_KEY, layer_data, path_of
from napari_unetstyle.widgets.picture_project import know_as, part_of, pixels_of
from napari_unetstyle.widgets.placement import Placement
from napari_unetstyle.widgets.statements import known_statement

if TYPE_CHECKING:
    import napari.layers
    import napari.viewer

    from napari_unetstyle.core.annotation.journal_header import Picture
    from napari_unetstyle.core.imaging.image import Image

Then = Callable[[CorrectedLayer], None]


@dataclass(frozen=True, kw_only=True, eq=False)
class Read:
    """What was read of an entry.

    Attributes
    ----------
    start
        How its journal goes on.
    picture
        Read from its file, if it was not open.
    notes
        What a person should know of it.
    """

    start: Start
    picture: Image | None
    notes: tuple[str, ...]


def iter_read(entry: Entry, *, with_picture: bool) -> Steps[Read]:
    """Read an entry, as a job.

    Raises
    ------
    UnetstyleError
        If it cannot be read, or a window is writing to it.
    """
    yield Progress(0, 3)
    if entry.is_open:
        raise JournalError(
            f"{entry.header.layer} is still being written, here or in another window. Close it there, or try again."
        )
    state = entry.state()
    yield Progress(1, 3)
    picture = entry.image() if with_picture else None
    yield Progress(2, 3)
    changed = f"{entry.header.picture.path} is not the file that was corrected: it changed since."
    notes = (*state.notes, changed) if entry.is_changed() else state.notes
    return Read(start=Start.going_on(entry.folder, state), picture=picture, notes=notes)


class EntryOpening(QObject):
    """Opens one entry after another; what is painted elsewhere meanwhile is kept as ever.

    Parameters
    ----------
    viewer
        Gets the labels, and the picture where it is not open.
    take
        Watches labels.
    """

    noted = Signal(str)
    failed = Signal(object)  # Failed
    busy_changed = Signal(bool)

    def __init__(self, viewer: napari.viewer.ViewerModel, take: Take, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._viewer, self._take = viewer, take
        self._waiting: deque[tuple[Entry, Then]] = deque()
        self._slot = JobSlot(self)
        self._slot.done.connect(self._on_done)
        self._slot.busy_changed.connect(self.busy_changed)

    @property
    def folders(self) -> list[Path]:
        """Of the entries that are being opened, the first one now."""
        return [entry.folder for entry, _ in self._waiting]

    def open(self, entry: Entry, then: Then) -> None:
        """Open an entry, unless that is under way, and do something with its labels."""
        if entry.folder in self.folders:
            return
        self._waiting.append((entry, then))
        if not self._slot.is_busy:
            self._read_next()

    def close_down(self) -> None:
        """Open no more; this dock was closed."""
        self._waiting.clear()
        self._slot.cancel()

    def _read_next(self) -> None:
        entry, _ = self._waiting[0]
        self._slot.start(iter_read(entry, with_picture=self._picture_of(entry) is None))

    def _on_done(self, outcome: Outcome) -> None:
        if not self._waiting:  # closed down
            return
        entry, then = self._waiting[0]
        match outcome:
            case Finished(value=read):
                if read.picture is None and self._picture_of(entry) is None:  # removed meanwhile
                    self._read_next()
                    return
                try:
                    then(self._show(entry, read))
                except UnetstyleError as error:
                    self.failed.emit(failure(error))
                else:
                    if read.notes:
                        self.noted.emit("\n".join(read.notes))
            case Failed():
                self.failed.emit(outcome)
        self._waiting.popleft()
        if self._waiting:
            self._read_next()

    def _show(self, entry: Entry, read: Read) -> CorrectedLayer:
        state = read.start.state
        assert state is not None
        layer = self._picture_of(entry) or self._add_picture(entry, read)
        axes = entry.header.picture.axes
        grid = level_grids(layer)[entry.header.picture.level] if layer.multiscale else None
        image = image_from_layer(layer, _statement_of(layer, entry), grid)
        placement = Placement.of(layer, image.axes, grid)
        if image.label_shape != entry.header.shape:
            advice = (
                f"The picture was changed since; the fixes are kept in {entry.folder}."
                if image.axes == axes
                else "Say what its axes are, then open the fixes again."
            )
            raise ImageFileError(
                f"{layer.name} has shape {image.label_shape} ({image.axes}) here, but {entry.header.shape} ({axes}) "
                f"was corrected. {advice}"
            )
        labels = self._viewer.add_labels(
            placement.to_layer(state.labels),
            name=entry.header.layer,
            metadata={**placement.metadata, METADATA: {"output": entry.header.output}},
            **placement.arguments,
        )
        labels.colormap = label_colors(entry.header.output, classes_of(entry.header, state.said))
        return self._take(labels, placement, image, read.start)

    def _add_picture(self, entry: Entry, read: Read) -> napari.layers.Image:
        about = entry.header.picture
        assert read.picture is not None
        data, arguments, _ = layer_data(read.picture, None if about.path is None else Path(about.path))
        arguments["metadata"] |= {LEVEL: about.level} | ({} if about.series is None else {SERIES_KEY: about.series})
        layer = self._viewer.add_image(data, **arguments)
        if about.path is None and about.sha256 is not None:
            know_as(layer, about.sha256)
        return layer

    def _picture_of(self, entry: Entry) -> napari.layers.Image | None:
        """The layer of an entry's picture, if it is open."""
        about = entry.header.picture
        pictures = [layer for layer in pictures_among(self._viewer.layers) if _is_part(layer, about)]
        if about.path is not None:
            same = [layer for layer in pictures if path_of(layer) == about.path]
        elif about.sha256 is not None:
            same = [layer for layer in pictures if pixels_of(layer) == about.sha256]
        else:  # of a time when only the name was noted
            same = [layer for layer in pictures if layer.name == about.name]
        return same[0] if same else None


def _is_part(layer: napari.layers.Image, about: Picture) -> bool:
    """Whether a layer is that picture of its file, or has it among its levels."""
    part = part_of(layer)
    has_level = about.level < len(layer.data) if layer.multiscale else about.level == part["level"]
    return has_level and about.series in (None, part["series"])  # of a time when the series was not noted


def _statement_of(layer: napari.layers.Image, entry: Entry) -> Statement:
    """What the layer says of its axes, or, if that is another picture, what a person stated when it was corrected."""
    own, about = known_statement(layer), entry.header.picture
    is_same = "".join(a for a in "TZYX" if a in own.axes) == entry.header.axes
    return own if is_same or len(own.axes) != len(about.axes) else Statement(axes=about.axes, geometry=about.geometry)
