"""The tab *Segment*: from a picture to labels, one button."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from qtpy.QtCore import QSignalBlocker, Signal
from qtpy.QtWidgets import QPushButton, QVBoxLayout, QWidget

from napari_unetstyle.core.errors import ImageError, UnetstyleError
from napari_unetstyle.core.imaging.image import Image
from napari_unetstyle.core.segmentation.options import SegmentOptions
from napari_unetstyle.widgets import scope
from napari_unetstyle.widgets.contrast import Contrast
from napari_unetstyle.widgets.core_calls import CoreCalls
from napari_unetstyle.widgets.empty_row import EmptyRow
from napari_unetstyle.widgets.folder_panel import FolderPanel
from napari_unetstyle.widgets.forecast import Forecast
from napari_unetstyle.widgets.full_resolution import FullResolution
from napari_unetstyle.widgets.jobs import Cancelled, Failed, Finished, Outcome, failure
from napari_unetstyle.widgets.level_choice import on_fitting_level
from napari_unetstyle.widgets.message_row import MessageRow
from napari_unetstyle.widgets.model_choice import ModelChoice
from napari_unetstyle.widgets.opening import path_of
from napari_unetstyle.widgets.outputs import Fresh
from napari_unetstyle.widgets.part_in_sight import PartInSight
from napari_unetstyle.widgets.parts import combo, follow, named
from napari_unetstyle.widgets.picture import Picture
from napari_unetstyle.widgets.picture_form import PictureForm
from napari_unetstyle.widgets.placement import Placement
from napari_unetstyle.widgets.preview import Preview
from napari_unetstyle.widgets.progress_row import ProgressRow
from napari_unetstyle.widgets.result_panel import ResultPanel
from napari_unetstyle.widgets.run_queue import RunQueue
from napari_unetstyle.widgets.run_request import RunRequest
from napari_unetstyle.widgets.settings import Settings, read_settings
from napari_unetstyle.widgets.slice_range import SliceRange
from napari_unetstyle.widgets.slicing import Slicing

if TYPE_CHECKING:
    import napari.layers
    import napari.viewer

    from napari_unetstyle.core.models.spec import ModelSpec


class SegmentPanel(QWidget):
    """Form, button, progress and what comes after a run.

    Parameters
    ----------
    viewer
        The napari viewer.
    calls
        The core's functions.
    """

    run_ended = Signal(object)  # Outcome

    def __init__(self, viewer: napari.viewer.Viewer, calls: CoreCalls, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._viewer, self._calls = viewer, calls
        self._queue = RunQueue(calls, self)
        self._is_many = False
        self._image: Image | None = None
        self._problems: list[Failed] = []
        self.empty = EmptyRow(viewer)
        self.picture = PictureForm(viewer)
        self.model = ModelChoice()
        self.where = combo()
        self.range = SliceRange(self._shown_slice)
        self.slicing = Slicing()
        self.contrast = Contrast()
        self.folder = FolderPanel(viewer, calls)
        self._wants_folder = False
        self.preview = Preview(viewer, calls, self._in_sight)
        self.forecast = Forecast(calls, self._forecast_request)
        self.segment = QPushButton("SEGMENT")
        self.segment.setMinimumHeight(32)
        self.progress = ProgressRow()
        self.message = MessageRow()
        self.results = ResultPanel(viewer, calls)
        self.finer = FullResolution(viewer, lambda: self.results.output)
        self._lay_out()
        self._connect()
        self._on_picture_changed()

    def _lay_out(self) -> None:
        layout = QVBoxLayout(self)
        self.form = QWidget()
        rows = QVBoxLayout(self.form)
        rows.setContentsMargins(0, 0, 0, 0)
        rows.addWidget(self.picture)
        rows.addWidget(self.model)
        rows.addWidget(named("Where", self.where))
        self.range_row = named("Slices", self.range)
        rows.addWidget(self.range_row)
        rows.addWidget(self.slicing)
        rows.addWidget(self.contrast)
        rows.addWidget(self.preview)
        rows.addWidget(self.folder)
        rows.addWidget(self.forecast)
        rows.addWidget(self.segment)
        self.offers = QVBoxLayout()
        for part in (self.empty, self.form, self.progress, self.message):
            layout.addWidget(part)
        layout.addLayout(self.offers)
        layout.addWidget(self.finer)
        layout.addWidget(self.results)
        layout.addStretch()

    def _connect(self) -> None:
        self.picture.changed.connect(self._on_picture_changed)
        self.model.changed.connect(self._on_model_changed)
        self.segment.clicked.connect(self.start)
        self.progress.stop.clicked.connect(self.stop)
        self.empty.failed.connect(self.message.fail)
        self.empty.folder_wanted.connect(self._on_folder_wanted)
        self.where.currentIndexChanged.connect(self._on_where_changed)
        self.range.changed.connect(self.forecast.touch)
        dims = self._viewer.dims.events
        for event in (dims.order, dims.ndisplay):
            follow(self, event, self._on_rolled)
        self.slicing.changed.connect(self._on_where_changed)
        self.contrast.changed.connect(self.forecast.touch)
        for chosen in (self.where.currentIndexChanged, self.slicing.changed, self.contrast.changed):
            chosen.connect(self.preview.touch)
        self.folder.changed.connect(self._on_where_changed)
        self.folder.busy_changed.connect(self._on_where_changed)
        self.results.rerun_wanted.connect(self._on_rerun)
        self._queue.begun.connect(self._on_begun)
        self._queue.progressed.connect(self.progress.show_progress)
        self._queue.ended.connect(self._on_ended)
        self._queue.emptied.connect(self._on_emptied)

    @property
    def is_running(self) -> bool:
        """Whether a run is under way."""
        return self._queue.is_busy or self.folder.is_running

    def set_models(self, specs: list[ModelSpec]) -> None:
        """List the installed models."""
        self.model.set_models(specs)

    def options(self, picture: Picture, where: str, settings: Settings) -> SegmentOptions:
        """What the form says about a run on `picture`.

        Raises
        ------
        UnetstyleError
            If a choice cannot be followed, in words.
        """
        options = SegmentOptions(
            channel=self.picture.channel_of(picture),
            output=self.model.wanted_output,
            object_diameter=picture.object_diameter,
            device=settings.device,
            memory=settings.memory,
        )
        spec = self.model.spec
        dims = 2 if spec is None else spec.network.spatial_dims
        place = (picture.layer, picture.image, self._viewer)
        narrowed = scope.narrowed(options, where, *place, dims=dims, span=self.range.value)
        return self.contrast.applied(self.slicing.applied(narrowed, picture.image, where), picture.image)

    def start(self) -> None:
        """Segment what the form says; nothing happens while a run is under way."""
        if self.is_running:
            return
        self.message.clear()
        if self.where.currentData() == scope.FOLDER:
            self._start_folder()
            return
        self._problems.clear()
        self._queue.start(self._requests())

    def _on_rerun(self, request: RunRequest) -> None:
        """Do a run again in another way; nothing happens while one is under way."""
        if self.is_running:
            return
        self.message.clear()
        self._is_many = False
        self._problems.clear()
        if request.layer.rgb:
            self.picture.take_channel(request.layer, request.options.channel)
        self._queue.start([request])

    def _start_folder(self) -> None:
        settings = read_settings()
        options = SegmentOptions(output=self.model.wanted_output, device=settings.device, memory=settings.memory)
        picture = self._in_folder()
        if picture is not None:
            chosen = self.picture.channel_of(picture)
            options = options.changed(channel=chosen, object_diameter=picture.object_diameter)
        self.preview.pause()
        self.folder.start(self.model.reference or "nuclei", options, self._calls.store(settings.model_folder))

    def _in_folder(self) -> Picture | None:
        """The chosen picture if it lies in the folder that is to be segmented: what is chosen for it counts for all."""
        layer, folder = self.picture.layer, self.folder.folder
        path = None if layer is None else path_of(layer)
        if path is None or folder is None or not Path(path).resolve().is_relative_to(folder.resolve()):
            return None
        try:
            return self.picture.value()
        except ImageError:  # its axes are to be stated first
            return None

    def stop(self) -> None:
        """Stop the run within one step, and those that wait."""
        self._queue.stop()
        self.progress.show_stopping()

    def close_down(self) -> None:
        """Stop what is under way, and take down what lies outside this panel."""
        self.stop()
        self.folder.stop()
        self.preview.box.setChecked(False)
        self.picture.ruler.close_down()
        self.forecast.close_down()
        self.results.close_down()

    def _requests(self) -> list[RunRequest]:
        where, settings = self.where.currentData(), read_settings()
        self._is_many = where == scope.ALL
        requests = []
        for layer in self.picture.pictures()[::-1] if self._is_many else [self.picture.layer]:
            try:
                requests.append(self._request(layer, where, settings))
            except UnetstyleError as error:
                self._fail(layer.name, failure(error))
        return requests

    def _request(self, layer: napari.layers.Image, where: str, settings: Settings) -> RunRequest:
        picture = self.picture.value(layer)
        assert picture is not None
        request = RunRequest(
            image=picture.image,
            placement=Placement.of(layer, picture.statement.axes),
            model=self.model.reference or "nuclei",
            options=self.options(picture, where, settings),
            store=self._calls.store(settings.model_folder),
            scope=where,
        )
        return request if self.model.spec is None else on_fitting_level(request, self.model.spec)

    def _in_sight(self) -> PartInSight | None:
        """What is on screen of the run; None while there is no picture, no model, or a run under way."""
        layer, where, spec = self.picture.layer, self.where.currentData(), self.model.spec
        if self.is_running or layer is None or spec is None:
            return None
        where = scope.WHOLE if where == scope.SHAPE else where  # outside of a shape, too
        request = self._request(layer, where, read_settings())
        return PartInSight.of(request, spec.network.spatial_dims, self._viewer)

    def _forecast_request(self) -> RunRequest | None:
        """The run that SEGMENT would start, where it is one picture."""
        where, layer = self.where.currentData(), self.picture.layer
        if self.is_running or layer is None or self.model.spec is None or where in (scope.ALL, scope.FOLDER):
            return None
        return self._request(layer, where, read_settings())

    def _on_begun(self, number: int) -> None:
        self.preview.pause()
        self._on_where_changed()
        if number == 1:
            self.progress.begin("starting…")

    def _on_ended(self, request: RunRequest, outcome: Outcome) -> None:
        match outcome:
            case Finished(value=fresh):
                self._deliver(request, fresh)
            case Failed():
                self._fail(request.placement.name, outcome)
            case Cancelled():
                self.message.say("Stopped. Nothing was changed.")
        self.run_ended.emit(outcome)

    def _on_emptied(self) -> None:
        self.progress.hide()
        self._on_where_changed()
        self.preview.touch()

    def _fail(self, picture: str, failed: Failed) -> None:
        """Say an error; with several pictures, say which one it was and keep those before."""
        named = Failed(f"{picture}: {failed.sentence}", failed.details) if self._is_many else failed
        self._problems.append(named)
        sentences = "\n".join(problem.sentence for problem in self._problems)
        self.message.fail(Failed(sentences, "\n".join(problem.details for problem in self._problems)))

    def _deliver(self, request: RunRequest, fresh: Fresh) -> None:
        """Show a result; where its picture is not what it was, offer it instead."""
        changes = request.placement.changes(self._viewer)
        if not changes:
            self.results.take(request, fresh)
            self.finer.offer(request)
            return
        row = MessageRow()
        row.ask(
            f"{request.placement.name!r} was {' and '.join(changes)} during the run. The result is for the picture "
            "as it was.",
            ("Add the labels", lambda: self.results.add(request, fresh)),
        )
        row.answered.connect(row.deleteLater)
        self.offers.addWidget(row)

    def _on_picture_changed(self) -> None:
        layer = self.picture.layer
        self._wants_folder &= layer is None
        if layer is not None and not self.empty.isHidden():
            self.message.clear()  # of a file that could not be opened
        self.empty.setVisible(layer is None)
        self.picture.setVisible(layer is not None)
        self.form.setVisible(layer is not None or self._wants_folder)
        try:
            picture = self.picture.value()
        except UnetstyleError:  # the form says it
            picture = None
        self._image = picture.image if picture else None
        self._show_where()
        self.range.show_for(self._image)
        self.preview.touch()

    def _show_where(self) -> None:
        is_chosen = self.where.count() > 1 or self.folder.is_listed  # a lone choice was nobody's, before it was run
        before = self.where.currentData() if is_chosen else None
        with QSignalBlocker(self.where):
            self.where.clear()
            for key, words in scope.choices(self._image):
                self.where.addItem(words, key)
            self.where.setCurrentIndex(max(self.where.findData(before), 0))
        self._on_where_changed()

    def _shown_slice(self) -> int | None:
        """The slice of the chosen picture that the viewer shows."""
        picture = self.picture.value()
        return None if picture is None else scope.shown_slice(picture.layer, picture.image, self._viewer)

    def _on_rolled(self) -> None:
        if self.where.currentData() == scope.RANGE:
            self.range.show_whether_one_is_shown()

    def _on_folder_wanted(self) -> None:
        self._wants_folder = True
        self.form.show()
        if self.folder.folder is None:
            self.folder.choose.click()

    def _on_where_changed(self) -> None:
        where = self.where.currentData()
        is_folder = where == scope.FOLDER
        self.folder.setVisible(is_folder)
        picture = self._in_folder() if is_folder else None
        self.folder.show_example(None if picture is None else picture.layer.name)
        self.picture.offer_choices(not is_folder or picture is not None)
        self.forecast.touch()
        self.range_row.setVisible(where == scope.RANGE)
        self._on_rolled()
        self.slicing.show_for(self._image, self.model.spec, where, self.model.wanted_output)
        self.contrast.show_for(self._image, self.model.spec, where)
        self.preview.setVisible(not is_folder)
        can_start = self.model.spec is not None and (not is_folder or self.folder.folder is not None)
        self.segment.setEnabled(can_start and not self.is_running)

    def _on_model_changed(self) -> None:
        spec = self.model.spec
        self.picture.ruler.is_useful = spec is None or spec.input.object_diameter is not None
        self.picture.show_picture()
        self._on_where_changed()
        self.preview.touch()
