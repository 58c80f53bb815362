from __future__ import annotations

import pytest

from napari_unetstyle.core.training.scores import Comparison, Counts, Scores

OLD = (0.96, 0.93, 0.97, 0.97, 0.82, 0.87, 0.85, 0.91, 0.92, 0.69)


def scores(places, *old):
    """Of three places that are alike, and of old pictures."""
    counts = (Counts(100, 100, round(100 * places)),)
    return Scores((counts,) * 3, tuple((dice,) for dice in old))


@pytest.mark.parametrize(
    ("changes", "verdict"),
    [
        ((0.0,), "better"),
        ((-0.009,) * 10, "better"),
        ((-0.011,) * 10, "forgets"),
        ((-0.05, -0.08, 0, 0, 0, 0, 0, 0, 0, 0.07), "forgets"),  # swapped classes on two kinds of old pictures
        ((-0.02, -0.02, 0, 0, 0, 0, 0, 0, 0, 0), "better"),
    ],
)
def test_it_forgets_what_old_pictures_lose_together_or_one_of_them_alone(changes, verdict):
    after = [dice + change for dice, change in zip(OLD, changes, strict=False)]
    comparison = Comparison(scores(0.6, *OLD[: len(after)]), scores(0.7, *after))
    assert comparison.verdict == verdict
    assert ("one of them" in comparison.sentence()) == (verdict == "forgets")


def test_without_old_pictures_nothing_is_known_to_be_forgotten():
    assert Comparison(scores(0.6), scores(0.7)).verdict == "better"


def test_the_sentence_names_the_old_picture_that_lost_most():
    comparison = Comparison(scores(0.6, 0.9, 0.8), scores(0.7, 0.92, 0.75))
    assert "(one of them 0.800 to 0.750 Dice)" in comparison.sentence()


@pytest.mark.parametrize(
    ("before", "after", "verdict"),
    [(0.02, 0.05, "not better"), (0.02, 0.2, "better"), (0.6, 0.5, "not better"), (0.6, 0.7, "better")],
)
def test_who_finds_next_to_nothing_is_not_better_than_who_finds_less(before, after, verdict):
    """As after swapped classes, where the one contradicts the person's labels nearly as much as the other."""
    comparison = Comparison(scores(before), scores(after))
    assert comparison.verdict == verdict
    assert ("next to nothing" in comparison.sentence()) == (after < 0.1)


def of_classes(*dice, stray=0, looks=False):
    """Of three places with classes of a hundred pixels each, and pixels found of a last one that is nowhere."""
    counts = (*(Counts(100, 100, round(100 * one)) for one in dice), Counts(stray, 0, 0))
    return Scores((counts,) * 3, (), (counts,) * 3 if looks else ())


def test_a_stray_pixel_of_a_class_that_is_nowhere_costs_little_and_halves_no_score():
    before, after = of_classes(0.9, stray=1), of_classes(0.5)
    assert before.on_places == pytest.approx(0.9, abs=0.01)
    assert before.on_both == before.on_places
    assert Comparison(before, after).verdict == "not better"
    assert Comparison(after, before).verdict == "better"


def test_what_is_found_of_a_class_that_is_nowhere_counts_against_a_model():
    found = [of_classes(0.9, 0.8, stray=stray).on_places for stray in (0, 1, 20, 200)]
    assert found == sorted(found, reverse=True)
    assert found[-1] < 0.6
    assert found[0] == pytest.approx(0.85)
    nothing = [Scores(((Counts(stray, 0, 0),),) * 3, ()).on_places for stray in (0, 1)]
    assert nothing == [1.0, 0.0]


@pytest.mark.parametrize("looks", [False, True])
@pytest.mark.parametrize(("second", "verdict"), [(0.78, "better"), (0.75, "not better")])
def test_no_class_may_lose_whatever_is_gained_on_another(second, verdict, looks):
    comparison = Comparison(of_classes(0.5, 0.8, looks=looks), of_classes(0.9, second, looks=looks))
    assert comparison.verdict == verdict
    assert ("(one class 0.800 to 0.750 Dice)" in comparison.sentence()) == (verdict == "not better")


def test_of_a_single_class_the_mean_tells():
    comparison = Comparison(scores(0.8), scores(0.7))
    assert comparison.verdict == "not better"
    assert comparison.lost_class is None
