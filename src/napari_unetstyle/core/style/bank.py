"""Styles that are kept: each one file of numbers, which can be handed on without a picture in it."""

from __future__ import annotations

import contextlib
import difflib
import os
from collections.abc import Iterator
from pathlib import Path

from napari_unetstyle.core.errors import OptionError, OutputError, StyleFileError
from napari_unetstyle.core.files import new_file
from napari_unetstyle.core.models.store import default_root
from napari_unetstyle.core.style.kept_style import (
    NETWORK_SUFFIX,
    SUFFIX,
    KeptStyle,
    read_style,
    renamed,
    style_bytes,
    write_style,
)

BUNDLED = Path(__file__).with_name("bundled")
FOLDER = "_styles"
"""Inside the model folder, where no list of models looks."""

_LOCK, _PATIENCE = ".lock", 10.0  # seconds that another process may take to add a style


class StyleBank:
    """The styles that a person kept, with or without a network, and those that come with the package.

    Parameters
    ----------
    root
        Folder of the style files; None: ``_styles`` in the model folder.
    bundled
        Folder of the styles that come with the package; never written to.
    """

    def __init__(self, root: str | os.PathLike[str] | None = None, bundled: Path = BUNDLED) -> None:
        self.root = default_root() / FOLDER if root is None else Path(root)
        self._bundled = bundled

    def list(self) -> list[KeptStyle]:
        """Every usable style: the bundled ones first, each by name."""
        return list(self._scan()[0].values())

    def problems(self) -> dict[Path, str]:
        """Files that cannot be used, and why."""
        return self._scan()[1]

    def __contains__(self, name: object) -> bool:
        return name in self._scan()[0]

    def load(self, name: str) -> KeptStyle:
        """The style of this name.

        Raises
        ------
        OptionError
            If there is none; the message lists the known ones.
        """
        styles, problems = self._scan()
        if name in styles:
            return styles[name]
        for path, problem in problems.items():
            if path.name in _file_names(name):
                raise StyleFileError(problem)
        close = difflib.get_close_matches(name, styles, 1)
        meant = f"Did you mean {close[0]!r}? " if close else ""
        raise OptionError(
            f"There is no style {name!r}. There are: {', '.join(styles) or 'none'}. {meant}"
            "Give one of these, or a picture file."
        )

    def is_bundled(self, name: str) -> bool:
        """Whether a style came with the package (and so cannot be removed)."""
        return any((self._bundled / file).exists() for file in _file_names(name))

    def add(self, style: KeptStyle) -> KeptStyle:
        """Keep a style, whose name must be free.

        Raises
        ------
        OptionError
            If another style has this name, or a file that cannot be used.
        OutputError
            If it cannot be written.
        """
        with self._alone(style):  # else two windows could both find the name free
            self._check_free(style)
            write_style(style, self.root / style.file_name)
        return style

    @contextlib.contextmanager
    def _alone(self, style: KeptStyle) -> Iterator[None]:
        """While no other process adds a style."""
        from filelock import FileLock, Timeout

        try:
            self.root.mkdir(parents=True, exist_ok=True)
            lock = FileLock(self.root / _LOCK, timeout=_PATIENCE)
            lock.acquire()
        except Timeout as error:
            raise OutputError(
                f"Another program is adding a style to {self.root}. Wait for its end, and try again."
            ) from error
        except OSError as error:
            raise OutputError(
                f"Could not write {len(style_bytes(style))} bytes to {self.root}: {error.strerror or error}. Choose a "
                "folder that you may write to."
            ) from error
        try:
            yield
        finally:
            lock.release()

    def _check_free(self, style: KeptStyle) -> None:
        styles = self._scan()[0]
        if style.name in styles:
            raise OptionError(
                f"There is a style {style.name!r} already, and a name never changes its meaning. Keep this one under "
                f"another name, for example {self._free(style.name, styles)!r}."
            )
        unusable = [path for name in _file_names(style.name) if (path := self.root / name).exists()]
        if unusable:
            raise OptionError(
                f"{unusable[0]} is there already, though it is no style that this version reads, and nothing is "
                f"replaced. Keep this one under another name, for example {self._free(style.name, styles)!r}."
            )

    def remove(self, name: str) -> None:
        """Forget a style.

        Raises
        ------
        OptionError
            If there is none of that name, or it came with the package.
        OutputError
            If its file cannot be removed.
        """
        style = self.load(name)
        if self.is_bundled(name):
            raise OptionError(f"The style {name!r} came with the package and cannot be removed.")
        path = self.root / style.file_name
        try:
            path.unlink()
        except OSError as error:
            raise OutputError(f"Could not remove {path}: {error.strerror or error}. Remove it by hand.") from error

    def export(self, name: str, path: str | os.PathLike[str], *, thumbnail: bool = False) -> Path:
        """Write a style as one file to hand on, without its thumbnail unless that is asked for.

        Raises
        ------
        OptionError
            If there is none of that name.
        OutputError
            If the file exists, or cannot be written.
        """
        style = self.load(name)
        target = new_file(path, style.file_name, SUFFIX if style.network is None else NETWORK_SUFFIX)
        return write_style(style if thumbnail else style.model_copy(update={"thumbnail": None}), target)

    def import_(self, path: str | os.PathLike[str], name: str | None = None) -> KeptStyle:
        """Keep a style that somebody handed on.

        Raises
        ------
        StyleFileError
            If the file is no style.
        OptionError
            If another style has this name.
        """
        style = read_style(path)
        return self.add(style if name is None else renamed(style, name))

    def _scan(self) -> tuple[dict[str, KeptStyle], dict[Path, str]]:
        styles: dict[str, KeptStyle] = {}
        problems: dict[Path, str] = {}
        for folder in (self._bundled, self.root):  # so a name that comes with the package means that style
            for path in sorted([*folder.glob(f"[!.]*{SUFFIX}"), *folder.glob(f"[!.]*{NETWORK_SUFFIX}")]):
                try:
                    style = read_style(path)
                except StyleFileError as error:
                    problems[path] = str(error)
                    continue
                if style.name in styles or path.name != style.file_name:
                    problems[path] = f"{path} holds a style named {style.name!r} and is not used. Import it instead."
                    continue
                styles[style.name] = style
        return styles, problems

    @staticmethod
    def _free(name: str, taken: dict[str, KeptStyle]) -> str:
        return next(free for i in range(2, len(taken) + 4) if (free := f"{name[:56]}-{i}") not in taken)


def _file_names(name: str) -> tuple[str, str]:
    return f"{name}{SUFFIX}", f"{name}{NETWORK_SUFFIX}"
