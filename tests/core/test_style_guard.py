"""Styles are held back while a person's own pictures pay for them."""

from __future__ import annotations

import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st

from napari_unetstyle.core import ModelStore, Reference, run
from napari_unetstyle.core.training import finetune
from napari_unetstyle.core.training.drawing import Drawing
from napari_unetstyle.core.training.options import FineTuneOptions
from napari_unetstyle.core.training.scores import Counts, Scores
from napari_unetstyle.core.training.style_guard import StyleGuard
from napari_unetstyle.core.training.styling import iter_styled
from tests.core.networks_for_tests import tiny_model
from tests.core.teaching_for_tests import QUICK, small_picture
from tests.core.training_for_tests import discs


def scores(own: float, looks: float | None = 0.5) -> Scores:
    def place(dice: float) -> tuple[Counts, ...]:
        return (Counts(10**6, 10**6, round(dice * 10**6)),)

    return Scores((place(own),) * 3, (), () if looks is None else (place(looks),))


def levels(*measured: tuple[float, float]) -> list[float]:
    """After each measurement of (own pictures, other looks), of a model that was at 0.9 and 0.5."""
    guard, found = StyleGuard({}, scores(0.9)), []
    for own, looks in measured:
        guard.heed(scores(own, looks))
        found.append(guard.share)
    return found


def test_harm_to_the_own_pictures_lowers_it_to_nothing():
    assert levels((0.895, 0.5), (0.88, 0.6), (0.85, 0.7), (0.80, 0.8), (0.80, 0.9)) == [1, 0.5, 0.25, 0, 0]


def test_what_helps_the_other_looks_raises_it_again_once_the_own_pictures_are_kept():
    harmed = ((0.8, 0.5),) * 3
    assert levels(*harmed, (0.9, 0.6), (0.9, 0.7), (0.9, 0.8), (0.9, 0.9))[3:] == [0.25, 0.5, 1, 1]
    assert levels(*harmed, (0.9, 0.4))[3:] == [0.25]  # the other looks miss it
    assert levels(*harmed, (0.9, 0.5), (0.9, 0.5))[3:] == [0, 0]  # they neither gain nor miss anything


def test_own_pictures_are_held_to_the_best_they_were():
    assert levels((0.93, 0.5), (0.915, 0.6), (0.921, 0.7)) == [1, 0.5, 1]


@given(st.lists(st.tuples(st.floats(0, 1), st.floats(0, 1)), max_size=20))
def test_share_and_strength_stay_in_their_range(measured):
    guard = StyleGuard({})
    for own, looks in measured:
        before = guard.share
        guard.heed(scores(own, looks))
        assert guard.share in (0, 0.25, 0.5, 1)
        assert 0.5 <= guard.strength <= 1
        assert (guard.strength < 1) == (guard.share < 1)
        assert abs(guard.share - before) <= 0.5


def test_without_other_looks_it_does_nothing():
    guard = StyleGuard({}, scores(0.9))
    guard.heed(scores(0.1, looks=None))
    assert guard.share == guard.strength == 1


def test_it_goes_on_from_its_notes():
    notes: dict[str, float] = {}
    StyleGuard(notes, scores(0.9)).heed(scores(0.5))
    assert StyleGuard(notes, scores(0.9)).share == 0.5


def dark() -> Reference:
    return Reference.of_unit(0.2 * discs((60, 70), seed=5).image, "dim")


def test_of_what_is_held_back_nothing_is_styled_and_all_of_it_is_the_same_bits(tmp_path):
    lessons = run(iter_styled([discs((96, 96), count=8)], [dark()])).examples
    draw = Drawing(spec=tiny_model(tmp_path).spec, lessons=lessons)
    rng = np.random.default_rng
    assert torch.equal(draw(rng(0)).images, draw(rng(0), 1.0).images)
    assert torch.equal(draw(rng(0)).images, draw(rng(0), 1.0, 1.0).images)
    assert not torch.equal(draw(rng(0)).images, draw(rng(0), 1.0, 0.5).images)
    assert torch.equal(draw(rng(0), 0.0).images, draw(rng(0), 0.0, 0.5).images)
    dim = [sum(bool(draw.patch(rng(i), share).image.max() < 0.3) for i in range(60)) for share in (1.0, 0.5, 0.0)]
    assert dim[0] > dim[1] > dim[2]


def test_labels_are_the_same_with_a_style_and_without(tmp_path):
    lessons = run(iter_styled([discs((96, 96), count=8)], [dark()])).examples
    draw = Drawing(spec=tiny_model(tmp_path).spec, lessons=lessons)
    changed = 0
    for seed in range(20):
        styled, plain = (draw.patch(np.random.default_rng(seed), share) for share in (1.0, 0.0))
        assert np.array_equal(styled.labels, plain.labels)
        changed += not np.array_equal(styled.image, plain.image)
    assert changed > 5


def test_a_teaching_that_goes_on_has_the_same_share_and_the_same_bits(tmp_path):
    """The own pictures are said to be bad at each measurement; stopped in between, it ends as it would have."""
    tiny_model(tmp_path / "models")
    store = ModelStore(tmp_path / "models")
    found = []
    for folder, stops in ((None, ()), (tmp_path / "work", (2,))):
        options = FineTuneOptions(**QUICK | {"steps": 4, "learning_rate": 5.0}, styles=(dark(),), folder=folder)
        for stop in stops:
            steps = finetune.iter_fine_tune([small_picture()], "tiny", options, store=store)
            for progress in steps:
                if getattr(progress, "loss", 0) and progress.fraction > 0.08 + 0.84 * stop / 4:
                    break
            steps.close()
        found.append(run(finetune.iter_fine_tune([small_picture()], "tiny", options, store=store)))
    one, other = (torch.cat([p.flatten() for p in c.model.network.parameters()]) for c in found)
    assert torch.equal(one, other)
    assert found[0].notes == found[1].notes
    assert "Other looks were" in " ".join(found[0].notes)
