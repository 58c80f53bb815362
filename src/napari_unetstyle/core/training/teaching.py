"""A teaching under way: the training loop, and the best it has come to on the held-out places."""

from __future__ import annotations

import contextlib
import copy
import math
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial

import numpy as np

from napari_unetstyle.core import device as devices
from napari_unetstyle.core.errors import OutputError
from napari_unetstyle.core.models.model import Model
from napari_unetstyle.core.models.spec import ModelSpec
from napari_unetstyle.core.networks.unet import UNet
from napari_unetstyle.core.progress import Steps, through
from napari_unetstyle.core.training.comparison import iter_scores
from napari_unetstyle.core.training.drawing import Batch, Drawing, losses
from napari_unetstyle.core.training.fit import Fit, Noted, advance_kept, share_done
from napari_unetstyle.core.training.lessons import Said
from napari_unetstyle.core.training.looks import Look
from napari_unetstyle.core.training.options import FineTuneOptions
from napari_unetstyle.core.training.places import Place
from napari_unetstyle.core.training.refused import Refused, iter_written
from napari_unetstyle.core.training.scores import Scores
from napari_unetstyle.core.training.style_guard import StyleGuard
from napari_unetstyle.core.training.train_progress import TrainProgress

_CAREFUL = 20  # first steps with a model that knows something: Adam's are large until it has seen some gradients
_WHOLE = 1000
_MEASURING = 0.1  # share of the training time that measuring in between may take
_MEASURED = 8  # times in between, where steps are counted


class Teaching:
    """Trains a network, and looks now and then how well it does on the held-out places, also in other looks.

    Parameters
    ----------
    spec
        What it is.
    network
        Trained in place.
    said, places
        What was said, and the places in it that are not learned from.
    options
        How to teach.
    usual_rate
        Learning rate, if the options leave it open.
    before
        Of the model that is taught.
    looks
        The places in other looks, which count as much as the places do.
    key
        Names all that the result depends on, for going on with an interrupted teaching.
    """

    def __init__(
        self,
        spec: ModelSpec,
        network: UNet,
        said: Sequence[Said],
        places: Sequence[Place],
        options: FineTuneOptions,
        *,
        usual_rate: float,
        before: Scores | None = None,
        looks: Sequence[Look] = (),
        key: str = "",
    ) -> None:
        _freeze(network, options.learn)
        self._fit = replace(options.fit(usual_rate), least_warmup=0 if before is None else _CAREFUL)
        self.state = Fit.of(network.to(devices.resolve(options.device)).train(), self._fit)
        self.score = None if before is None or options.add_classes else before.on_both  # which it could not know
        self._before = before
        self._spec, self._said, self._places, self._options, self._key = spec, said, places, options, key
        self._looks = looks
        self._cost, self._log = 0.0, Noted(None)

    @property
    def rate(self) -> float:
        """The highest learning rate."""
        return self._fit.learning_rate

    @property
    def checked(self) -> int:
        """In how many pictures, stacks or series the held-out places lie."""
        return len({self._said[place.said].stack for place in self._places})

    @property
    def best(self) -> UNet:
        """The averaged weights that did best on the held-out places; the last ones if there are none."""
        network = copy.deepcopy(self.state.average)
        assert isinstance(network, UNet)
        if self.state.best:
            network.load_state_dict(self.state.best)
        return network

    def iter_taught(
        self,
        drawing: Drawing,
        should_stop: Callable[[], bool] = lambda: False,
        clock: Callable[[], float] = time.monotonic,
    ) -> Steps[None]:
        """Train to the end, or until told to stop; go on with what is in the folder of the options.

        Raises
        ------
        ModelFileError
            If the folder is of another teaching.
        OutputError
            If it cannot be written to, and nobody waits for space or wants it to stop; what was there is whole, and
            can be gone on with.
        """
        self._fit = replace(self._fit, epoch=drawing.epoch)
        folder = self._options.folder
        if folder is not None and self.state.load(folder, self._key) and self.state.highest >= 0:
            self.score = self.state.highest
        guard = self._guard
        with contextlib.closing(Noted(folder)) as self._log:
            yield from _iter_or_stopped(
                self._iter_trained(lambda rng: drawing(rng, guard.share, guard.strength), should_stop, clock),
                should_stop,
            )
            if self._places and self.state.measured_at < self.state.seconds:
                yield from self._iter_measured(self._done, clock)
                if folder is not None:
                    saved = iter_written(partial(self.state.save, folder, self._key), _WHOLE, _WHOLE)
                    yield from _iter_or_stopped(saved, should_stop)

    def _iter_trained(
        self,
        draw: Callable[[np.random.Generator], Batch],
        should_stop: Callable[[], bool],
        clock: Callable[[], float],
    ) -> Steps[None]:
        if self._is_due():  # where it was interrupted
            yield from self._iter_measured(self._done, clock)
        if self._is_in_vain:
            return
        steps = advance_kept(self.state, draw, losses, self._fit, clock, self._key, log=self._log)
        with contextlib.closing(steps):  # writes down how far it has come
            for progress in steps:
                if isinstance(progress, Refused):
                    yield progress
                    continue
                yield self._progress(progress.fraction)
                if should_stop():
                    return
                if self._is_due():
                    yield from self._iter_measured(progress.fraction, clock)
                    if self._is_in_vain:
                        return

    @property
    def _guard(self) -> StyleGuard:
        """Of the notes as they are: a checkpoint may have brought others."""
        return StyleGuard(self.state.notes, self._before)

    @property
    def styled(self) -> float:
        """Of the patches that could take a style, how many did at the end."""
        return self._guard.share

    @property
    def _is_in_vain(self) -> bool:
        """Whether as many measurements were no better than the best one as the person has patience for."""
        return self.state.stale >= (self._options.patience or math.inf)

    @property
    def _done(self) -> float:
        return min(1.0, share_done(self.state, self._fit))

    def _is_due(self) -> bool:
        state = self.state
        if not self._places or self._done >= 1 or state.measured_at >= state.seconds:
            return False
        if self._options.steps is not None:
            return state.step % max(1, self._options.steps // _MEASURED) == 0
        return state.seconds - state.measured_at > max(self._cost / _MEASURING, 5.0)

    def _iter_measured(self, done: float, clock: Callable[[], float]) -> Steps[None]:
        started = clock()
        average = copy.deepcopy(self.state.average)
        assert isinstance(average, UNet)
        model, segment = Model.in_memory(self._spec, average), self._options.segment
        steps = iter_scores(model, self._said, self._places, (), segment, self._looks, asks_how_sure=False)
        scores = yield from through(steps, lambda _: self._progress(done))
        self.score = scores.on_both
        self._guard.heed(scores)
        self._cost = clock() - started
        if self.score is not None:
            self.state.measured(self.score)
            self._log.measured(self.score, self.state.step)

    def _progress(self, done: float) -> TrainProgress:
        step = round(_WHOLE * done)
        minutes = self._fit.minutes
        return TrainProgress(
            step,
            _WHOLE,
            "Teaching",
            loss=self.state.loss,
            score=self.score,
            seconds_left=None if minutes is None else max(0.0, 60 * minutes - self.state.seconds),
            so_far=self._so_far,
        )

    def _so_far(self) -> Model:
        return Model.in_memory(self._spec, self.best.cpu())


def _iter_or_stopped(steps: Steps[None], should_stop: Callable[[], bool]) -> Steps[None]:
    """A job whose checkpoint may be refused where a person wants it to stop: what there is can be compared without."""
    try:
        yield from steps
    except OutputError:
        if not should_stop():
            raise


def _freeze(network: UNet, learn: str) -> None:
    """Leave only some layers to learn."""
    parts = {"decoder": (network.encoder,), "encoder": (network.up, network.decoder, network.head)}
    for part in parts.get(learn, ()):
        part.requires_grad_(False)
