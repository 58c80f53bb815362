"""One set of statistics for a time series, or one for each frame, chosen in the dock."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from napari_unetstyle.core import SegmentOptions, as_image, read_image, segment, write_image
from napari_unetstyle.core.models.spec import NetworkSpec
from napari_unetstyle.core.progress import run as drained
from napari_unetstyle.widgets import scope
from napari_unetstyle.widgets.contrast import Contrast
from napari_unetstyle.widgets.core_calls import CoreCalls
from napari_unetstyle.widgets.opening import layer_data
from napari_unetstyle.widgets.overlay import outline_mask
from tests.core.networks_for_tests import tiny_model
from tests.widgets.copied import assert_copied
from tests.widgets.fake_core import spec

FLAT = spec()
DEEP = spec("liver", None).model_copy(update={"network": NetworkSpec(spatial_dims=3, in_channels=1, widths=(4, 6))})


@pytest.fixture
def contrast(qtbot: Any) -> Contrast:
    widget = Contrast()
    qtbot.addWidget(widget)
    return widget


@pytest.mark.parametrize(
    ("axes", "model", "where", "word"),
    [
        ("TYX", FLAT, scope.WHOLE, "time point"),
        ("TYX", FLAT, scope.SCREEN, "time point"),
        ("ZYX", FLAT, scope.WHOLE, "slice"),
        ("TZYX", FLAT, scope.RANGE, "slice"),
        ("TZYX", DEEP, scope.WHOLE, "time point"),
        ("ZYX", DEEP, scope.WHOLE, None),
        ("YX", FLAT, scope.WHOLE, None),
        ("TYX", FLAT, scope.FOLDER, None),
    ],
)
def test_it_is_there_only_for_several_frames(contrast: Contrast, axes: str, model: Any, where: str, word: Any) -> None:
    shape = tuple({"T": 3, "Z": 4, "Y": 5, "X": 6}[axis] for axis in axes)
    picture = as_image(np.zeros(shape, np.uint8), axes=axes)
    contrast.show_for(picture, model, where)
    contrast.statistics.setCurrentIndex(1)
    assert contrast.isHidden() is (word is None)
    assert word is None or word in contrast.statistics.currentText()
    chosen = contrast.applied(SegmentOptions(), picture).statistics
    assert chosen == ("frame" if word is not None or where == scope.FOLDER else "picture")


@pytest.fixture
def film() -> Any:
    smooth = gaussian_filter(np.random.default_rng(1).random((3, 40, 44)), (0, 3, 3))
    fading = np.array([250, 120, 40])[:, None, None]
    return (fading * (smooth - smooth.min()) / np.ptp(smooth)).astype(np.uint8)


@pytest.fixture
def models(tmp_path: Path, monkeypatch: Any) -> Any:
    monkeypatch.setenv("NAPARI_UNETSTYLE_MODELS", str(tmp_path / "models"))
    return tiny_model(tmp_path / "models")


def test_dock_python_and_command_line_judge_each_time_point_alike(
    make_windowless_dock: Any, run: Any, tmp_path: Path, monkeypatch: Any, models: Any, film: Any
) -> None:
    path = write_image(tmp_path / "film.tif", as_image(film, axes="TYX"))
    dock = make_windowless_dock(CoreCalls())
    data, arguments, _ = layer_data(read_image(path), path)
    dock.viewer.add_image(data, **arguments)
    dock.segment.model.choose("tiny@1")
    choice = dock.segment.contrast.statistics
    choice.setCurrentIndex(choice.findData("frame"))
    run(dock)
    results = dock.segment.results
    labels = np.asarray(results.output.layer.data)
    assert results.output.result.options.statistics == "frame"
    np.testing.assert_array_equal(labels, segment(film, models, axes="TYX", statistics="frame").labels)
    assert not np.array_equal(labels, segment(film, models, axes="TYX").labels)
    assert_copied(results, labels, tmp_path, "film.tif", monkeypatch)


def test_the_preview_of_one_time_point_is_that_of_the_run(models: Any, film: Any) -> None:
    whole = segment(film, models, axes="TYX", statistics="frame").labels
    options, store = SegmentOptions(statistics="frame"), CoreCalls().store(None)
    for at in range(3):
        steps = CoreCalls().iter_preview(
            as_image(film, axes="TYX"), "tiny@1", options, store, {}, (at,), ((0, 40), (0, 44))
        )
        np.testing.assert_array_equal(outline_mask(drained(steps)), outline_mask(whole[at]))
