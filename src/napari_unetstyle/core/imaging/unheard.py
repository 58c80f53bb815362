"""What libraries say of files while they read them is kept from logs: it quotes headers and names of files."""

from __future__ import annotations

import contextlib
import logging
import threading
import warnings
from collections.abc import Iterator

_LOGGERS = {
    "pydicom": ("pydicom", "pydicom.pixels.decoders.base", "pydicom.pixels.utils"),
    "tifffile": ("tifffile",),
}


class _Filter(logging.Filter):
    """Drops what a thread logs while it reads; it may stay on a logger, as it lets everything else through."""

    def __init__(self) -> None:
        super().__init__()
        self.here = threading.local()

    def filter(self, record: logging.LogRecord) -> bool:
        return not getattr(self.here, "depth", 0)


class _Warnings:
    """Filters of warnings are those of all threads: the first that reads sets them, and the last sets them back."""

    def __init__(self) -> None:
        self._lock, self._readers = threading.Lock(), 0
        self._before = warnings.catch_warnings()

    def __enter__(self) -> None:
        with self._lock:
            if not self._readers:
                self._before = warnings.catch_warnings()
                self._before.__enter__()
                for library in (*_LOGGERS, "highdicom", "napari_unetstyle"):  # the module that a warning is put down to
                    warnings.filterwarnings("ignore", module=rf"{library}(\.|$)")
            self._readers += 1

    def __exit__(self, *_: object) -> None:
        with self._lock:
            self._readers -= 1
            if not self._readers:
                self._before.__exit__(None, None, None)


_FILTERS = {library: _Filter() for library in _LOGGERS}
_WARNINGS = _Warnings()


@contextlib.contextmanager
def unheard(library: str) -> Iterator[None]:
    """Nothing that ``"pydicom"`` or ``"tifffile"`` logs or warns of in here reaches anybody; use as a context.

    What damages a file is raised and put into words by who reads it. What the same libraries say to others, in other
    threads and at other times, is logged as ever.
    """
    own = _FILTERS[library]
    for name in _LOGGERS[library]:
        logging.getLogger(name).addFilter(own)  # once: it is not added again
    own.here.depth = getattr(own.here, "depth", 0) + 1
    try:
        with _WARNINGS:
            yield
    finally:
        own.here.depth -= 1
