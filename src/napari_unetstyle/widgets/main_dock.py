"""The main widget: tabs, each a panel that works by itself."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from qtpy.QtCore import QSize, Qt, QTimer
from qtpy.QtGui import QShowEvent
from qtpy.QtWidgets import QTabWidget, QVBoxLayout

from napari_unetstyle.widgets.core_calls import CoreCalls
from napari_unetstyle.widgets.corrections import Corrections
from napari_unetstyle.widgets.directions import Directions
from napari_unetstyle.widgets.dockable import Dockable
from napari_unetstyle.widgets.flip_key import FlipKey
from napari_unetstyle.widgets.jobs import JobSlot
from napari_unetstyle.widgets.model_comparison import ModelComparison
from napari_unetstyle.widgets.models_panel import ModelsPanel
from napari_unetstyle.widgets.parts import Words, scrolling
from napari_unetstyle.widgets.same_patient import DirectionsLine, watch
from napari_unetstyle.widgets.segment_panel import SegmentPanel
from napari_unetstyle.widgets.style_layers import Style
from napari_unetstyle.widgets.style_panel import StylePanel
from napari_unetstyle.widgets.teach_panel import TeachPanel

if TYPE_CHECKING:
    import napari.viewer

WIDTH, NARROWEST = 340, 300
QUIET = 300  # milliseconds after which a shown dock has been drawn


class MainDock(Dockable):
    """The dock of napari-unetstyle.

    Parameters
    ----------
    napari_viewer
        Given by napari.
    calls
        The core's functions; tests hand over others.
    """

    def __init__(self, napari_viewer: napari.viewer.Viewer, calls: CoreCalls | None = None) -> None:
        super().__init__()
        viewer = getattr(napari_viewer, "__wrapped__", napari_viewer)  # layers are compared by identity
        calls = calls or CoreCalls()
        self.segment = SegmentPanel(viewer, calls)
        comparison = ModelComparison(viewer, calls, self.segment.picture, self.segment.results)
        self.models = ModelsPanel(calls, comparison)
        watch(viewer)
        self.directions, self.different = Directions(self, viewer), DirectionsLine(viewer)
        self.corrections = Corrections(viewer)
        self.teach = TeachPanel(viewer, calls, self.corrections, self.segment.results)
        self.style_panel = StylePanel(viewer, calls)
        FlipKey(self, self.teach.run.pairs, comparison.pairs)
        self.tabs = QTabWidget()
        self.tabs.addTab(scrolling(self.segment), "Segment")
        self.teach_tab = scrolling(self.teach)
        self.tabs.addTab(self.teach_tab, "Teach")
        self.tabs.addTab(scrolling(self.style_panel), "Style")
        self.models_tab = scrolling(self.models)
        self.tabs.addTab(self.models_tab, "Models")
        disclaimer = Words("Research use only, not a medical device.")
        disclaimer.setAlignment(Qt.AlignmentFlag.AlignHCenter)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self.different)
        layout.addWidget(self.corrections)
        layout.addWidget(self.tabs)
        layout.addWidget(disclaimer)
        self.setMinimumWidth(NARROWEST)
        self.segment.results.added.connect(self.corrections.watch)
        self.segment.results.box.classes.bind(self.corrections.looks)
        for source in (self.style_panel.teach_wanted, self.segment.results.look_wanted):
            source.connect(self._on_teach_wanted)
        self.models.changed.connect(self.segment.set_models)
        self.models.changed.connect(self.teach.run.set_models)
        self.teach.run.models_changed.connect(self.models.refresh)
        self.teach.run.in_use.connect(self.segment.model.choose)
        self.tabs.currentChanged.connect(lambda _: self._list_again())  # models and styles lie where others write, too
        self.style_panel.kept_changed.connect(self._list_styles)
        self.undocked.connect(self.close_down)
        QTimer.singleShot(0, self.models.refresh)
        QTimer.singleShot(0, self.corrections.left.go_on)
        QTimer.singleShot(0, self.corrections.offer)
        self._calls, self._loading, self._is_loaded = calls, JobSlot(self), False
        self._quiet = QTimer(self)
        self._quiet.setSingleShot(True)
        self._quiet.setInterval(QUIET)
        self._quiet.timeout.connect(self._load)

    def showEvent(self, event: QShowEvent) -> None:
        """Whoever opens the dock will want to segment."""
        super().showEvent(event)
        self.directions.refresh()
        if not self._is_loaded:
            self._quiet.start()

    def import_model(self, path: Path) -> None:
        """Import a model that was dropped on napari, where a person sees what becomes of it."""
        self.tabs.setCurrentWidget(self.models_tab)
        self.models.import_from(path)

    def _list_again(self) -> None:
        self.models.refresh()
        self._list_styles()

    def _list_styles(self) -> None:
        self.teach.run.also.pictures.set_kept(self.style_panel.refresh_kept())

    def _on_teach_wanted(self, styles: list[Style]) -> None:
        self.teach.run.also.choose(styles)
        self.tabs.setCurrentIndex(self.tabs.indexOf(self.teach_tab))

    def _load(self) -> None:
        """Load in the background what the first run would have to wait for."""
        self._is_loaded = True
        self._loading.start(self._calls.iter_load())

    def close_down(self) -> None:
        """Stop everything that is under way; this dock was closed."""
        self._quiet.stop()
        self._loading.cancel()
        self.segment.close_down()
        self.teach.close_down()
        self.style_panel.close_down()
        self.models.close_down()
        self.corrections.close_down()
        self.directions.close_down()
        self.deleteLater()

    def sizeHint(self) -> QSize:
        """As wide as the drawing."""
        return QSize(WIDTH, super().sizeHint().height())
