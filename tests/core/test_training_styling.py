from __future__ import annotations

import numpy as np

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
    return Reference.of_unit(pixels)


def test_pictures_get_the_styles_that_their_labels_survive(monkeypatch):
    monkeypatch.setattr(styling, "_JUDGED_BY", "histogram")  # erases what is rarer in the style
    seen = []
    found = run(iter_styled([discs((96, 96), count=8, seed=i) for i in range(2)], [dark(), speck()]), seen.append)
    assert (found.tried, found.dropped) == (4, 2)
    assert [len(example.style.bank) for example in found.examples] == [1, 1]
    assert "2 of 4 pairs of picture and style were left out" in found.note
    assert [(p.step, p.total) for p in seen] == [(1, 2), (2, 2)]


def test_a_picture_that_survives_no_style_stays_as_it_is(monkeypatch):
    monkeypatch.setattr(styling, "_JUDGED_BY", "histogram")
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
    assert run(iter_styled([part], [dark()])).dropped == 0


def test_volumes_take_gray_styles():
    volume = discs((24, 48, 48), count=6)
    found = run(iter_styled([volume], [Reference.of_unit(0.5 * volume.image)]))
    assert found.dropped == 0
    styled = found.examples[0].style(volume.image, np.random.default_rng(1), found.examples[0].look)
    assert styled.shape == volume.image.shape


def with_its_texture(seed=9):
    look = 1 - 0.6 * discs((80, 90), count=8, seed=seed).image
    return with_texture(Reference.of_unit(look), look)


def test_texture_is_taken_where_the_labels_survive_it(monkeypatch):
    picture = discs((96, 96), count=8)
    found = run(iter_styled([picture], [with_its_texture(), dark()]))
    assert (found.textured, found.plain, found.note) == (1, 0, "")
    (example,) = found.examples
    assert example.style.methods == ("moments", "automatic", "any")
    assert [style.texture is not None for style in example.style.bank] == [True, False]
    monkeypatch.setattr(styling, "in_style", erasing_with_texture)
    found = run(iter_styled([picture], [with_its_texture()]))
    assert (found.dropped, found.textured, found.plain) == (0, 1, 1)
    assert found.note == "1 of 1 do without the texture of the style, for the same reason."
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
