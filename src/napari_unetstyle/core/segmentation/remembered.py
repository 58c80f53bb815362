"""A fitted model that computes no pixel of a frame twice, for whoever looks around in a picture."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_unetstyle.core import scratch
from napari_unetstyle.core.progress import Steps, share
from napari_unetstyle.core.segmentation.fitted import Fitted
from napari_unetstyle.core.segmentation.flips import Box, Index

_FRAMES = 4  # of a stack that are remembered


@dataclass(frozen=True, eq=False)
class _Frame:
    """What is known of one frame: bytes ``(channels, *shape)``, and where."""

    values: NDArray[np.uint8]
    known: NDArray[np.bool_]


@dataclass(frozen=True, kw_only=True, eq=False)
class Remembered(Fitted):
    """As :class:`Fitted`; only the part of a box that was never asked for goes through the network.

    A part that is moved by a quarter of its width costs less than half of a new one, one inside another nothing.
    """

    _frames: dict[Index, _Frame] = field(default_factory=dict)

    @classmethod
    def of(cls, fitted: Fitted) -> Remembered:
        """The same model fitted to the same picture."""
        return cls(**{f.name: getattr(fitted, f.name) for f in dataclasses.fields(fitted)})

    def iter_bytes(self, index: Index, box: Box, out: NDArray[np.uint8]) -> Steps[int]:
        """As :meth:`Fitted.iter_bytes`; counts the pixels that are no finite numbers where they are new."""
        frame = self._frame(index)
        nonfinite, new = 0, missing(frame.known[box], box)
        for i, part in enumerate(new):
            steps = super().iter_bytes(index, part, frame.values[(slice(None), *part)])
            nonfinite += yield from share(steps, i / len(new), (i + 1) / len(new))
            frame.known[part] = True
        np.copyto(out, frame.values[(slice(None), *box)])
        return nonfinite

    def _frame(self, index: Index) -> _Frame:
        frame = self._frames.pop(index, None)
        if frame is None:
            shape, limit = self.image.frame(index, self.dims).shape, self.options.memory
            frame = _Frame(scratch.zeros((self.channels, *shape), np.uint8, limit), scratch.zeros(shape, bool, limit))
        self._frames[index] = frame  # the last one looked at
        while len(self._frames) > _FRAMES:
            del self._frames[next(iter(self._frames))]
        return frame


def missing(known: NDArray[np.bool_], box: Box) -> list[Box]:
    """Boxes that cover what is not known of `box`, without what surely is.

    Planes along the first axis of which nothing is known, at either end, are a box each; the rest is the smallest
    box around what is left. So a view that moved along both axes leaves two slender boxes.

    Parameters
    ----------
    known
        Of the pixels in `box`.
    box
        Where they lie in the frame.
    """
    rest = tuple(range(1, known.ndim))
    touched = np.flatnonzero(known.any(axis=rest))
    if not len(touched):
        return [box]
    first, last = int(touched[0]), int(touched[-1]) + 1
    start, stop = box[0].start, box[0].stop
    ends = [slice(start, start + first), slice(start + last, stop)]
    boxes: list[Box] = [(end, *box[1:]) for end in ends if end.start < end.stop]
    middle = around(~known[first:last])
    if middle is not None:
        origin = (start + first, *(side.start for side in box[1:]))
        boxes.append(tuple(slice(o + s.start, o + s.stop) for o, s in zip(origin, middle, strict=True)))
    return boxes


def around(mask: NDArray[np.bool_]) -> Box | None:
    """The smallest box around the pixels of a mask."""
    sides = []
    for axis in range(mask.ndim):
        others: Any = tuple(a for a in range(mask.ndim) if a != axis)
        hit = np.flatnonzero(mask.any(axis=others))
        if not len(hit):
            return None
        sides.append(slice(int(hit[0]), int(hit[-1]) + 1))
    return tuple(sides)
