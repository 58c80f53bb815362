from __future__ import annotations

import bundle
import numpy as np
import pytest
import spinal_cord
import splits
from volumes import Case

from napari_unetstyle.core.imaging.geometry import Geometry
from napari_unetstyle.core.imaging.image import Image
from napari_unetstyle.core.models.spec import ModelSpec, NetworkSpec
from napari_unetstyle.core.networks.unet import UNet

AXIAL = ((1, 0, 0), (0, 1, 0), (0, 0, 1))
SAGITTAL = ((0, 1, 0), (0, 0, 1), (1, 0, 0))  # the array's first axis goes from right to left, its second upward


def case(shape, spacing, direction, cord):
    """A bright cord on noise."""
    truth = np.zeros(shape, np.uint8)
    truth[cord] = 1
    pixels = np.random.default_rng(0).normal(100, 10, shape) + 60 * truth
    geometry = Geometry(spacing=spacing, unit="mm", direction=direction, is_anatomical=True)
    return Case(Image(array=pixels.astype(np.float32), axes="ZYX", geometry=geometry), truth)


AXIAL_CASE = case((5, 40, 40), (17.0, 0.8, 0.8), AXIAL, np.s_[:, 15:25, 15:25])
SAGITTAL_CASE = case((50, 30, 60), (1.0, 1.0, 1.0), SAGITTAL, np.s_[20:30, :, 25:35])


@pytest.mark.parametrize(("volume", "count", "side"), [(AXIAL_CASE, 5, 64), (SAGITTAL_CASE, 30, 100)])
def test_slices_across_the_cord_whatever_the_orientation_and_the_pixel_size(volume, count, side):
    found = list(spinal_cord.slices(volume))
    assert len(found) == count
    assert found[0].image.shape[1] == side
    cross_section = (found[0].labels[0] > 0).sum() * 0.25
    true = 100 * np.prod(volume.image.geometry.spacing[1:])
    assert cross_section == pytest.approx(true, rel=0.1)


def test_a_batch_is_normalized_repeatable_and_its_classes_fit():
    batches = spinal_cord.batches({"mt0": AXIAL_CASE, "unf01_T2w": SAGITTAL_CASE})
    assert [len(examples) for examples in batches.groups] == [5, 30]
    images, classes = batches(np.random.default_rng(0))
    assert images.shape == (len(classes), 1, *classes.shape[1:])
    assert set(classes.unique().tolist()) == {0, 1}
    assert (images == batches(np.random.default_rng(0))[0]).all()


def test_each_person_is_tested_by_what_the_other_teaches(tmp_path):
    folder = tmp_path / "spinalcord" / "images"
    folder.mkdir(parents=True)
    for stem in ("mt0", "t2star", "unf01_T1w", "unf01_T2star"):
        (folder / f"{stem}.nii.gz").touch()
    assert splits.spinal_cords(tmp_path) == {
        "mt0": "sct",
        "t2star": "sct",
        "unf01_T1w": "unf01",
        "unf01_T2star": "unf01",
    }
    assert [spinal_cord.contrast_of(stem) for stem in splits.spinal_cords(tmp_path)] == ["MT", "T2*", "T1", "T2*"]


def test_dice_and_distance_are_measured_in_the_plane_across(tmp_path):
    small = NetworkSpec(in_channels=1, widths=(4, 8))
    spec = ModelSpec(
        name="spinal-cord",
        network=small,
        input=spinal_cord.INPUT,
        classes=spinal_cord.CLASSES,
        card=spinal_cord.card((), "No steps."),
    )
    bundle.write_model(spec, UNet(small, 2).eval(), tmp_path)
    rows = spinal_cord.measured(tmp_path, {"t2w": SAGITTAL_CASE})
    assert [row.metric for row in rows] == ["Dice", "HD95 in mm"]
    assert 0 <= rows[0].value <= 1
