"""Windows of a CT, by clicks."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pytest
from napari.layers import Layer
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QDockWidget

from napari_unetstyle.core.imaging.geometry import Geometry
from napari_unetstyle.core.imaging.image import Image
from napari_unetstyle.widgets.ct_window import MODALITY
from napari_unetstyle.widgets.main_dock import NARROWEST
from napari_unetstyle.widgets.opening import layer_data
from napari_unetstyle.widgets.readers import read_volumes
from napari_unetstyle.widgets.series_chooser import read_dicom
from tests.core import dicom_for_tests as made
from tests.widgets.fake_core import WAIT, blobs

PLACE = Geometry(spacing=(3.0, 0.7, 0.7), unit="mm", is_anatomical=True)


def scan(lowest: int = -1024) -> np.ndarray[Any, Any]:
    array = np.random.default_rng(0).integers(lowest, lowest + 2000, (5, 30, 40)).astype(np.int16)
    array[:, :5] = lowest
    return array


def add(dock: Any, array: Any, place: Geometry = PLACE, **metadata: Any) -> Any:
    data, arguments, _ = layer_data(Image(array=array, axes="ZYX", geometry=place, name="scan"))
    arguments["metadata"] |= metadata
    return dock.viewer.add_image(data, **arguments)


def test_one_click_shows_a_window(make_windowless_dock: Any, click: Any) -> None:
    dock = make_windowless_dock()
    layer = add(dock, scan())
    dock.show()
    form = dock.segment.picture
    assert form.window_row.isVisible()
    for name, limits in {
        "bone": (-500, 1300),
        "lung": (-1350, 150),
        "soft tissue": (-160, 240),
        "brain": (0, 80),
    }.items():
        click(form.window_of_ct.buttons[name])
        assert tuple(layer.contrast_limits) == limits
    np.testing.assert_array_equal(layer.data, scan())


def test_a_window_is_for_ct_only(make_windowless_dock: Any) -> None:
    dock = make_windowless_dock()
    row = dock.segment.picture.window_row
    add(dock, scan(0))
    assert row.isHidden()
    add(dock, scan(), **{MODALITY: "MR"})
    assert row.isHidden()
    add(dock, scan(), Geometry(spacing=(1.0, 1.0, 1.0), unit="um"))
    assert row.isHidden()
    add(dock, scan(0), **{MODALITY: "CT"})
    assert not row.isHidden()


def test_the_first_window_is_that_of_the_file(make_windowless_dock: Any, tmp_path: Path) -> None:
    files = made.slices(
        (scan() + 1024).astype(np.uint16),
        PLACE,
        RescaleIntercept="-1024",
        RescaleSlope="1",
        WindowCenter="35",
        WindowWidth="300",
    )
    ((data, arguments, _),) = read_dicom(made.write(tmp_path / "ct", files))
    dock = make_windowless_dock()
    layer = dock.viewer.add_image(data, **arguments)
    assert tuple(layer.contrast_limits) == pytest.approx((-115, 184), abs=1)
    assert not dock.segment.picture.window_row.isHidden()


@pytest.mark.parametrize("intent", ["none", "label"])
def test_a_nifti_is_shown_in_the_window_that_it_states(intent: str, make_windowless_dock: Any, tmp_path: Path) -> None:
    stored = nibabel.Nifti1Image(np.maximum(scan(), 0).T, np.diag([0.7, 0.7, 3.0, 1.0]))
    stored.header["cal_min"], stored.header["cal_max"] = 40, 240
    stored.header.set_intent(intent)
    stored.to_filename(tmp_path / "scan.nii")
    (data,) = read_volumes(str(tmp_path / "scan.nii"))
    dock = make_windowless_dock()
    layer = dock.viewer.add_layer(Layer.create(*data))
    if intent == "label":
        assert type(layer).__name__ == "Labels"
    else:
        assert tuple(layer.contrast_limits) == (40, 240)


def test_labels_from_a_file_are_outlines_on_a_scan(make_windowless_dock: Any, tmp_path: Path) -> None:
    from napari_unetstyle.core import write_labels
    from napari_unetstyle.widgets.readers import read_volumes

    labels = np.zeros((5, 30, 40), np.uint8)
    labels[1:4, 5:20, 5:20] = 1
    path = write_labels(tmp_path / "x.nii.gz", labels, axes="ZYX", geometry=PLACE)
    dock = make_windowless_dock()
    add(dock, scan())
    ((data, arguments, _),) = read_volumes(str(path))
    assert dock.viewer.add_labels(data, **arguments).contour == 1
    assert dock.viewer.add_labels(np.zeros((5, 30, 40), np.uint8)).contour == 0


def test_nothing_is_cut_in_a_narrow_dock(make_shown_dock: Any, core: Any, run: Any, qtbot: Any) -> None:
    """Of a CT, which has more rows than other pictures, below a bar that scrolls."""
    dock = make_shown_dock(core.calls)
    dock.models.refresh()
    axes = {"axis_labels": ("z", "y", "x"), "units": ("mm",) * 3, "scale": (3, 1, 2)}
    dock.viewer.add_image(np.stack([blobs() - 1000.0] * 3), name="scan", **axes)
    run(dock)
    dock.segment.picture.change.click()
    window, panel = dock.viewer.window._qt_window, dock.segment
    (outer,) = (one for one in window.findChildren(QDockWidget) if one.isAncestorOf(dock))
    for theme in ("dark", "light"):
        dock.viewer.theme = theme
        window.resize(1280, 720)
        window.resizeDocks([outer], [NARROWEST], Qt.Orientation.Horizontal)
        qtbot.waitUntil(lambda: abs(dock.width() - NARROWEST) < 3, timeout=WAIT * 1000)
        qtbot.waitUntil(lambda: panel.width() <= panel.parentWidget().width(), timeout=6000)
    assert not panel.picture.window_row.isHidden()
    assert not panel.slicing.link.isHidden()
    assert not panel.results.box.volume.isHidden()
