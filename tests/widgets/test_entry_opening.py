"""Fixes of earlier days come back on that picture of a file that was corrected."""

from __future__ import annotations

import numpy as np
import pytest
import tifffile
from napari.components import ViewerModel

from napari_unetstyle.core.annotation.project import Project
from napari_unetstyle.core.imaging.dicom import find_series, image_of
from napari_unetstyle.core.imaging.files import read_image
from napari_unetstyle.widgets.corrections import Corrections
from napari_unetstyle.widgets.opening import PATH, add_picture
from napari_unetstyle.widgets.series_chooser import read_dicom
from tests.core import dicom_for_tests as dicom
from tests.core.test_medical import PLACE
from tests.widgets.fake_core import WAIT


@pytest.fixture
def corrections(qtbot, tmp_path):
    corrections = Corrections(ViewerModel(), tmp_path / "marks")
    qtbot.addWidget(corrections)
    yield corrections
    for corrected in corrections.layers:
        corrected.close(WAIT)


def pictures(corrections):
    return [layer for layer in corrections._viewer.layers if type(layer).__name__ == "Image"]


def entry_of(tmp_path, image, file, **part):
    labels = np.zeros(image.label_shape, np.uint16)
    labels[..., :3, :3] = 1
    return Project(tmp_path / "fixes").add(image, labels, file, layer="masks", **part)


def test_on_the_series(corrections, tmp_path, open_entry):
    volume = np.arange(4 * 20 * 22, dtype=np.uint16).reshape(4, 20, 22)
    for i, uid in enumerate(("1.2.3.77", "1.2.3.78")):
        values = {"SeriesInstanceUID": uid, "SeriesNumber": 3 + i}
        dicom.write(tmp_path / "in", dicom.slices(volume + i, PLACE, **values), seed=i)
    first, second = find_series(tmp_path / "in")
    ((data, arguments, _),) = read_dicom(first.files)
    corrections._viewer.add_image(data, **arguments)
    entry = entry_of(tmp_path, image_of(second), tmp_path / "in", series=2)
    opened = open_entry(corrections, entry)
    assert len(pictures(corrections)) == 2  # that of the first is another one
    assert np.array_equal(opened.image.array, image_of(second).array)
    corrections._viewer.layers.remove(opened.layer)
    opened.close(WAIT)
    assert open_entry(corrections, entry).placement.layer is opened.placement.layer


@pytest.fixture
def levels(tmp_path):
    pixels = np.random.default_rng(0).integers(0, 255, (64, 64), np.uint8)
    with tifffile.TiffWriter(tmp_path / "levels.tif") as writer:
        writer.write(pixels, subifds=1, tile=(16, 16))
        writer.write(pixels[::2, ::2], subfiletype=1, tile=(16, 16))
    return tmp_path / "levels.tif", pixels


@pytest.mark.parametrize("is_open", [False, True])
def test_on_the_level(is_open, corrections, levels, tmp_path, open_entry):
    file, pixels = levels
    if is_open:
        corrections._viewer.add_image([pixels, pixels[::2, ::2]], multiscale=True, metadata={PATH: str(file)})
    else:
        add_picture(corrections._viewer, file)  # the finest one alone
    opened = open_entry(corrections, entry_of(tmp_path, read_image(file, level=1), file, level=1))
    assert opened.placement.layer.multiscale == is_open
    assert len(pictures(corrections)) == (1 if is_open else 2)
    assert opened.layer.data.shape == opened.labels.shape == (32, 32)
    assert np.array_equal(opened.image.array, pixels[::2, ::2])


def test_with_the_axes_that_were_stated(corrections, tmp_path, open_entry):
    file = tmp_path / "stack.tif"
    tifffile.imwrite(file, np.zeros((3, 24, 30), np.uint8), photometric="minisblack", metadata={"axes": "ZYX"})
    add_picture(corrections._viewer, file)
    opened = open_entry(corrections, entry_of(tmp_path, read_image(file, axes="TYX"), file))
    assert opened.image.axes == "TYX"
    assert len(pictures(corrections)) == 1
