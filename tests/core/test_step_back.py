"""A model that would forget goes back part of the way; nothing is left of those that are not taken."""

from __future__ import annotations

from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from napari_unetstyle.core.errors import OutputError
from napari_unetstyle.core.networks.spec import NetworkSpec
from napari_unetstyle.core.networks.unet import UNet
from napari_unetstyle.core.progress import Progress, run
from napari_unetstyle.core.training.scores import Counts, Scores
from napari_unetstyle.core.training.step_back import SHARES, Trials, between, iter_kept

SPEC = NetworkSpec(in_channels=1, widths=(2, 4))


def scores(places: float, old: float) -> Scores:
    """Dice on three places, and on one old picture."""
    counts = Counts(found=1000, true=1000, both=round(1000 * places))
    return Scores(places=((counts,),) * 3, old=((old,),))


class Shelf:
    """Candidates that are there, and what each is said to score by how far it has gone."""

    def __init__(self, told: dict[float, Scores]) -> None:
        self.told, self.there = told, list[Any]()

    @property
    def trials(self) -> Trials:
        return Trials(aside=self.aside, scored=self.scored, forget=self.there.remove)

    def aside(self, network: UNet, part: float) -> Any:
        child = SimpleNamespace(network=network, part=part)
        self.there.append(child)
        return child

    def scored(self, child: Any) -> Iterator[Progress]:
        yield Progress(1, 1)
        return self.told[child.part]


BEFORE = scores(0.80, 0.90)


@pytest.mark.parametrize(
    ("told", "taken"),
    [
        ({1.0: scores(0.90, 0.895)}, 1.0),  # it forgets little
        ({1.0: scores(0.90, 0.88), 0.75: scores(0.88, 0.89), 0.5: scores(0.85, 0.896)}, 0.5),  # 0.01 is not little
        ({1.0: scores(0.90, 0.88), 0.75: scores(0.88, 0.895)}, 0.75),
        ({1.0: scores(0.90, 0.5), **dict.fromkeys(SHARES, scores(0.9, 0.6))}, 1.0),  # it forgets all along
        ({1.0: scores(0.90, 0.5), **dict.fromkeys(SHARES, scores(0.8, 0.9))}, 1.0),  # nothing is left of the lesson
        ({1.0: scores(0.70, 0.91)}, 1.0),  # not better: nothing brings that back
    ],
)
def test_as_far_back_as_it_needs_and_only_if_it_then_takes_over(told: dict[float, Scores], taken: float) -> None:
    shelf, start, taught = Shelf(told), UNet(SPEC, 2), UNet(SPEC, 2)
    seen: list[Progress] = []
    child, after, part = run(iter_kept(taught, start, BEFORE, shelf.trials), seen.append)
    assert (part, child.part, after) == (taken, taken, told[taken])
    assert shelf.there == [child]
    assert [step.fraction for step in seen] == sorted(step.fraction for step in seen)


def test_whoever_ends_it_early_leaves_nothing_behind() -> None:
    told = {1.0: scores(0.90, 0.5), **dict.fromkeys(SHARES, scores(0.9, 0.6))}
    for steps in range(1, 4):
        shelf = Shelf(told)
        running = iter_kept(UNet(SPEC, 2), UNet(SPEC, 2), BEFORE, shelf.trials)
        for _ in range(steps):
            next(running)
        assert shelf.there
        running.close()
        assert shelf.there == []


def test_the_way_is_a_straight_line() -> None:
    start, end = UNet(SPEC, 2), UNet(SPEC, 2)
    for part, wanted in ((0.0, start), (1.0, end)):
        made = between(start, end, part)
        assert all(torch.allclose(a, b) for a, b in zip(made.parameters(), wanted.parameters(), strict=True))
    half = between(start, end, 0.5)
    for middle, one, other in zip(half.parameters(), start.parameters(), end.parameters(), strict=True):
        assert torch.allclose(middle, (one + other) / 2, atol=1e-6)
    assert half is not end


@pytest.mark.parametrize("is_stopped", [True, False])
def test_one_that_the_disk_refuses_is_done_without_only_where_a_person_says_so(is_stopped: bool) -> None:
    shelf = Shelf({1.0: scores(0.90, 0.88)})

    def aside(network: UNet, part: float) -> Any:
        if part < 1:
            raise OutputError("no room")
        return shelf.aside(network, part)

    trials = Trials(aside=aside, scored=shelf.scored, forget=shelf.there.remove, should_stop=lambda: is_stopped)
    steps = iter_kept(UNet(SPEC, 1), UNet(SPEC, 1), BEFORE, trials)
    if is_stopped:
        child, _, part = run(steps)
        assert (shelf.there, part) == ([child], 1.0)
    else:
        with pytest.raises(OutputError, match="no room"):
            run(steps)
        assert shelf.there == []
