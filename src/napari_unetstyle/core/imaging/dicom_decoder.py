"""Compressed DICOM pixels decoded in a process of their own: decoders in C can crash on damaged files, or never end.

Run as a module it is that process: it reads requests from stdin, one JSON object a line, and writes frames to stdout.
"""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from napari_unetstyle.core.imaging.dicom_file import DAMAGED, opened

PATIENCE = 60.0  # seconds for a frame
_MEMORY = 2**32  # bytes of addresses that the process may use, besides what frames need


class DecoderProcess:
    """A process that decodes; use as a context.

    Parameters
    ----------
    frame_bytes
        Size of the largest frame when decoded.
    """

    def __init__(self, frame_bytes: int) -> None:
        self._limit = _MEMORY + 8 * frame_bytes
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> DecoderProcess:
        return self

    def __exit__(self, *_: object) -> None:
        if self._process is None:
            return
        self._process.kill()
        with self._process:
            pass

    def frames(self, path: Path, wanted: Sequence[int]) -> Iterator[NDArray[Any]]:
        """Frames of a file, in the order asked for.

        Raises
        ------
        ValueError
            If they cannot be decoded, the decoder crashed or took too long.
        """
        process = self._process = self._process or self._started()
        assert process.stdin is not None
        assert process.stdout is not None
        with contextlib.suppress(BrokenPipeError):  # the reply tells
            process.stdin.write(json.dumps({"path": str(path), "frames": list(wanted)}).encode() + b"\n")
            process.stdin.flush()
        for _ in wanted:
            with _killed_after(PATIENCE, process):
                yield _received(process.stdout)

    def _started(self) -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            [sys.executable, "-m", __name__, str(self._limit)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,  # decoders may quote the file
            env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        )


@contextlib.contextmanager
def _killed_after(seconds: float, process: subprocess.Popen[bytes]) -> Iterator[None]:
    timer = threading.Timer(seconds, process.kill)
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


def _received(stream: Any) -> NDArray[Any]:
    head = stream.readline()
    if not head.endswith(b"\n"):
        raise ValueError("the decoder crashed or took too long")
    reply = json.loads(head)
    if "dtype" not in reply:
        raise ValueError("the decoder refused it")
    dtype, shape = np.dtype(reply["dtype"]), tuple(reply["shape"])
    data = stream.read(int(np.prod(shape)) * dtype.itemsize)
    return np.frombuffer(data, dtype).reshape(shape)


# In the process --------------------------------------------------------------------------------------------------


def _serve(requests: BinaryIO, out: BinaryIO) -> None:
    for line in requests:
        request = json.loads(line)
        try:
            for frame in decoded(Path(request["path"]), request["frames"]):
                array = np.ascontiguousarray(frame)
                out.write(json.dumps({"dtype": array.dtype.str, "shape": array.shape}).encode() + b"\n")
                out.write(array.tobytes())
                out.flush()
        except DAMAGED:
            out.write(b"{}\n")
            out.flush()
            return


def decoded(path: Path, wanted: Sequence[int]) -> Iterator[NDArray[Any]]:
    """Frames of a file, decoded in this process; colors as RGB."""
    from pydicom.pixels.utils import iter_pixels

    with opened(path) as file:
        yield from (np.asarray(frame) for frame in iter_pixels(file, indices=list(wanted)))  # type: ignore[arg-type]


def _limit_memory(limit: int) -> None:
    try:
        import resource
    except ImportError:  # Windows
        return
    with contextlib.suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_AS, (limit, limit))


if __name__ == "__main__":
    _limit_memory(int(sys.argv[1]))
    _serve(sys.stdin.buffer, sys.stdout.buffer)
