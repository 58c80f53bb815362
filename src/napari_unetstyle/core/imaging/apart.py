"""Decoders in C and C++ can crash on damaged files, or never end: they run in processes of their own.

Run as a module it is such a process. Both sides send JSON, one value a line, and the raw bytes of what it names.
"""

from __future__ import annotations

import atexit
import contextlib
import faulthandler
import importlib
import io
import json
import math
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from functools import partial
from typing import IO, Any, BinaryIO

import numpy as np

PATIENCE = 60.0  # seconds for what is small
_SLOWEST = 2**22  # bytes a second that any decoder gives
_MEMORY = 2**32  # bytes of addresses that a process may use, besides what its results need
_MOST = min(8, os.cpu_count() or 1)  # processes: more threads that read wait for one another
_BYTES, _NUMBERS = "bytes", "biufc"
_UNHEARD = (ArithmeticError, EOFError, LookupError, MemoryError, OSError, TypeError, ValueError)

_slots = threading.BoundedSemaphore(_MOST)
_idle: list[subprocess.Popen[bytes]] = []


def result(work: Callable[..., Any], *arguments: Any, size: int = 0) -> Any:
    """What a function returns that is called in a process of its own, which is kept for the next call.

    Parameters
    ----------
    work
        A function of a module, which the process imports.
    arguments
        Bytes and what JSON holds; tuples arrive as lists. The function returns the same, and arrays of numbers.
    size
        About as many bytes come back; time and memory are measured out for them.

    Raises
    ------
    ValueError
        If the function raises anything (its first line is in the message), crashes or takes too long.
    """
    request = [work.__module__, work.__qualname__, arguments, PATIENCE + size / _SLOWEST, _MEMORY + 8 * size]
    try:
        with _process() as process:
            assert process.stdin is not None
            assert process.stdout is not None
            _send(process.stdin, request)
            value, refused = _received(process.stdout)
    except _UNHEARD:
        raise ValueError("the decoder crashed or took too long") from None
    if refused is not None:
        raise ValueError(refused)
    return value


@contextlib.contextmanager
def _process() -> Iterator[subprocess.Popen[bytes]]:
    """One that nobody else uses meanwhile; where anything goes wrong it is in the middle of an answer, and ends."""
    with _slots:
        process = _idle_one() or _started()
        try:
            yield process
        except BaseException:
            _end(process)
            raise
        _idle.append(process)


def _idle_one() -> subprocess.Popen[bytes] | None:
    with contextlib.suppress(IndexError):
        while (process := _idle.pop()).poll() is not None:  # somebody else has ended it
            _end(process)
        return process
    return None


def _started() -> subprocess.Popen[bytes]:
    process = subprocess.Popen(
        [sys.executable, "-m", __name__],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,  # decoders may quote the file
        env={
            **os.environ,
            "PYTHONPATH": os.pathsep.join(sys.path),
            "PYTHONSAFEPATH": "1",  # nothing is imported from the folder that a person works in
            "OPENBLAS_NUM_THREADS": "1",  # others reserve memory
        },
        start_new_session=True,  # Ctrl-C is for the program, which may read on
        creationflags=getattr(subprocess, "CREATE_NO_WINDOW", 0),
    )
    if sys.platform == "linux":
        import fcntl

        assert process.stdout is not None
        with contextlib.suppress(OSError):  # the system gives each person so much of it
            fcntl.fcntl(process.stdout, fcntl.F_SETPIPE_SZ, 2**20)
    return process


def _end(process: subprocess.Popen[bytes]) -> None:
    process.kill()
    with contextlib.suppress(OSError), process:  # closing sends what is left, which nobody reads
        pass


@atexit.register
def end_idle() -> None:
    """End the processes that nobody uses; the next result starts another."""
    while process := _idle_one():
        _end(process)


if sys.platform != "win32":
    os.register_at_fork(after_in_child=_idle.clear)  # they answer the one that started them


def _send(stream: IO[bytes], value: Any) -> None:
    raw: list[Any] = []

    def named(part: Any) -> Any:
        if isinstance(part, np.generic):
            return part.item()
        raw.append(part if isinstance(part, bytes) else np.ascontiguousarray(part))
        return {"raw": [_BYTES, len(part)] if isinstance(part, bytes) else [part.dtype.str, *part.shape]}

    stream.write(json.dumps(value, default=named).encode() + b"\n")
    for part in raw:
        stream.write(part if isinstance(part, bytes) else part.reshape(-1).view(np.uint8))
    stream.flush()


def _received(stream: IO[bytes]) -> Any:
    line = stream.readline()
    if not line.endswith(b"\n"):
        raise EOFError
    return json.loads(line, object_hook=partial(_filled, stream))  # called in the order in which they were named


def _filled(stream: Any, value: dict[str, Any]) -> Any:
    if value.keys() != {"raw"}:
        return value
    kind, *shape = value["raw"]
    dtype = np.dtype(np.uint8 if kind == _BYTES else kind)
    if dtype.kind not in _NUMBERS:
        raise TypeError(f"got {dtype}, but numbers are sent")
    array = np.empty(math.prod(shape) * dtype.itemsize, np.uint8)
    if stream.readinto(array) < array.size:
        raise EOFError
    return array.tobytes() if kind == _BYTES else array.view(dtype).reshape(shape)


# In the process --------------------------------------------------------------------------------------------------


def _serve(requests: BinaryIO, replies: BinaryIO) -> None:
    while True:
        module, name, arguments, patience, memory = _received(requests)
        value, refused = None, None
        try:
            _limit_memory(memory)
            with _ended_after(patience):
                value = getattr(importlib.import_module(module), name)(*arguments)
        except Exception as error:  # noqa: BLE001 (whatever it is, who asked has to know)
            refused = (str(error).splitlines() or [type(error).__name__])[0]
        _send(replies, [value, refused])


@contextlib.contextmanager
def _ended_after(seconds: float) -> Iterator[None]:
    """Have the process end, even in a decoder that keeps Python's lock."""
    try:
        if sys.platform != "win32":
            signal.setitimer(signal.ITIMER_REAL, seconds)
        else:
            faulthandler.dump_traceback_later(seconds, exit=True)
        yield
    finally:
        if sys.platform != "win32":
            signal.setitimer(signal.ITIMER_REAL, 0)
        else:
            faulthandler.cancel_dump_traceback_later()


def _limit_memory(limit: int) -> None:
    try:
        import resource
    except ImportError:  # Windows
        return
    with contextlib.suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_AS, (limit, resource.getrlimit(resource.RLIMIT_AS)[1]))


if __name__ == "__main__":
    answers = io.BufferedWriter(io.FileIO(os.dup(1), "w"))
    os.dup2(2, 1)  # libraries may print
    with contextlib.suppress(EOFError, OSError):  # who asked has ended
        _serve(sys.stdin.buffer, answers)
