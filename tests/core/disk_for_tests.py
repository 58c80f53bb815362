"""A disk that is full, read-only or of somebody else from a certain write on, below one folder."""

from __future__ import annotations

import builtins
import contextlib
import errno
import io
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

ERRORS = {code: os.strerror(code) for code in (errno.ENOSPC, errno.EROFS, errno.EACCES, errno.EIO)}
_NAMED = ["mkdir", "rename", "replace", "link", "symlink", "fsync", "write", "truncate", "ftruncate", "chmod"]
_NAMED += ["sendfile", "utime"]
_REMOVING = ["unlink", "rmdir"]  # a full disk can still do that
_UNCOUNTED = f"{os.sep}log{os.sep}"  # TensorBoard writes there, in a thread of its own: refused, but at no known moment

needs_proc = pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="knows what an open file is called by /proc")

# The log is written in a thread of its own, which ends where the disk refuses it, and says so; a teaching goes on.
LOG_MAY_END = pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")


class Disk:
    """Counts what goes to the disk below a folder, and refuses it from a certain write on.

    What is patched are the calls of Python that everything else is written with, so a write of C (a mapped file, an
    array given to a file whole) is refused only when its file is opened or flushed to disk.
    """

    def __init__(self, root: Path, monkeypatch: pytest.MonkeyPatch, error: int) -> None:
        self.root, self.error = os.path.realpath(root), error
        self.left, self.refused = 10**9, 0
        removing = _REMOVING if error in (errno.EROFS, errno.EACCES) else []
        for name in [*_NAMED, *removing]:
            if hasattr(os, name):
                monkeypatch.setattr(os, name, self._guarded(getattr(os, name)))
        monkeypatch.setattr(os, "open", self._guarded(os.open, lambda _, flags, *__, **___: flags & os.O_CREAT))
        for module in (builtins, io):
            monkeypatch.setattr(module, "open", self._opening(open))

    @contextlib.contextmanager
    def full_after(self, count: int) -> Iterator[None]:
        """Refuse everything after `count` writes; `refused` tells how many were."""
        self.left, self.refused = count, 0
        try:
            yield
        finally:
            self.left = 10**9

    def writes(self, action: Callable[[], object]) -> int:
        """How many writes there are."""
        before = self.left
        action()
        return before - self.left

    def touch(self, path: str) -> None:
        """One write; an error if the disk refuses it."""
        if self.left <= 0:
            self.refused += 1
            raise OSError(self.error, ERRORS[self.error], path)
        self.left -= _UNCOUNTED not in path

    def _guarded(self, usual: Any, counts: Callable[..., Any] = lambda *_, **__: True) -> Any:
        def guarded(*args: Any, **kwargs: Any) -> Any:
            if counts(*args, **kwargs) and (path := self._here(args[0], kwargs.get("dir_fd"))):
                self.touch(path)
            return usual(*args, **kwargs)

        guarded.__name__ = usual.__name__
        return guarded

    def _opening(self, usual: Any) -> Any:
        def opening(
            file: Any, mode: str = "r", buffering: int = -1, encoding: Any = None, errors: Any = None,
            newline: Any = None, closefd: bool = True, opener: Any = None,
        ) -> Any:  # fmt: skip
            path = None if set(mode).isdisjoint("wxa+") else self._here(file)
            if path is None or opener is not None:
                return usual(file, mode, buffering, encoding, errors, newline, closefd, opener)
            self.touch(path)
            raw = _Raw(file, mode.replace("b", "").replace("t", ""), closefd)
            raw.disk, raw.path = self, path
            if buffering == 0:
                return raw
            buffered = io.BufferedRandom(raw) if "+" in mode else io.BufferedWriter(raw)
            if "b" in mode:
                return buffered
            text = io.TextIOWrapper(buffered, encoding, errors, newline)
            text.mode = mode
            return text

        return opening

    def _here(self, where: Any, folder: int | None = None) -> str | None:
        """The path of a file, or of what is open under a number, if it is one below the folder."""
        try:
            if isinstance(where, int):
                path = str(Path(f"/proc/self/fd/{where}").readlink()).removesuffix(" (deleted)")
            else:
                above = "" if folder is None else str(Path(f"/proc/self/fd/{folder}").readlink())
                path = os.path.abspath(os.path.join(above, os.fsdecode(where)))  # noqa: PTH100, PTH118 (a link stays)
        except (OSError, TypeError, ValueError):
            return None
        return path if path.startswith(self.root) else None


class _Raw(io.FileIO):
    """An open file; of the piece that the disk refuses, half is written."""

    disk: Disk
    path: str

    def write(self, data: Any) -> int:
        try:
            self.disk.touch(self.path)
        except OSError:
            super().write(memoryview(data).cast("B")[: len(memoryview(data).cast("B")) // 2])
            raise
        return super().write(data)

    def truncate(self, size: int | None = None) -> int:
        self.disk.touch(self.path)
        return super().truncate(size)


def told(action: Callable[[], object], kind: type[Exception]) -> str | None:
    """What the error says that an action ends with, or nothing."""
    try:
        action()
    except kind as error:
        return str(error)
    return None
