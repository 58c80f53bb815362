from __future__ import annotations

import areas
import hippocampus
import numpy as np
import pytest
import splits
import torch

from napari_unetstyle.core.models.spec import ClassSpec, NetworkSpec
from napari_unetstyle.core.networks.unet import UNet
from napari_unetstyle.core.progress import run
from napari_unetstyle.core.training.fit import fit
from napari_unetstyle.core.training.options import FitOptions
from napari_unetstyle.core.training.patches import Example


def volume(seed):
    """Two bright boxes, end to end, of the two classes."""
    rng = np.random.default_rng(seed)
    classes = np.zeros((36, 50, 35), np.int32)
    classes[12:24, 10:25, 10:25], classes[12:24, 25:40, 10:25] = 1, 2
    pixels = rng.normal(100, 10, (1, *classes.shape)) + 60 * (classes > 0)
    return Example.of_areas((pixels * 1000 ** rng.random()).astype(np.float32), classes)


def batches():
    return hippocampus.Batches(tuple(volume(seed) for seed in range(4)))


def test_a_batch_is_normalized_repeatable_and_its_classes_fit():
    images, classes = batches()(np.random.default_rng(0))
    assert images.shape == (len(classes), 1, *classes.shape[1:])
    assert images.abs().max() <= 10
    assert set(classes.unique().tolist()) == {0, 1, 2}
    assert torch.equal(images, batches()(np.random.default_rng(0))[0])
    assert any(not batches().patch((24, 24, 24), np.random.default_rng(i)).labels.any() for i in range(90))


def test_the_recipe_teaches_a_tiny_network():
    torch.manual_seed(0)
    network = UNet(NetworkSpec(spatial_dims=3, in_channels=1, widths=(4, 8)), 3)
    batch = areas.batch([hippocampus.Batches((volume(0),)).patch((16, 24, 16), np.random.default_rng(1))] * 2)
    before = float(areas.loss(network, batch).detach())
    run(fit(network, lambda rng: batch, areas.loss, FitOptions(steps=30, learning_rate=1e-2)))
    assert float(areas.loss(network, batch).detach()) < 0.8 * before


def test_cases_are_split_by_their_names_alone(tmp_path):
    folder = tmp_path / "hippocampus" / "images"
    folder.mkdir(parents=True)
    for i in range(40):
        (folder / f"hippocampus_{i:03}.nii.gz").touch()
    parts = splits.hippocampus(tmp_path)
    assert sorted(parts)[0] == "hippocampus_000"
    assert {part: list(parts.values()).count(part) for part in ("test", "val")} == {"test": 10, "val": 4}
    assert splits.hippocampus(tmp_path) == parts


def test_dice_of_each_class_with_its_interval():
    truth = np.array([0, 1, 1, 2, 2])
    classes = tuple(ClassSpec(value=i, name=name, color="#000000") for i, name in ((1, "one"), (2, "two")))
    one, two = areas.dice_rows([(np.array([0, 1, 0, 2, 2]), truth), (truth, truth)], classes, "here")
    assert one.value == pytest.approx((2 / 3 + 1) / 2, abs=1e-4)
    assert (two.value, two.low, two.high, two.count) == (1, 1, 1, 2)


def test_distances_of_each_class_with_their_intervals():
    truth = np.zeros((6, 12, 12), np.uint8)
    truth[2:4, 2:6, 2:6], truth[2:4, 7:11, 7:11] = 1, 2
    shifted = np.roll(truth, 2, axis=0)
    rows = hippocampus.distance_rows([(truth, truth), (shifted, truth)], "two cases")
    assert [(row.data, row.metric) for row in rows] == [
        (f"two cases, {name}", metric) for name in ("anterior", "posterior") for metric in ("HD95 in mm", "NSD at 1 mm")
    ]
    assert (rows[0].value, rows[0].low, rows[0].high, rows[0].count) == (1, 0, 2, 2)
    assert rows[1].low < rows[1].value < rows[1].high == 1
