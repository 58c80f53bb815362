"""All 48 orientations, tilted and at any place, through DICOM and DICOM-SEG: marked corners in other libraries."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
import SimpleITK
from numpy.typing import NDArray

from napari_unetstyle.core.imaging import dicom
from napari_unetstyle.core.imaging.dicom_seg import Segment, write_segmentation
from tests.core import dicom_for_tests as made
from tests.core.geometry_for_tests import placed

highdicom = pytest.importorskip("highdicom")

NEAR = 1e-4  # mm
SHAPE = (4, 3, 5)
MARKED = (Segment(value=1, name="corner", color="#e41a1c"),)


def by_pydicom(path: Path) -> NDArray[np.float64]:
    """World position XYZ of every marked voxel, by the standard's formula."""
    ds = pydicom.dcmread(path)
    shared = ds.SharedFunctionalGroupsSequence[0]
    along_row, along_column = np.array(shared.PlaneOrientationSequence[0].ImageOrientationPatient, float).reshape(2, 3)
    down, right = map(float, shared.PixelMeasuresSequence[0].PixelSpacing)
    found = []
    frames = ds.pixel_array.reshape(-1, ds.Rows, ds.Columns)
    for frame, group in zip(frames, ds.PerFrameFunctionalGroupsSequence, strict=True):
        place = np.array(group.PlanePositionSequence[0].ImagePositionPatient, float)
        found += [place + along_row * right * x + along_column * down * y for y, x in np.argwhere(frame)]
    return np.array(found)


def by_highdicom(path: Path) -> NDArray[np.float64]:
    volume = highdicom.seg.segread(path).get_volume(combine_segments=True)
    return np.argwhere(volume.array) @ volume.affine[:3, :3].T + volume.affine[:3, 3]


def far(found: NDArray[np.float64], wanted: NDArray[np.float64]) -> float:
    """How far the farthest wanted point is from what was found, both ways."""
    apart = np.abs(found[:, np.newaxis] - wanted).max(-1)
    return float(max(apart.min(0).max(), apart.min(1).max()))


def test_marked_corners_lie_where_other_libraries_have_them(tmp_path: Path, repeats: Callable[[int], int]) -> None:
    """All of them with ``--long``, else four."""
    for number in range(48) if repeats(1) > 1 else (1, 18, 31, 44):
        check_orientation(number, tmp_path / str(number))


def check_orientation(number: int, tmp_path: Path) -> None:
    place = placed(number)
    voxels: Any = np.random.default_rng(number).integers(0, 3000, SHAPE).astype(np.int16)
    folder = made.write(tmp_path / "series", made.slices(voxels, place), seed=number)
    image = dicom.read_series(folder)
    reader = SimpleITK.ImageSeriesReader()
    reader.SetFileNames(reader.GetGDCMSeriesFileNames(str(folder)))
    other = reader.Execute()
    np.testing.assert_array_equal(SimpleITK.GetArrayFromImage(other), image.array)
    for one in np.ndindex(2, 2, 2):
        corner = [(n - 1) * last for n, last in zip(SHAPE, one, strict=True)]
        theirs = other.TransformIndexToPhysicalPoint([int(i) for i in corner[::-1]])
        assert np.abs(image.geometry.to_world(corner)[::-1] - theirs).max() < NEAR

    labels = np.zeros(SHAPE, np.uint8)
    labels[0, 0, 0] = labels[-1, -1, -1] = labels[1, 0, -1] = 1
    path = write_segmentation(tmp_path / "seg.dcm", labels, image.geometry, MARKED, folder)
    wanted = image.geometry.to_world(np.argwhere(labels))[:, ::-1]
    for found in (by_pydicom(path), by_highdicom(path)):
        assert len(found) == len(wanted)
        assert far(found, wanted) < NEAR
