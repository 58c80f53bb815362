"""OME-Zarr pictures as other programs write them, made of raw metadata."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import zarr
from zarr.storage import WrapperStore

TYPES = {"t": "time", "c": "channel", "z": "space", "y": "space", "x": "space"}


def described(axes: str, levels: list[tuple[list[float], list[float]]], unit: str = "micrometer") -> dict[str, Any]:
    """One entry of ``multiscales``: scale and translation of each level."""
    return {
        "axes": [
            {"name": a, "type": TYPES[a], **({"unit": unit} if unit and TYPES[a] == "space" else {})} for a in axes
        ],
        "datasets": [
            {
                "path": str(i),
                "coordinateTransformations": [
                    {"type": "scale", "scale": scale},
                    {"type": "translation", "translation": offset},
                ],
            }
            for i, (scale, offset) in enumerate(levels)
        ],
    }


def write_picture(
    store: Any,
    arrays: list[Any],
    multiscale: dict[str, Any],
    version: str = "0.5",
    chunks: tuple[int, ...] | None = None,
    more: dict[str, Any] | None = None,
    compressors: Any = "auto",
) -> Any:
    """A group with the arrays ``0``, ``1``, … and the metadata as they are given."""
    stated = {"multiscales": [{**({"version": version} if version == "0.4" else {}), **multiscale}], **(more or {})}
    attributes = stated if version == "0.4" else {"ome": {"version": version, **stated}}
    group = zarr.create_group(store, zarr_format=2 if version == "0.4" else 3, attributes=attributes, overwrite=True)
    for i, array in enumerate(arrays):
        size = tuple(min(c, n) for c, n in zip(chunks or (64,) * array.ndim, array.shape, strict=True))
        separator = {"name": "v2" if version == "0.4" else "default", "separator": "/"}
        kept = group.create_array(
            str(i),
            shape=array.shape,
            dtype=array.dtype,
            chunks=size,
            chunk_key_encoding=separator,
            compressors=compressors,
            fill_value=0,
        )
        kept[...] = array
    return store


def halved(array: np.ndarray) -> np.ndarray:
    """The mean of every 2 x 2 (x 2) pixels, as most programs make the next level."""
    whole = array[tuple(slice(0, n // 2 * 2) for n in array.shape)]
    shape = [part for n in whole.shape for part in (n // 2, 2)]
    return whole.reshape(shape).mean(axis=tuple(range(1, 2 * array.ndim, 2))).astype(array.dtype)


def volume(shape: tuple[int, ...] = (12, 40, 50), seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(1, 60000, shape, dtype=np.uint16)


def two_levels(store: Any, array: np.ndarray, version: str = "0.5", **more: Any) -> Any:
    """A volume and its mean, whose pixels lie half a pixel further in."""
    levels = [([2.0, 0.5, 0.25], [10.0, -3.0, 7.0]), ([4.0, 1.0, 0.5], [11.0, -2.75, 7.125])]
    return write_picture(store, [array, halved(array)], described("zyx", levels), version, **more)


class CountingStore(WrapperStore):
    """Notes what is read, key and number of bytes."""

    def __init__(self, store: Any, reads: list[tuple[str, int]] | None = None) -> None:
        super().__init__(store)
        self.reads: list[tuple[str, int]] = [] if reads is None else reads

    def _with_store(self, store: Any) -> CountingStore:
        return CountingStore(store, self.reads)

    async def get(self, key: str, prototype: Any, byte_range: Any = None) -> Any:
        got = await super().get(key, prototype, byte_range)
        self.reads.append((key, 0 if got is None else len(got)))
        return got


def files_of(folder: Path) -> list[Path]:
    return sorted(file for file in folder.rglob("*") if file.is_file())
