"""How much main memory a run can still have, and whether it was missing."""

from __future__ import annotations

import ctypes
import sys
from pathlib import Path

SHORT = "Memory was short, so the run went on in smaller parts: slower, with the same result."
_GROUP = Path("/sys/fs/cgroup")  # of Linux, where containers and batch systems set limits
_MISSING = (
    "DefaultCPUAllocator: can't allocate memory",
    "DefaultCPUAllocator: not enough memory",  # of Windows
    "CUDA out of memory",
    "CUDA error: out of memory",
    "MPS backend out of memory",
    "_STATUS_ALLOC_FAILED",
)  # torch says it in these words


def free_memory(group: Path = _GROUP) -> int:
    """Bytes that programs can take without anything being swapped out; in a container at most its own rest."""
    import psutil  # type: ignore[import-untyped]

    available = int(psutil.virtual_memory().available)
    rest = _rest_of(group)
    return available if rest is None else min(available, rest)


def gigabytes(size: int) -> str:
    """``1.4 GB``: of 2**30 bytes, as systems tell memory."""
    return f"{size / 2**30:.1f} GB"


def give_back() -> None:
    """Hand memory that is free inside this process back to the system, where the C library keeps it (glibc).

    It keeps what each thread has freed for that thread, so without this the next part of a run, in other threads, needs
    its memory on top.
    """
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None) if sys.platform == "linux" else None
    if trim is not None:
        trim(0)


def is_out_of_memory(error: BaseException) -> bool:
    """Whether memory was missing; other errors, whatever they talk about, are never mistaken for it."""
    if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError":  # torch's own, not imported here
        return True
    return isinstance(error, RuntimeError) and any(words in str(error) for words in _MISSING)


def _rest_of(group: Path) -> int | None:
    """What the limit of a control group leaves; pages of files that can be dropped at once count as free."""
    try:
        limit = int((group / "memory.max").read_text())
        used = int((group / "memory.current").read_text())
        lines = (line.split() for line in (group / "memory.stat").read_text().splitlines())
        cached = sum(int(value) for name, value in lines if name in ("inactive_file", "active_file"))
    except (OSError, ValueError):  # no such group, or "max": no limit
        return None
    return max(limit - used + cached, 0)
