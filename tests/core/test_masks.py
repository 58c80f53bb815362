"""Masks from elsewhere lie where they were drawn, belong to the right picture, or are refused in words."""

from __future__ import annotations

import contextlib
import json
from dataclasses import replace

import nibabel
import numpy as np
import pytest
import tifffile
from hypothesis import given
from hypothesis import strategies as st
from scipy import ndimage

from napari_unetstyle.core import read_image, write_image, write_labels
from napari_unetstyle.core.annotation.corrections import Correction, learned
from napari_unetstyle.core.annotation.masks import (
    Pair,
    find_pairs,
    labels_of_geojson,
    read_areas,
    read_masks,
    unpaired,
)
from napari_unetstyle.core.errors import ImageError, ImageFileError, UnetstyleError
from napari_unetstyle.core.imaging.geometry import Geometry
from napari_unetstyle.core.imaging.image import Image
from napari_unetstyle.core.segmentation.folder_inputs import pictures_in
from napari_unetstyle.core.segmentation.outlines import outlines
from napari_unetstyle.core.segmentation.output_outlines import write_geojson
from tests.core import dicom_for_tests as made
from tests.core.annotation_for_tests import blobs, picture
from tests.core.geometry_for_tests import AXIS_ORIENTATIONS, rotation
from tests.core.test_output import result_of
from tests.core.zarr_for_tests import described, write_picture


def feature(rings, name="", plane=None, kind="Polygon"):
    geometry = {"type": kind, "coordinates": rings, **({"plane": plane} if plane else {})}
    return {"type": "Feature", "geometry": geometry, "properties": {"classification": {"name": name}}}


def written(path, features):
    path.write_text(json.dumps({"type": "FeatureCollection", "features": features}))
    return path


@given(st.integers(0, 10_000))
def test_what_we_write_for_qupath_comes_back(tmp_path_factory, seed):
    labels = blobs(seed)
    path = write_geojson(tmp_path_factory.mktemp("g") / "x.geojson", result_of(labels))
    found, _ = labels_of_geojson(path, picture())
    ids = np.unique(labels[labels > 0])
    assert np.array_equal(found, np.searchsorted(ids, labels) * (labels > 0) + (labels > 0))


def test_a_circle_is_drawn_where_it_is_and_holes_stay_open(tmp_path):
    angles = np.linspace(0, 2 * np.pi, 200)
    ring = np.stack([15 + 9 * np.cos(angles), 12 + 9 * np.sin(angles)], 1)
    hole = np.stack([15 + 3 * np.cos(angles), 12 + 3 * np.sin(angles)], 1)
    labels, _ = labels_of_geojson(written(tmp_path / "a.geojson", [feature([ring.tolist(), hole.tolist()])]), picture())
    y, x = np.indices(labels.shape) + 0.5
    distance = np.hypot(y - 12, x - 15)
    sure = (np.abs(distance - 9) > 0.05) & (np.abs(distance - 3) > 0.05)
    assert np.array_equal((labels > 0)[sure], ((distance < 9) & (distance > 3))[sure])


def test_polygons_lie_in_their_slice(tmp_path):
    square = [[[2, 2], [6, 2], [6, 6], [2, 6], [2, 2]]]
    path = written(tmp_path / "a.geojson", [feature(square, plane={"z": 2, "t": 0})])
    labels, _ = labels_of_geojson(path, picture((4, 24, 30)))
    assert (labels[2] > 0).sum() == 16
    assert (labels > 0).sum() == 16
    with pytest.raises(ImageError, match="slice"):
        labels_of_geojson(path, picture((2, 24, 30)))


def test_classes_go_by_name_and_are_never_guessed(tmp_path):
    model = result_of(blobs(0)).classes
    square = [[[2, 2], [6, 2], [6, 6], [2, 6], [2, 2]]]
    good = written(tmp_path / "a.geojson", [feature(square, model[1].name.upper())])
    assert labels_of_geojson(good, picture(), model)[1] == {1: 2}
    with pytest.raises(ImageError, match="weird"):
        labels_of_geojson(written(tmp_path / "b.geojson", [feature(square, "weird")]), picture(), model)
    with pytest.raises(ImageError, match="without a class"):
        labels_of_geojson(written(tmp_path / "c.geojson", [feature(square, "")]), picture(), model)
    tifffile.imwrite(tmp_path / "d.tif", blobs(0, dtype=np.uint8))
    with pytest.raises(ImageError, match=f"which are {model[0].name} and which {model[1].name}"):
        read_masks(tmp_path / "d.tif", picture(), model)


def test_areas_have_the_values_of_their_classes(tmp_path):
    square = [[[2, 2], [6, 2], [6, 6], [2, 6], [2, 2]]]
    model = result_of(blobs(0)).classes
    two = [feature(np.add(square, 8 * i).tolist(), one.name) for i, one in enumerate(model)]
    path = written(tmp_path / "a.geojson", two)
    areas = read_areas(path, picture(), model)
    assert (areas[3, 3], areas[11, 11], areas.max()) == (1, 2, 2)
    tifffile.imwrite(tmp_path / "mask.tif", np.where(areas > 0, 255, 0).astype(np.uint8))
    assert np.array_equal(read_areas(tmp_path / "mask.tif", picture(), model[:1]), areas > 0)
    assert read_areas(tmp_path / "mask.tif", picture(), model).max() == 255  # of two classes nobody knows which


@pytest.mark.parametrize("values", [(0, 255, 255), (0, 7, 255), (0, 255, 1), (0, 1, 255)])
@pytest.mark.parametrize("classes", [1, 2])
def test_what_is_ignored_is_not_taken_for_the_only_class(tmp_path, values, classes):
    background, vessel, ignore = values
    mask = np.full((24, 30), background, np.uint8)
    mask[2:8, 2:8], mask[12:20, 12:20] = vessel, ignore
    tifffile.imwrite(tmp_path / "a.tif", np.zeros((24, 30), np.uint8))
    tifffile.imwrite(tmp_path / "a_mask.tif", mask)
    model = result_of(blobs(0)).classes[:classes]
    correction = Pair(picture=tmp_path / "a.tif", masks=tmp_path / "a_mask.tif").correction("areas", model, ignore)
    assert np.array_equal(correction.accepted, mask != ignore)
    assert not correction.rest_is_right
    wanted = np.where(mask == ignore, 0, mask)
    assert np.array_equal(correction.labels, wanted if classes > 1 else wanted > 0)


@pytest.mark.parametrize(
    "text",
    ["", "{", "[1]", '{"features": 3}', json.dumps([feature([[1, 2]])]), json.dumps([feature([[["a", 1]]])])],
)
def test_what_is_no_geojson_is_refused(tmp_path, text):
    (tmp_path / "a.geojson").write_text(text)
    with pytest.raises(ImageFileError):
        labels_of_geojson(tmp_path / "a.geojson", picture())


SQUARE = [[[2, 2], [6, 2], [6, 6], [2, 6], [2, 2]]]


def test_a_class_may_be_a_plain_word(tmp_path):
    model = result_of(blobs(0)).classes
    one = {**feature(SQUARE), "properties": {"classification": model[1].name.upper()}}
    assert labels_of_geojson(written(tmp_path / "a.geojson", [one]), picture(), model)[1] == {1: 2}


@pytest.mark.parametrize("properties", [None, [1], "x", {"classification": [1]}, {"classification": {"name": None}}])
def test_properties_that_say_no_class_say_none(tmp_path, properties):
    path = written(tmp_path / "a.geojson", [{**feature(SQUARE), "properties": properties}])
    assert labels_of_geojson(path, picture(), result_of(blobs(0)).classes[:1])[0].max() == 1
    with pytest.raises(ImageError, match="without a class"):
        labels_of_geojson(path, picture(), result_of(blobs(0)).classes)


def test_a_plane_without_a_number_is_the_first_and_one_of_something_else_is_refused(tmp_path):
    for value in (None, 0, 0.0):
        path = written(tmp_path / "a.geojson", [feature(SQUARE, plane={"z": value})])
        assert labels_of_geojson(path, picture((3, 24, 30)))[0][0].any()
    for value in (np.nan, np.inf, "x", [1]):
        with pytest.raises(ImageError, match="whole numbers"):
            labels_of_geojson(
                written(tmp_path / "a.geojson", [feature(SQUARE, plane={"z": value})]), picture((3, 24, 30))
            )


@pytest.mark.parametrize(
    "features",
    [
        [{**feature(SQUARE), "geometry": [1]}],
        [feature([[[1], [2]]])],
        [feature([[[[1, 2]], [[3, 4]]]])],
        [feature([[[10**400, 1]]])],
    ],
)
def test_a_geometry_that_is_none_is_refused(tmp_path, features):
    with pytest.raises(ImageFileError, match=r"a\.geojson"):
        labels_of_geojson(written(tmp_path / "a.geojson", features), picture())


def test_endless_nesting_is_refused(tmp_path):
    (tmp_path / "a.geojson").write_text("[" * 100_000)
    with pytest.raises(ImageFileError, match="no GeoJSON"):
        labels_of_geojson(tmp_path / "a.geojson", picture())


@given(st.data())
def test_any_damage_is_refused_or_drawn(tmp_path_factory, data):
    rings = [outline.outer.tolist() for _, parts in outlines(blobs(1)) for outline in parts]
    text = bytearray(json.dumps([feature([ring]) for ring in rings]).encode())
    at = data.draw(st.integers(0, len(text) - 1))
    text[at : at + data.draw(st.integers(0, 30))] = data.draw(st.binary(max_size=5))
    path = tmp_path_factory.mktemp("g") / "x.geojson"
    path.write_bytes(text)
    with contextlib.suppress(UnetstyleError):
        labels_of_geojson(path, picture())


@pytest.mark.parametrize(("dims", "count"), [(None, 2), (2, 4)])
def test_in_a_mask_of_one_value_each_patch_is_an_object_if_objects_are_wanted(tmp_path, dims, count):
    mask = np.zeros((3, 24, 30), np.uint8)
    mask[:2, 2:6, 2:6] = mask[1:, 10:15, 10:20] = 255
    mask[:, 20:] = 9
    for name, pixels in (("a.tif", mask), ("a_mask.tif", mask)):
        tifffile.imwrite(tmp_path / name, pixels, photometric="minisblack", metadata={"axes": "ZYX"})
    pair, apart = Pair(picture=tmp_path / "a.tif", masks=tmp_path / "a_mask.tif"), []
    labels = pair.correction("objects", (), 9, dims=dims, apart=apart).labels
    assert (labels.max(), apart) == (count, [pair.masks])
    assert np.array_equal(labels > 0, mask == 255)
    assert np.unique(pair.correction("objects", apart=apart).labels).tolist() == [0, 9, 255]  # two objects
    assert np.unique(pair.correction("areas", (), 9).labels).tolist() == [0, 255]
    squares = [[[[x, x], [x + 3, x], [x + 3, x + 3], [x, x + 3], [x, x]]] for x in (0, 9)]
    drawn = written(tmp_path / "a.geojson", [feature(squares, kind="MultiPolygon")])
    assert replace(pair, masks=drawn).correction("objects", apart=apart).labels.max() == 1
    assert len(apart) == 1


def test_pairs_go_by_name(tmp_path):
    pictures, masks = tmp_path / "pictures", tmp_path / "masks"
    pictures.mkdir()
    masks.mkdir()
    for name in ("a.tif", "b.ome.tif", "c.tif"):
        tifffile.imwrite(pictures / name, np.zeros((24, 30), np.uint8))
    for name in ("a_mask.tif", "b.tif", "other.tif"):
        tifffile.imwrite(masks / name, blobs(1).astype(np.uint16))
    (masks / "notes.txt").write_text("")
    written(masks / "c.geojson", [])
    pairs = find_pairs(pictures, masks)
    assert [(p.picture.name, p.masks.name) for p in pairs] == [
        ("a.tif", "a_mask.tif"),
        ("b.ome.tif", "b.tif"),
        ("c.tif", "c.geojson"),
    ]
    correction = pairs[0].correction()
    targets, valid = learned(correction)
    assert valid.all()
    assert np.array_equal(targets[1], blobs(1))
    assert unpaired(pictures, masks, pairs) == ["1 file of masks belongs to no picture: other.tif."]
    tifffile.imwrite(masks / "a.tif", blobs(1))
    with pytest.raises(ImageFileError, match="Both"):
        find_pairs(pictures, masks)


def test_scans_in_folders_are_pictures_and_labels_in_folders_masks(tmp_path):
    volume, place = np.arange(5 * 24 * 30, dtype=np.uint16).reshape(5, 24, 30), PLACE
    pictures, masks = tmp_path / "pictures", tmp_path / "masks"
    made.write_volume(pictures / "Case.One", volume, place)
    made.write(pictures, made.slices(volume[:1], place))  # a slice beside the folders of others makes one of them all
    assert [path.name for path in pictures_in(pictures)] == ["pictures"]
    next(pictures.glob("*.dcm")).unlink()
    write_picture(
        pictures / "two.ome.zarr", [volume], described("zyx", [(list(place.spacing), [0, 0, 0])], "millimeter")
    )
    labels = (volume % 7).astype(np.uint8)
    write_labels(masks_there(masks) / "case.one_seg.nii.gz", labels, axes="ZYX", geometry=place)
    write_labels(masks / "two_mask.zarr", labels, axes="ZYX", geometry=Geometry(spacing=place.spacing, unit="mm"))
    pairs = find_pairs(pictures, masks)
    assert [(p.picture.name, p.masks.name) for p in pairs] == [
        ("Case.One", "case.one_seg.nii.gz"),
        ("two.ome.zarr", "two_mask.zarr"),
    ]
    assert unpaired(pictures, masks, pairs) == []
    for pair in pairs:  # slices lie in the order of their places, and so do the labels on them
        correction = pair.correction("areas")
        assert np.array_equal(correction.labels, np.asarray(correction.image.array) % 7)
    (alone,) = find_pairs(pictures / "Case.One", masks)
    assert alone.picture == pictures / "Case.One"


def masks_there(folder):
    folder.mkdir()
    return folder


def test_pictures_and_masks_may_share_a_folder(tmp_path):
    for name in ("a.tif", "a_seg.tif"):
        tifffile.imwrite(tmp_path / name, np.zeros((24, 30), np.uint8))
    assert [(p.picture.name, p.masks.name) for p in find_pairs(tmp_path, tmp_path)] == [("a.tif", "a_seg.tif")]
    for name in ("b_seg.tif", *(f"x{i}.tif" for i in range(7))):
        tifffile.imwrite(tmp_path / name, np.zeros((24, 30), np.uint8))
    assert unpaired(tmp_path, tmp_path, find_pairs(tmp_path, tmp_path)) == [
        "7 pictures have no masks: x0.tif, x1.tif, x2.tif, x3.tif, x4.tif and 2 more.",
        "1 file of masks belongs to no picture: b_seg.tif.",
    ]


def test_a_picture_is_not_its_own_masks_however_its_folder_is_spelled(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a.tif").write_bytes(b"")
    with pytest.raises(ImageFileError, match="No masks"):
        find_pairs(".", tmp_path)


@pytest.mark.parametrize("masks", ["s.png", "s_mask.png"])
def test_two_pictures_of_one_name_are_not_guessed_between(tmp_path, masks):
    for name in ("s.jpg", "s.png", masks):
        (tmp_path / name).write_bytes(b"")
    with pytest.raises(ImageFileError, match=r"s\.jpg and .*s\.png have one name.*name masks as s_mask\.tif"):
        find_pairs(tmp_path, tmp_path)


def test_pictures_of_one_name_matter_only_where_there_are_masks_of_them(tmp_path):
    pictures, masks = tmp_path / "pictures", tmp_path / "masks"
    for name in ("pictures/s.jpg", "pictures/s.png", "pictures/t.png", "masks/t.png"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"")
    assert [(p.picture, p.masks) for p in find_pairs(pictures, masks)] == [(pictures / "t.png", masks / "t.png")]


def test_no_pairs_is_said(tmp_path):
    with pytest.raises(ImageFileError, match="Name them alike"):
        find_pairs(tmp_path, tmp_path)
    with pytest.raises(ImageFileError, match="cannot be opened"):
        find_pairs(tmp_path / "none", tmp_path)


def test_masks_of_another_shape_or_with_fractions_are_refused(tmp_path):
    tifffile.imwrite(tmp_path / "a.tif", np.zeros((5, 5), np.uint8))
    with pytest.raises(ImageError, match="one number for each pixel"):
        read_masks(tmp_path / "a.tif", picture())
    tifffile.imwrite(tmp_path / "b.tif", np.full((24, 30), 0.5, np.float32))
    with pytest.raises(ImageError, match="no whole numbers"):
        read_masks(tmp_path / "b.tif", picture())
    for value in (np.nan, np.inf):
        tifffile.imwrite(tmp_path / "c.tif", np.full((24, 30), value, np.float32))
        with pytest.raises(ImageError, match="no whole numbers"):
            read_masks(tmp_path / "c.tif", picture())
    tifffile.imwrite(tmp_path / "c.tif", np.full((24, 30), 2, np.float32))
    assert read_masks(tmp_path / "c.tif", picture())[0].dtype.kind == "i"


def test_large_numbers_stay_what_they_are_or_are_refused(tmp_path):
    large = 2**32 + 1
    for name, dtype in (("a.nii", np.float64), ("b.nii", np.int64), ("c.nii", np.uint64)):
        nibabel.save(nibabel.Nifti1Image(np.full((30, 24), large, dtype), np.eye(4), dtype=dtype), tmp_path / name)
        labels, _ = read_masks(tmp_path / name, picture())
        assert labels.dtype.kind in "iu"
        assert np.unique(labels).tolist() == [large]
        with pytest.raises(ImageError, match=f"{large}"):
            Correction(image=picture(), labels=labels, rest_is_right=True)
    tifffile.imwrite(tmp_path / "d.tif", np.full((24, 30), large, np.float32))
    with pytest.raises(ImageError, match="no whole numbers up to 16777216"):
        read_masks(tmp_path / "d.tif", picture())


PLACE = Geometry(
    spacing=(3.0, 0.8, 0.7),
    unit="mm",
    origin=(-20.0, 33.0, 104.5),
    direction=rotation((1.0, 2.0, -0.5), 0.4) @ AXIS_ORIENTATIONS[13],
    is_anatomical=True,
)


@pytest.mark.parametrize("suffix", [".nii.gz", ".mha"])
@pytest.mark.parametrize("turn", AXIS_ORIENTATIONS[::5])
def test_masks_that_are_stored_the_other_way_lie_where_their_file_says(tmp_path, suffix, turn):
    there = np.random.default_rng(0).integers(0, 5, (4, 6, 5), np.uint8)
    order, is_mirrored = np.abs(turn).argmax(axis=0), turn.sum(axis=0) < 0
    stored = np.flip(there.transpose(order), np.flatnonzero(is_mirrored))
    place = PLACE.turned(there.shape, tuple(order), tuple(is_mirrored))
    path = write_labels(tmp_path / f"masks{suffix}", stored, axes="ZYX", geometry=place)
    image = Image(array=there, axes="ZYX", geometry=PLACE)
    assert np.array_equal(read_masks(path, image)[0], there)


def test_mirrored_masks_of_a_picture_whose_axes_are_the_patients_are_turned(tmp_path):
    there = np.zeros((6, 6, 6), np.uint8)
    there[1, 2, 0] = 1
    plain = Geometry(spacing=(1, 1, 1), unit="mm", is_anatomical=True)
    back = replace(plain, origin=(0, 0, 5), direction=np.diag([1, 1, -1]))
    path = write_labels(tmp_path / "l.nii.gz", there[..., ::-1], axes="ZYX", geometry=back)
    picture_path = write_image(tmp_path / "p.nii.gz", Image(array=there, axes="ZYX", geometry=plain))
    assert np.array_equal(read_masks(path, read_image(picture_path))[0], there)


@pytest.mark.parametrize("change", [{"origin": (-20.0, 34.0, 104.5)}, {"spacing": (3.0, 0.8, 0.75)}])
def test_masks_in_another_place_are_refused(tmp_path, change):
    labels = np.ones((4, 6, 5), np.uint8)
    path = write_labels(tmp_path / "l.nii.gz", labels, axes="ZYX", geometry=replace(PLACE, **change))
    with pytest.raises(ImageError, match="different places"):
        read_masks(path, Image(array=labels, axes="ZYX", geometry=PLACE))


def test_a_pixel_size_alone_is_no_place(tmp_path):
    labels = np.ones((4, 6, 5), np.uint8)
    path = write_labels(tmp_path / "l.nii.gz", labels, axes="ZYX", geometry=Geometry(spacing=(3, 1, 1), unit="mm"))
    for other in (PLACE, Geometry(spacing=(2, 1, 1), unit="um")):
        assert np.array_equal(read_masks(path, Image(array=labels, axes="ZYX", geometry=other))[0], labels)


def test_pages_are_times_or_slices_as_those_of_the_picture_are(tmp_path):
    labels = np.random.default_rng(0).integers(0, 5, (3, 24, 30), np.uint8)
    for axes, others in [("ZYX", "TYX"), ("TYX", "ZYX")]:
        path = tmp_path / f"{axes}.tif"
        tifffile.imwrite(path, labels, imagej=True, metadata={"axes": axes})
        assert np.array_equal(read_masks(path, picture(labels.shape, others))[0], labels)
        with pytest.raises(ImageError, match="one number for each pixel"):
            read_masks(path, picture((4, 24, 30), others))
    with pytest.raises(ImageError, match="one number for each pixel"):
        read_masks(path, picture((3, 1, 24, 30)))


def test_objects_of_a_label_image_keep_their_ids(tmp_path):
    labels = ndimage.label(blobs(3) > 0)[0].astype(np.uint16) * 300
    tifffile.imwrite(tmp_path / "a.tif", labels)
    assert np.array_equal(read_masks(tmp_path / "a.tif", picture())[0], labels)
