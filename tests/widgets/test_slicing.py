"""A model of pictures on a volume: slices along an axis, or all, and objects that go on from slice to slice."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from napari_unetstyle.core import SegmentOptions, read_image, write_image
from napari_unetstyle.core.imaging.geometry import Geometry
from napari_unetstyle.core.imaging.image import Image, as_image
from napari_unetstyle.core.models.spec import NetworkSpec
from napari_unetstyle.widgets import scope
from napari_unetstyle.widgets.core_calls import CoreCalls
from napari_unetstyle.widgets.opening import layer_data
from napari_unetstyle.widgets.slicing import Slicing
from tests.core.networks_for_tests import tiny_model
from tests.widgets.copied import assert_copied
from tests.widgets.fake_core import spec

FLAT = spec()
DEEP = spec("liver", None).model_copy(update={"network": NetworkSpec(spatial_dims=3, in_channels=1, widths=(4, 6))})
VOLUME, PICTURE = (as_image(np.zeros(shape, np.uint8), axes="ZYX"[-len(shape) :]) for shape in ((4, 9, 9), (9, 9)))


def blobs(shape: tuple[int, ...]) -> np.ndarray:
    smooth = gaussian_filter(np.random.default_rng(1).random(shape), 3)
    return (250 * (smooth - smooth.min()) / np.ptp(smooth)).astype(np.uint8)


@pytest.fixture
def slicing(qtbot: Any) -> Slicing:
    widget = Slicing()
    qtbot.addWidget(widget)
    return widget


@pytest.mark.parametrize(
    ("image", "model", "where", "is_offered"),
    [
        (VOLUME, FLAT, scope.WHOLE, True),
        (VOLUME, FLAT, scope.ALL, True),
        (VOLUME, FLAT, scope.RANGE, True),
        (VOLUME, FLAT, scope.SLICE, False),
        (VOLUME, FLAT, scope.SHAPE, False),
        (VOLUME, DEEP, scope.WHOLE, False),
        (VOLUME, None, scope.WHOLE, False),
        (PICTURE, FLAT, scope.WHOLE, False),
        (None, FLAT, scope.FOLDER, False),
    ],
)
def test_it_is_there_only_where_a_volume_meets_a_model_of_pictures(
    slicing: Slicing, image: Image | None, model: Any, where: str, is_offered: bool
) -> None:
    slicing.direction.setCurrentIndex(1)
    slicing.link.setChecked(True)
    slicing.show_for(image, model, where, "objects")
    assert slicing.isHidden() is not is_offered
    plain = SegmentOptions(output="objects")
    found = slicing.applied(plain, image or PICTURE, where)
    if not is_offered:
        assert found == plain
    else:
        assert found.link
        assert found.plane == ("YX" if where == scope.RANGE else "ZX")


def test_all_open_pictures_may_hold_one_that_is_flat(slicing: Slicing) -> None:
    slicing.show_for(VOLUME, FLAT, scope.ALL, "objects")
    slicing.direction.setCurrentIndex(3)
    assert slicing.applied(SegmentOptions(), VOLUME, scope.ALL).plane == "all"
    assert slicing.applied(SegmentOptions(), PICTURE, scope.ALL) == SegmentOptions()


def test_areas_and_averages_have_no_objects_to_link(slicing: Slicing) -> None:
    slicing.link.setChecked(True)
    slicing.show_for(VOLUME, FLAT, scope.WHOLE, "areas")
    assert slicing.link.isHidden()
    assert not slicing.applied(SegmentOptions(output="areas"), VOLUME, scope.WHOLE).link
    slicing.direction.setCurrentIndex(3)
    slicing.show_for(VOLUME, FLAT, scope.WHOLE, "objects")
    assert slicing.link.isHidden()
    assert not slicing.applied(SegmentOptions(output="objects"), VOLUME, scope.WHOLE).link


@pytest.mark.parametrize(("plane", "is_linked"), [("all", False), ("ZX", True)])
def test_dock_python_and_command_line_go_through_a_volume_alike(
    plane: str, is_linked: bool, make_windowless_dock: Any, run: Any, tick: Any, tmp_path: Path, monkeypatch: Any
) -> None:
    tiny_model(tmp_path / "models")
    monkeypatch.setenv("NAPARI_UNETSTYLE_MODELS", str(tmp_path / "models"))
    place = Geometry(spacing=(2.0, 1.0, 1.0), unit="mm")
    path = write_image(tmp_path / "brain.nii.gz", Image(array=blobs((3, 16, 18)), axes="ZYX", geometry=place))
    dock = make_windowless_dock(CoreCalls())
    data, arguments, _ = layer_data(read_image(path), path)
    dock.viewer.add_image(data, **arguments)
    dock.segment.model.choose("tiny@1")
    choice = dock.segment.slicing
    choice.direction.setCurrentIndex(choice.direction.findData(plane))
    if is_linked:
        tick(choice.link)
    run(dock)
    results = dock.segment.results
    labels = results.output.layer.data
    assert labels.max() > 0
    options = results.output.result.options
    assert (options.plane, options.link) == (plane, is_linked)

    assert_copied(results, labels, tmp_path, "brain.nii.gz", monkeypatch)
