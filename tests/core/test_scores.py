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
