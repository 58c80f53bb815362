"""Words about pictures and results."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from napari_unetstyle.core.imaging.geometry import Geometry
from napari_unetstyle.core.imaging.image import Image
from napari_unetstyle.core.models.spec import ClassSpec
from napari_unetstyle.core.progress import run
from napari_unetstyle.core.segmentation.deciding import iter_decide
from napari_unetstyle.core.segmentation.options import SegmentOptions
from napari_unetstyle.widgets.summary import (
    describe_picture,
    describe_pixel,
    describe_result,
    duration,
    plural_of,
    unbroken,
)
from tests.widgets.fake_core import blobs, undecided


def picture(axes: str, shape: tuple[int, ...], unit: str = "um", spacing: float = 0.25) -> Image:
    dims = sum(a in "ZYX" for a in axes)
    return Image(array=np.zeros(shape), axes=axes, geometry=Geometry(spacing=(spacing,) * dims, unit=unit))


def test_pictures() -> None:
    slide = picture("YXC", (1536, 2048, 3))
    assert describe_picture(slide, is_rgb=True, is_assumed=False) == "RGB · 2048×1536 · 0.25 µm/px"
    movie = picture("TCYX", (5, 2, 30, 40), "mm")
    assert describe_picture(movie, is_rgb=False, is_assumed=True) == (
        "T 5 · 2 channels · 40×30 · 0.25 mm/px · axes assumed"
    )
    assert describe_pixel(Geometry(spacing=(1.0, 1.0))) == "no pixel size"
    assert describe_pixel(Geometry(spacing=(0.5, 0.25), unit="um")) == "0.5×0.25 µm/px"


@pytest.mark.parametrize(
    ("count", "unit", "output", "words"),
    [
        (5, "um", "objects", "5 nuclei · median 16 µm² · 1.5 s, CPU"),
        (1, "px", "objects", "1 nucleus · median 64 px · 1.5 s, CPU"),
        (0, "um", "objects", "0 nuclei · 1.5 s, CPU"),
        (5, "um", "areas", "nucleus 80 µm² · 1.5 s, CPU"),
    ],
)
def test_results(count: int, unit: str, output: Any, words: str) -> None:
    spacing = 0.5 if unit == "um" else 1.0
    image = Image(array=blobs(count=count), axes="YX", geometry=Geometry(spacing=(spacing, spacing), unit=unit))
    assert describe_result(run(iter_decide(undecided(image, SegmentOptions(output=output))))) == words


def test_several_areas_are_told_apart() -> None:
    result = run(iter_decide(undecided(picture("YX", (64, 96), "px", 1.0), SegmentOptions(output="areas"))))
    classes = (ClassSpec(value=1, name="myelin", color="#000000"), ClassSpec(value=2, name="axon", color="#000000"))
    table = {"label": np.array([1, 2, 1, 2]), "area": np.array([1000, 20, 500, 30])}  # in two frames
    words = describe_result(result.changed(classes=classes, objects=table))
    assert words == "myelin 1,500 px, axon 50 px · 1.5 s, CPU"
    film = {**table, "frame_t": np.array([0, 0, 1, 1])}
    words = describe_result(result.changed(classes=classes, objects=film))
    assert words == "myelin 750 px, axon 25 px (mean of 2 time points) · 1.5 s, CPU"


def test_a_description_breaks_between_its_parts_only() -> None:
    assert unbroken("T 5 · 0.5 µm/px") == "T\u00a05 · 0.5\u00a0µm\u2060/\u2060px"


def test_several_are_called_as_people_do() -> None:
    def plural(*names: str) -> str:
        return plural_of(tuple(ClassSpec(value=i + 1, name=name, color="#000000") for i, name in enumerate(names)))

    assert [plural("nucleus"), plural("cell"), plural("axon", "myelin")] == ["nuclei", "cells", "objects"]


def test_durations() -> None:
    assert [duration(0.44), duration(14.2), duration(200)] == ["0.4 s", "14 s", "3 min"]
