from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from napari_unetstyle.core import Reference, run
from napari_unetstyle.core.style.any_style import with_texture
from napari_unetstyle.core.style.augment import in_style
from napari_unetstyle.core.training import styling
from napari_unetstyle.core.training.patches import Example
from napari_unetstyle.core.training.styling import iter_styled
from tests.core.training_for_tests import discs


def dark(seed=9):
    return Reference.of_unit(1 - 0.6 * discs((80, 90), count=8, seed=seed).image)


def speck():
    """A style of black pictures with a few specks: it leaves nothing to see of a picture full of discs."""
    pixels = np.zeros((3, 100, 100), np.float32)
    pixels[:, ::25, ::25] = 1
    return Reference.of_unit(pixels, "speck")


def test_pictures_get_the_styles_that_their_labels_survive(monkeypatch):
    monkeypatch.setattr(styling, "METHODS", ("histogram",))  # erases what is rarer in the style
    seen = []
    pictures = [replace(discs((96, 96), count=8, seed=0), name="a.tif"), discs((96, 96), count=8, seed=1)]
    found = run(iter_styled(pictures, [dark(), speck()]), seen.append)
    assert (found.tried, found.dropped) == (4, ("a.tif like speck", "picture 2 like speck"))
    assert [len(example.style.bank) for example in found.examples] == [1, 1]
    assert "2 of 4 pairs of picture and style were left out" in found.note
    assert "a.tif like speck, picture 2 like speck." in found.note
    assert [(p.step, p.total) for p in seen] == [(1, 2), (2, 2)]


def test_a_picture_that_survives_no_style_stays_as_it_is(monkeypatch):
    monkeypatch.setattr(styling, "METHODS", ("histogram",))
    (example,) = run(iter_styled([discs((96, 96), count=8)], [speck()])).examples
    assert example.style is None


def test_without_styles_nothing_is_looked_at():
    picture = discs((96, 96), count=8)
    found = run(iter_styled([picture], []))
    assert found.examples == [picture]
    assert found.note == ""


def test_what_nobody_judged_does_not_decide():
    """Unlabeled texture beside the valid part would be called made up if it counted."""
    picture = discs((96, 192), count=12)
    valid = np.zeros(picture.image.shape[1:], bool)
    valid[:, :96] = True
    part = Example(picture.image, picture.labels, valid)
    assert run(iter_styled([part], [dark()])).dropped == ()


def test_volumes_take_gray_styles():
    volume = discs((24, 48, 48), count=6)
    found = run(iter_styled([volume], [Reference.of_unit(0.5 * volume.image)]))
    assert found.dropped == ()
    styled = found.examples[0].style(volume.image, np.random.default_rng(1), found.examples[0].look)
    assert styled.shape == volume.image.shape


def test_styles_of_one_channel_and_of_two_are_taught_together_as_gray_ones():
    two = discs((96, 96), channels=2, count=8)
    styles = [Reference.of_unit(1 - 0.6 * two.image), Reference.of_unit(1 - 0.5 * two.image[:1])]
    (example,) = run(iter_styled([two], styles)).examples
    assert [style.channels for style in example.style.bank] == [1, 1]
    rng = np.random.default_rng(0)
    assert {example.style(two.image, rng).shape for _ in range(9)} == {two.image.shape}


def with_its_texture(seed=9):
    look = 1 - 0.6 * discs((80, 90), count=8, seed=seed).image
    return with_texture(Reference.of_unit(look), look)


def test_texture_is_taken_where_the_labels_survive_it(monkeypatch):
    picture = discs((96, 96), count=8)
    found = run(iter_styled([picture], [with_its_texture(), dark()]))
    assert (found.textured, found.plain, found.note) == (1, (), "")
    (example,) = found.examples
    assert example.style.methods == ("moments", "automatic", "any")
    assert [style.texture is not None for style in example.style.bank] == [True, False]
    monkeypatch.setattr(styling, "in_style", erasing_with_texture)
    found = run(iter_styled([picture], [with_its_texture()]))
    assert (found.dropped, found.textured, found.plain) == ((), 1, ("picture 1 like style 1",))
    assert "1 of 1 do without the texture" in found.note
    (example,) = found.examples
    assert example.style.methods == ("moments", "automatic")
    assert example.style.bank[0].texture is None


def test_volumes_take_the_colors_of_a_style_with_texture_alone():
    look = 0.5 * discs((80, 90), count=8).image[:1]
    volume = discs((24, 48, 48), count=6)
    (example,) = run(iter_styled([volume], [with_texture(Reference.of_unit(look), look)])).examples
    assert example.style.methods == ("moments", "automatic")
    assert example.style.bank[0].texture is None


def erasing_with_texture(pixels, content, wanted, options):
    return np.zeros_like(pixels) if options.method == "any" else in_style(pixels, content, wanted, options)


@pytest.mark.parametrize("bad", styling.METHODS)
def test_each_method_that_is_used_is_judged(monkeypatch, bad):
    def erasing(pixels, content, wanted, options):
        return np.zeros_like(pixels) if options.method == bad else in_style(pixels, content, wanted, options)

    monkeypatch.setattr(styling, "in_style", erasing)
    found = run(iter_styled([discs((96, 96), count=8)], [dark()]))
    assert len(found.dropped) == 1
    assert found.examples[0].style is None


def test_every_part_with_labels_is_judged(monkeypatch):
    """Only the right one of two parts is erased; the middle, as most of the picture, is not."""
    picture = discs((60, 700), count=40)

    def erasing_the_right(pixels, content, wanted, options):
        styled = in_style(pixels, content, wanted, options)
        is_right = np.shares_memory(pixels, picture.image[..., 508:]) and not np.shares_memory(
            pixels, picture.image[..., :500]
        )
        return np.zeros_like(styled) if is_right else styled

    assert run(iter_styled([picture], [dark()])).dropped == ()
    monkeypatch.setattr(styling, "in_style", erasing_the_right)
    assert len(run(iter_styled([picture], [dark()])).dropped) == 1


@pytest.mark.parametrize("shape", [(96, 96), (300, 700), (20, 70, 130)])
def test_parts_hold_labels_and_are_few(shape):
    marked = np.zeros(shape, bool)
    assert len(styling._boxes(marked)) == 1
    marked[..., -3:] = True
    marked[..., :2] = True
    boxes = styling._boxes(marked)
    assert 1 <= len(boxes) <= 3
    assert all(marked[box].any() for box in boxes)


def test_mixtures_go_as_far_as_the_labels_survive(monkeypatch):
    """What lies beyond the two styles is erased, then all that is between them, too."""
    picture, bank = discs((96, 96), count=8), [dark(1), dark(2)]
    known = [style.mean for style in bank]
    assert run(iter_styled([picture], bank)).examples[0].style.reach == 2

    def erasing_beyond(pixels, content, wanted, options):
        is_beyond = (wanted.mean < np.min(known, axis=0) - 1e-4).any()
        return np.zeros_like(pixels) if is_beyond else in_style(pixels, content, wanted, options)

    monkeypatch.setattr(styling, "in_style", erasing_beyond)
    found = run(iter_styled([picture], bank))
    assert (found.examples[0].style.reach, found.note) == (0.5, "")

    def erasing_mixtures(pixels, content, wanted, options):
        is_pure = any(np.array_equal(wanted.mean, mean) for mean in known)
        return in_style(pixels, content, wanted, options) if is_pure else np.zeros_like(pixels)

    monkeypatch.setattr(styling, "in_style", erasing_mixtures)
    found = run(iter_styled([picture], bank))
    assert (found.examples[0].style.reach, found.unmixed) == (0, ("picture 1",))
    assert "not mixed" in found.note
