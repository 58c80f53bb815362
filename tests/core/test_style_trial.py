"""With styles and without: taught alike, compared on the same places, and the better one used."""

from __future__ import annotations

import contextlib

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from napari_unetstyle.core import ModelStore, Reference, run, try_styles
from napari_unetstyle.core.errors import OptionError
from napari_unetstyle.core.training.finetune import iter_fine_tune
from napari_unetstyle.core.training.options import FineTuneOptions
from napari_unetstyle.core.training.places import Place
from napari_unetstyle.core.training.scores import Counts
from napari_unetstyle.core.training.style_trial import Difference, StyleTrial, iter_try_styles
from tests.core.networks_for_tests import tiny_model
from tests.core.teaching_for_tests import QUICK, small_picture
from tests.core.training_for_tests import discs

FEW = QUICK | {"steps": 3}


@pytest.fixture
def store(tmp_path):
    tiny_model(tmp_path)
    return ModelStore(tmp_path)


def looks() -> tuple[Reference, ...]:
    return (Reference.of_unit(1 - 0.5 * discs((60, 70), seed=5).image, "dark"),)


@pytest.mark.long
def test_both_are_taught_alike_and_one_is_kept(store):
    before = set(store.root.iterdir())
    trial = try_styles([small_picture(0), small_picture(1)], "tiny", store=store, **FEW, styles=looks())
    assert trial.own is not None
    assert trial.looks is not None
    assert [place.box for place in trial.with_styles.places] == [place.box for place in trial.without.places]
    assert "styles 1" in trial.with_styles.model.spec.provenance["recipe"]
    assert "styles 0" in trial.without.model.spec.provenance["recipe"]
    measured = trial.with_styles.comparison.child.on_looks
    assert measured is not None
    assert trial.better in (trial.with_styles, trial.without)
    assert "in the other looks" in trial.sentence()
    kept = trial.settled(store).keep(store)
    assert set(store.root.iterdir()) - before == {kept.folder}


def test_a_trial_that_is_given_up_leaves_nothing(store):
    before = set(store.root.iterdir())
    job = iter_try_styles([small_picture(0)], "tiny", FineTuneOptions(**FEW, styles=looks()), store=store)
    with contextlib.closing(job):
        for progress in job:
            if progress.fraction > 0.93:
                break
    assert set(store.root.iterdir()) == before


@pytest.mark.parametrize("after", [1, 2])
def test_one_that_is_stopped_has_only_what_was_taught_with_styles(store, after):
    before, taught = set(store.root.iterdir()), []

    def teach(*given, **more):
        taught.append((yield from iter_fine_tune(*given, **more)))
        return taught[-1]

    options, stopped = FineTuneOptions(**FEW, styles=looks()), lambda: len(taught) >= after
    given = {"store": store, "teach": teach, "should_stop": stopped}
    trial = run(iter_try_styles([small_picture(0)], "tiny", options, **given))
    assert (trial.with_styles, trial.without) == (taught[0], None)
    assert not trial.helps
    assert "Stopped" in trial.sentence()
    kept = trial.settled(store).keep(store)
    assert set(store.root.iterdir()) - before == {kept.folder}


def test_without_styles_there_is_nothing_to_try(store):
    with pytest.raises(OptionError, match="at least one style"):
        try_styles([small_picture(0)], "tiny", store=store, **FEW)


def test_too_few_places_are_said(store):
    few = small_picture(0, touched=frozenset({1, 2}))
    trial = try_styles([few], "tiny", store=store, **FEW, styles=looks())
    assert trial.own is None
    assert not trial.helps
    assert "could not be compared" in trial.sentence()


counts = st.tuples(st.integers(0, 50), st.integers(0, 50)).map(lambda pair: (Counts(max(pair), 50, min(pair)),))


@pytest.mark.long
@given(st.lists(st.tuples(counts, counts), min_size=1, max_size=6))
def test_the_interval_is_around_the_difference_and_turns_with_it(pairs):
    one, other = zip(*pairs, strict=True)
    there, back = Difference.of(one, other), Difference.of(other, one)
    assert there.low - 1e-9 <= there.high
    assert there.value == pytest.approx(-back.value)
    assert (there.low, there.high) == pytest.approx((-back.high, -back.low))
    same = Difference.of(one, one)
    assert (same.value, same.low, same.high) == (0, 0, 0)


def test_a_place_in_several_looks_is_one_place():
    counts = [(Counts(100, 100, both),) for both in (50, 60, 70)]
    better = [(Counts(100, 100, both),) for both in (55, 80, 71)]
    places = [Place(0, ()) for _ in range(3)]
    once = Difference.of(better, counts, places)
    thrice = Difference.of(better * 3, counts * 3, places * 3)
    assert (thrice.low, thrice.high, thrice.places) == pytest.approx((once.low, once.high, 3))


def test_the_interval_is_that_of_the_normal_approximation_where_there_are_many_places():
    rng = np.random.default_rng(0)
    gains = rng.normal(0.1, 0.05, 200)
    without = [(Counts(1000, 1000, 500),)] * 200
    with_styles = [(Counts(1000, 1000, round(1000 * (0.5 + g))),) for g in gains]
    found = Difference.of(with_styles, without)
    spread = 1.96 * gains.std() / 200**0.5
    assert found.value == pytest.approx(gains.mean(), abs=1e-3)
    assert found.low == pytest.approx(gains.mean() - spread, abs=2e-3)
    assert found.high == pytest.approx(gains.mean() + spread, abs=2e-3)


@pytest.mark.parametrize(
    ("own", "other", "helps"), [(0.0, 0.1, True), (-0.02, 0.1, False), (0.0, -0.1, False), (-0.005, 0.1, True)]
)
def test_styles_help_where_the_looks_gain_surely_and_the_own_pictures_lose_nothing(own, other, helps):
    def sure(value: float) -> Difference:
        return Difference(0.5 + value, 0.5, value - 0.01, value + 0.01, 9)

    one, two = object(), object()
    trial = StyleTrial(with_styles=one, without=two, own=sure(own), looks=sure(other))  # type: ignore[arg-type]
    assert trial.helps == helps
    assert trial.better is (one if helps else two)
    assert ("Styles help" in trial.sentence()) == helps
