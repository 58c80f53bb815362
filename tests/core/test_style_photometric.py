"""Styles of each pixel by its own value: stains, landmarks, and what holds for all of them."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_unetstyle._sample_data import sample_folder
from napari_unetstyle.core import KeptStyle, Reference, StyleBank, as_image, check_content, read_image, stylize
from napari_unetstyle.core.errors import StyleFileError
from napari_unetstyle.core.style.change import StyleOptions, change_of
from napari_unetstyle.core.style.kept_style import read_style
from napari_unetstyle.core.style.photometric import METHODS
from napari_unetstyle.core.style.pixels import luminance
from napari_unetstyle.core.style.stylize import Styling

HEMATOXYLIN, EOSIN = (0.65, 0.70, 0.29), (0.07, 0.99, 0.11)  # Ruifrok and Johnston 2001
OTHER = (0.72, 0.55, 0.42), (0.25, 0.93, 0.26)


def section(stains=(HEMATOXYLIN, EOSIN), seed=0, amounts=(1.5, 0.7), shape=(96, 110)):
    """A drawn section ``(3, *shape)`` in 0..1: nuclei of one dye, tissue of the other, and bare glass."""
    from scipy import ndimage

    rng = np.random.default_rng(seed)
    units = np.array(stains) / np.linalg.norm(stains, axis=1, keepdims=True)
    nuclei, tissue = (ndimage.gaussian_filter(rng.standard_normal(shape), s) for s in (2, 6))
    first = np.where(nuclei > nuclei.std(), amounts[0] * rng.uniform(0.5, 1, shape), 0)
    second = np.where((tissue > -tissue.std()) & (first == 0), amounts[1] * rng.uniform(0.5, 1, shape), 0)
    density = np.tensordot(units.T, np.stack([first, second]), 1)
    return np.exp(-density).astype(np.float32)


def scan(seed=0, shape=(60, 70), high=0.9):
    """A drawn MR slice ``(1, *shape)`` in 0..1: dark air with noise, and three tissues."""
    from scipy import ndimage

    rng = np.random.default_rng(seed)
    field = ndimage.gaussian_filter(rng.standard_normal(shape), 6)
    levels = np.array([0.02, 0.3, 0.5, 1]) * high
    values = levels[np.digitize(field / field.std(), (0, 0.7, 1.4))]
    return np.abs(values + rng.normal(0, 0.01, shape))[np.newaxis].clip(0, 1).astype(np.float32)


def degrees(one, other):
    one, other = (np.asarray(v) / np.linalg.norm(v) for v in (one, other))
    return float(np.degrees(np.arccos(np.clip(one @ other, -1, 1))))


def changed(content, wanted, method, pixels=None, **options):
    options = StyleOptions(method=method, **options)
    return change_of(Reference.of_unit(content), wanted, options)(content if pixels is None else pixels)


# Stains


@pytest.mark.parametrize("stains", [(HEMATOXYLIN, EOSIN), OTHER])
@pytest.mark.parametrize("seed", range(3))
def test_drawn_stains_are_found(stains, seed):
    found = Reference.of_unit(section(stains, seed))
    assert all(degrees(got, drawn) < 5 for got, drawn in zip(found.stains, stains, strict=True))
    assert found.amounts == pytest.approx((1.5, 0.7), rel=0.15)
    assert np.linalg.norm(found.stains, axis=1) == pytest.approx(1, abs=1e-5)


def test_a_section_in_its_own_stains_stays_as_it_is():
    pixels = section()
    assert np.abs(changed(pixels, Reference.of_unit(pixels), "stain") - pixels).max() < 1e-3


def test_a_section_takes_the_stains_of_another():
    content, style = section(seed=1), section(OTHER, 2, (1.3, 0.9))
    made = Reference.of_unit(changed(content, Reference.of_unit(style), "stain"))
    assert all(degrees(got, aim) < 5 for got, aim in zip(made.stains, OTHER, strict=True))
    assert made.amounts == pytest.approx((1.3, 0.9), rel=0.15)


def test_nuclei_stay_nuclei_where_their_hue_is_that_of_the_tissue_elsewhere():
    content, style = section(seed=1), section((EOSIN, HEMATOXYLIN), 2)
    nuclei = luminance(content) < np.median(luminance(content)) - 0.1
    made = luminance(changed(content, Reference.of_unit(style), "stain"))
    assert made[nuclei].max() < np.median(made[~nuclei])


@pytest.mark.parametrize("rows", [1, 2, 8])
def test_a_black_border_is_no_dye(rows):
    picture = np.asarray(read_image(sample_folder() / "nuclei-he.tif").array)
    padded = picture.copy()
    padded[:rows] = 0
    clean, seen = (Reference.of(np.moveaxis(pixels, -1, 0)) for pixels in (picture, padded))
    assert all(degrees(got, aim) < 3 for got, aim in zip(seen.stains, clean.stains, strict=True))
    assert seen.amounts == pytest.approx(clean.amounts, rel=0.1)


def test_gray_is_no_dye():
    assert Reference.of_unit(section(((0.58, 0.58, 0.58), EOSIN), amounts=(1.5, 1.0))).stains is None


@pytest.mark.parametrize("name", ["he-dark", "he-light"])
def test_labels_of_our_own_section_survive_the_bundled_stains(name):
    folder = sample_folder()
    picture = read_image(folder / "nuclei-he.tif")
    labels = np.asarray(read_image(folder / "truth" / "nuclei-he.tif").array)
    made = stylize(picture, name, "stain").image.array
    assert check_content(*(np.moveaxis(np.asarray(a), -1, 0) for a in (picture.array, made)), labels).holds


def test_bundled_stains_are_moved_to_each_other():
    light, dark = (StyleBank().load(name).reference for name in ("he-light", "he-dark"))
    content = section(dark.stains, amounts=(0.8, 1.2))
    made = Reference.of_unit(changed(content, light, "stain"))
    assert all(degrees(got, aim) < 5 for got, aim in zip(made.stains, light.stains, strict=True))


def test_what_is_bare_stays_bare():
    pixels = section()
    bare = (pixels == 1).all(axis=0)
    assert bare.any()
    assert np.allclose(changed(pixels, Reference.of_unit(section(OTHER)), "stain")[:, bare], 1)


@pytest.mark.parametrize(
    "pixels",
    [
        scan(),
        np.repeat(scan(), 3, axis=0),
        0.2 * section(),  # dark, as fluorescence in false colors
        np.full((3, 40, 40), 0.9, np.float32),
        section(((0.3, 0.9, 0.3), EOSIN)),  # two pinks
        section((HEMATOXYLIN, HEMATOXYLIN)),
    ],
    ids=["gray", "gray in colors", "dark", "empty", "no hematoxylin", "one dye"],
)
def test_where_there_are_no_two_stains_none_are_found_and_that_is_said(pixels):
    assert Reference.of_unit(pixels).dyes is None
    picture, style = as_image(np.rint(255 * pixels).astype(np.uint8), axes="CYX"), Reference.of_unit(section())
    styled = stylize(picture, style, "stain")
    assert any("cannot be told apart in the picture;" in note for note in styled.notes)
    assert np.array_equal(styled.image.array, stylize(picture, style).image.array)
    assert not any("stains" in note for note in stylize(picture, style, "stain", strength=0).notes)


def test_stained_pictures_are_not_inverted_though_one_seems_bright_on_dark():
    content, wanted = (Reference.of_unit(section(seed=i)) for i in (0, 1))
    odd = Reference.of_stated({**content.stated(), "polarity": 0.9})
    pixels = section()
    assert np.array_equal(
        change_of(odd, wanted, StyleOptions(method="stain"))(pixels),
        change_of(content, wanted, StyleOptions(method="stain"))(pixels),
    )


def test_stains_are_stated_mixed_and_lost_in_gray():
    one, other = Reference.of_unit(section()), Reference.of_unit(section(OTHER))
    again = Reference.of_stated(json.loads(json.dumps(one.stated())))
    assert np.allclose(again.stains, one.stains)
    assert np.allclose(again.amounts, one.amounts)
    plain = Reference.of_unit(section((HEMATOXYLIN, HEMATOXYLIN)))
    assert "stains" not in plain.stated()
    assert np.allclose(Reference.mixed([one, plain]).stains, one.stains, atol=1e-6)
    middle = Reference.mixed([one, other])
    assert np.allclose(np.linalg.norm(middle.stains, axis=1), 1, atol=1e-6)
    assert all(degrees(middle.stains[i], one.stains[i]) < degrees(other.stains[i], one.stains[i]) for i in (0, 1))
    assert [r.dyes for r in (one.gray(), one.inverted(), Reference.mixed([plain, plain]))] == [None] * 3


def test_a_kept_style_has_its_stains_and_an_older_one_loads_without(tmp_path):
    picture = as_image(np.moveaxis(np.rint(255 * section()).astype(np.uint8), 0, -1), axes="YXC")
    kept = KeptStyle.of("ours", [picture])
    path = tmp_path / "ours.style.json"
    path.write_text(kept.model_dump_json())
    assert np.allclose(read_style(path).reference.stains, kept.reference.stains)
    content = json.loads(path.read_text())
    for wrong in ({"amounts": None}, {"stains": [[1, 0, 0], [1, 0, 0]]}, {"stains": [[1, 0, 0]]}, {"amounts": [1, -1]}):
        path.write_text(json.dumps({**content, "statistics": {**content["statistics"], **wrong}}))
        with pytest.raises(StyleFileError):
            read_style(path)
    for name in ("stains", "amounts"):
        del content["statistics"][name]
    path.write_text(json.dumps(content))
    assert read_style(path).reference.dyes is None


# Landmarks


def test_landmarks_undo_a_bent_scale_however_much_air_there_is():
    wanted, bent = scan(), (0.1 + 0.5 * scan() ** 1.5).astype(np.float32)
    aired = np.pad(bent, ((0, 0), (0, 40), (0, 0)), constant_values=bent.min())
    made = {method: changed(aired, Reference.of_unit(wanted), method)[:, :60] for method in ("landmarks", "histogram")}
    tissue = wanted > 0.2
    errors = {method: np.abs(pixels - wanted)[tissue].mean() for method, pixels in made.items()}
    assert errors["landmarks"] < 0.02
    assert errors["histogram"] > 0.05


@given(seed=st.integers(0, 999), other=st.integers(0, 999), levels=st.integers(1, 40))
@settings(max_examples=40, deadline=None)
def test_landmarks_keep_the_order_of_pixels(seed, other, levels):
    rng = np.random.default_rng(seed)
    pixels = (np.rint(levels * rng.random((1, 20, 20)) ** rng.uniform(0.2, 5)) / levels).astype(np.float32)
    style = np.random.default_rng(other).beta(*rng.uniform(0.2, 4, 2), (1, 30, 30)).astype(np.float32)
    made = changed(pixels, Reference.of_unit(style), "landmarks", align=False)
    assert (np.diff(made.ravel()[np.argsort(pixels.ravel())]) >= 0).all()
    assert style.min() - 1e-6 <= made.min()
    assert made.max() <= style.max() + 1e-6


# All of them


@pytest.mark.parametrize("method", METHODS)
def test_a_part_is_changed_as_the_whole_is(method):
    pixels = np.rint(255 * section()).astype(np.uint8)
    styling = Styling.of(as_image(pixels, axes="CYX"), [Reference.of_unit(section(OTHER))], StyleOptions(method=method))
    whole = styling.part(slice(None))
    assert np.array_equal(styling.part(slice(10, 30), slice(5, 80)), whole[:, 10:30, 5:80])


@pytest.mark.parametrize("method", METHODS)
def test_a_stack_is_changed_slice_by_slice_with_one_style(method):
    stack = np.stack([section(seed=i) for i in range(3)], axis=1)
    content, wanted = Reference.of_unit(stack), Reference.of_unit(section(OTHER))
    change = change_of(content, wanted, StyleOptions(method=method))
    whole = change(stack)
    assert whole.shape == stack.shape
    assert all(np.allclose(change(stack[:, i]), whole[:, i], atol=1e-6) for i in range(3))


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("dtype", ["u1", "u2", "f4"])
def test_no_strength_changes_nothing_and_a_gray_style_makes_gray(method, dtype):
    pixels = (200 * section()).astype(dtype)
    picture = as_image(pixels, axes="CYX")
    same = stylize(picture, Reference.of_unit(section(OTHER)), method, strength=0).image.array
    assert np.allclose(np.asarray(same, float), np.asarray(pixels, float), atol=1e-3)
    gray = np.asarray(stylize(picture, Reference.of_unit(scan()), method).image.array)
    assert (gray == gray[:1]).all()


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize(
    "pixels",
    [
        np.full((3, 20, 20), 7, np.uint8),
        np.where(np.random.default_rng(0).random((3, 20, 20)) < 0.2, np.nan, section(shape=(20, 20))),
    ],
    ids=["constant", "holes"],
)
@pytest.mark.filterwarnings("error")
def test_constant_and_unknown_pixels_are_no_trouble(method, pixels):
    for style in (section(OTHER), scan()):
        styled = stylize(as_image(pixels, axes="CYX"), Reference.of_unit(style), method).image.array
        assert np.array_equal(np.isfinite(styled), np.isfinite(pixels))
