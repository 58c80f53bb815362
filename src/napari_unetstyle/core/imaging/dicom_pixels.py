"""Pixels of DICOM files as numbers: decoded, turned the usual way round, and in the unit that the file states."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_unetstyle.core.errors import ImageFileError, MissingExtraError
from napari_unetstyle.core.imaging.apart import result
from napari_unetstyle.core.imaging.dicom_file import DAMAGED, guarded, opened
from napari_unetstyle.core.imaging.dicom_header import Plane
from napari_unetstyle.core.imaging.dicom_stored import Stored

_FLOATS: dict[str, np.dtype[Any]] = {"float": np.dtype("f4"), "double": np.dtype("f8")}
_INTEGERS = ("i1", "u1", "i2", "u2", "i4", "u4")
_INVERTED = "MONOCHROME1"
_AT_ONCE = 2**26  # bytes of frames
_SAFE = ("1.2.840.10008.1.2.5",)  # RLE, which pydicom decodes in Python, and its plugin in Rust


def read_pixels(planes: Sequence[Plane]) -> NDArray[Any]:
    """The frames as ``(frames, rows, columns)``, or ``(frames, rows, columns, 3)`` for colors.

    Values are ``slope * stored + intercept`` of each frame: of an integer type if these are integers in every
    frame (Hounsfield units, say), else float32. MONOCHROME1 is turned over, so that bright is high.

    Raises
    ------
    ImageFileError
        If the pixels cannot be decoded.
    MissingExtraError
        If they are compressed in a way that needs packages which are not installed.
    """
    stored_values = _stored_values(planes)
    if _is_unscaled(planes) or stored_values.ndim > 3:
        return stored_values
    return _rescaled(stored_values, planes)


def iter_stored(stored: Stored) -> Iterator[NDArray[Any]]:
    """All frames of a file as they are stored, ``(rows, columns)``, one at a time.

    Raises
    ------
    ImageFileError
        If they cannot be decoded.
    MissingExtraError
        If they are compressed in a way that needs packages which are not installed.
    """
    with guarded(stored.path):
        for frame in _frames(stored, range(stored.frames)):
            if frame.shape != (stored.rows, stored.columns):
                raise ImageFileError(f"{stored.path} is damaged: a frame has the shape {frame.shape}. Export it again.")
            yield frame


def _stored_values(planes: Sequence[Plane]) -> NDArray[Any]:
    positions: dict[int, list[tuple[int, Plane]]] = {}
    for i, plane in enumerate(planes):
        positions.setdefault(id(plane.stored), []).append((i, plane))
    out: NDArray[Any] | None = None
    for wanted in positions.values():
        stored = wanted[0][1].stored
        with guarded(stored.path):
            frames = _frames(stored, [plane.frame for _, plane in wanted])
            for (i, _), frame in zip(wanted, frames, strict=True):
                out = np.empty((len(planes), *frame.shape), frame.dtype) if out is None else out
                _check_alike(stored, frame, out)
                out[i] = _turned(frame, stored) if is_turned_over(stored, planes) else frame
    assert out is not None
    return out


def _check_alike(stored: Stored, frame: NDArray[Any], out: NDArray[Any]) -> None:
    if out.shape[1:] != frame.shape or out.dtype != frame.dtype:
        raise ImageFileError(
            f"{stored.path} is damaged: a frame of {frame.shape} {frame.dtype} pixels where "
            f"{out.shape[1:]} {out.dtype} are promised. Copy or export it again."
        )


def is_turned_over(stored: Stored, planes: Sequence[Plane]) -> bool:
    """Whether bright is low as stored, and nothing says that the values are those of a quantity."""
    is_inverted = stored.photometric == _INVERTED and stored.kind == "integer" and not stored.has_lookup
    return is_inverted and _is_unscaled(planes)


def _turned(frame: NDArray[Any], stored: Stored) -> NDArray[Any]:
    ends = -1 if stored.is_signed else 2**stored.stored - 1  # lowest + highest
    return (ends - frame.astype(np.int64)).astype(frame.dtype)


def _is_unscaled(planes: Sequence[Plane]) -> bool:
    return all((plane.slope, plane.intercept) == (1.0, 0.0) for plane in planes)


def _rescaled(values: NDArray[Any], planes: Sequence[Plane]) -> NDArray[Any]:
    """The frames times slope plus intercept, in the place of the stored values where their type is as wide."""
    dtype = _value_type(values, planes)
    is_in_place = dtype.itemsize == values.dtype.itemsize
    out: NDArray[Any] = values.view(dtype) if is_in_place else np.empty(values.shape, dtype)
    for target, frame, plane in zip(out, values, planes, strict=True):
        if dtype.kind == "f":
            target[...] = frame * plane.slope + plane.intercept
        else:  # sums that run over come out right, as the result is known to fit
            slope, intercept = (np.int64(factor).astype(dtype) for factor in (plane.slope, plane.intercept))
            target[...] = frame.astype(dtype, copy=False)
            target *= slope
            target += intercept
    return out


def _value_type(values: NDArray[Any], planes: Sequence[Plane]) -> np.dtype[Any]:
    """The smallest integers, no narrower than the stored ones, that hold all values; floats where there are fractions.

    What the values are counts, not what they could be: CT of 16 bits and an intercept of -1024 is int16 in practice.
    """
    if values.dtype.kind == "f":
        return values.dtype
    factors = {factor for plane in planes for factor in (plane.slope, plane.intercept)}
    if not all(factor.is_integer() and abs(factor) < 2**53 for factor in factors):
        return np.dtype("f4")
    ends = [
        plane.slope * float(end) + plane.intercept
        for frame, plane in zip(values, planes, strict=True)
        for end in (frame.min(), frame.max())
    ]
    wide = [np.dtype(name) for name in _INTEGERS if np.dtype(name).itemsize >= values.dtype.itemsize]
    holding = (t for t in wide if np.iinfo(t).min <= min(ends) and max(ends) <= np.iinfo(t).max)
    return next(holding, np.dtype("f4"))


# Decoding --------------------------------------------------------------------------------------------------------


def _frames(stored: Stored, wanted: Sequence[int]) -> Iterator[NDArray[Any]]:
    """Stored values of some frames, in the order asked for; colors as RGB."""
    if _is_plain(stored):
        yield from _plain_frames(stored, wanted)
        return
    if _is_bits(stored):
        yield from _bit_frames(stored, wanted)
        return
    check_decoder(stored)
    header = _whole_header(stored) if stored.photometric == "PALETTE COLOR" or stored.has_lookup else None
    for frame in _decoded(stored, wanted):
        yield _looked_up(frame, stored, header)


def _is_plain(stored: Stored) -> bool:
    """Whether the pixels lie in the file as they are."""
    return (
        not stored.is_compressed
        and not stored.has_lookup
        and stored.allocated >= 8
        and stored.samples in (1, 3)
        and stored.photometric in ("MONOCHROME1", "MONOCHROME2", "RGB")
        and (stored.is_little or stored.allocated > 8)
    )


def _plain_frames(stored: Stored, wanted: Iterable[int]) -> Iterator[NDArray[Any]]:
    count = stored.rows * stored.columns * stored.samples
    dtype = _plain_type(stored)
    shape: tuple[int, ...] = (stored.rows, stored.columns)
    if stored.samples > 1:
        shape = (stored.samples, *shape) if stored.planar else (*shape, stored.samples)
    with opened(stored.path) as file:
        for frame in wanted:
            start = stored.offset + frame * count * dtype.itemsize
            values: NDArray[Any] = np.frombuffer(file[start : start + count * dtype.itemsize], dtype)
            values = _without_unused_bits(values.astype(dtype.newbyteorder("="), copy=False), stored).reshape(shape)
            yield np.moveaxis(values, 0, -1) if stored.samples > 1 and stored.planar else values


def _is_bits(stored: Stored) -> bool:
    """Whether a pixel is a bit, eight of them a byte; pydicom does not read frames that begin within a byte."""
    return (
        not stored.is_compressed
        and not stored.has_lookup
        and (stored.allocated, stored.samples) == (1, 1)
        and stored.photometric in ("MONOCHROME1", "MONOCHROME2")
        and stored.is_little
    )


def _bit_frames(stored: Stored, wanted: Iterable[int]) -> Iterator[NDArray[Any]]:
    count = stored.rows * stored.columns
    with opened(stored.path) as file:
        for frame in wanted:
            start, stop = frame * count, (frame + 1) * count
            data: NDArray[Any] = np.frombuffer(file[stored.offset + start // 8 : stored.offset - (-stop // 8)], "u1")
            bits = np.unpackbits(data, bitorder="little")[start % 8 : start % 8 + count]
            yield bits.reshape(stored.rows, stored.columns)


def _plain_type(stored: Stored) -> np.dtype[Any]:
    kind: np.dtype[Any] = _FLOATS.get(stored.kind) or np.dtype(
        f"{'i' if stored.is_signed else 'u'}{stored.allocated // 8}"
    )
    return kind.newbyteorder("<" if stored.is_little else ">")


def _without_unused_bits(values: NDArray[Any], stored: Stored) -> NDArray[Any]:
    """Old files keep overlays in the bits that do not count; shifting them out also spreads the sign."""
    above, below = stored.allocated - 1 - stored.high, stored.high + 1 - stored.stored
    if stored.kind != "integer" or (above, below) == (0, 0):
        return values
    shifted: NDArray[Any] = np.right_shift(np.left_shift(values, above), above + below)
    return shifted


def check_decoder(stored: Stored) -> None:
    """See whether the pixels' transfer syntax can be decoded here.

    Raises
    ------
    MissingExtraError
        If packages are missing.
    ImageFileError
        If nothing decodes it.
    """
    from pydicom.pixels.decoders.base import get_decoder
    from pydicom.uid import UID

    name = UID(stored.syntax).name if stored.syntax else "not stated"
    try:
        decoder = get_decoder(UID(stored.syntax))
    except NotImplementedError:
        raise ImageFileError(
            f"{stored.path} has pixels in the transfer syntax {name}, which cannot be decoded. "
            "Export the series without compression."
        ) from None
    if not decoder.is_available:
        raise MissingExtraError(
            f"{stored.path} has pixels in the transfer syntax {name}, which needs further packages: "
            'pip install "napari-unetstyle[dicom]", or export the series without compression.'
        )


def _decoded(stored: Stored, wanted: Sequence[int]) -> Iterator[NDArray[Any]]:
    from pydicom.uid import UID

    is_apart = stored.is_compressed and stored.syntax not in _SAFE
    count = max(1, _AT_ONCE // max(1, stored.frame_bytes))
    try:
        for some in (wanted[i : i + count] for i in range(0, len(wanted), count)):
            if is_apart:
                yield from result(_some_frames, str(stored.path), some, size=len(some) * stored.frame_bytes)
            else:
                yield from _some_frames(str(stored.path), some)
    except DAMAGED:
        raise ImageFileError(
            f"{stored.path} has damaged pixels, or none that can be decoded (transfer syntax "
            f"{UID(stored.syntax).name}). Copy it again, or export it without compression."
        ) from None


def _some_frames(path: str, wanted: Sequence[int]) -> list[NDArray[Any]]:
    """Frames of a file, decoded in this process; colors as RGB."""
    from pydicom.pixels.utils import iter_pixels

    with opened(Path(path)) as file:
        return [np.asarray(frame) for frame in iter_pixels(file, indices=list(wanted))]  # type: ignore[arg-type]


def _looked_up(frame: NDArray[Any], stored: Stored, header: Any) -> NDArray[Any]:
    from pydicom.pixels.processing import apply_color_lut, apply_modality_lut

    if header is None:
        return frame
    if stored.photometric == "PALETTE COLOR":
        return np.asarray(apply_color_lut(frame, header))
    return np.asarray(apply_modality_lut(frame, header))


def _whole_header(stored: Stored) -> Any:
    import pydicom

    with opened(stored.path) as file:
        return pydicom.dcmread(file, stop_before_pixels=True, force=True)  # type: ignore[arg-type]
