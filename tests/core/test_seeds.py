"""A seed that no generator of random numbers takes is refused where it is given."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from napari_unetstyle.core.errors import OptionError
from napari_unetstyle.core.style.gatys import GatysOptions
from napari_unetstyle.core.training.fast_style import FastStyleOptions
from napari_unetstyle.core.training.options import FineTuneOptions, FitOptions

OPTIONS: list[tuple[Any, dict[str, Any]]] = [
    (FitOptions, {"steps": 1}),
    (FineTuneOptions, {}),
    (GatysOptions, {}),
    (FastStyleOptions, {}),
]


@pytest.mark.parametrize(("options", "given"), OPTIONS)
def test_seeds_have_bounds(options: Any, given: dict[str, Any]) -> None:
    for seed in (-1, 2**63, 10**20):
        with pytest.raises(OptionError, match=f"seed={seed} is not allowed: give a whole number from 0"):
            options(**given, seed=seed)
    for seed in (0, 2**63 - 1):
        taken = options(**given, seed=seed).seed
        np.random.default_rng((taken, 1))
        torch.Generator().manual_seed(taken)
