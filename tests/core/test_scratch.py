from __future__ import annotations

import errno
import os
import tempfile

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


@pytest.mark.skipif(os.name == "nt", reason="no files with holes there")
@pytest.mark.parametrize("has_fallocate", [True, False])
def test_a_file_has_its_place_on_disk_before_it_is_used(monkeypatch, has_fallocate):
    """Without it a full disk ends the process, with all that is open in it, when the array is written to."""
    if not has_fallocate:
        monkeypatch.delattr(os, "posix_fallocate", raising=False)
    with tempfile.TemporaryFile() as file:
        scratch._reserve(file.fileno(), 3 * 2**20 + 5)
        about = os.fstat(file.fileno())
        assert (about.st_size, 512 * about.st_blocks >= about.st_size) == (3 * 2**20 + 5, True)


@pytest.mark.skipif(os.name == "nt", reason="asked for in another way there")
def test_a_disk_that_fills_up_raises_and_kills_nobody(monkeypatch):
    def refused(*_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "posix_fallocate", refused, raising=False)
    with pytest.raises(OutputError, match=r"No room for 1 MB .* TMPDIR"):
        scratch.zeros((2**20,), np.uint8, in_memory=10)
