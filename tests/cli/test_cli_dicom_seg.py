"""``segment --dicom-seg``: the labels of a DICOM series as DICOM-SEG, or one sentence before anything is computed."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
import tifffile

from napari_unetstyle.core import read_image, segment
from napari_unetstyle.core.imaging.geometry import Geometry
from napari_unetstyle.core.segmentation import folder_job
from tests.cli.cli_for_tests import Shell
from tests.core import dicom_for_tests as made
from tests.core.geometry_for_tests import rotation
from tests.core.networks_for_tests import tiny_volume_model

highdicom = pytest.importorskip("highdicom")

TILTED = rotation((0.3, 1, 0.2), 0.2) @ np.diag([1, -1, 1])
PLACE = Geometry(spacing=(2.5, 0.75, 0.5), unit="mm", origin=(-40, 12, 7), direction=TILTED)


def phantom(slices: int = 9, seed: int = 0) -> Any:
    """Blobs, no two slices alike."""
    from scipy import ndimage

    values = ndimage.gaussian_filter(np.random.default_rng(seed).random((slices, 40, 44)), 2)
    return np.round(3000 * (values - values.min()) / np.ptp(values)).astype(np.int16)


@pytest.fixture
def model(tmp_path: Path) -> Any:
    return tiny_volume_model(tmp_path / "models")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two series, of which the second is longer."""
    folder = made.write_volume(tmp_path / "patients" / "one", phantom(), PLACE)
    about = {"SeriesInstanceUID": "1.2.3.5", "SeriesNumber": 4}
    made.write(folder / "b", made.slices(phantom(11, seed=1), PLACE, **about))
    return tmp_path / "patients"


@pytest.fixture
def uncomputed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Any computing is an error."""

    def refuse(*_: Any, **__: Any) -> Any:
        raise AssertionError("it was computed")

    monkeypatch.setattr(folder_job, "iter_segment", refuse)


def test_labels_lie_on_the_series_and_refer_to_it(shell: Shell, folder: Path, tmp_path: Path, model: Any) -> None:
    words = ["segment", folder, "-o", tmp_path / "out", "-m", model.folder, "--series", 2, "--dicom-seg"]
    done = shell(*words)
    assert done.code == 0, done.err
    written = tmp_path / "out" / "one.dcm"
    assert [path.name for path in (tmp_path / "out").iterdir() if path.is_file()] == ["one.dcm"]

    seg, source = pydicom.dcmread(written), [pydicom.dcmread(path) for path in (folder / "one" / "b").iterdir()]
    (referenced,) = seg.ReferencedSeriesSequence
    assert referenced.SeriesInstanceUID == "1.2.3.5"
    uids = {item.ReferencedSOPInstanceUID for item in referenced.ReferencedInstanceSequence}
    assert uids == {one.SOPInstanceUID for one in source}
    for keyword in ("PatientID", "StudyInstanceUID", "FrameOfReferenceUID"):
        assert seg[keyword].value == source[0][keyword].value

    expected = segment(folder / "one", model, series=2)
    assert len(np.unique(expected.labels)) == 3
    back = highdicom.seg.segread(written).get_volume(combine_segments=True)
    at = np.argwhere(back.array)
    xyz = at @ back.affine[:3, :3].T + back.affine[:3, 3]
    place = expected.geometry  # its slices may be counted from the other end than those of PLACE
    index = (xyz[:, ::-1] - place.origin) @ np.array(place.direction) / place.spacing
    np.testing.assert_allclose(index, np.round(index), atol=1e-3)
    own = tuple(np.round(index).astype(int).T)
    assert len(at) == np.count_nonzero(expected.labels)
    np.testing.assert_array_equal(back.array[tuple(at.T)], expected.labels[own])

    assert "skipped" in shell(*words).out


@pytest.mark.usefixtures("uncomputed")
@pytest.mark.parametrize(
    ("more", "sentence"),
    [
        (["--spacing", "500,750,750", "--series", "1"], "beside the series"),
        (["--zarr"], "not both"),
    ],
)
def test_what_cannot_be_written_is_not_computed(
    more: list[str], sentence: str, shell: Shell, folder: Path, tmp_path: Path, model: Any
) -> None:
    done = shell("segment", folder, "-o", tmp_path / "out", "-m", model.folder, "--dicom-seg", *more)
    assert done.code == 2
    assert sentence in done.err
    assert "one.dcm" in done.err or "--zarr" in more


@pytest.mark.usefixtures("uncomputed")
def test_other_pictures_are_refused_in_one_sentence(shell: Shell, slides: Path, tmp_path: Path) -> None:
    done = shell("segment", slides, "-o", tmp_path / "out", "-m", "tiny", "--dicom-seg")
    assert done.code == 2
    assert f"{slides / 'a.tif'} is no DICOM. Give DICOM" in done.err
    assert "b.tif" not in done.err
    assert not (tmp_path / "out").exists()


def test_beside_dicom_another_picture_fails_alone(shell: Shell, folder: Path, tmp_path: Path, model: Any) -> None:
    tifffile.imwrite(folder / "photo.tif", np.zeros((40, 40), np.uint8))
    ray = made.header(modality="DX", SeriesInstanceUID="7")
    made.set_pixels(ray, phantom()[0])
    made.write(folder / "x-ray", [ray])
    done = shell("segment", folder, "-o", tmp_path / "out", "-m", model.folder, "--series", "1", "--dicom-seg")
    assert done.code == 1
    assert "1 done, 2 failed." in done.out
    assert "photo.tif is no DICOM" in done.err
    assert "does not say where it lies in the patient" in done.err


@pytest.mark.usefixtures("uncomputed")
def test_without_the_extra_it_is_named_at_once(
    shell: Shell, folder: Path, tmp_path: Path, model: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "highdicom", None)
    done = shell("segment", folder, "-o", tmp_path / "out", "-m", model.folder, "--series", "1", "--dicom-seg")
    assert done.code == 2
    assert 'pip install "napari-unetstyle[dicom]"' in done.err
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("more", [["--min-pixels", "99999"], ["--box", "5,20;8,30", "--frames", "0;3"]])
def test_few_objects_and_none(more: list[str], shell: Shell, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    folder = made.write_volume(tmp_path / "in", phantom(4), PLACE)
    done = shell("segment", folder, "-o", tmp_path / "out", "-m", "tiny", "--objects", "--dicom-seg", *more)
    assert done.code == 0, done.err
    assert read_image(tmp_path / "out" / "in.dcm").array.any() == ("--box" in more)
    assert not caplog.messages  # in words of highdicom, on the screen of whoever runs it


def test_more_objects_than_it_holds_are_refused_by_the_name_of_the_file(shell: Shell, tmp_path: Path) -> None:
    folder = made.write_volume(tmp_path / "in", np.random.default_rng(0).integers(0, 99, (4, 96, 96), np.int16), PLACE)
    done = shell("segment", folder, "-o", tmp_path / "out", "-m", "tiny", "--objects", "--min-pixels", 1, "--dicom-seg")
    assert f"Could not write {tmp_path / 'out' / 'in.dcm'}: DICOM-SEG was asked to hold" in done.err
