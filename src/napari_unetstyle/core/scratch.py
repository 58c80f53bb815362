"""Arrays that live in memory while they are small and in an unnamed temporary file when they are not."""

from __future__ import annotations

import math
import mmap
import os
import tempfile
from typing import Any, TypeVar

import numpy as np
from numpy.typing import DTypeLike, NDArray

from napari_unetstyle.core.errors import OutputError
from napari_unetstyle.core.progress import Progress, Steps, through

T = TypeVar("T")

IN_MEMORY = 2**28
_BLOCK = 2**20


class ScratchArray(np.ndarray[Any, Any]):
    """An array whose file disappears with it; slices share the file."""

    _map: mmap.mmap | None = None

    def __array_finalize__(self, source: object) -> None:
        if self._map is None:
            self._map = getattr(source, "_map", None)


def zeros(shape: tuple[int, ...], dtype: DTypeLike, in_memory: int | None = None) -> NDArray[Any]:
    """A zero-filled array, in a temporary file if it takes more than `in_memory` bytes.

    Raises
    ------
    OutputError
        If the temporary folder has no room.
    """
    size = math.prod(shape) * np.dtype(dtype).itemsize
    if size <= (IN_MEMORY if in_memory is None else in_memory):
        return np.zeros(shape, dtype)
    try:
        with tempfile.TemporaryFile(prefix="unetstyle-") as file:
            _reserve(file.fileno(), size)
            mapped = mmap.mmap(file.fileno(), size)
    except (OSError, ValueError) as error:
        raise OutputError(
            f"No room for {size / 2**20:.0f} MB of temporary results in {tempfile.gettempdir()}: {error}. "
            "Free some space, or set TMPDIR to a folder on a larger disk."
        ) from error
    array = np.frombuffer(mapped, dtype).reshape(shape).view(ScratchArray)
    array._map = mapped
    return array


def _reserve(file: int, size: int) -> None:
    """Make a file so large, on disk too: the first touch of a page that a full disk has no room for kills a process."""
    if os.name == "nt":  # a file is never larger than its place there
        os.ftruncate(file, size)
    elif hasattr(os, "posix_fallocate"):
        os.posix_fallocate(file, 0, size)
    else:  # macOS
        nothing = bytes(min(size, _BLOCK))
        for start in range(0, size, _BLOCK):
            os.write(file, nothing[: size - start])


def releasing(steps: Steps[T], *arrays: NDArray[Any]) -> Steps[T]:
    """A job that fills or reads scratch arrays, without their pages piling up in memory."""

    def let_go(progress: Progress) -> Progress:
        for array in arrays:
            release(array)
        return progress

    return through(steps, let_go)


def release(array: NDArray[Any]) -> None:
    """Let the system take back the memory of a scratch file's pages; their values stay in the file."""
    mapped = getattr(array, "_map", None)
    if mapped is not None and hasattr(mapped, "madvise"):  # not on every system
        mapped.madvise(mmap.MADV_DONTNEED)
