"""What a person can choose about teaching; the same object from the form, the command line and a script."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from napari_unetstyle.core.errors import OptionError
from napari_unetstyle.core.seeds import check_seed
from napari_unetstyle.core.segmentation.options import SegmentOptions
from napari_unetstyle.core.style.reference import Reference
from napari_unetstyle.core.training.schedule import SCHEDULES, Schedule

LEARN = ("all", "decoder", "encoder")
MIRROR = re.compile("Z?Y?X?")
NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,63}")


@dataclass(frozen=True, kw_only=True)
class FitOptions:
    """How to train.

    Attributes
    ----------
    steps
        Optimizer steps; the result is then repeatable.
    minutes
        Training time instead of `steps`: the schedule follows the clock, so that a slow machine does fewer
        steps and still ends with a small learning rate. Exactly one of the two is given.
    learning_rate, weight_decay
        Of AdamW (Loshchilov and Hutter 2019).
    warmup
        Share of the training in which the learning rate rises.
    least_warmup
        Steps that it rises in at least, however short the training.
    schedule
        How it goes on afterwards; see :data:`~napari_unetstyle.core.training.schedule.Schedule`.
    epoch
        Steps in an epoch, where the schedule counts them.
    averaging
        Decay of the exponential moving average of the weights, which is the result.
    clip
        Largest norm of the gradient.
    seed
        Step `i` draws from ``default_rng((seed, i))``, so a resumed training equals an uninterrupted one.
    folder
        Where the checkpoint (and a TensorBoard log, if tensorboard is installed) goes; None keeps nothing.
        A checkpoint found there is resumed.
    checkpoint_minutes
        Time between checkpoints.
    """

    steps: int | None = None
    minutes: float | None = None
    learning_rate: float = 2e-3
    weight_decay: float = 0.01
    warmup: float = 0.03
    least_warmup: int = 0
    schedule: Schedule = "cosine"
    epoch: int = 100
    averaging: float = 0.995
    clip: float = 2.0
    seed: int = 0
    folder: Path | None = None
    checkpoint_minutes: float = 2.0

    def __post_init__(self) -> None:
        if (self.steps is None) == (self.minutes is None):
            raise OptionError(
                f"Training needs either steps or minutes, got steps={self.steps}, minutes={self.minutes}."
            )
        check_seed(self.seed)


@dataclass(frozen=True, kw_only=True)
class FineTuneOptions:
    """How to teach.

    Attributes
    ----------
    minutes, steps
        How long; exactly one of the two. The same steps give the same weights.
    learning_rate
        The highest; it rises in the first steps. None: 1e-3, or 2e-3 for a new model.
    schedule
        How it falls: ``"cosine"`` over the whole time, ``"step"`` to a tenth every 50 epochs (of as many pixels as
        the pictures have), ``"plateau"`` to a tenth whenever three measurements on the held-out places in a row
        were no better; it never falls where no place is held out.
    patience
        Ends the teaching early after so many measurements that were no better than the best one; None: never.
    learn
        Which layers change: ``"all"``, ``"decoder"`` (the encoder is frozen) or ``"encoder"``.
    replay
        Share of patches from the pictures that the model carries of its earlier training.
    name
        What the model is called; None: the parent's name with ``-mine``.
    seed
        Decides which places are held out and every random draw.
    device
        ``"auto"``, ``"cpu"``, ``"cuda"``.
    segment
        How the pictures are segmented (channel, object diameter).
    folder
        Where a teaching keeps how far it has come, and a TensorBoard log if tensorboard is installed; the same
        teaching goes on from there. None keeps nothing.
    styles
        Looks that it also learns to read: the training pictures are shown in them, too, as far as their labels fit.
    randomized
        Whether half of the patches also take random looks that no picture has: Bezier curves, of all or class by class
        (SLAug), and low frequencies of other patches (FDA).
    remember
        Whether the model keeps small crops of the pictures for its next teaching; these never travel with it.
    mirror
        Axes along which pictures may be mirrored while it learns, e.g. ``"YX"``, ``""`` for none; kept in the model.
        None: as the model says; a new one of pictures both, of volumes none, as their left is not their right.
    add_classes
        Names of classes that the model gets besides those it knows, with the next values.
    """

    minutes: float | None = 2.0
    steps: int | None = None
    learning_rate: float | None = None
    schedule: Schedule = "cosine"
    patience: int | None = None
    learn: Literal["all", "decoder", "encoder"] = "all"
    replay: float = 0.5
    name: str | None = None
    seed: int = 0
    device: str = "auto"
    segment: SegmentOptions = field(default_factory=SegmentOptions)
    folder: Path | None = None
    styles: tuple[Reference, ...] = ()
    randomized: bool = False
    remember: bool = True
    mirror: str | None = None
    add_classes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if (self.steps is None) == (self.minutes is None):
            raise OptionError(f"Give either minutes or steps, got minutes={self.minutes} and steps={self.steps}.")
        if not (self.minutes or self.steps or 0) > 0 or self.minutes == math.inf:
            raise OptionError(
                f"Give a time or a number of steps above 0, got minutes={self.minutes} and steps={self.steps}."
            )
        if self.learning_rate is not None and not 0 < self.learning_rate < math.inf:
            raise OptionError(f"Option learning_rate={self.learning_rate!r} is not allowed: give a number above 0.")
        if self.schedule not in SCHEDULES:
            raise OptionError(f"Option schedule={self.schedule!r} is not allowed: give 'cosine', 'step' or 'plateau'.")
        if self.patience is not None and self.patience < 1:
            raise OptionError(f"Option patience={self.patience} is not allowed: give a number of measurements above 0.")
        if self.name is not None and not NAME.fullmatch(self.name):
            raise OptionError(
                f"A model cannot be called {self.name!r}: use up to 64 small letters, digits, '-' and '_'."
            )
        if not 0 <= self.replay < 1:
            raise OptionError(f"Option replay={self.replay!r} is not allowed: give a share from 0 to below 1.")
        if self.learn not in LEARN:
            raise OptionError(f"Option learn={self.learn!r} is not allowed: give 'all', 'decoder' or 'encoder'.")
        if self.mirror is not None and not MIRROR.fullmatch(self.mirror):
            raise OptionError(
                f"Option mirror={self.mirror!r} is not allowed: give axes out of 'ZYX' in this order, or '' for none."
            )
        if self.add_classes and self.learn == "encoder":
            raise OptionError("An added class is learned by the last layers: give learn='all' or 'decoder'.")
        check_seed(self.seed)

    def fit(self, usual_rate: float) -> FitOptions:
        """The loop's options."""
        return FitOptions(
            minutes=self.minutes if self.steps is None else None,
            steps=self.steps,
            learning_rate=self.learning_rate or usual_rate,
            schedule=self.schedule,
            averaging=0.99,
            clip=1.0,
            seed=self.seed,
            folder=self.folder,
            checkpoint_minutes=0.5,
        )
