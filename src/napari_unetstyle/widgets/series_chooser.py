"""Which series of a DICOM folder to open: a person is shown them and chooses; nothing waits meanwhile."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from napari.utils.notifications import show_info
from qtpy.QtCore import Qt, Signal
from qtpy.QtWidgets import QAbstractItemView, QListWidget, QListWidgetItem, QPushButton

from napari_unetstyle.core.errors import UnetstyleError
from napari_unetstyle.widgets.choice import Choice, beside_canvas, front_viewer
from napari_unetstyle.widgets.ct_window import MODALITY
from napari_unetstyle.widgets.opening import SERIES_KEY, LayerData, layer_data
from napari_unetstyle.widgets.parts import Words

if TYPE_CHECKING:
    import napari.layers
    import napari.viewer

    from napari_unetstyle.core.imaging.dicom import Series
    from napari_unetstyle.core.imaging.image import Image
    from napari_unetstyle.core.progress import Steps

TITLE = "DICOM series"
FILES = "series_files"  # in a layer's metadata: the files of its series
SERIES = "series"  # in a layer's metadata: number of its series in the folder
_SHOWN = 8  # rows, before the list scrolls


class SeriesChooser(Choice):
    """A list of series with a button that opens those that are chosen, each as a layer.

    Parameters
    ----------
    viewer
        Gets the layers.
    series
        What a folder holds.
    folder
        Where they come from; kept with the layers.
    """

    opened = Signal(list, object)  # layers, and the folder that they come from

    def __init__(self, viewer: napari.viewer.ViewerModel, series: Sequence[Series], folder: Path | None = None) -> None:
        super().__init__(viewer)
        self._series, self._folder = list(series), folder
        self.words = Words(f"{len(series)} series: choose what to open.")
        self.words.setToolTip("" if folder is None else str(folder))
        self.list = QListWidget()
        self.problem = Words()
        self.open = QPushButton("Open")
        self._lay_out(self.words, self.list, self.problem, self.open)
        self._fill()
        self._connect()
        self._on_chosen()

    def _fill(self) -> None:
        self.list.setSelectionMode(QAbstractItemView.SelectionMode.ExtendedSelection)
        self.list.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.list.setTextElideMode(Qt.TextElideMode.ElideRight)
        for one in self._series:
            item = QListWidgetItem(f"{one.description or 'without a description'}\n{one.summary}")
            item.setData(Qt.ItemDataRole.UserRole, one.problem())
            item.setToolTip(item.text())
            self.list.addItem(item)
        height = max((self.list.sizeHintForRow(i) for i in range(self.list.count())), default=20)
        self.list.setFixedHeight(height * min(max(len(self._series), 1), _SHOWN) + 8)
        first = next((i for i in range(self.list.count()) if not self._problem(i)), 0)
        self.list.setCurrentRow(first)

    def _connect(self) -> None:
        self.list.itemSelectionChanged.connect(self._on_chosen)
        self.list.itemDoubleClicked.connect(lambda _: self.open.click())
        self.open.clicked.connect(self._on_open)

    def chosen(self) -> list[Series]:
        """The series that are selected and can be opened."""
        rows = sorted(self.list.row(item) for item in self.list.selectedItems())
        return [self._series[row] for row in rows if not self._problem(row)]

    def _problem(self, row: int) -> str:
        return str(self.list.item(row).data(Qt.ItemDataRole.UserRole))

    def _on_chosen(self) -> None:
        rows = sorted(self.list.row(item) for item in self.list.selectedItems())
        problems = [self._problem(row) for row in rows if self._problem(row)]
        self.problem.setText("\n".join(f"Cannot be opened: {problem}" for problem in problems))
        self.problem.setVisible(bool(problems))
        self.open.setEnabled(bool(self.chosen()) and not self._slot.is_busy)

    def _on_open(self) -> None:
        self._read(_iter_read(self.chosen()))

    def _let_choose(self, can_choose: bool) -> None:
        self.list.setEnabled(can_choose)
        self._on_chosen()

    def _take(self, read: list[tuple[Series, Image]]) -> None:
        layers = [self._add(one, image) for one, image in read]
        notes = [f"{image.name}: {note}" for _, image in read for note in image.notes]
        self.opened.emit(layers, self._folder)
        if not notes:
            self.finished.emit()
            return
        self.message.say("\n".join(notes))

    def _add(self, one: Series, image: Image) -> napari.layers.Image:
        data, arguments, _ = _layer_data(one, image, self._folder)
        return self._viewer.add_image(data, **arguments)


def _iter_read(chosen: Sequence[Series]) -> Steps[list[tuple[Series, Image]]]:
    """Read series one after the other, as a job."""
    from napari_unetstyle.core.imaging.dicom import image_of
    from napari_unetstyle.core.progress import Progress

    images = []
    for i, one in enumerate(chosen):
        yield Progress(i, len(chosen), f"{one.name}: {one.count} slices")
        images.append((one, image_of(one)))
    return images


def read_dicom(path: str | Path | Sequence[str | Path]) -> list[LayerData] | list[tuple[None]]:
    """Layer data of a DICOM file, of files, or of a folder, for napari's readers.

    In a viewer one file stands for its series in the folder, which opens whole, and once, however many of its files are
    dropped. Where there are several series, a list of them opens beside the canvas, and napari is told that there is
    nothing to add yet.

    Raises
    ------
    UnetstyleError
        If nothing can be read; or if there are several series and no viewer in which a person could choose.
    """
    from napari_unetstyle.core.imaging.dicom import find_series, series_of

    viewer, files = front_viewer(), [path] if isinstance(path, (str, Path)) else path
    single = Path(files[0]) if len(files) == 1 and Path(files[0]).is_file() else None
    if single is not None and viewer is not None:
        shown = next((layer for layer in viewer.layers if str(single) in layer.metadata.get(FILES, ())), None)
        if shown is not None:
            viewer.layers.selection.active = shown
            return [(None,)]
        whole = _whole_series(single)
        if whole is not None:
            return [whole]
    folder = Path(path) if isinstance(path, (str, Path)) else Path(path[0]).parent
    found = find_series(path)
    if len(found) > 1 and viewer is not None:
        show_series(viewer, found, folder)
        return [(None,)]
    return [_read(found[0] if len(found) == 1 else series_of(path), folder)]


def _whole_series(file: Path) -> LayerData | None:
    """The series of a file with those beside it; None if it is alone, or they make no picture together."""
    from napari_unetstyle.core.imaging.dicom import find_series

    try:
        found = find_series(sorted(one for one in file.parent.iterdir() if one.is_file()))
        own = [one for one in found if file in map(Path, one.files)]
        if len(own) != 1 or len(own[0].files) == 1:
            return None
        layer = _read(own[0], file.parent)
    except UnetstyleError:  # the file alone may be read, or says why not
        return None
    show_info(f"{file.name} is one of the {len(own[0].files)} files of its series, which was opened whole.")
    return layer


def _read(one: Series, folder: Path) -> LayerData:
    """Layer data of a series; what was assumed is said."""
    from napari_unetstyle.core.imaging.dicom import image_of

    image = image_of(one)
    if image.notes:
        show_info(" ".join(image.notes))
    return _layer_data(one, image, folder)


def _layer_data(one: Series, image: Image, folder: Path | None) -> LayerData:
    """Layer data that knows its series."""
    data, arguments, kind = layer_data(image, folder)
    arguments["metadata"] |= {
        SERIES: one.number,
        SERIES_KEY: one.key,
        FILES: tuple(map(str, one.files)),
        MODALITY: one.modality if one.is_rescaled else "",  # windows are in Hounsfield units
    }
    return data, arguments, kind


def show_series(viewer: napari.viewer.Viewer, series: Sequence[Series], folder: Path) -> SeriesChooser:
    """List series beside the canvas, in the place of a list that is there already."""
    chooser = SeriesChooser(viewer, series, folder)
    beside_canvas(viewer.window, chooser, TITLE)
    return chooser
