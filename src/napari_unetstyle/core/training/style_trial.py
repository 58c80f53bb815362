"""Teaching with and without styles, side by side: whether they helped, and how sure that is."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from napari_unetstyle.core.annotation.corrections import Correction
from napari_unetstyle.core.errors import OptionError
from napari_unetstyle.core.models.model import Model
from napari_unetstyle.core.models.store import ModelStore
from napari_unetstyle.core.progress import Progress, Steps, run, share
from napari_unetstyle.core.training.candidate import Candidate
from napari_unetstyle.core.training.comparison import iter_scores
from napari_unetstyle.core.training.finetune import iter_fine_tune
from napari_unetstyle.core.training.lessons import sayings
from napari_unetstyle.core.training.looks import iter_looks
from napari_unetstyle.core.training.options import FineTuneOptions
from napari_unetstyle.core.training.places import Place, hold_out
from napari_unetstyle.core.training.scores import ENOUGH, TOLERATED, Counts, Scores, together

_DRAWS = 2000
_TAILS = (2.5, 97.5)
_TAUGHT = 0.46  # share of the time that each of the two teachings takes


@dataclass(frozen=True)
class Difference:
    """Dice with styles less Dice without.

    Attributes
    ----------
    with_styles, without
        Over all places.
    low, high
        95 % interval of the difference: places drawn again with replacement, the same for both (paired bootstrap); a
        place in several looks is drawn as one.
    places
        How many different ones there are.
    """

    with_styles: float
    without: float
    low: float
    high: float
    places: int

    @property
    def value(self) -> float:
        """The difference over all places."""
        return self.with_styles - self.without

    @classmethod
    def of(
        cls,
        with_styles: Sequence[tuple[Counts, ...]],
        without: Sequence[tuple[Counts, ...]],
        places: Sequence[Place] | None = None,
    ) -> Difference:
        """Of the counts of the same places; `places` says which each is of, where one is there several times.

        Raises
        ------
        ValueError
            If there are none, or not as many of the one as of the other.
        """
        if len(with_styles) != len(without) or not without:
            raise ValueError(f"a difference needs the same places, got {len(with_styles)} and {len(without)}")
        groups: dict[int | Place, list[int]] = {}
        for i in range(len(without)):
            groups.setdefault(i if places is None else places[i], []).append(i)
        members = list(groups.values())
        draws = np.random.default_rng(0).integers(len(members), size=(_DRAWS, len(members)))

        def both(drawn: Sequence[int]) -> tuple[float, float]:
            index = [i for group in drawn for i in members[group]]
            one, other = (together([counts[i] for i in index]) or 0.0 for counts in (with_styles, without))
            return one, other

        apart = [one - other for one, other in (both(draw.tolist()) for draw in draws)]
        low, high = np.percentile(apart, _TAILS)
        return cls(*both(range(len(members))), float(low), float(high), len(members))

    def __str__(self) -> str:
        found = f"{self.without:.3f} without and {self.with_styles:.3f} with them"
        return f"Dice {found} ({self.low:+.3f} to {self.high:+.3f}, {self.places} places)"


class Teach(Protocol):
    """A teaching, as :func:`~napari_unetstyle.core.training.finetune.iter_fine_tune` is one."""

    def __call__(
        self, corrections: Sequence[Correction], parent: Model, options: FineTuneOptions, *, store: ModelStore
    ) -> Steps[Candidate]:
        """Teach as a job."""


@dataclass(frozen=True, kw_only=True, eq=False)
class StyleTrial:
    """The same teaching with and without styles.

    Attributes
    ----------
    with_styles, without
        What came of each. Both lie aside: see :meth:`settled`. There is none without styles where the trial was stopped
        before both were taught.
    own, looks
        What styles changed on held-out places as they are, and in the other looks; None where there are too few.
    """

    with_styles: Candidate
    without: Candidate | None
    own: Difference | None
    looks: Difference | None

    @property
    def helps(self) -> bool:
        """Whether the other looks are read better, and the person's own pictures lose no more than 0.01 Dice."""
        if self.own is None or self.looks is None:
            return False
        return self.looks.low > 0 and self.own.value >= -TOLERATED

    @property
    def better(self) -> Candidate:
        """The one to use: with styles where they help, else without if there is one."""
        return self.with_styles if self.helps or self.without is None else self.without

    def settled(self, store: ModelStore | None = None) -> Candidate:
        """The better one; the other is removed."""
        for other in (self.with_styles, self.without):
            if other is not None and other is not self.better:
                other.forget(store)
        return self.better

    def sentence(self) -> str:
        """What was found, for a person."""
        if self.without is None:
            return "Stopped before it was taught without styles, too, so the two could not be compared."
        if self.own is None or self.looks is None:
            return (
                "With and without styles could not be compared, so it is the one without: too few places are judged "
                "right, or their labels fit in none of the looks. Call more areas right."
            )
        verdict = "Styles help" if self.helps else "Styles do not surely help"
        return f"{verdict}: in the other looks {self.looks}, on your pictures {self.own}."


def try_styles(
    corrections: Sequence[Correction],
    parent: Model | str | Path = "nuclei",
    *,
    store: ModelStore | None = None,
    on_progress: Callable[[Progress], None] | None = None,
    **options: Any,
) -> StyleTrial:
    """Teach twice, with styles and without, and compare the two on the same held-out places.

    Parameters
    ----------
    corrections, parent, store, on_progress, **options
        As for :func:`~napari_unetstyle.core.fine_tune`, with ``styles``. Each teaching takes the whole time.

    Returns
    -------
    StyleTrial
        ``trial.settled().keep()`` makes the better one a model with a name, and removes the other.

    Raises
    ------
    UnetstyleError
        As :func:`~napari_unetstyle.core.fine_tune`, and where no style is given.
    """
    return run(iter_try_styles(corrections, parent, FineTuneOptions(**options), store=store), on_progress)


def iter_try_styles(
    corrections: Sequence[Correction],
    parent: Model | str | Path,
    options: FineTuneOptions,
    *,
    store: ModelStore | None = None,
    teach: Teach = iter_fine_tune,
    should_stop: Callable[[], bool] = lambda: False,
) -> Steps[StyleTrial]:
    """Like :func:`try_styles`, as a job.

    `teach` does each of the two teachings. When `should_stop` says so it has to end them early; what is taught with
    styles by then is all there is.
    """
    if not options.styles:
        raise OptionError("There is nothing to try: give at least one style, a picture or a name of the bank.")
    if options.folder is not None:
        raise OptionError("A trial teaches twice and cannot be gone on with: leave out the folder.")
    shelf = store or ModelStore()
    model = parent if isinstance(parent, Model) else shelf.load(parent)
    done: list[Candidate] = []
    with contextlib.ExitStack() as undo:  # also where the job is closed early: nobody else hears of them
        for number, styles in enumerate((options.styles, ())):
            steps = teach(corrections, model, replace(options, styles=styles), store=shelf)
            done.append((yield from share(steps, number * _TAUGHT, (number + 1) * _TAUGHT, (number + 1, 2))))
            undo.callback(done[-1].forget, shelf)
            if should_stop():
                break
        if should_stop():
            for unfinished in done[1:]:
                unfinished.forget(shelf)
            undo.pop_all()
            return StyleTrial(with_styles=done[0], without=None, own=None, looks=None)
        own, looks = yield from share(_iter_compared(corrections, done, options), 2 * _TAUGHT, 1.0)
        undo.pop_all()
    return StyleTrial(with_styles=done[0], without=done[1], own=own, looks=looks)


def _iter_compared(
    corrections: Sequence[Correction], candidates: Sequence[Candidate], options: FineTuneOptions
) -> Steps[tuple[Difference | None, Difference | None]]:
    """Both on the places that neither learned from: the same ones, as the same seed held them out."""
    said = sayings(corrections, candidates[0].model.spec)
    places = hold_out(said, np.random.default_rng(options.seed))[1]
    looks = yield from share(iter_looks(said, places, options.styles, options.segment), 0.0, 0.1)
    scores: list[Scores] = []
    for number, candidate in enumerate(candidates):
        steps = iter_scores(candidate.model, said, places, (), options.segment, looks)
        scores.append((yield from share(steps, 0.1 + 0.45 * number, 0.55 + 0.45 * number)))
    seen = [place for look in looks for place in look.places]
    one, other = scores
    own = Difference.of(one.places, other.places) if len(places) >= ENOUGH else None
    is_enough = len(set(seen)) >= ENOUGH
    return own, Difference.of(one.looks, other.looks, seen) if is_enough else None
