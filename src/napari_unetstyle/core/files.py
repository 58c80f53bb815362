"""Writing files so that the old version is whole until the new one is complete."""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import tempfile
from collections.abc import Iterator
from pathlib import Path

from napari_unetstyle.core.errors import OutputError


@contextlib.contextmanager
def atomic_path(path: str | os.PathLike[str], size: int | None = None) -> Iterator[Path]:
    """Give a temporary path beside `path`; on success it replaces `path` in one step.

    The temporary file lies in the same folder (so the replacement cannot cross file systems), keeps the
    suffix (writers choose a format by it), is flushed to disk before the replacement, and is removed on
    any error. `size`, if it is known, is named in the message as the bytes that are needed (before compression, where
    there is one); else the message says how many were written by then.

    Raises
    ------
    OutputError
        If the folder or disk refuses; what was at `path` is untouched.
    """
    target = Path(path)
    temporary: Path | None = None
    written = 0
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(prefix=".partial-", suffix=target.suffix, dir=target.parent)
        os.close(handle)
        temporary = Path(name)
        try:
            yield temporary
        finally:
            written = bytes_of(temporary)
        _flush_to_disk(temporary)
        _take_permissions(temporary, target)
        temporary.replace(target)
        with contextlib.suppress(OSError):  # some network drives cannot, and the file is replaced
            _flush_to_disk(target.parent)
    except OutputError:
        raise
    except OSError as error:
        needed = f"more than {written}" if size is None else size
        raise OutputError(
            f"Could not write {needed} bytes to {target}: {error.strerror or error}. "
            "Nothing was replaced; free some space or choose a folder that you may write to."
        ) from error
    finally:
        if temporary is not None:
            with contextlib.suppress(OSError):  # a disk that has become read-only removes nothing either
                temporary.unlink(missing_ok=True)


def atomic_write(path: str | os.PathLike[str], data: bytes | str) -> Path:
    """Write `data` (text as UTF-8) to `path` in one step and return the path."""
    target, content = Path(path), data.encode() if isinstance(data, str) else data
    with atomic_path(target, len(content)) as temporary:
        temporary.write_bytes(content)
    return target


def plain_name(text: str, otherwise: str) -> str:
    """A name for a model or a style: ``Zeiss, room 3`` becomes ``zeiss-room-3``; `otherwise` if nothing is left."""
    return re.sub(r"[^a-z0-9_-]+", "-", text.lower()).strip("-_")[:64] or otherwise


def new_file(path: str | os.PathLike[str], name: str, suffix: str) -> Path:
    """Where a file of its kind goes that a person asked for: nothing is replaced, and its suffix is the right one.

    Parameters
    ----------
    path
        A folder (one that is there, or a name without a dot), or a file.
    name
        Of the file in a folder, suffix included.
    suffix
        Of two parts, as ``.unetmodel.zip``; what is missing of it is added.

    Raises
    ------
    OutputError
        If the file exists.
    """
    target = Path(path)
    if target.is_dir() or not target.suffix:
        target = target / name
    elif not target.name.endswith(suffix):
        first, last = Path(suffix).stem, Path(suffix).suffix
        target = target.with_name(f"{target.name.removesuffix(last).removesuffix(first)}{suffix}")
    if target.exists():
        raise OutputError(f"{target} exists already, and nothing is replaced. Choose another name.")
    return target


class AppendFile:
    """A file that only grows, by pieces that are either whole in it or not at all.

    Parameters
    ----------
    path
        Made if it is not there.
    end
        Where to go on; what lies behind it goes with the first piece. None for the end of the file.

    Raises
    ------
    OutputError
        If the file cannot be opened.
    """

    def __init__(self, path: str | os.PathLike[str], end: int | None = None) -> None:
        self.path = Path(path)
        try:
            self._handle = os.open(self.path, os.O_RDWR | os.O_CREAT | getattr(os, "O_BINARY", 0), 0o666)
            self._end = os.fstat(self._handle).st_size if end is None else end
            _flush_to_disk(self.path.parent)
        except OSError as error:
            raise self._refused(error, 0) from error

    @property
    def end(self) -> int:
        """Length of what was written whole."""
        return self._end

    def append(self, data: bytes) -> None:
        """Write a piece and flush it to disk.

        Raises
        ------
        OutputError
            If the disk refuses; the file is as before, and the same piece can be given again.
        """
        try:
            os.ftruncate(self._handle, self._end)
            os.lseek(self._handle, self._end, os.SEEK_SET)
            rest = memoryview(data)
            while rest:
                rest = rest[os.write(self._handle, rest) :]
            os.fsync(self._handle)
        except OSError as error:
            with contextlib.suppress(OSError):  # else the next piece, or the next reader, drops it
                os.ftruncate(self._handle, self._end)
            raise self._refused(error, len(data)) from error
        self._end += len(data)

    def close(self) -> None:
        """Give the file back."""
        if self._handle >= 0:
            os.close(self._handle)
            self._handle = -1

    def _refused(self, error: OSError, size: int) -> OutputError:
        return OutputError(
            f"Could not write {size} bytes to {self.path}: {error.strerror or error}. What was in it is whole; free "
            "some space, or choose a folder that you may write to."
        )


def sha256_of(path: str | os.PathLike[str]) -> str:
    """Hex sha256 of a file's bytes, read in pieces."""
    with Path(path).open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def bytes_of(path: Path) -> int:
    """Bytes of a file, or of the files that lie in a folder; what cannot be looked at has none."""
    try:
        files = path.iterdir() if path.is_dir() else [path]
        return sum(file.stat().st_size for file in files if file.is_file())
    except OSError:
        return 0


def _flush_to_disk(path: Path) -> None:
    if os.name == "nt" and path.is_dir():  # a directory cannot be opened there
        return
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _take_permissions(temporary: Path, target: Path) -> None:
    """Mkstemp makes private files; an output keeps its old mode, or gets the usual one."""
    if target.exists():
        mode = target.stat().st_mode & 0o777
    else:
        umask = os.umask(0)
        os.umask(umask)
        mode = 0o666 & ~umask
    temporary.chmod(mode)
