"""What to change about a picture, from the gradient of a loss.

torch's own optimizers import its compiler on first use: seconds that nobody needs here, and libraries that take a
window with them where it is drawn by software (both bring an LLVM along).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from torch import Tensor

_FIRST, _SECOND, _TINY = 0.9, 0.999, 1e-8  # as Kingma and Ba have them


class Optimizer(Protocol):
    """One change for each gradient."""

    def change(self, gradient: Tensor) -> Tensor:
        """What to add to the picture that the gradient is of."""


class LBFGS:
    """Limited-memory BFGS without a line search (Nocedal 1980): one gradient a step.

    Parameters
    ----------
    history
        Steps that it remembers.
    """

    def __init__(self, history: int) -> None:
        self._history = history
        self._pairs: list[tuple[Tensor, Tensor]] = []  # changes of the picture, and of the gradient
        self._last: tuple[Tensor, Tensor] | None = None  # change and gradient

    def change(self, gradient: Tensor) -> Tensor:
        """See :class:`Optimizer`; the first one is short, as nothing is known of the curvature."""
        flat = gradient.flatten()
        if self._last is None:
            made = -flat / flat.abs().sum().clamp(min=1.0)
        else:
            self._remember(self._last[0], flat - self._last[1])
            made = -self._with_curvature(flat)
        self._last = made, flat.clone()
        return made.view_as(gradient)

    def _remember(self, moved: Tensor, turned: Tensor) -> None:
        if float(moved @ turned) > 0:  # else no step downwards would follow from it
            self._pairs = [*self._pairs, (moved, turned)][-self._history :]

    def _with_curvature(self, gradient: Tensor) -> Tensor:
        """The gradient times what is known of the inverse of the Hessian: two loops over the memory."""
        found, shares = gradient, []
        for moved, turned in reversed(self._pairs):
            share = (moved @ found) / (moved @ turned)
            found = found - share * turned
            shares.append(share)
        if self._pairs:
            moved, turned = self._pairs[-1]
            found = found * (moved @ turned) / (turned @ turned)
        for (moved, turned), share in zip(self._pairs, reversed(shares), strict=True):
            found = found + (share - (turned @ found) / (moved @ turned)) * moved
        return found


class Adam:
    """Adam (Kingma and Ba 2015).

    Parameters
    ----------
    rate
        About the largest change of a pixel.
    """

    def __init__(self, rate: float) -> None:
        self._rate = rate
        self._mean: Tensor | float = 0.0
        self._square: Tensor | float = 0.0
        self._step = 0

    def change(self, gradient: Tensor) -> Tensor:
        """See :class:`Optimizer`."""
        self._step += 1
        self._mean = _FIRST * self._mean + (1 - _FIRST) * gradient
        self._square = _SECOND * self._square + (1 - _SECOND) * gradient.square()
        mean, square = self._mean / (1 - _FIRST**self._step), self._square / (1 - _SECOND**self._step)
        return -self._rate * mean / (square.sqrt() + _TINY)
