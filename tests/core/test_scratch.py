from __future__ import annotations

import numpy as np
import pytest

from napari_unetstyle.core import scratch
from napari_unetstyle.core.errors import OutputError


def test_small_arrays_are_plain():
    assert type(scratch.zeros((3, 4), np.int32)) is np.ndarray


def test_large_arrays_lie_on_disk_and_behave_the_same():
    array = scratch.zeros((50, 60), np.int32, in_memory=10)
    assert type(array) is not np.ndarray
    assert not array.any()
    part = array[10:20]
    part[:] = 7
    scratch.release(part)
    assert array.sum() == 7 * 600
    del array
    assert part.sum() == 7 * 600


def test_no_room_is_said_in_words():
    with pytest.raises(OutputError, match="TMPDIR"):
        scratch.zeros((2**62,), np.uint8)
