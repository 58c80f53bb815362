"""A teaching under way: the training loop, and the best it has come to on the held-out places."""

from __future__ import annotations

import copy
import time
from collections.abc import Callable, Sequence

from napari_unetstyle.core import device as devices
from napari_unetstyle.core.models.spec import ModelSpec
from napari_unetstyle.core.models.store import Model
from napari_unetstyle.core.networks.unet import UNet
from napari_unetstyle.core.progress import Steps, through
from napari_unetstyle.core.training.comparison import iter_scores
from napari_unetstyle.core.training.drawing import Drawing, loss
from napari_unetstyle.core.training.fit import Fit, advance
from napari_unetstyle.core.training.lessons import Said
from napari_unetstyle.core.training.options import FineTuneOptions
from napari_unetstyle.core.training.places import Place
from napari_unetstyle.core.training.train_progress import TrainProgress

_WHOLE = 1000
_MEASURING = 0.1  # share of the training time that measuring in between may take
_MEASURED = 8  # times in between, where steps are counted


class Teaching:
    """Trains a network, and looks now and then how well it does on the held-out places.

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
    score
        Dice on the places before teaching.
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
        score: float | None = None,
    ) -> None:
        _freeze(network, options.learn)
        self._fit = options.fit(usual_rate)
        self.state = Fit.of(network.to(devices.resolve(options.device)).train(), self._fit)
        self.score = score
        self._spec, self._said, self._places, self._options = spec, said, places, options
        self._best: UNet | None = None
        self._highest = -1.0
        self._measured_at, self._cost = 0.0, 0.0

    @property
    def rate(self) -> float:
        """The highest learning rate."""
        return self._fit.learning_rate

    @property
    def best(self) -> UNet:
        """The averaged weights that did best on the held-out places; the last ones if there are none."""
        network = self.state.average if self._best is None else self._best
        assert isinstance(network, UNet)
        return network

    def iter_taught(
        self,
        drawing: Drawing,
        should_stop: Callable[[], bool] = lambda: False,
        clock: Callable[[], float] = time.monotonic,
    ) -> Steps[None]:
        """Train to the end, or until told to stop."""
        done = 0.0
        for progress in advance(self.state, drawing, loss, self._fit, clock):
            done = progress.fraction
            yield self._progress(done)
            if should_stop():
                break
            if self._is_due(done):
                yield from self._iter_measured(done, clock)
        if self._places and self._measured_at < self.state.seconds:
            yield from self._iter_measured(done, clock)

    def _is_due(self, done: float) -> bool:
        if not self._places or done >= 1:
            return False
        if self._options.steps is not None:
            return self.state.step % max(1, self._options.steps // _MEASURED) == 0
        return self.state.seconds - self._measured_at > max(self._cost / _MEASURING, 5.0)

    def _iter_measured(self, done: float, clock: Callable[[], float]) -> Steps[None]:
        started = clock()
        average = copy.deepcopy(self.state.average)
        assert isinstance(average, UNet)
        steps = iter_scores(Model.in_memory(self._spec, average), self._said, self._places, (), self._options.segment)
        scores = yield from through(steps, lambda _: self._progress(done))
        self.score = scores.on_places
        self._cost, self._measured_at = clock() - started, self.state.seconds
        if self.score is not None and self.score > self._highest:
            self._highest, self._best = self.score, average

    def _progress(self, done: float) -> TrainProgress:
        return TrainProgress(round(_WHOLE * done), _WHOLE, "Teaching", loss=self.state.loss, score=self.score)


def _freeze(network: UNet, learn: str) -> None:
    """Leave only some layers to learn."""
    parts = {"decoder": (network.encoder,), "encoder": (network.up, network.decoder, network.head)}
    for part in parts.get(learn, ()):
        part.requires_grad_(False)
