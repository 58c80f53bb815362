"""A model that shall also read other looks is measured in them, on places that were held out."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from napari_unetstyle.core import ModelStore, Reference, fine_tune, run
from napari_unetstyle.core.segmentation.options import SegmentOptions
from napari_unetstyle.core.style.stylize import stylize
from napari_unetstyle.core.training.lessons import sayings
from napari_unetstyle.core.training.looks import iter_looks
from napari_unetstyle.core.training.places import hold_out
from napari_unetstyle.core.training.scores import FOUND, TOLERATED, Comparison, Counts, Scores
from tests.core.networks_for_tests import tiny_model
from tests.core.teaching_for_tests import QUICK, small_picture
from tests.core.training_for_tests import discs


def dark(seed: int = 5) -> Reference:
    return Reference.of_unit(1 - 0.5 * discs((60, 70), seed=seed).image, f"dark {seed}")


@pytest.fixture
def split(tmp_path):
    said = sayings([small_picture(0), small_picture(1)], tiny_model(tmp_path).spec)
    return said, hold_out(said, np.random.default_rng(0))[1]


def test_each_picture_is_looked_at_in_each_style_as_stylize_makes_it(split):
    said, places = split
    looks = run(iter_looks(said, places, [dark(5), dark(6)], SegmentOptions()))
    assert len(looks) == 2 * len({place.said for place in places})
    assert {place for look in looks for place in look.places} <= set(places)
    for look, style in zip(looks, [dark(5), dark(6)] * len(looks), strict=False):
        whole = stylize(said[look.said].correction.image, style).image.array
        np.testing.assert_array_equal(np.asarray(look.image.array[:, :]), whole)


def test_at_most_three_styles_are_looked_at(split):
    said, places = split
    looks = run(iter_looks(said, places, [dark(i) for i in range(7)], SegmentOptions()))
    assert len(looks) == 3 * len({place.said for place in places})


def test_a_place_whose_labels_no_longer_fit_does_not_count(split, monkeypatch):
    said, places = split
    fits = iter([False] + [True] * 99)
    monkeypatch.setattr("napari_unetstyle.core.training.looks._fits", lambda *_: next(fits))
    looks = run(iter_looks(said, places, [dark()], SegmentOptions()))
    assert sum(len(look.places) for look in looks) == len(places) - 1


@pytest.mark.long
def test_a_teaching_with_styles_is_measured_in_them_before_and_after(tmp_path):
    tiny_model(tmp_path)
    store = ModelStore(tmp_path)
    options = QUICK | {"steps": 4}
    plain = fine_tune([small_picture(0), small_picture(1)], "tiny", store=store, **options).comparison
    assert plain.child.looks == plain.parent.looks == ()
    candidate = fine_tune([small_picture(0), small_picture(1)], "tiny", store=store, **options, styles=(dark(),))
    comparison = candidate.comparison
    assert len(comparison.child.looks) == len(comparison.parent.looks) > 0
    assert "in the other looks" in comparison.sentence()
    assert Comparison.from_json(comparison.to_json()) == comparison
    rows = [row.data for row in candidate.keep(store).spec.card.measured]
    assert "the same places in the other looks, this model" in rows


def scores(own: float, looks: float | None) -> Scores:
    def place(dice: float) -> tuple[Counts, ...]:
        return (Counts(10**6, 10**6, round(dice * 10**6)),)

    return Scores((place(own),) * 3, (), () if looks is None else (place(looks),) * 2)


share = st.floats(FOUND + 0.01, 1).map(lambda x: round(x, 3))


@given(share, share, share, share)
def test_who_loses_on_either_does_not_take_over(own, looks, new_own, new_looks):
    comparison = Comparison(scores(own, looks), scores(new_own, new_looks))
    loses = min(new_own - own, new_looks - looks) < -TOLERATED - 1e-6
    gains = new_own + new_looks > own + looks + 1e-6
    if loses or not gains:
        assert comparison.verdict == "not better"
    if gains and min(new_own - own, new_looks - looks) > -TOLERATED + 1e-6:
        assert comparison.verdict == "better"


@given(share, share)
def test_without_other_looks_any_gain_counts(own, new_own):
    comparison = Comparison(scores(own, None), scores(new_own, None))
    assert comparison.verdict == ("better" if new_own > own else "not better")


def test_a_model_that_reads_the_other_looks_better_takes_over_and_old_pictures_still_count():
    before, after = scores(0.9, 0.3), scores(0.895, 0.8)
    assert Comparison(before, after).takes_over
    forgets = dataclasses.replace(after, old=((0.8,),))
    assert Comparison(dataclasses.replace(before, old=((0.9,),)), forgets).verdict == "forgets"
