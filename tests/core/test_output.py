"""Results as files: what is written says the same as the result, and an old file is whole until then."""

from __future__ import annotations

import csv
import json
import os
import re
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import roifile
import tifffile
from hypothesis import example, given
from hypothesis import strategies as st
from numpy.typing import NDArray
from skimage.draw import polygon2mask

from napari_unetstyle.core import SegmentOptions, SegmentResult, read_image, write_labels
from napari_unetstyle.core.errors import ImageError, OutputError
from napari_unetstyle.core.files import atomic_path
from napari_unetstyle.core.imaging import tiff
from napari_unetstyle.core.imaging.geometry import Geometry, unknown
from napari_unetstyle.core.models.spec import ClassSpec
from napari_unetstyle.core.segmentation import output, output_tiff
from napari_unetstyle.core.segmentation.output import label_info, write_probabilities, write_table
from napari_unetstyle.core.segmentation.output_outlines import write_geojson, write_rois

CLASSES = (ClassSpec(value=1, name="nucleus", color="#ff8000"), ClassSpec(value=2, name="müll/é", color="#0000ff"))


def result_of(
    labels: NDArray[Any],
    *,
    axes: str = "YX",
    geometry: Geometry | None = None,
    kind: Any = "objects",
    owners: dict[int, int] | None = None,
) -> SegmentResult:
    ids = np.unique(labels[labels > 0])
    classes = np.array([(owners or {}).get(int(i), int(i) if kind == "areas" else 1) for i in ids], np.uint8)
    names = np.array(["", *[c.name for c in CLASSES]])[classes]
    area = np.array([(labels == i).sum() for i in ids])
    return SegmentResult(
        labels=labels,
        label_axes=axes,
        geometry=geometry or unknown(sum(a in "ZYX" for a in axes)),
        classes=CLASSES,
        output=kind,
        objects={"label": ids, "class": classes, "class_name": names, "area": area},
        probability_bytes=np.zeros((3, *labels.shape), np.uint8)
        + np.arange(3, dtype=np.uint8).reshape(-1, *[1] * labels.ndim),
        seed_rise=0.75,
        zoom=1.0,
        frames=tuple(np.ndindex(labels.shape[:-2])),
        options=SegmentOptions(),
        provenance={"model": {"name": "tiny", "version": 1, "sha256": "0" * 64}, "seconds": 1.5, "device": "cpu"},
    )


@pytest.fixture
def blobs() -> NDArray[np.int32]:
    labels = np.zeros((40, 50), np.int32)
    labels[3:12, 5:20] = 1
    labels[6:8, 8:12] = 0  # a hole
    labels[20:30, 10:20] = 2
    labels[30:35, 20:25] = 2  # touches at a corner
    labels[2:6, 30:33] = 7
    return labels


# TIFF --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("highest", "dtype"),
    [(0, "uint8"), (1, "uint8"), (255, "uint8"), (256, "uint16"), (65535, "uint16"), (65536, "uint32"),
     (2**24 + 1, "uint32"), (2**31, "uint32"), (2**32 - 1, "uint32")],
)  # fmt: skip
@pytest.mark.parametrize("stored", [np.int64, np.uint64])
def test_ids_are_kept_in_the_smallest_type(highest: int, dtype: str, stored: Any, tmp_path: Path) -> None:
    labels = np.zeros((70, 9), stored)
    labels[-1, -1] = highest
    image = read_image(write_labels(tmp_path / "x.tif", labels))
    assert image.array.dtype == dtype
    np.testing.assert_array_equal(image.array, labels)


@pytest.mark.parametrize("name", ["x.png", "x.jpg", "x.svs", "x.foo", "x", "x.tif.png", ".tif"])
def test_no_file_is_called_what_it_is_not(name: str, tmp_path: Path) -> None:
    known = ".tif, .nii.gz, .nii, .nrrd, .nhdr, .mha, .mhd, .zarr or .dcm"
    with pytest.raises(OutputError, match=re.escape(f"ends in {known}.")):
        write_labels(tmp_path / name, np.ones((4, 5), np.uint8))
    with pytest.raises(OutputError, match=r"ends in \.tif\."):
        write_probabilities(tmp_path / name, result_of(np.ones((4, 5), np.int32)))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("labels", [np.array([[2**32]]), np.array([[-1]]), np.array([[2**53 + 1]]), np.array([[1.0]])])
def test_ids_that_do_not_fit_are_refused_before_writing(labels: NDArray[Any], tmp_path: Path) -> None:
    write_labels(tmp_path / "x.tif", np.ones((3, 3), int))
    before = (tmp_path / "x.tif").read_bytes()
    with pytest.raises(OutputError, match="Could not write"):
        write_labels(tmp_path / "x.tif", labels)
    assert (tmp_path / "x.tif").read_bytes() == before
    assert len(list(tmp_path.iterdir())) == 1


@pytest.mark.parametrize("big", [False, True])
@pytest.mark.parametrize(
    ("shape", "axes", "geometry"),
    [
        ((70, 9), "YX", Geometry(spacing=(0.5, 0.25), unit="um")),
        ((70, 9), "YX", Geometry(spacing=(2.0, 3.0), unit="mm")),
        ((70, 9), "YX", unknown(2)),
        ((3, 70, 9), "TYX", Geometry(spacing=(0.5, 0.25), unit="um")),
        ((3, 70, 9), "ZYX", Geometry(spacing=(2.0, 0.5, 0.25), unit="um")),
        ((2, 3, 70, 9), "TZYX", Geometry(spacing=(2.0, 0.5, 0.25), unit="um")),
    ],
)
def test_axes_and_pixel_size_are_kept(
    shape: tuple[int, ...], axes: str, geometry: Geometry, big: bool, tmp_path: Path
) -> None:
    labels = np.arange(np.prod(shape)).reshape(shape) % 300 + 70000 * big
    image = read_image(write_labels(tmp_path / "x.tif", result_of(labels, axes=axes, geometry=geometry)))
    np.testing.assert_array_equal(image.array, labels)
    assert image.axes == axes
    assert image.geometry.unit == geometry.unit
    assert image.geometry.spacing == pytest.approx(geometry.spacing, rel=1e-6)


@pytest.mark.parametrize("big", [False, True])
def test_classes_and_their_colors_are_kept(blobs: NDArray[np.int32], big: bool, tmp_path: Path) -> None:
    path = write_labels(tmp_path / "x.tif", result_of(blobs + 70000 * big))
    info = label_info(path)
    assert info["classes"] == [{"value": c.value, "name": c.name, "color": c.color} for c in CLASSES]
    assert (info["output"], info["model"]["name"]) == ("objects", "tiny")
    assert "Research use only" in info["intended_use"]


def test_areas_are_shown_in_their_colors(tmp_path: Path) -> None:
    path = write_labels(tmp_path / "x.tif", result_of(np.eye(9, dtype=np.uint8) + 1, kind="areas"))
    with tifffile.TiffFile(path) as tiff:
        lookup = np.asarray(tiff.imagej_metadata["LUTs"]).reshape(-1, 256)
    assert lookup[:, 1].tolist() == [255, 128, 0]
    assert lookup[:, 2].tolist() == [0, 0, 255]


def test_other_files_have_no_info(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "x.tif", np.zeros((4, 4), np.uint8))
    (tmp_path / "x.txt").write_text("x")
    assert label_info(tmp_path / "x.tif") == label_info(tmp_path / "x.txt") == label_info(tmp_path / "no") == {}


ODD = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=3),
    lambda inside: (
        st.lists(inside, max_size=3) | st.dictionaries(st.sampled_from(["value", "name", "color"]), inside, max_size=3)
    ),
    max_leaves=6,
)


@given(odd=ODD)
@example(odd=[1])
@example(odd=[{"value": 1}])
def test_what_is_no_class_is_left_out(tmp_path_factory: pytest.TempPathFactory, odd: Any) -> None:
    path, good = tmp_path_factory.mktemp("odd") / "x.tif", {"value": 2, "name": "axon", "color": "#0000ff"}
    for classes in (odd, [odd, good]):
        info = json.dumps({"output": "areas", "classes": classes})
        tifffile.imwrite(path, np.zeros((4, 4), np.uint8), imagej=True, metadata={"Info": info})
        kept = label_info(path)
        assert kept["output"] == "areas"
        assert [ClassSpec(**row) for row in kept["classes"]] == [ClassSpec(**good)] * (classes is not odd)


@given(
    shape=st.tuples(st.integers(1, 3), st.integers(1, 150), st.integers(1, 20)),
    top=st.sampled_from([1, 255, 256, 70000]),
    order=st.sampled_from("CF"),
)
def test_any_labels_come_back(
    shape: tuple[int, ...], top: int, order: Any, tmp_path_factory: pytest.TempPathFactory
) -> None:
    labels = np.asarray(np.random.default_rng(0).integers(0, top + 1, shape), order=order)
    path = write_labels(tmp_path_factory.getbasetemp() / "x.tif", labels, axes="TYX")
    np.testing.assert_array_equal(tifffile.imread(path).reshape(shape), labels)


SPACING = (2.0, 0.5, 0.25)


@given(
    lengths=st.tuples(*[st.integers(1, 3)] * 4),
    axes=st.sampled_from(["TZYX", "ZYX", "TYX", "YX"]),
    above=st.sampled_from([0, 70000]),
    is_lazy=st.booleans(),
)
@example(lengths=(1, 1, 5, 6), axes="ZYX", above=0, is_lazy=False)
def test_axes_of_one_slice_or_time_come_back_with_their_pixel_size(
    lengths: tuple[int, ...], axes: str, above: int, is_lazy: bool, tmp_path_factory: pytest.TempPathFactory
) -> None:
    shape = tuple(n for n, axis in zip(lengths, "TZYX", strict=True) if axis in axes)
    labels = np.arange(np.prod(shape)).reshape(shape) + above
    geometry = Geometry(spacing=SPACING[-sum(axis in "ZYX" for axis in axes) :], unit="um")
    path = write_labels(tmp_path_factory.getbasetemp() / "x.tif", labels, axes=axes, geometry=geometry)
    with pytest.MonkeyPatch.context() as patch:
        if is_lazy:
            patch.setattr(tiff, "LARGE", 0)
        image = read_image(path)
        assert (image.axes, image.array.shape) == (axes, shape)
        np.testing.assert_array_equal(image.array, labels)
        np.testing.assert_array_equal(image.array[(-1,)], labels[-1])
    assert image.geometry.unit == "um"
    assert image.geometry.spacing == pytest.approx(geometry.spacing, rel=1e-6)


def test_axes_of_one_slice_can_be_stated_with_and_without_it(tmp_path: Path) -> None:
    path = write_labels(tmp_path / "x.tif", np.ones((1, 5, 6), int), axes="ZYX")
    assert read_image(path, axes="YX").array.shape == (5, 6)
    assert read_image(path, axes="TYX").array.shape == (1, 5, 6)
    with pytest.raises(ImageError, match="name 4 axes"):
        read_image(path, axes="TZYX")


OWN = {"program": "napari-unetstyle 1", "axes": "ZYX", "shape": [1, 5, 6]}


@pytest.mark.parametrize("kind", ["imagej", "ome"])
@pytest.mark.parametrize(
    "change",
    [{"program": "another"}, {"shape": [1, 4, 6]}, {"shape": [2, 5, 6]}, {"shape": None}, {"axes": "ZXY"},
     {"axes": "ZZYX", "shape": [1, 1, 5, 6]}, {"axes": ["Z", "Y", "X"]}, {"axes": "QYX"}],
)  # fmt: skip
def test_axes_of_other_programs_and_changed_files_are_those_that_are_stored(
    kind: str, change: dict[str, Any], tmp_path: Path
) -> None:
    for info, expected in ((OWN, "ZYX"), ({**OWN, **change}, "YX")):
        metadata = {"axes": "YX", "Info" if kind == "imagej" else "Description": json.dumps(info)}
        tifffile.imwrite(tmp_path / "x.tif", np.ones((5, 6), np.uint8), metadata=metadata, **{kind: True})
        assert read_image(tmp_path / "x.tif").axes == expected


SUFFIXES = (".tif", ".nii.gz", ".nrrd", ".mha", ".zarr")


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize("axes", ["XYZ", "ZXY", "YXZ", "zyx"])
def test_labels_in_any_order_of_axes_are_written_in_one(suffix: str, axes: str, tmp_path: Path) -> None:
    labels, place = np.arange(60, dtype=np.uint8).reshape(3, 4, 5), Geometry(spacing=(3.0, 2.0, 1.0), unit="mm")
    given = labels.transpose(["ZYX".index(axis) for axis in axes.upper()])
    again = read_image(write_labels(tmp_path / f"x{suffix}", given, axes=axes, geometry=place))
    assert (again.axes, again.geometry.spacing) == ("ZYX", place.spacing)
    np.testing.assert_array_equal(again.array[...], labels)


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize(
    ("shape", "axes", "spacing"),
    [((0, 3), None, None), ((3,), None, None), ((1, 1, 1, 2, 2), None, None), ((3, 4, 5), "YX", (1.0, 1.0)),
     ((3, 4, 5), "CYX", (1.0, 1.0)), ((3, 4, 5), "ZZX", (1.0, 1.0, 1.0)), ((3, 4, 5), "ZYX", (1.0, 1.0))],
)  # fmt: skip
def test_labels_that_cannot_be_are_refused(
    suffix: str, shape: tuple[int, ...], axes: str | None, spacing: tuple[float, ...] | None, tmp_path: Path
) -> None:
    place = None if spacing is None else Geometry(spacing=spacing, unit="mm")
    with pytest.raises(OutputError, match=r"Could not write .* Nothing was written\.$"):
        write_labels(tmp_path / f"x{suffix}", np.zeros(shape, np.uint8), axes=axes, geometry=place)
    assert list(tmp_path.iterdir()) == []


def test_the_same_result_gives_the_same_bytes(blobs: NDArray[np.int32], tmp_path: Path) -> None:
    for big in (0, 70000):
        result = result_of(blobs + big)
        other = result.changed(provenance={**result.provenance, "seconds": 9.0})
        for write, suffix in ((write_labels, "tif"), (write_rois, "zip"), (write_geojson, "geojson")):
            one, two = write(tmp_path / f"1.{suffix}", result), write(tmp_path / f"2.{suffix}", other)
            assert one.read_bytes() == two.read_bytes()


def test_labels_on_disk_are_written_band_by_band(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    mapped = np.lib.format.open_memmap(tmp_path / "x.npy", "w+", np.int32, (4096, 2048))
    mapped[:] = np.arange(4096)[:, None]
    largest = 0
    real = np.ascontiguousarray

    def watched(array: Any, dtype: Any = None) -> Any:
        nonlocal largest
        largest = max(largest, array.size)
        return real(array, dtype)

    monkeypatch.setattr(output_tiff.np, "ascontiguousarray", watched)
    for room in (output, output_tiff):
        monkeypatch.setattr(room, "IMAGEJ_LIMIT", 1000)  # and as BigTIFF
    path = write_labels(tmp_path / "x.tif", mapped)
    assert largest == 64 * 2048
    with tifffile.TiffFile(path) as tiff:
        assert tiff.is_bigtiff
        np.testing.assert_array_equal(tiff.asarray(), mapped)


def test_probabilities(blobs: NDArray[np.int32], tmp_path: Path) -> None:
    result = result_of(np.stack([blobs, blobs]), axes="TYX", geometry=Geometry(spacing=(0.5, 0.5), unit="um"))
    image = read_image(write_probabilities(tmp_path / "x.tif", result))
    assert (image.axes, image.geometry) == ("CTYX", result.geometry)
    assert image.channel_names == ("background", "nucleus", "müll/é")
    np.testing.assert_array_equal(image.array, result.probability_bytes)


def test_probabilities_of_one_time_keep_it(blobs: NDArray[np.int32], tmp_path: Path) -> None:
    image = read_image(write_probabilities(tmp_path / "x.tif", result_of(blobs[np.newaxis], axes="TYX")))
    assert (image.axes, image.size("T")) == ("CTYX", 1)


# CSV ---------------------------------------------------------------------------------------------------------------


def test_table(blobs: NDArray[np.int32], tmp_path: Path) -> None:
    result = result_of(blobs, owners={2: 2})
    with write_table(tmp_path / "x.csv", result).open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["label"] for row in rows] == ["1", "2", "7"]
    assert [row["class_name"] for row in rows] == ["nucleus", "müll/é", "nucleus"]
    assert [int(row["area"]) for row in rows] == [(blobs == i).sum() for i in (1, 2, 7)]


def test_numbers_in_a_table_lose_nothing(tmp_path: Path) -> None:
    values = np.random.default_rng(0).normal(size=20) * 1e5
    with write_table(tmp_path / "x.csv", {"a": values, "b": np.arange(20)}).open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [float(row["a"]) for row in rows] == values.tolist()


def test_names_in_a_table_that_are_no_text_are_written(tmp_path: Path) -> None:
    path = write_table(tmp_path / "x.csv", {"picture": np.array(["a\udcff.tif"], object)})
    assert path.read_text(encoding="utf-8").splitlines() == ["picture", "a\\udcff.tif"]


# ROIs and GeoJSON --------------------------------------------------------------------------------------------------


def painted(rings: list[NDArray[Any]], shape: tuple[int, int]) -> NDArray[np.bool_]:
    """Pixels inside by the even-odd rule."""
    inside = np.zeros(shape, bool)
    for ring in rings:
        inside ^= polygon2mask(shape, np.asarray(ring)[:, ::-1] - 0.5)
    return inside


def test_rois_cover_the_objects(blobs: NDArray[np.int32], tmp_path: Path) -> None:
    path = write_rois(tmp_path / "x.zip", result_of(blobs, owners={2: 2}))
    rois = {roi.name: roi for roi in roifile.roiread(path)}
    assert list(rois) == ["00001-nucleus", "00002-m_ll_", "00007-nucleus"]
    for label, roi in zip((1, 2, 7), rois.values(), strict=True):
        rings = roi.coordinates(multi=True) if roi.composite else [roi.coordinates()]
        np.testing.assert_array_equal(painted(rings, blobs.shape), blobs == label)
        assert roi.stroke_color == (b"\xff\x00\x00\xff" if label == 2 else b"\xff\xff\x80\x00")
        assert roi.group == (2 if label == 2 else 1)
        rows, columns = np.nonzero(blobs == label)
        assert (roi.top, roi.left, roi.bottom, roi.right) == (
            rows.min(), columns.min(), rows.max() + 1, columns.max() + 1,
        )  # fmt: skip


def test_rois_know_their_frame(blobs: NDArray[np.int32], tmp_path: Path) -> None:
    stack = np.stack([blobs, np.where(blobs == 7, 7, 0)])
    rois = roifile.roiread(write_rois(tmp_path / "x.zip", result_of(stack, axes="TYX")))
    assert [(roi.name, roi.t_position, roi.position) for roi in rois] == [
        ("00001-nucleus", 1, 1), ("00002-nucleus", 1, 1), ("00007-nucleus", 1, 1), ("00007-nucleus-t2", 2, 2),
    ]  # fmt: skip


def test_geojson(blobs: NDArray[np.int32], tmp_path: Path) -> None:
    content = json.loads(write_geojson(tmp_path / "x.geojson", result_of(blobs, owners={2: 2})).read_text("utf-8"))
    assert content["type"] == "FeatureCollection"
    for label, feature in zip((1, 2, 7), content["features"], strict=True):
        geometry, properties = feature["geometry"], feature["properties"]
        assert geometry["type"] == ("MultiPolygon" if label == 2 else "Polygon")
        polygons = geometry["coordinates"] if label == 2 else [geometry["coordinates"]]
        rings = [ring for polygon in polygons for ring in polygon]
        assert all(ring[0] == ring[-1] for ring in rings)
        np.testing.assert_array_equal(painted([np.array(r[:-1]) for r in rings], blobs.shape), blobs == label)
        owner = CLASSES[1 if label == 2 else 0]
        assert properties["objectType"] == "detection"
        assert properties["classification"]["name"] == owner.name
        assert properties["classification"]["color"] == list(bytes.fromhex(owner.color[1:]))
        assert properties["measurements"]["area"] == (blobs == label).sum()
    assert len({feature["id"] for feature in content["features"]}) == 3


def test_geojson_of_areas_and_frames(tmp_path: Path) -> None:
    stack = np.stack([np.eye(5, dtype=np.uint8), 2 * np.eye(5, dtype=np.uint8)])
    path = write_geojson(tmp_path / "x.geojson", result_of(stack, axes="ZYX", kind="areas"))
    features = json.loads(path.read_text("utf-8"))["features"]
    assert [f["properties"]["name"] for f in features] == ["nucleus", "müll/é"]
    assert [f["properties"]["objectType"] for f in features] == ["annotation"] * 2
    assert [f["geometry"]["plane"] for f in features] == [{"c": -1, "z": 0, "t": 0}, {"c": -1, "z": 1, "t": 0}]


def test_geojson_of_an_area_has_the_size_of_its_own_frame(tmp_path: Path) -> None:
    series = np.zeros((2, 20, 20), np.uint8)
    series[0, :4, :4] = series[1, :16, :16] = 1
    objects = {"label": np.array([1, 1]), "frame_t": np.array([0, 1]), "class": np.array([1, 1])}
    result = result_of(series, axes="TYX", kind="areas").changed(objects=objects | {"area": np.array([16, 256])})
    features = json.loads(write_geojson(tmp_path / "x.geojson", result).read_text("utf-8"))["features"]
    assert [f["properties"]["measurements"]["area"] for f in features] == [16, 256]
    assert [f["properties"]["measurements"]["frame_t"] for f in features] == [0, 1]


def test_nothing_found(tmp_path: Path) -> None:
    result = result_of(np.zeros((9, 9), np.int32))
    assert json.loads(write_geojson(tmp_path / "x.geojson", result).read_text())["features"] == []
    assert zipfile.ZipFile(write_rois(tmp_path / "x.zip", result)).namelist() == []
    assert write_table(tmp_path / "x.csv", result).read_text().splitlines() == ["label,class,class_name,area"]


def test_new_objects_without_a_row_are_written_too(blobs: NDArray[np.int32], tmp_path: Path) -> None:
    result = result_of(blobs)
    painted_in = blobs.copy()
    painted_in[36:39, 40:45] = 12
    features = json.loads(write_geojson(tmp_path / "x.geojson", result.changed(labels=painted_in)).read_text())[
        "features"
    ]
    assert features[-1]["properties"]["name"] == "nucleus 12"
    assert features[-1]["properties"]["measurements"] == {}


# When the disk refuses ---------------------------------------------------------------------------------------------

WRITERS = {"tif": write_labels, "csv": write_table, "zip": write_rois, "geojson": write_geojson}


@pytest.mark.parametrize("suffix", WRITERS)
@pytest.mark.skipif(os.name == "nt", reason="no limit on the size of files")
def test_disk_full_keeps_the_old_file(suffix: str, blobs: NDArray[np.int32], tmp_path: Path) -> None:
    import resource
    import signal

    path = tmp_path / f"x.{suffix}"
    WRITERS[suffix](path, result_of(blobs))
    before = path.read_bytes()
    noisy = np.random.default_rng(0).integers(0, 2000, (300, 300)).astype(np.int32)
    limits, handler = resource.getrlimit(resource.RLIMIT_FSIZE), signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (8192, limits[1]))
    try:
        with pytest.raises(OutputError, match=r"Could not write .*x\."):
            WRITERS[suffix](path, result_of(noisy))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, handler)
    assert path.read_bytes() == before
    assert [p.name for p in tmp_path.iterdir()] == [path.name]


@pytest.mark.parametrize("suffix", WRITERS)
def test_a_folder_that_cannot_be(suffix: str, blobs: NDArray[np.int32], tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(OutputError, match="Could not write"):
        WRITERS[suffix](tmp_path / "file" / f"x.{suffix}", result_of(blobs))
    with atomic_path(tmp_path / "file"):
        pass


# What a format cannot hold ------------------------------------------------------------------------------------------

FLIPPED = Geometry(spacing=(3, 1, 1), unit="mm", direction=np.diag([1, 1, -1]), is_anatomical=True)
TILTED = Geometry(spacing=(3, 1, 1), unit="mm", direction=np.array([[1, 0, 0], [0, 0.8, -0.6], [0, 0.6, 0.8]]))
STRAIGHT = Geometry(spacing=(3, 1, 1), unit="mm", origin=(5, 6, 7), is_anatomical=True)
FLAT = Geometry(spacing=(3, 1, 1), unit="um", origin=(0.5, 0.5, 0.5))


@pytest.mark.parametrize(
    ("suffix", "place", "said"),
    [
        (".zarr", FLIPPED, "OME-Zarr cannot hold that the volume is turned or mirrored"),
        (".zarr", TILTED, "OME-Zarr cannot hold that the volume is tilted"),
        (".zarr", STRAIGHT, ""),
        (".zarr", FLAT, ""),
        (".tif", FLIPPED, "TIFF cannot hold where the volume lies, nor that it is turned or mirrored"),
        (".tif", TILTED, "nor that it is tilted"),
        (".tif", STRAIGHT, "TIFF cannot hold where the volume lies. "),
        (".tif", FLAT, ""),
        (".nii.gz", FLIPPED, ""),
        (".nrrd", TILTED, ""),
    ],
)
def test_what_a_format_cannot_hold_of_the_place_is_said(
    suffix: str, place: Geometry, said: str, tmp_path: Path, recwarn: pytest.WarningsRecorder
) -> None:
    heard: list[str] = []
    labels = np.ones((2, 3, 4), int)
    write_labels(tmp_path / f"x{suffix}", labels, axes="ZYX", geometry=place, say=heard.append)
    assert not any("cannot hold" in str(one.message) for one in recwarn)
    assert len(heard) == bool(said)
    assert said in "".join(heard)
    write_labels(tmp_path / f"y{suffix}", labels, axes="ZYX", geometry=place)
    assert [str(one.message) for one in recwarn if "cannot hold" in str(one.message)] == heard
