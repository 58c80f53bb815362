"""The training loop: plain PyTorch, repeatable, stopped and resumed at any step."""

from __future__ import annotations

import contextlib
import copy
import json
import math
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial, reduce
from operator import add
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor, nn

from napari_unetstyle.core.device import has_bfloat16
from napari_unetstyle.core.errors import ModelFileError
from napari_unetstyle.core.files import atomic_write
from napari_unetstyle.core.progress import Progress, Steps
from napari_unetstyle.core.training.options import FitOptions
from napari_unetstyle.core.training.refused import iter_written
from napari_unetstyle.core.training.schedule import MEASUREMENTS, share_of_rate

_WHOLE = 1000
_FILE = "training.safetensors"
_IN_A_ROW = 3  # steps that are not finite, before the training goes back
_SAFE_EVERY = 50  # steps between copies of the state that it can go back to
_MOST_SETBACKS = 2
_NUMBERS = (
    "step",
    "seconds",
    "skipped",
    "setbacks",
    "loss",
    "highest",
    "measured_at",
    "stale",
    "cuts",
    "notes",
    "_in_a_row",
)
_EVERY = 10, 100  # steps between numbers and between histograms in the log

Losses = Tensor | dict[str, Tensor]
"""A loss, or the parts by name that it is the sum of."""


class Log(Protocol):
    """Where numbers go; ``torch.utils.tensorboard.SummaryWriter`` is one."""

    def add_scalar(self, tag: str, scalar_value: float, global_step: int) -> None:
        """Note one number."""

    def add_histogram(self, tag: str, values: Tensor, global_step: int) -> None:
        """Note how numbers are spread."""

    def close(self) -> None:
        """Write what is left."""


@dataclass(eq=False)
class Fit:
    """A training under way: everything that its next step depends on.

    Attributes
    ----------
    network
        Being trained, in training mode.
    average
        The moving average of its weights: the result.
    step, seconds
        Steps done and time spent, over all runs.
    skipped
        Steps left out because loss or gradient were not finite.
    setbacks
        How often three of them in a row took the training back to earlier weights and half the learning rate; the
        second time it ends.
    loss
        Moving average of the loss.
    best, highest
        The averaged weights that measured best so far, and how well; empty and -1 if nobody measured.
    measured_at
        Seconds at which they were last measured.
    stale
        Measurements since the best one.
    cuts
        How often three in a row of them were no better than the best.
    notes
        Numbers that whoever trains keeps along.
    parts
        Of the last step's loss, if it has some; in no checkpoint.
    """

    network: nn.Module
    average: nn.Module
    optimizer: torch.optim.AdamW
    step: int = 0
    seconds: float = 0.0
    skipped: int = 0
    setbacks: int = 0
    loss: float = math.nan
    best: dict[str, Tensor] = field(default_factory=dict)
    highest: float = -1.0
    measured_at: float = 0.0
    stale: int = 0
    cuts: int = 0
    notes: dict[str, float] = field(default_factory=dict)
    parts: dict[str, Tensor] = field(default_factory=dict)
    _in_a_row: int = 0
    _safe: dict[str, Tensor] = field(default_factory=dict)

    @classmethod
    def of(cls, network: nn.Module, options: FitOptions) -> Fit:
        """The start of a training of `network`, which is changed in place."""
        learned = [p for p in network.parameters() if p.requires_grad]
        optimizer = torch.optim.AdamW(learned, lr=options.learning_rate, weight_decay=options.weight_decay)
        return cls(network.train(), copy.deepcopy(network).requires_grad_(False), optimizer)

    def note(self, *, finite: bool) -> None:
        """Count a step; after three in a row that were not finite go back to the last good weights."""
        self.step += 1
        self._in_a_row = 0 if finite else self._in_a_row + 1
        self.skipped += not finite
        if self._in_a_row == _IN_A_ROW:
            self.setbacks, self._in_a_row = self.setbacks + 1, 0
            if self._safe:
                self._take(self._safe)
        elif finite and self.step % _SAFE_EVERY == 0:
            self.keep()

    def keep(self) -> None:
        """Remember the present weights as good ones, unless a number in them is not finite.

        Only at steps that are known beforehand, so that a training that was interrupted goes back to the same ones.
        """
        tensors = self._tensors()
        if _are_finite(tensors):
            self._safe = {name: t.clone() for name, t in tensors.items()}

    def measured(self, score: float) -> None:
        """Note how well the average does now; the first of several that are as good stays the best."""
        self.measured_at = self.seconds
        if score <= self.highest:
            self.stale += 1
            self.cuts += self.stale % MEASUREMENTS == 0
        else:
            self.highest, self.stale = score, 0
            self.best = {name: t.detach().cpu().clone() for name, t in self.average.state_dict().items()}

    def save(self, folder: Path, key: str = "") -> None:
        """Write the state to `folder` in one file and one step; the last good weights if a number is not finite.

        `key` names what is trained with; a checkpoint is only taken up by a training of the same.
        """
        from safetensors.torch import save

        now = self._tensors()
        tensors = now if _are_finite(now) else dict(self._safe)
        if not tensors:
            return
        state = {name: getattr(self, name) for name in _NUMBERS}
        state["loss"] = None if math.isnan(self.loss) else self.loss
        for prefix, others in (("best", self.best), ("safe", self._safe)):
            # copies: a file holds each tensor on its own, and these may be the present ones
            tensors |= {f"{prefix}.{name}": t.clone() for name, t in others.items()}
        atomic_write(folder / _FILE, save(tensors, {"state": json.dumps(state, allow_nan=False), "key": key}))

    def load(self, folder: Path, key: str = "") -> bool:
        """Take the state from `folder`; False if there is none.

        Raises
        ------
        ModelFileError
            If the checkpoint is damaged or of another network.
        """
        from safetensors import SafetensorError, safe_open

        path = folder / _FILE
        if not path.exists():
            return False
        try:
            with safe_open(str(path), "pt") as file:
                about = file.metadata() or {}
                state = json.loads(about["state"])
                tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
            if about.get("key", "") != key:
                raise ValueError("the pictures, the model or the options were others")
            self._take(tensors)
        except (SafetensorError, OSError, KeyError, RuntimeError, ValueError) as error:
            raise ModelFileError(
                f"{path} is not a checkpoint of this training: {error}. Choose another folder."
            ) from error
        self.best, self._safe = _part(tensors, "best."), _part(tensors, "safe.")
        if not self._safe:  # of a version that did not write it down
            self.keep()
        for name in _NUMBERS:
            setattr(self, name, state.get(name, getattr(self, name)))
        self.loss = math.nan if self.loss is None else self.loss
        return True

    def _tensors(self) -> dict[str, Tensor]:
        tensors = {f"network.{name}": t for name, t in self.network.state_dict().items()}
        tensors |= {f"average.{name}": t for name, t in self.average.state_dict().items()}
        for name, parameter in self.network.named_parameters():
            for key, value in self.optimizer.state.get(parameter, {}).items():
                tensors[f"optimizer.{key}.{name}"] = value
        return {name: t.detach().cpu().contiguous() for name, t in tensors.items()}

    def _take(self, tensors: dict[str, Tensor]) -> None:
        self.network.load_state_dict(_part(tensors, "network."))
        self.average.load_state_dict(_part(tensors, "average."))
        for name, parameter in self.network.named_parameters():
            moments = {key: tensors.get(f"optimizer.{key}.{name}") for key in ("step", "exp_avg", "exp_avg_sq")}
            if moments["step"] is not None:
                devices = {key: "cpu" if key == "step" else parameter.device for key in moments}
                self.optimizer.state[parameter] = {  # copies, as the next steps change them in place
                    key: t.to(devices[key], copy=True) for key, t in moments.items() if t is not None
                }
            else:
                self.optimizer.state.pop(parameter, None)


def _part(tensors: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    """Those whose names begin so, by the rest of their names."""
    return {name.removeprefix(prefix): t for name, t in tensors.items() if name.startswith(prefix)}


def _are_finite(tensors: dict[str, Tensor]) -> bool:
    return all(bool(t.isfinite().all()) for t in tensors.values())


def fit(
    network: nn.Module,
    draw: Callable[[np.random.Generator], Any],
    loss: Callable[[nn.Module, Any], Losses],
    options: FitOptions,
    clock: Callable[[], float] = time.monotonic,
) -> Steps[Fit]:
    """Train `network` in place and return the training's end; ``.average`` holds the result.

    Parameters
    ----------
    network
        Any module; the device it is on is used.
    draw
        Makes one batch from a generator of its own; everything random has to come from there.
    loss
        Loss of the network on a batch, or its parts by name.
    options
        How long and how.
    clock
        Seconds, growing.

    Yields
    ------
    Progress
        After each step, in thousandths; the message holds the loss.
    """
    state = Fit.of(network, options)
    if options.folder is not None:
        state.load(options.folder)
    with contextlib.closing(Noted(options.folder)) as log:
        yield from advance_kept(state, draw, loss, options, clock, log=log)
    return state


def advance_kept(
    state: Fit,
    draw: Callable[[np.random.Generator], Any],
    loss: Callable[[nn.Module, Any], Losses],
    options: FitOptions,
    clock: Callable[[], float] = time.monotonic,
    key: str = "",
    *,
    log: Noted,
) -> Steps[None]:
    """As :func:`advance`, with numbers in a log, and with checkpoints in the folder of the options, if they name one.

    The last checkpoint is of the step after which the training ended or was closed. A step that raised is in none. One
    that the disk refuses is waited for: see :func:`~napari_unetstyle.core.training.refused.iter_written`.
    """
    steps = advance(state, draw, loss, options, clock)
    if options.folder is None:
        yield from steps
        return
    saved, save = state.seconds, partial(state.save, options.folder, key)
    for progress in steps:
        log.note(state)
        if state.seconds - saved >= 60 * options.checkpoint_minutes:
            yield from iter_written(save, progress.step, progress.total)
            saved = state.seconds
        try:
            yield progress
        except GeneratorExit:
            save()
            raise
    yield from iter_written(save, _WHOLE, _WHOLE)


def advance(
    state: Fit,
    draw: Callable[[np.random.Generator], Any],
    loss: Callable[[nn.Module, Any], Losses],
    options: FitOptions,
    clock: Callable[[], float] = time.monotonic,
) -> Iterator[Progress]:
    """Go on with a training to its end, a step at a time; what happens between two steps takes no training time.

    Parameters as those of :func:`fit`. Ends early if numbers have twice become not finite.
    """
    if state.step == 0:
        state.keep()
    while (done := share_done(state, options)) < 1 and state.setbacks < _MOST_SETBACKS:
        started = clock()
        _step(state, draw(np.random.default_rng((options.seed, state.step))), loss, options, done)
        state.seconds += clock() - started
        share = min(1.0, share_done(state, options))
        yield Progress(int(share * _WHOLE), _WHOLE, f"step {state.step}, loss {state.loss:.3f}")


def share_done(state: Fit, options: FitOptions) -> float:
    """How much of a training is over, from 0; 1 or more if all of it is."""
    if options.steps is not None:
        return state.step / options.steps if options.steps else 1.0
    return state.seconds / (60 * (options.minutes or 1e-9))


def rate(done: float, options: FitOptions, state: Fit | None = None) -> float:
    """Learning rate when the share `done` (0..1) of the training is over; `state` at the start if not given."""
    step, cuts = (state.step, state.cuts) if state is not None else (0, 0)
    share = share_of_rate(options.schedule, warmup=options.warmup, done=done, epochs=step / options.epoch, cuts=cuts)
    return options.learning_rate * share


def _step(state: Fit, batch: Any, loss: Callable[[nn.Module, Any], Losses], options: FitOptions, done: float) -> None:
    rising = min(1.0, (state.step + 1) / max(1, options.least_warmup))
    for group in state.optimizer.param_groups:
        group["lr"] = rising * rate(done, options, state) / 2**state.setbacks
    state.optimizer.zero_grad(set_to_none=True)
    with _precision(next(state.network.parameters()).device):
        value = loss(state.network, batch)
    if isinstance(value, dict):
        state.parts = {name: part.detach() for name, part in value.items()}
        value = reduce(add, value.values())
    finite = _backward(state, value, options.clip)
    if finite:
        state.optimizer.step()
        _average(state, min(options.averaging, (2 + state.step) / (11 + state.step)))
        number = float(value.detach())
        state.loss = number if math.isnan(state.loss) else 0.98 * state.loss + 0.02 * number
    state.note(finite=finite)


def _precision(device: torch.device) -> torch.autocast:
    """Where the network is computed in bfloat16: on GPUs that can. Weights, moments and losses stay float32.

    Its range is that of float32, so no gradient vanishes that would have to be scaled, and a checkpoint is complete
    without a scaler.
    """
    return torch.autocast(device.type, torch.bfloat16, enabled=device.type == "cuda" and has_bfloat16(device))


def _backward(state: Fit, value: Tensor, clip: float) -> bool:
    if not bool(value.isfinite()):
        return False
    value.backward()  # type: ignore[no-untyped-call]
    norm = nn.utils.clip_grad_norm_(state.network.parameters(), clip)
    return bool(norm.isfinite())


def _average(state: Fit, decay: float) -> None:
    with torch.no_grad():
        pairs = zip(state.average.parameters(), state.network.parameters(), strict=True)
        for mean, current in pairs:
            mean.lerp_(current, 1 - decay)


class Noted:
    """Numbers of a training, noted for TensorBoard where that is installed and there is a folder.

    A log that cannot be written is no reason to end the training.

    Parameters
    ----------
    folder
        Of the training; None notes nothing.
    """

    def __init__(self, folder: Path | None) -> None:
        self._log = _open_log(folder)

    def note(self, state: Fit) -> None:
        """Loss and its parts, learning rate, and less often how gradients are spread."""
        if self._log is not None and state.step % _EVERY[0] == 0:
            with contextlib.suppress(OSError):
                _write(self._log, state)

    def measured(self, score: float, step: int) -> None:
        """How well the averaged weights do on held-out places."""
        if self._log is not None:
            with contextlib.suppress(OSError):
                self._log.add_scalar("score", score, step)

    def close(self) -> None:
        """Write what is left."""
        if self._log is not None:
            with contextlib.suppress(OSError):
                self._log.close()


def _open_log(folder: Path | None) -> Log | None:
    if folder is None:
        return None
    try:
        from torch.utils.tensorboard import SummaryWriter

        return SummaryWriter(str(folder / "log"))
    except (ImportError, OSError):  # not installed, or no room for it
        return None


def _write(log: Log, state: Fit) -> None:
    log.add_scalar("loss", state.loss, state.step)
    for name, part in state.parts.items():
        log.add_scalar(f"loss/{name}", float(part), state.step)
    log.add_scalar("rate", state.optimizer.param_groups[0]["lr"], state.step)
    if state.step % _EVERY[1] == 0:
        for name, parameter in state.network.named_parameters():
            if parameter.grad is not None and bool(parameter.grad.isfinite().all()):
                log.add_histogram(f"gradient/{name}", parameter.grad, state.step)
