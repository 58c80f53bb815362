"""Where random numbers start."""

from __future__ import annotations

from napari_unetstyle.core.errors import OptionError

_BEYOND = 2**63  # what numpy and torch both take


def check_seed(seed: int) -> None:
    """Whether random numbers can start from it.

    Raises
    ------
    OptionError
        If not, in words.
    """
    if not 0 <= seed < _BEYOND:
        raise OptionError(f"Option seed={seed} is not allowed: give a whole number from 0 to {_BEYOND - 1}.")
