"""OME-Zarr: the place, the axes and the pixels of every level are those that other programs see."""

from __future__ import annotations

import gzip
import json
import random
import sys
import warnings
from pathlib import Path
from typing import Any

import ngff_zarr
import numcodecs
import numpy as np
import pytest
import zarr
from hypothesis import given
from hypothesis import strategies as st
from zarr.storage import MemoryStore

from napari_unetstyle.core import Geometry, read_image, scratch, write_labels
from napari_unetstyle.core.errors import ImageError, ImageFileError, OptionError, OutputError, UnetstyleError
from napari_unetstyle.core.imaging import zarr_level
from napari_unetstyle.core.imaging.ome_zarr import open_ome_zarr
from napari_unetstyle.core.imaging.raster import PNG
from napari_unetstyle.core.models.spec import ClassSpec
from napari_unetstyle.core.segmentation.output import label_info
from tests.core.zarr_for_tests import CountingStore, described, files_of, halved, two_levels, volume, write_picture

VERSIONS = ["0.4", "0.5"]
sizes = st.floats(1e-3, 1e3)
offsets = st.floats(-1e4, 1e4)


def by_others(path: Path, level: int = 0) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return ngff_zarr.from_ngff_zarr(str(path), validate=True).images[level]


def world_by_others(path: Path, index: tuple[int, ...], level: int = 0) -> np.ndarray:
    """World position of an index, by another library."""
    image = by_others(path, level)
    return np.array([image.scale[a] * i + image.translation[a] for a, i in zip(image.dims, index, strict=True)])


# Reading ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("version", VERSIONS)
def test_every_level_lies_where_another_library_says(tmp_path: Path, version: str) -> None:
    path, array = tmp_path / "ct.ome.zarr", volume()
    two_levels(path, array, version)
    for level, wanted in enumerate([array, halved(array)]):
        image = read_image(path, level=level)
        assert (image.axes, image.geometry.unit, image.name, image.notes) == ("ZYX", "um", "ct", ())
        np.testing.assert_array_equal(image.array[...], wanted)
        np.testing.assert_array_equal(by_others(path, level).data, wanted)
        for index in [(0, 0, 0), (3, 7, 5), (5, 19, 24)]:
            np.testing.assert_allclose(image.geometry.to_world(index), world_by_others(path, index, level), atol=1e-9)


def test_a_level_of_means_lies_over_the_pixels_it_was_made_of(tmp_path: Path) -> None:
    two_levels(tmp_path / "x.zarr", volume())
    fine, coarse = (read_image(tmp_path / "x.zarr", level=i).geometry for i in (0, 1))
    middle = np.mean([fine.to_world(i) for i in np.ndindex(2, 2, 2)], axis=0)
    np.testing.assert_allclose(coarse.to_world((0, 0, 0)), middle)


@given(
    scale=st.tuples(sizes, sizes, sizes),
    translation=st.tuples(offsets, offsets, offsets),
    signs=st.tuples(*[st.sampled_from([-1, 1])] * 3),
    outer=st.tuples(sizes, sizes, sizes),
    shift=st.tuples(offsets, offsets, offsets),
    unit=st.sampled_from([("nanometer", 1e-3, "um"), ("micrometer", 1, "um"), ("millimeter", 1, "mm")]),
    version=st.sampled_from(VERSIONS),
)
def test_all_transformations_count_in_their_order(
    scale: Any, translation: Any, signs: Any, outer: Any, shift: Any, unit: Any, version: str
) -> None:
    signed = [s * sign for s, sign in zip(scale, signs, strict=True)]
    multiscale = described("zyx", [(signed, list(translation))], unit[0])
    multiscale["coordinateTransformations"] = [
        {"type": "scale", "scale": list(outer)},
        {"type": "translation", "translation": list(shift)},
    ]
    store = write_picture(MemoryStore(), [np.ones((2, 3, 4), np.uint8)], multiscale, version)
    geometry = open_ome_zarr(store).image().geometry
    for index in [(0, 0, 0), (1, 2, 3)]:
        inner = np.array(signed) * index + translation
        wanted = (inner * outer + shift) * unit[1]
        np.testing.assert_allclose(geometry.to_world(index), wanted, rtol=1e-9, atol=1e-6)
    assert geometry.unit == unit[2]


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("axes", ["yx", "zyx", "cyx", "tyx", "tcyx", "czyx", "tzyx", "tczyx"])
def test_axes_and_channels_are_stated(version: str, axes: str) -> None:
    shape = tuple({"t": 2, "c": 3, "z": 4, "y": 5, "x": 6}[a] for a in axes)
    multiscale = described(axes, [([1.0] * len(axes), [0.0] * len(axes))])
    omero = {"omero": {"channels": [{"label": name} for name in ("DAPI", "GFP", "RFP")]}}
    store = write_picture(MemoryStore(), [np.zeros(shape, np.float32)], multiscale, version, more=omero)
    image = open_ome_zarr(store).image()
    assert image.axes == axes.upper()
    assert image.channel_names == (("DAPI", "GFP", "RFP") if "c" in axes else ())


def test_axes_that_nobody_knows_are_asked_for(tmp_path: Path) -> None:
    multiscale = described("zyx", [([2.0, 1.0, 1.0], [0.0] * 3)])
    multiscale["axes"][0] = {"name": "angle"}
    write_picture(tmp_path / "x.zarr", [volume()], multiscale)
    with pytest.raises(ImageError, match=r"'angle'.*axes='ZYX'"):
        read_image(tmp_path / "x.zarr")
    assert read_image(tmp_path / "x.zarr", axes="TYX").axes == "TYX"
    with pytest.raises(ImageError, match="do not fit"):
        read_image(tmp_path / "x.zarr", axes="YX")


def test_a_size_without_a_unit_is_unknown_and_that_is_said() -> None:
    store = write_picture(MemoryStore(), [volume()], described("zyx", [([2.0, 0.5, 0.5], [1.0] * 3)], unit=""))
    image = open_ome_zarr(store).image()
    assert image.geometry == Geometry(spacing=(1.0, 1.0, 1.0))
    assert "without a unit" in image.notes[0]


def test_a_bare_array_needs_its_axes(tmp_path: Path) -> None:
    for zarr_format in (2, 3):
        path = tmp_path / f"{zarr_format}.zarr"
        zarr.create_array(path, data=volume(), zarr_format=zarr_format)
        with pytest.raises(ImageError, match="State them"):
            read_image(path)
        image = read_image(path, axes="zyx")
        np.testing.assert_array_equal(image.array[...], volume())
        assert image.axes == "ZYX"
        with pytest.raises(OptionError, match="no level 1"):
            read_image(path, axes="zyx", level=1)


def test_only_the_only_picture_below_is_taken(tmp_path: Path) -> None:
    path = tmp_path / "x.zarr"
    zarr.create_group(path, zarr_format=2, attributes={"bioformats2raw.layout": 3})
    two_levels(path / "0", volume(), "0.4")
    np.testing.assert_array_equal(read_image(path).array[...], volume())
    two_levels(path / "1", volume(), "0.4")
    with pytest.raises(ImageFileError, match="2 pictures"):
        read_image(path)
    plate = {"plate": {"wells": [{"path": "B/3"}]}}
    zarr.create_group(tmp_path / "p.zarr", attributes={"ome": {"version": "0.5", **plate}})
    with pytest.raises(ImageFileError, match=r"plate of 1 wells.*B/3/0"):
        read_image(tmp_path / "p.zarr")


def test_levels_that_lie_elsewhere_are_left_out(tmp_path: Path) -> None:
    array = volume()
    flat = [([2.0, 1.0, 1.0], [0.0] * 3)] * 2  # as if both levels had pixels of one size
    write_picture(tmp_path / "x.zarr", [array, halved(array)], described("zyx", flat))
    image = read_image(tmp_path / "x.zarr")
    assert "Level 1 does not lie where level 0 does" in image.notes[0]
    with pytest.raises(OptionError, match="no level 1"):
        read_image(tmp_path / "x.zarr", level=1)


def test_opening_reads_no_pixels_and_slicing_only_its_chunks() -> None:
    array = volume((32, 64, 64))
    store = CountingStore(two_levels(MemoryStore(), array, chunks=(8, 16, 16), compressors=None))
    image = open_ome_zarr(store).image()
    assert store.reads
    assert not [key for key, _ in store.reads if "/c/" in key]
    store.reads.clear()
    np.testing.assert_array_equal(image.array[3, 20:30, 5], array[3, 20:30, 5])
    assert sum(size for _, size in store.reads) == 8 * 16 * 16 * 2
    assert image.array.chunks == (8, 16, 16)


# Writing ---------------------------------------------------------------------------------------------------------


@given(
    shape=st.tuples(*[st.integers(1, 9)] * 3),
    dims=st.sampled_from([2, 3]),
    highest=st.sampled_from([1, 255, 256, 65535, 65536, 2**24 + 1, 2**31, 2**32 + 1, 2**53 + 1]),
    spacing=st.tuples(sizes, sizes, sizes),
    origin=st.tuples(offsets, offsets, offsets),
    unit=st.sampled_from(["um", "mm"]),
)
def test_ids_and_place_come_back(
    tmp_path_factory: Any, shape: Any, dims: int, highest: int, spacing: Any, origin: Any, unit: str
) -> None:
    path = tmp_path_factory.mktemp("labels") / "l.zarr"
    labels = np.random.default_rng(0).integers(0, highest, shape[:dims], dtype=np.int64, endpoint=True)
    labels.flat[-1] = highest
    geometry = Geometry(spacing=spacing[:dims], origin=origin[:dims], unit=unit)
    write_labels(path, labels, axes="ZYX"[-dims:], geometry=geometry)
    image = read_image(path)
    np.testing.assert_array_equal(image.array[...], labels)
    assert image.geometry.unit == unit
    last = tuple(n - 1 for n in labels.shape)
    np.testing.assert_allclose(image.geometry.to_world(last), geometry.to_world(last), rtol=1e-12)
    stored = zarr.open_array(path / "0", mode="r")
    assert stored.dtype == np.min_scalar_type(highest)


def test_levels_are_every_second_pixel_at_its_own_place(tmp_path: Path) -> None:
    labels = np.random.default_rng(1).integers(0, 9, (20, 700, 601))
    geometry = Geometry(spacing=(2.0, 0.5, 0.5), unit="um", origin=(1.0, 2.0, 3.0))
    write_labels(tmp_path / "l.zarr", labels, axes="ZYX", geometry=geometry)
    for level, step in enumerate([(1, 1, 1), (1, 2, 2), (1, 4, 4)]):
        seen = by_others(tmp_path / "l.zarr", level)
        np.testing.assert_array_equal(seen.data, labels[:: step[0], :: step[1], :: step[2]])
        np.testing.assert_allclose(
            world_by_others(tmp_path / "l.zarr", (1, 5, 7), level), geometry.to_world(np.array(step) * (1, 5, 7))
        )


def test_a_turned_patient_comes_back(tmp_path: Path) -> None:
    tilt = np.array([[1, 0, 0], [0, 0.8, -0.6], [0, 0.6, 0.8]])
    place = Geometry(spacing=(3, 0.7, 0.7), unit="mm", origin=(-40, 12.5, 80), direction=tilt, is_anatomical=True)
    write_labels(tmp_path / "l.zarr", np.ones((4, 5, 6), int), axes="ZYX", geometry=place)
    again = read_image(tmp_path / "l.zarr").geometry
    np.testing.assert_allclose(again.affine, place.affine, atol=1e-9)
    assert again.is_anatomical


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("level", [0, 1])
@pytest.mark.parametrize("consolidated", [False, True])
def test_labels_join_a_picture_on_the_grid_of_their_level(
    tmp_path: Path, version: str, level: int, consolidated: bool
) -> None:
    path = tmp_path / "x.zarr"
    two_levels(path, volume(), version)
    if consolidated:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            zarr.consolidate_metadata(path)
    image = read_image(path, level=level)
    labels = np.arange(image.array.shape[0] * 3)[:, None, None][: image.array.shape[0]] + (image.array[...] > 30000)
    written = write_labels(path, labels, axes="ZYX", geometry=image.geometry, name="cells")
    assert written == path / "labels" / "cells"
    again = read_image(written)
    np.testing.assert_array_equal(again.array[...], labels)
    np.testing.assert_array_equal(by_others(written).data, labels)
    np.testing.assert_allclose(again.geometry.affine, image.geometry.affine)
    assert open_ome_zarr(path).label_names == ("cells",)
    assert open_ome_zarr(written).is_labels
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        np.testing.assert_array_equal(zarr.open_group(path, mode="r")["labels/cells/0"][...], labels)
    np.testing.assert_array_equal(read_image(path).array[...], volume())
    if level == 0:  # the coarser level of the labels is over that of the picture, at the place of its own pixels
        coarse = read_image(written, level=1)
        assert coarse.array.shape == read_image(path, level=1).array.shape
        index = np.rint(np.linalg.solve(image.geometry.affine, coarse.geometry.affine @ [2, 3, 4, 1]))[:3].astype(int)
        assert coarse.array[2, 3, 4] == labels[tuple(index)]
        np.testing.assert_allclose(image.geometry.to_world(index), coarse.geometry.to_world((2, 3, 4)))


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("axes", ["xy", "cxy", "zxy", "xyz", "tcyzx"])
def test_labels_join_a_picture_that_stores_its_axes_in_another_order(tmp_path: Path, version: str, axes: str) -> None:
    lengths, sizes = {"t": 2, "c": 2, "z": 4, "y": 22, "x": 20}, {"z": 2.0, "y": 0.5, "x": 0.25}
    shape, scale = tuple(lengths[a] for a in axes), [sizes.get(a, 1.0) for a in axes]
    step = [2 if a in "xy" else 1 for a in axes]
    coarse = [s * n for s, n in zip(scale, step, strict=True)]
    finest = np.zeros(shape, np.uint8)
    levels = [finest, finest[tuple(slice(None, None, n) for n in step)]]
    path = write_picture(
        tmp_path / "x.zarr", levels, described(axes, [(scale, [0.0] * len(axes)), (coarse, [0.0] * len(axes))]), version
    )
    image = read_image(path)
    labels = np.random.default_rng(0).integers(0, 9, image.label_shape)
    written = write_labels(path, labels, axes=image.label_axes, geometry=image.geometry, name="cells")
    for level, step in enumerate([1, 2]):
        again = read_image(written, level=level)
        assert again.axes == image.axes.replace("C", "")
        turned = np.transpose(again.array[...], [again.axes.index(a) for a in image.label_axes])
        np.testing.assert_array_equal(turned, labels[..., ::step, ::step])
        assert again.geometry == read_image(path, level=level).geometry


def test_nothing_is_replaced(tmp_path: Path) -> None:
    path = tmp_path / "x.zarr"
    two_levels(path, volume())
    image = read_image(path)
    labels = np.ones(image.array.shape, int)
    write_labels(path, labels, axes="ZYX", geometry=image.geometry, name="a")
    before = {file: file.read_bytes() for file in files_of(path)}
    place = {"axes": "ZYX", "geometry": image.geometry}
    for arguments, words in [
        ({"name": "a", **place}, "already"),
        ({**place}, "State the name"),
        ({"name": "../b", **place}, "cannot be called"),
        ({"name": ".b", **place}, "cannot be called"),
        ({"name": "b", "axes": "ZYX", "geometry": Geometry(spacing=(1.0, 1.0, 1.0), unit="um")}, "none of the grids"),
        ({"name": "b", "axes": "TYX", "geometry": Geometry(spacing=(0.5, 0.25), unit="um")}, "none of the grids"),
    ]:
        with pytest.raises(OutputError, match=words):
            write_labels(path, labels, **arguments)
    with pytest.raises(OutputError, match="holds labels"):
        write_labels(_linked(path / "labels" / "a", tmp_path / "a.zarr"), labels, name="b", **place)
    with pytest.raises(OutputError, match="none of the grids"):
        write_labels(path, labels[:, :-1], name="b", **place)
    with pytest.raises(OutputError, match="-1"):
        write_labels(path, labels - 2, name="b", **place)
    (tmp_path / "notes.zarr").mkdir()
    with pytest.raises(OutputError, match="it exists"):
        write_labels(tmp_path / "notes.zarr", labels, **place)
    assert {file: file.read_bytes() for file in files_of(path)} == before


def _linked(folder: Path, link: Path) -> Path:
    link.symlink_to(folder)
    return link


def test_a_broken_write_leaves_nothing(tmp_path: Path) -> None:
    class Breaking:
        shape, dtype = (300, 400), np.dtype("i8")
        reads = 0

        def __getitem__(self, key: Any) -> Any:
            self.reads += 1
            if self.reads > 1:
                raise OSError(28, "No space left on device")
            return np.zeros(self.shape, int)[key]

    path = tmp_path / "x.zarr"
    write_picture(path, [np.zeros((300, 400), np.uint8)], described("yx", [([1.0, 1.0], [0.0, 0.0])]))
    for target, name in ((path, "n"), (tmp_path / "new.zarr", None)):
        with pytest.raises(OutputError, match="No space left"):
            write_labels(target, Breaking(), name=name)
    assert not list(tmp_path.rglob(".partial-*"))
    assert not (path / "labels" / "n").exists()
    assert not (tmp_path / "new.zarr").exists()


def test_lazy_labels_are_never_whole(tmp_path: Path) -> None:
    class Watched:
        shape, dtype, largest = (70, 600, 700), np.dtype("u4"), 0

        def __getitem__(self, key: Any) -> Any:
            grids = np.ix_(*(np.arange(n)[k] for n, k in zip(self.shape, key, strict=True)))
            out = sum(grids).astype("u4")
            Watched.largest = max(Watched.largest, out.size)
            return out

    write_labels(tmp_path / "l.zarr", Watched(), axes="ZYX")
    z, y, x = 67, 333, 512
    assert read_image(tmp_path / "l.zarr").array[z, y, x] == z + y + x
    assert Watched.largest <= 64 * 128 * 128


@pytest.mark.skipif(sys.platform != "linux", reason="reads what is mapped from /proc")
def test_labels_on_disk_do_not_pile_up_in_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also while coarser levels are written, each chunk of which lies all over the file."""
    from napari_unetstyle.core.imaging import ome_zarr_labels

    def mapped() -> int:
        lines = Path("/proc/self/status").read_text().splitlines()
        return sum(int(line.split()[1]) for line in lines if line.startswith(("RssFile", "RssShmem"))) // 1024

    labels = scratch.zeros((512, 512, 512), np.uint8, 0)
    labels[::64] = 1
    scratch.release(labels)
    monkeypatch.setattr(ome_zarr_labels, "_MAPPED", 2**24)
    before, seen, release = mapped(), [], scratch.release
    monkeypatch.setattr(ome_zarr_labels.scratch, "release", lambda array: (seen.append(mapped()), release(array)))
    write_labels(tmp_path / "labels.zarr", labels, axes="ZYX", output="areas")
    assert len(seen) > 8
    assert max(seen) - before < 64  # of 128 MB
    assert mapped() - before < 16


def test_classes_have_names_and_colors(tmp_path: Path) -> None:
    classes = (ClassSpec(value=1, name="axon", color="#ff8000"), ClassSpec(value=2, name="myelin", color="#0000ff"))
    labels = np.array([[0, 1], [2, 2]])
    write_labels(tmp_path / "l.zarr", labels, classes=classes, output="areas")
    stated = json.loads((tmp_path / "l.zarr" / "zarr.json").read_text())["attributes"]["ome"]["image-label"]
    assert stated["colors"][0] == {"label-value": 1, "rgba": [255, 128, 0, 255]}
    assert stated["properties"][1] == {"label-value": 2, "name": "myelin"}
    assert label_info(tmp_path / "l.zarr")["classes"][0]["name"] == "axon"
    assert "not a medical device" in label_info(tmp_path / "l.zarr")["intended_use"]


# Damage ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda m: m.pop("datasets"), "datasets"),
        (lambda m: m.pop("axes"), "axes"),
        (lambda m: m["datasets"].clear(), "datasets"),
        (lambda m: m["datasets"][1].update(path="9"), "'9' is missing"),
        (lambda m: m["datasets"][1].update(path="../0"), "outside"),
        (lambda m: m["datasets"][0]["coordinateTransformations"].clear(), "coordinateTransformations"),
        (lambda m: m["datasets"][0]["coordinateTransformations"].pop(0), "no scale"),
        (lambda m: m["datasets"][0]["coordinateTransformations"][0].update(scale=[1.0, 1.0]), "3 numbers"),
        (lambda m: m["datasets"][0]["coordinateTransformations"][0].update(scale=[1.0, 0.0, 1.0]), "may be 0"),
        (lambda m: m["datasets"][0]["coordinateTransformations"][0].update(scale=[1.0, "1", 1.0]), "valid number"),
        (lambda m: m["datasets"][0]["coordinateTransformations"][0].update(type="rotation"), "scale"),
        (lambda m: m["axes"].append({"name": "x", "type": "space"}), "not all different"),
        (lambda m: m["axes"].pop(), "numbers"),
    ],
)
@pytest.mark.parametrize("version", VERSIONS)
def test_wrong_metadata_are_refused_in_words(change: Any, words: str, version: str) -> None:
    levels = [([2.0, 0.5, 0.25], [0.0] * 3), ([4.0, 1.0, 0.5], [0.0] * 3)]
    multiscale = described("zyx", levels)
    change(multiscale)
    store = write_picture(MemoryStore(), [volume(), halved(volume())], multiscale, version)
    with pytest.raises(ImageFileError, match=words):
        open_ome_zarr(store)


def test_other_versions_are_refused_by_name() -> None:
    store = MemoryStore()
    multiscale = described("yx", [([1.0, 1.0], [0.0, 0.0])])
    zarr.create_group(store, zarr_format=2, attributes={"multiscales": [{"version": "0.3", **multiscale}]})
    with pytest.raises(ImageFileError, match=r"version 0\.3, of which 0\.4 and 0\.5"):
        open_ome_zarr(store)
    with pytest.raises(ImageFileError, match="no list 'multiscales'"):
        open_ome_zarr(write_picture(MemoryStore(), [], {}, more={"multiscales": 3}))


@pytest.mark.parametrize("version", VERSIONS)
def test_a_missing_chunk_holds_the_fill_value(tmp_path: Path, version: str) -> None:
    array = volume((8, 8, 8))
    one = described("zyx", [([1.0] * 3, [0.0] * 3)])
    write_picture(tmp_path / "x.zarr", [array], one, version, chunks=(4, 4, 4))
    chunk = tmp_path / "x.zarr" / "0" / ("c" if version == "0.5" else ".") / "1" / "0" / "1"
    chunk.unlink()
    array[4:, :4, 4:] = 0
    image = read_image(tmp_path / "x.zarr")
    np.testing.assert_array_equal(image.array[...], array)
    assert [note[:45] for note in image.notes] == ["1 of 8 chunks of level 0 are not stored. They"]


def test_whole_pictures_labels_and_very_many_chunks_have_no_note_on_missing_ones(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = described("zyx", [([1.0] * 3, [0.0] * 3)])
    write_picture(tmp_path / "x.zarr", [volume((8, 8, 8)) + 1], one, "0.5", chunks=(4, 4, 4))
    write_picture(tmp_path / "y.zarr", [np.zeros((8, 8, 8), "u1")], one, "0.5", chunks=(4, 4, 4))
    place = Geometry(spacing=(1.0, 1.0, 1.0), unit="mm")
    labels = write_labels(tmp_path / "z.zarr", np.zeros((200, 8, 8), "u1"), axes="ZYX", geometry=place)
    assert [len(read_image(path).notes) for path in (tmp_path / "x.zarr", tmp_path / "y.zarr", labels)] == [0, 1, 0]
    monkeypatch.setattr(zarr_level, "_COUNTED", 7)
    assert read_image(tmp_path / "y.zarr").notes == ()


def test_labels_in_a_mirrored_picture_lie_as_it_does_and_nothing_is_said(
    tmp_path: Path, recwarn: pytest.WarningsRecorder
) -> None:
    mirrored = described("zyx", [([3.0, 0.5, -0.5], [0.0, 0.0, 4.0])])
    write_picture(tmp_path / "x.zarr", [volume((8, 8, 8))], mirrored, "0.4", chunks=(4, 4, 4))
    place = read_image(tmp_path / "x.zarr").geometry
    path = write_labels(tmp_path / "x.zarr", np.ones((8, 8, 8), "u1"), axes="ZYX", geometry=place, name="seg")
    assert read_image(path).geometry == place
    assert not [str(one.message) for one in recwarn if "cannot hold" in str(one.message)]
    with pytest.warns(UserWarning, match="turned or mirrored"):
        write_labels(tmp_path / "y.zarr", np.ones((8, 8, 8), "u1"), axes="ZYX", geometry=place)


@pytest.mark.parametrize(
    ("version", "compressors"),
    [
        ("0.4", None),
        ("0.4", numcodecs.Blosc()),
        ("0.4", numcodecs.Zlib()),
        ("0.4", numcodecs.LZMA()),
        ("0.4", numcodecs.Zstd()),
        ("0.5", None),
        ("0.5", zarr.codecs.BloscCodec(cname="zstd")),
        ("0.5", zarr.codecs.GzipCodec()),
        ("0.5", zarr.codecs.ZstdCodec()),
    ],
)
def test_damage_is_refused_in_words(tmp_path: Path, version: str, compressors: Any) -> None:
    """40 truncations and 40 changed bytes: an error in words or the picture, never one that is cut off."""
    path = tmp_path / "x.zarr"
    two_levels(path, volume((6, 10, 12)), version, chunks=(3, 10, 12), compressors=compressors)
    files = files_of(path)
    rng, refused = random.Random(0), 0
    for i in range(80):
        is_cut, file = i % 2 == 0, rng.choice(files)
        data = file.read_bytes()
        place = rng.randrange(len(data))
        file.write_bytes(data[:place] + (b"" if is_cut else bytes([rng.randrange(256)]) + data[place + 1 :]))
        sentence = _sentence(path)
        refused += bool(sentence)
        assert not sentence or str(path) in sentence
        assert sentence or not is_cut or not file.name[-1].isdigit(), f"{file} was read, cut at {place} of {len(data)}"
        file.write_bytes(data)
    assert refused >= 30
    assert not _sentence(path)


BLOSC = zarr.codecs.BloscCodec(cname="zstd")


@pytest.mark.parametrize(
    ("version", "options"),
    [
        ("0.5", {"chunks": (4, 8, 8), "shards": (8, 8, 8), "compressors": BLOSC}),
        ("0.5", {"chunks": (8, 8, 8), "compressors": [BLOSC, zarr.codecs.GzipCodec()]}),
        ("0.4", {"chunks": (8, 8, 8), "compressors": numcodecs.Blosc()}),
        ("0.4", {"chunks": (8, 8, 8), "filters": [numcodecs.Blosc()], "compressors": None}),
    ],
    ids=["in a shard", "below gzip", "alone", "as a filter"],
)
def test_a_chunk_of_blosc_that_lies_about_its_size_does_not_crash(
    tmp_path: Path, version: str, options: dict[str, Any]
) -> None:
    """Its decoder reads wherever the header says, which ended the process."""
    pixels = volume((8, 8, 8))
    write_picture(tmp_path / "x.zarr", [], described("zyx", [([1.0] * 3, [0.0] * 3)]), version)
    form = {"zarr_format": 2, "chunk_key_encoding": {"name": "v2", "separator": "/"}} if version == "0.4" else {}
    array = zarr.create_array(tmp_path / "x.zarr", name="0", shape=(8, 8, 8), dtype="u2", **options, **form)
    array[...] = pixels
    np.testing.assert_array_equal(read_image(tmp_path / "x.zarr").array[...], pixels)
    np.testing.assert_array_equal(read_image(tmp_path / "x.zarr").array[5, 2:4], pixels[5, 2:4])
    chunk = max(files_of(tmp_path / "x.zarr" / "0"), key=lambda file: file.stat().st_size * file.name[-1].isdigit())
    is_packed = isinstance(options["compressors"], list)
    data = bytearray(gzip.decompress(chunk.read_bytes()) if is_packed else chunk.read_bytes())
    data[12:16], data[16:20] = (2**30).to_bytes(4, "little"), (2**29).to_bytes(4, "little")
    chunk.write_bytes(gzip.compress(data) if is_packed else data)
    for key in (..., (slice(0, 2), slice(0, 3), slice(0, 3))):
        with pytest.raises(ImageFileError, match=r"a chunk has .* not what its header says"):
            np.asarray(read_image(tmp_path / "x.zarr").array[key])


def _sentence(path: Path) -> str:
    """Why a picture is refused; empty if it is read."""
    try:
        for level in (0, 1):
            image = read_image(path, level=level)
            assert image.array[...].shape == image.array.shape
    except UnetstyleError as error:
        return str(error)
    return ""


def test_a_header_that_lies_takes_no_memory(tmp_path: Path) -> None:
    one = described("zyx", [([1.0] * 3, [0.0] * 3)])
    write_picture(tmp_path / "x.zarr", [np.ones((4, 4, 4), np.uint8)], one)
    file = tmp_path / "x.zarr" / "0" / "zarr.json"
    stated = json.loads(file.read_text())
    stated["shape"] = [30000] * 3
    file.write_text(json.dumps(stated))
    assert read_image(tmp_path / "x.zarr").array[29999, 29999, 29999] == 0  # by the standard, what is missing is 0
    stated["chunk_grid"]["configuration"]["chunk_shape"] = [30000] * 3
    file.write_text(json.dumps(stated))
    with pytest.raises(ImageFileError, match=r"chunks of 2.* GB"):
        read_image(tmp_path / "x.zarr")


def test_what_is_no_picture_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ImageFileError, match="There is no"):
        read_image(tmp_path / "missing.zarr")
    zarr.create_group(tmp_path / "empty.zarr")
    with pytest.raises(ImageFileError, match="multiscales"):
        read_image(tmp_path / "empty.zarr")
    with pytest.raises(ImageFileError, match="There is no"):
        read_image(tmp_path / "x.tif", level=1)
    (tmp_path / "x.png").write_bytes(PNG)
    with pytest.raises(OptionError, match="only OME-Zarr"):
        read_image(tmp_path / "x.png", level=1)
