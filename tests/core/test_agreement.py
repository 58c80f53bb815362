"""Two models on one picture."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from napari_unetstyle.core import Image, SegmentResult, compare_models, evaluate, run, segment
from napari_unetstyle.core.errors import OptionError
from napari_unetstyle.core.imaging.geometry import unknown
from napari_unetstyle.core.models.model import Model
from napari_unetstyle.core.models.spec import ClassSpec
from napari_unetstyle.core.segmentation.agreement import iter_agreement
from napari_unetstyle.core.segmentation.deciding import relabeled
from napari_unetstyle.core.segmentation.options import SegmentOptions
from tests.core.networks_for_tests import tiny_model, tiny_volume_model


@pytest.fixture(scope="module")
def picture() -> Any:
    smooth = gaussian_filter(np.random.default_rng(0).random((64, 80)), 4)
    return (250 * (smooth - smooth.min()) / np.ptp(smooth)).astype(np.uint8)


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> tuple[Model, Model]:
    root = tmp_path_factory.mktemp("models")
    return tiny_model(root), tiny_model(root, name="other", seed=3)


def result(labels: Any, output: str, *names: str) -> SegmentResult:
    labels = np.array(labels)
    empty = SegmentResult(
        labels=np.zeros(0, np.int32 if output == "objects" else np.uint8),
        label_axes="YX",
        geometry=unknown(2),
        classes=tuple(ClassSpec(value=i, name=name, color="#e41a1c") for i, name in enumerate(names, 1)),
        output=output,
        objects={},
        probability_bytes=np.zeros((1, *labels.shape), np.uint8),
        seed_rise=0.75,
        zoom=1.0,
        frames=((),),
        options=SegmentOptions(),
        provenance={},
    )
    return relabeled(empty, labels)


def test_it_compares_what_two_runs_give(picture: Any, models: tuple[Model, Model]) -> None:
    found = compare_models(picture, *models, axes="YX")
    first, second = (segment(picture, model, axes="YX") for model in models)
    scores = evaluate(first.labels, second.labels)
    assert found.output == "objects"
    assert found.dice == scores["dice"] < 1
    assert found.objects == (first.count, second.count)
    assert found.alike == scores["objects_matched"]
    assert found.only == (first.count - found.alike, second.count - found.alike)
    assert found.pixels == (np.count_nonzero(first.labels), np.count_nonzero(second.labels))


def test_objects_are_alike_found_by_one_or_drawn_otherwise() -> None:
    first = result([[1, 1, 1, 0, 2, 0, 3, 3, 3, 3]], "objects", "nucleus")
    second = result([[1, 1, 1, 0, 0, 0, 2, 2, 3, 3]], "objects", "nucleus")
    found = run(iter_agreement(first, second))
    assert (found.objects, found.alike, found.only) == ((3, 3), 1, (2, 2))
    assert found.dice == pytest.approx(2 * 7 / 15)


def test_areas_are_compared_class_by_class_where_these_are_the_same() -> None:
    first, second = ([[1, 1, 2, 2, 0, 0]], [[1, 1, 1, 2, 2, 0]])
    found = run(iter_agreement(result(first, "areas", "axon", "myelin"), result(second, "areas", "axon", "myelin")))
    assert found.dice == pytest.approx(2 * 4 / 9)
    assert found.classes == {"axon": pytest.approx(4 / 5), "myelin": pytest.approx(2 / 4)}
    assert (found.pixels, found.objects, found.only) == ((4, 5), None, None)
    strange = run(iter_agreement(result(first, "areas", "axon", "myelin"), result(second, "areas", "a", "b")))
    assert strange.dice == found.dice
    assert strange.classes == {}


def test_nothing_found_by_either_is_agreement() -> None:
    nothing = result([[0, 0]], "objects", "nucleus")
    found = run(iter_agreement(nothing, nothing))
    assert (found.dice, found.objects, found.only) == (1, (0, 0), (0, 0))


def test_what_only_one_of_them_separates_is_compared_as_areas(
    picture: Any, models: tuple[Model, Model], tmp_path: Path
) -> None:
    areas = tiny_model(tmp_path, separation=None)
    image = Image(array=picture, axes="YX", geometry=unknown(2))
    assert compare_models(image, models[0], areas).output == "areas"


def test_what_cannot_be_compared_is_said(picture: Any, models: tuple[Model, Model], tmp_path: Path) -> None:
    volumes = tiny_volume_model(tmp_path)
    with pytest.raises(OptionError, match="tiny3d is for volumes and tiny for pictures"):
        compare_models(picture, models[0], volumes, axes="YX")
    with pytest.raises(OptionError, match="is one model"):
        compare_models(picture, models[0], models[0], axes="YX")
