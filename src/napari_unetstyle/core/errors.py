"""The errors a person can meet. Each message says what was got, what is allowed and what to do."""

from __future__ import annotations

from typing import Any, Self


class UnetstyleError(Exception):
    """Base of every error this package raises on purpose; its text is fit to be shown as it is.

    Attributes
    ----------
    in_window
        What to show in a window in the place of the text, where that names options of Python and the command line.
    """

    in_window = ""

    def for_windows(self, words: str) -> Self:
        """Itself, with other words for a window."""
        self.in_window = words
        return self


class ImageError(UnetstyleError, ValueError):
    """The picture cannot be segmented as given (axes, channels, type, content)."""


class AxesUnknownError(ImageError):
    """A file does not say what its axes are.

    Attributes
    ----------
    shape
        Pixels along each axis as stored, slowest first.
    choices
        What may be stated as `axes`, likeliest first.
    """

    def __init__(self, message: str, shape: tuple[int, ...], choices: tuple[str, ...]) -> None:
        super().__init__(message)
        self.shape, self.choices = shape, choices


class SeveralSeriesError(ImageError):
    """There are several series, and nobody said which one.

    Attributes
    ----------
    series
        Those found, each a :class:`~napari_unetstyle.core.imaging.dicom.Series`.
    """

    def __init__(self, message: str, series: tuple[Any, ...]) -> None:
        super().__init__(message)
        self.series = series


class ImageFileError(UnetstyleError, OSError):
    """A picture file is missing, truncated, damaged or of an unknown kind."""


class OptionError(UnetstyleError, ValueError):
    """An option has a value that is not allowed."""


class ModelNotFoundError(UnetstyleError, LookupError):
    """No model of that name or folder; the message lists the known ones."""


class ModelFileError(UnetstyleError, ValueError):
    """A model folder or file is incomplete, edited, damaged or of a newer schema."""


class ModelNameTakenError(ModelFileError):
    """Another model has this name; `free_name` is one that nobody has."""

    def __init__(self, message: str, free_name: str) -> None:
        super().__init__(message)
        self.free_name = free_name


class StyleFileError(UnetstyleError, ValueError):
    """A style file is missing, damaged, of a newer schema or no style."""


class TeachingError(UnetstyleError, RuntimeError):
    """A teaching ended in a way that was not foreseen; `details` is for a report."""

    def __init__(self, message: str, details: str = "") -> None:
        super().__init__(message)
        self.details = details


class OutputError(UnetstyleError, OSError):
    """A result could not be written; what was there before is whole."""


class JournalError(UnetstyleError, ValueError):
    """A journal of corrections is damaged, belongs to other labels, or is in use by another window."""


class DeviceError(UnetstyleError, RuntimeError):
    """The device asked for is not there, or its memory does not suffice."""


class MissingExtraError(UnetstyleError, ImportError):
    """An optional package is needed; the message names the extra that brings it."""
