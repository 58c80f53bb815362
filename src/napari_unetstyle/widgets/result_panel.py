"""The outputs of this dock, the one that is shown, and what its controls do."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from qtpy.QtCore import QSignalBlocker, Signal
from qtpy.QtWidgets import QApplication, QVBoxLayout, QWidget

from napari_unetstyle.core.errors import UnetstyleError
from napari_unetstyle.widgets.after_run import AfterRun
from napari_unetstyle.widgets.checking import Checker
from napari_unetstyle.widgets.copy_as import as_command_line, as_python, deciding
from napari_unetstyle.widgets.core_calls import CoreCalls
from napari_unetstyle.widgets.draft import Draft
from napari_unetstyle.widgets.jobs import Failed, Finished, JobSlot, Outcome, as_steps, failure
from napari_unetstyle.widgets.label_layers import METADATA
from napari_unetstyle.widgets.measurements import Measurements
from napari_unetstyle.widgets.message_row import MessageRow
from napari_unetstyle.widgets.opening import ask_for_path, file_with, path_of
from napari_unetstyle.widgets.outputs import Fresh, Output, iter_fresh, restyled_note
from napari_unetstyle.widgets.parts import follow
from napari_unetstyle.widgets.run_request import RunRequest
from napari_unetstyle.widgets.saving import FORMATS, TABLE_FORMAT, as_shown, files_of, zarr_of
from napari_unetstyle.widgets.settings import read_settings
from napari_unetstyle.widgets.style_layers import own_pictures
from napari_unetstyle.widgets.table import MeasurementTable

if TYPE_CHECKING:
    import napari.layers
    import napari.viewer

TABLE = "Measurements"
ANGLES = (-20.0, 25.0, 130.0)  # degrees; a view from above the front


class ResultPanel(QWidget):
    """Takes results, keeps their layers, and follows the controls of :class:`AfterRun`."""

    added = Signal(object)  # Output, in a layer of its own
    rerun_wanted = Signal(object)  # RunRequest
    look_wanted = Signal(object)  # layers to learn the look of

    def __init__(self, viewer: napari.viewer.Viewer, calls: CoreCalls, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._viewer, self._calls = viewer, calls
        self._outputs: list[tuple[RunRequest, Output]] = []
        self._refining = JobSlot(self)
        self._saving = JobSlot(self)
        self._checker = Checker(self)
        self._draft = Draft(viewer, calls, self)
        self._measurements = Measurements(calls, self)
        self._table: MeasurementTable | None = None
        self._flat_view: Any = None  # center, zoom and point before the volume was turned round
        self._waiting: Callable[[], None] | None = None  # saves a table once what was painted last is measured
        self._is_stale = False  # the table that is being saved
        self._lost: list[str] = []  # what the file cannot hold, and that the picture was turned
        self.box = AfterRun()
        self.message = MessageRow()
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self.box)
        layout.addWidget(self.message)
        self._connect()

    def _connect(self) -> None:
        self.box.refine_wanted.connect(self.refine)
        self.box.copy_wanted.connect(self.copy)
        self.box.save_wanted.connect(self.ask_where_to_save)
        self._saving.done.connect(self._on_saved)
        self.box.probabilities_wanted.connect(self.show_probabilities)
        self.box.table_wanted.connect(self._on_table)
        self.box.volume_wanted.connect(self.show_volume)
        self.box.restyle_wanted.connect(lambda: self._run_again(restyle="model"))
        self.box.stain_wanted.connect(lambda: self._run_again(channel="hematoxylin"))
        self.box.look_wanted.connect(self._on_look_wanted)
        self._measurements.measured.connect(self._on_measured)
        self._measurements.failed.connect(self.message.fail)
        self._measurements.ended.connect(self._on_measuring_ended)
        self._refining.done.connect(self._on_refined)
        follow(self, self._viewer.dims.events.ndisplay, self._on_view)
        follow(self, self._viewer.layers.events.removed, self._on_removed)
        follow(self, self._viewer.layers.selection.events.active, self._on_selected)

    @property
    def output(self) -> Output | None:
        """The output that is shown."""
        return self.box.output

    @property
    def request(self) -> RunRequest | None:
        """The run that made it."""
        return next((request for request, output in self._outputs if output is self.output), None)

    def request_of(self, layer: napari.layers.Labels) -> RunRequest | None:
        """The run that made a layer, if one of this dock did."""
        return next((request for request, output in self._outputs if output.layer is layer), None)

    @property
    def runs(self) -> list[tuple[RunRequest, Output]]:
        """Those whose labels are open, the latest first."""
        return [(request, output) for request, output in reversed(self._outputs) if output.is_open]

    def take(self, request: RunRequest, fresh: Fresh) -> None:
        """Show a result: in the same run's earlier layer if nobody touched it, else in a new one."""
        earlier = [output for before, output in self._outputs if request.is_rerun_of(before) and output.is_open]
        for output in reversed(earlier):
            if output.is_place_of(fresh.result, request.placement):
                self._checker.check(output, partial(self._take_into, output, request, fresh))
                return
        self.add(request, fresh)

    def _take_into(self, output: Output, request: RunRequest, fresh: Fresh) -> None:
        """Show a result of the same run as before, now that it is known whether anybody has touched that."""
        if not (output.is_free and output.is_as_left and output.is_place_of(fresh.result, request.placement)):
            self.add(request, fresh)
            if output.is_open:
                what = "painted" if not output.is_free else "renamed or moved"
                self.box.say(f"{output.layer.name!r} was {what}, so it was left as it is; this is a new layer.")
            return
        output.write(fresh)
        output.image, output.placement = request.image, request.placement
        output.layer.metadata.update(request.placement.metadata)
        self._replace_request(output, request)
        self._show(output)

    def add(self, request: RunRequest, fresh: Fresh, name: str | None = None) -> Output:
        """Show a result in a new layer, of the run's name if no other is given."""
        output = Output(self._viewer, request.image, fresh, request.placement, name or request.layer_name)
        self._outputs.append((request, output))
        self.added.emit(output)
        self._show(output)
        return output

    def _replace_request(self, output: Output, request: RunRequest) -> None:
        self._outputs = [(request if o is output else r, o) for r, o in self._outputs]

    def _show(self, output: Output | None) -> None:
        self.message.clear()
        request = next((r for r, o in self._outputs if o is output), None)
        can_restyle = request is not None and can_be_restyled(request)
        can_teach = output is not None and output.placement.layer in own_pictures(self._viewer)
        title = request.title if request else ""
        self.box.show_output(output, title, can_restyle=can_restyle, can_teach=can_teach)
        self._show_numbers()

    def _show_numbers(self) -> None:
        """Measure the shown output and show its table, if that is open."""
        self._measurements.measure(self.output)
        if self._table is not None:
            self._table.show_output(self.output)

    def refine(self, wanted: dict[str, Any]) -> None:
        """Decide the shown result anew, off the GUI thread; only the latest wish (options by name) is followed."""
        output = self.output
        if output is None:
            return
        self._refined_output = output
        result = output.result
        if not self._draft.show_part(output, wanted):
            self.box.say("The whole picture is decided anew, which takes a moment. Zoom in to see a part at once.")
        self._refining.replace(lambda: iter_fresh(self._calls.iter_refine(result, **wanted)))

    def _on_refined(self, outcome: Outcome) -> None:
        output = self._refined_output
        if isinstance(outcome, Finished) and output is self.output:
            self._checker.check(output, partial(self._take_refined, output, outcome.value))
            return
        self._draft.clear()
        if isinstance(outcome, Failed):
            self.message.fail(outcome)

    def _take_refined(self, output: Output, fresh: Fresh) -> None:
        """Show a refined result, now that it is known whether anybody has touched the one before."""
        is_free = output.is_free  # before the draft shows the layer again, which is an event of the layer, too
        self._draft.clear()
        if output is not self.output:
            return
        if is_free:
            output.write(fresh, is_refined=True)
            self.box.say("")
            self.box.show_result()
            self._show_numbers()
        else:
            self._keep_paint(output, fresh)

    def _keep_paint(self, output: Output, fresh: Fresh) -> None:
        request = self.request
        assert request is not None
        self.add(request, fresh).is_refined = True
        self.box.say(f"{output.layer.name!r} was painted, so it was left as it is; these labels are in a new layer.")

    def copy(self, key: str) -> None:
        """Put the shown run on the clipboard as text that makes the same labels again."""
        output, request = self.output, self.request
        if output is None or request is None:
            return
        write = as_python if key == "python" else as_command_line
        options = deciding(vars_of(output.result.options))
        level = request.placement.level
        text = write(output.image, anywhere(request), options, file_with(output.image, request.layer, level), level)
        note = restyled_note(output.result)
        QApplication.clipboard().setText(text if note is None else f"# {note}\n{text}")
        self._checker.check(output, partial(self._say_copied, key, output))

    def _say_copied(self, key: str, output: Output) -> None:
        painted = " Your paint is not in it." if output.is_touched else ""
        self.box.say(f"Copied as {'Python' if key == 'python' else 'a command line'}.{painted}")

    def ask_where_to_save(self, key: str) -> None:
        """Let a person name the file, then write it; what goes into the picture needs no name."""
        output, request = self.output, self.request
        if output is None or request is None:
            return
        picture = zarr_of(output) if FORMATS[key].into_picture else None
        if picture is not None:
            self.save(key, picture, output)
            return
        name = f"{output.layer.name}{FORMATS[key].suffix}"
        source = path_of(request.layer)
        ask_for_path(
            self,
            FORMATS[key].words,
            lambda path: self.save(key, path, output),
            name=name,
            folder=Path(source).parent if source else None,
            mode="save",
        )

    def save(self, key: str, path: Path, output: Output) -> None:
        """Write what the layer of `output` shows, off the GUI thread, and whether it was painted."""
        self._checker.check(output, lambda: self._save(key, path, output))

    def _save(self, key: str, path: Path, output: Output) -> None:
        if self._saving.is_busy:
            self.message.say("The file before is still being written.")
            return
        self.message.clear()
        if key == TABLE_FORMAT and self._measurements.is_behind(output):
            self._waiting = partial(self._save, key, path, output)
            return
        self._is_stale = key == TABLE_FORMAT and not self._measurements.is_current(output)
        try:
            shown = as_shown(output, has_place=FORMATS[key].has_place)
        except UnetstyleError as error:
            self.message.fail(failure(error))
            return
        given = files_of(output), output.layer.name, output.placement.name
        self._lost[:] = [note] if FORMATS[key].has_place and (note := output.note) else []
        self._saving.start(as_steps(lambda: FORMATS[key].write(path, shown, *given, self._lost.append)))

    def _on_saved(self, outcome: Outcome) -> None:
        match outcome:
            case Finished(value=path):
                stale = " Its numbers are from before you painted." if self._is_stale else ""
                self.box.say(" ".join([f"Saved {path.name} in {path.parent}.{stale}", *self._lost]))
            case Failed():
                self.message.fail(outcome)

    def show_probabilities(self) -> None:
        """Add the probabilities of the shown run as picture layers, one for each class."""
        output = self.output
        if output is None:
            return
        names = ["background", *(spec.name for spec in output.result.classes), "seeds"]
        for name, values in zip(names[1:], output.result.probability_bytes[1:], strict=False):
            self._viewer.add_image(
                output.placement.to_layer(values),
                name=f"{output.layer.name} {name} probability",
                contrast_limits=(0, 255),
                colormap="magma",
                opacity=0.6,
                blending="additive",
                metadata={METADATA: {"probability": f"{name}, 255 is 1"}},
                **output.placement.arguments,
            )

    def show_volume(self, is_wanted: bool) -> None:
        """Turn the viewer to 3D, where the labels of the shown run are surfaces, or back to slices."""
        output = self.output
        if is_wanted and output is not None and output.is_open:
            output.layer.rendering, output.layer.iso_gradient_mode = "iso_categorical", "smooth"
        if is_wanted == (self._viewer.dims.ndisplay == 3):
            return
        camera, dims = self._viewer.scene.camera, self._viewer.dims
        if is_wanted:
            self._flat_view = camera.center, camera.zoom, dims.point
            dims.ndisplay = 3
            camera.angles = ANGLES
            self._viewer.fit_to_view()  # which forgets the slice
        else:
            dims.ndisplay = 2
            camera.center, camera.zoom, dims.point = self._flat_view or (camera.center, camera.zoom, dims.point)
            self._flat_view = None

    def _run_again(self, **changes: str) -> None:
        """Ask for the shown run with other options: its picture in a look that the model knows, say."""
        if (request := self.request) is not None:
            self.rerun_wanted.emit(dataclasses.replace(request, options=request.options.changed(**changes)))

    def _on_look_wanted(self) -> None:
        if self.output is not None:
            self.look_wanted.emit([self.output.placement.layer])

    def _on_view(self) -> None:
        with QSignalBlocker(self.box.volume):
            self.box.volume.setChecked(self._viewer.dims.ndisplay == 3)

    def _on_measuring_ended(self) -> None:
        """Save the table that waited for what was painted last."""
        if self._waiting is not None:
            waiting, self._waiting = self._waiting, None
            waiting()

    def _on_measured(self, output: Output) -> None:
        if self._table is not None and output is self.output:
            self._table.show_output(output)

    def _on_table(self, is_wanted: bool) -> None:
        if is_wanted:
            self._table = MeasurementTable(self._viewer)
            self._table.undocked.connect(self._on_table_closed)
            self._viewer.window.add_dock_widget(self._table, name=TABLE, area="bottom")
            self._table.show_output(self.output)
        elif self._table is not None:
            self._viewer.window.remove_dock_widget(self._table)

    def _on_table_closed(self) -> None:
        table, self._table = self._table, None
        self.box.table.setChecked(False)
        if table is not None:
            table.deleteLater()

    def close_down(self) -> None:
        """Stop what is under way and close the table."""
        self._refining.cancel()
        self._draft.clear()
        self._measurements.measure(None)
        self.box.table.setChecked(False)

    def _on_removed(self) -> None:
        self._outputs = [(request, output) for request, output in self._outputs if output.is_open]
        if self.output is not None and not self.output.is_open:
            self._show(self._outputs[-1][1] if self._outputs else None)

    def _on_selected(self) -> None:
        active = self._viewer.layers.selection.active
        for _, output in self._outputs:
            if output.layer is active and output is not self.output:
                self._show(output)
                return


def can_be_restyled(request: RunRequest) -> bool:
    """Whether the model carries pictures whose look the run's picture could take, and has not yet."""
    if request.options.restyle is not None:
        return False
    try:
        spec = request.store.spec(request.model)
    except UnetstyleError:  # it was deleted since
        return False
    return any(name.startswith("memory-learn") for name in spec.files)


def anywhere(request: RunRequest) -> str:
    """What names the run's model outside napari too, where the folder chosen in the settings is not known."""
    is_known = read_settings().model_folder is None or request.store.is_bundled(request.model)
    return request.model if is_known else str(request.store.folder(request.model))


def vars_of(options: Any) -> dict[str, Any]:
    """Options by name, in the order of their definition."""
    return {field.name: getattr(options, field.name) for field in dataclasses.fields(options)}
