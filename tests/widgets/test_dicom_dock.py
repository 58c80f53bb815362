"""From a DICOM series to DICOM-SEG and NIfTI, by clicks: the side stays, and the patient is in the DICOM-SEG only."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pydicom
import pytest
from napari.layers import Labels
from qtpy.QtWidgets import QFileDialog

from napari_unetstyle.core.errors import OutputError
from napari_unetstyle.core.imaging.geometry import Geometry
from napari_unetstyle.widgets.main_dock import MainDock
from napari_unetstyle.widgets.saving import FORMATS
from napari_unetstyle.widgets.series_chooser import read_dicom
from napari_unetstyle.widgets.writers import write_volume
from tests.core import dicom_for_tests as made
from tests.core.geometry_for_tests import rotation
from tests.core.networks_for_tests import tiny_volume_model
from tests.core.test_dicom_road import CANARIES, is_left_posterior_superior, phantom_head, unpacked
from tests.widgets.fake_core import WAIT

MS = WAIT * 1000
PLACE = Geometry(
    spacing=(2.5, 0.75, 0.5), unit="mm", origin=(-40, 12, 7), direction=rotation((0.3, 1, 0.2), 0.2), is_anatomical=True
)


@pytest.fixture
def series(tmp_path: Path) -> tuple[Path, Any]:
    """A folder with a phantom whose left posterior superior corner is bright, and the middle of the phantom."""
    volume, middle = phantom_head(PLACE)
    return made.write_volume(tmp_path / "in", volume, PLACE), middle


@pytest.fixture
def dock(make_napari_viewer: Any, series: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> MainDock:
    model = tiny_volume_model(tmp_path / "models")
    monkeypatch.setenv("NAPARI_UNETSTYLE_MODELS", str(model.folder.parent))
    viewer = make_napari_viewer()
    ((data, arguments, _),) = read_dicom(series[0])
    viewer.add_image(data, **arguments)
    dock = MainDock(viewer)
    viewer.window.add_dock_widget(dock, name="UNet", area="right")
    dock.viewer = viewer
    dock.models.refresh()
    choice = dock.segment.model.models
    choice.setCurrentIndex(choice.findData("tiny3d@1"))
    return dock


def actions(dock: MainDock) -> dict[str, Any]:
    return {action.text(): action for action in dock.segment.results.box.save.menu().actions() if action.isVisible()}


def save(dock: MainDock, key: str, path: Path, qtbot: Any) -> Path:
    """By the menu and the file dialog."""
    dock.segment.results.box.said.clear()
    actions(dock)[FORMATS[key].words].trigger()
    (dialog,) = dock.segment.results.findChildren(QFileDialog)
    dialog.fileSelected.emit(str(path))
    dialog.close()
    qtbot.waitUntil(lambda: path.name in dock.segment.results.box.said.text(), timeout=MS)
    return path


def test_the_side_stays_and_the_patient_is_in_the_dicom_seg_only(
    dock: MainDock, run: Any, series: Any, tmp_path: Path, qtbot: Any
) -> None:
    import highdicom

    run(dock)
    layer = dock.viewer.layers[-1]
    layer.data = (np.asarray(dock.viewer.layers[0].data) > 1000).astype(np.uint8)  # as if it were painted
    middle = series[1]
    seg = save(dock, "dicom", tmp_path / "seg.dcm", qtbot)
    volume = highdicom.seg.segread(seg).get_volume(combine_segments=True)
    xyz = np.argwhere(volume.array == 1) @ volume.affine[:3, :3].T + volume.affine[:3, 3]
    assert is_left_posterior_superior(xyz[:, ::-1], middle)
    assert str(pydicom.dcmread(seg).PatientName) == made.PATIENT["PatientName"]
    qtbot.wait(50)
    nifti = save(dock, "volume", tmp_path / "labels.nii.gz", qtbot)
    image = nibabel.load(nifti)
    ras = nibabel.affines.apply_affine(image.affine, np.argwhere(np.asarray(image.dataobj) == 1))
    assert is_left_posterior_superior((ras * (-1, -1, 1))[:, ::-1], middle)
    assert len(ras) == len(xyz) == layer.data.sum()
    content = unpacked(nifti.read_bytes()).lower()
    assert not [word for word in CANARIES if word.encode() in content]


def test_the_side_stays_with_the_picture_turned_and_another_series_open(
    dock: MainDock, run: Any, series: Any, tmp_path: Path, qtbot: Any
) -> None:
    import highdicom

    picture, middle = dock.viewer.layers[0], series[1]
    place = PLACE.turned(picture.data.shape, (0, 1, 2), (False, True, True))
    other = made.write_volume(tmp_path / "other", np.asarray(picture.data)[:, ::-1, ::-1], place)
    ((data, arguments, _),) = read_dicom(other)
    dock.viewer.add_image(data, **arguments, visible=False)
    dock.viewer.layers.selection.active = picture
    picture.rotate = (0, 0, 90)
    run(dock)
    labels = dock.viewer.layers[-1]
    labels.data = (np.asarray(picture.data) > 1000).astype(np.uint8)
    for layer in (picture, labels):
        layer.affine = np.diag([1, -1, -1, 1])
    seg = save(dock, "dicom", tmp_path / "seg.dcm", qtbot)
    volume = highdicom.seg.segread(seg).get_volume(combine_segments=True)
    xyz = np.argwhere(volume.array == 1) @ volume.affine[:3, :3].T + volume.affine[:3, 3]
    assert is_left_posterior_superior(xyz[:, ::-1], middle)
    qtbot.wait(50)
    nifti = save(dock, "volume", tmp_path / "labels.nii.gz", qtbot)
    said = dock.segment.results.box.said.text()
    assert "The picture was turned on the screen; the labels are saved as it lies in its file." in said
    by_menu = Path(write_volume(str(tmp_path / "menu.nii.gz"), *labels.as_layer_data_tuple()[:2])[0])
    (by_menu_seg,) = write_volume(str(tmp_path / "menu.dcm"), *labels.as_layer_data_tuple()[:2])
    assert pydicom.dcmread(by_menu_seg).SeriesInstanceUID != pydicom.dcmread(seg).SeriesInstanceUID
    for path in (nifti, by_menu):
        image = nibabel.load(path)
        ras = nibabel.affines.apply_affine(image.affine, np.argwhere(np.asarray(image.dataobj) == 1))
        assert is_left_posterior_superior((ras * (-1, -1, 1))[:, ::-1], middle)
    labels.translate = np.add(labels.translate, (0, 0, 5))
    moved = save(dock, "volume", tmp_path / "moved.nii.gz", qtbot)
    apart = np.linalg.norm(nibabel.load(moved).affine[:3, 3] - image.affine[:3, 3])
    assert apart == pytest.approx(5, abs=1e-4)


def test_other_pictures_have_no_dicom_seg(make_windowless_dock: Any, run: Any) -> None:
    from tests.widgets.fake_core import blobs

    dock = make_windowless_dock()
    dock.viewer.add_image(blobs(), name="slide7")
    run(dock)
    assert FORMATS["dicom"].words not in actions(dock)
    assert FORMATS["volume"].words in actions(dock)


def test_hand_painted_labels_are_saved_from_naparis_menu(dock: MainDock, tmp_path: Path) -> None:
    picture = dock.viewer.layers[0]
    labels = Labels(
        (np.asarray(picture.data) > 1000).astype(np.uint8),
        name="mine",
        scale=picture.scale,
        translate=picture.translate,
    )
    (path,) = write_volume(str(tmp_path / "mine.dcm"), *labels.as_layer_data_tuple()[:2])
    written = pydicom.dcmread(path)
    assert [item.SegmentLabel for item in written.SegmentSequence] == ["object 1"]
    assert written.pixel_array.sum() == labels.data.sum()
    dock.viewer.layers.clear()
    with pytest.raises(OutputError, match="none is open"):
        write_volume(str(tmp_path / "other.dcm"), *labels.as_layer_data_tuple()[:2])
    assert not (tmp_path / "other.dcm").exists()
