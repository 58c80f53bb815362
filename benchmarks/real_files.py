"""Whether files of real scanners and other programs open, are what nibabel reads, are segmented, and come back.

    python benchmarks/real_files.py --data FOLDER [--sets NAME ...] [--segment N] [--models NAME ...] [--json FILE]

Every NIfTI below ``FOLDER/hippocampus``, ``spinalcord``, ``spinalcord_gm`` and ``totalseg_examples``:

opened       voxels equal to nibabel's, and the eight corners where nibabel says, in millimeters
round trips  picture and labels written as .nii.gz, .nii, .nrrd, .mha and (labels) .zarr: read back equal here, and,
             but for .zarr, equal in SimpleITK with the corners at the same place
segmented    the N smallest pictures of each set (default 1, 0 for none) with each model (default ``hippocampus``):
             finite labels on the picture's grid, or refused in a sentence

Prints a line for each set and ends with 1 if anything failed.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
import traceback
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import SimpleITK
from numpy.typing import NDArray

from napari_unetstyle.core import read_image, segment, write_image, write_labels
from napari_unetstyle.core.errors import UnetstyleError
from napari_unetstyle.core.imaging.image import Image

SETS = ("hippocampus", "spinalcord", "spinalcord_gm", "totalseg_examples")
SUFFIXES = (".nii.gz", ".nii", ".nrrd", ".mha")
NEAR = 1e-4  # mm
TO_LPS = (-1, -1, 1)
WRONG = (UnetstyleError, AssertionError, ArithmeticError, LookupError, OSError, RuntimeError, TypeError, ValueError)


@dataclass(kw_only=True)
class Found:
    """What one set came to."""

    files: int = 0
    opened: int = 0
    round_trips: int = 0
    farthest_mm: float = 0.0
    orientations: set[str] = field(default_factory=set)
    segmented: int = 0
    refused: int = 0
    failures: list[str] = field(default_factory=list)


def corners(shape: tuple[int, ...]) -> NDArray[np.int64]:
    """Indices of the first and last voxel along each axis, in all combinations."""
    return np.array([[(n - 1) * last for n, last in zip(shape, one, strict=True)] for one in np.ndindex(2, 2, 2)])


def opened(path: Path, found: Found) -> tuple[Image, NDArray[Any]]:
    """The picture and its voxels, compared with nibabel's."""
    image, other = read_image(path), nibabel.load(path)
    voxels, theirs = np.asarray(image.array[...]), np.asanyarray(other.dataobj)
    assert np.array_equal(np.squeeze(voxels), np.squeeze(theirs.T)), "voxels differ from nibabel's"
    for corner in corners(voxels.shape):
        world = nibabel.affines.apply_affine(other.affine, corner[::-1]) * TO_LPS
        far = float(np.abs(image.geometry.in_unit("mm").to_world(corner)[::-1] - world).max())
        found.farthest_mm = max(found.farthest_mm, far)
        assert far < NEAR, f"a corner is {far:g} mm from where nibabel has it"
    found.opened += 1
    found.orientations.add(image.geometry.orientation)
    return image, voxels


def check_written(path: Path, voxels: NDArray[Any], image: Image, found: Found) -> None:
    """The file holds the voxels at the picture's place, here and in SimpleITK."""
    again = read_image(path)
    assert np.array_equal(again.array[...], voxels), f"{path.suffix} came back with other voxels"
    place, there = image.geometry.in_unit("mm"), again.geometry.in_unit("mm")
    for corner in corners(voxels.shape):
        assert np.abs(place.to_world(corner) - there.to_world(corner)).max() < NEAR, f"{path.suffix} lies elsewhere"
    if path.suffix != ".zarr":
        other = SimpleITK.ReadImage(str(path))
        assert np.array_equal(SimpleITK.GetArrayFromImage(other), voxels), f"SimpleITK reads other voxels {path.suffix}"
        for corner in corners(voxels.shape):
            world = other.TransformIndexToPhysicalPoint([int(i) for i in corner[::-1]])
            far = float(np.abs(np.array(world[::-1]) - place.to_world(corner)).max())
            found.farthest_mm = max(found.farthest_mm, far)
            assert far < NEAR, f"{path.suffix} is {far:g} mm off in SimpleITK"
    found.round_trips += 1


def round_trips(image: Image, voxels: NDArray[Any], folder: Path, found: Found, *, is_mask: bool) -> None:
    """Through every volume format, as labels and as a picture."""
    labels = voxels.astype(np.int64) if is_mask else np.abs(voxels.astype(np.int64)) % 7
    for suffix in (*SUFFIXES, ".zarr"):
        written = write_labels(folder / f"labels{suffix}", labels, axes=image.axes, geometry=image.geometry, say=str)
        check_written(written, labels, image, found)
    for suffix in SUFFIXES:
        check_written(write_image(folder / f"picture{suffix}", image), voxels, image, found)


def segmented(path: Path, image: Image, model: str, found: Found) -> None:
    """Labels on the picture's grid, or a sentence."""
    try:
        result = segment(path, model)
    except UnetstyleError as error:
        if not str(error).strip().endswith("."):
            raise
        found.refused += 1
        return
    assert result.labels.shape == image.array.shape, f"labels of shape {result.labels.shape}"
    assert np.isfinite(result.probabilities).all(), "probabilities that are not finite"
    assert np.allclose(result.geometry.affine, image.geometry.affine), "labels lie elsewhere than the picture"
    found.segmented += 1


def measured(data: Path, name: str, pictures: int, models: list[str]) -> Found:
    """One set."""
    found, left = Found(), pictures
    for path in sorted((data / name).rglob("*.nii.gz"), key=lambda file: (file.stat().st_size, file)):
        found.files += 1
        is_mask = "masks" in path.parts
        try:
            image, voxels = opened(path, found)
            with tempfile.TemporaryDirectory() as folder:
                round_trips(image, voxels, Path(folder), found, is_mask=is_mask)
            if left > 0 and not is_mask:
                left -= 1
                for model in models:
                    segmented(path, image, model, found)
        except WRONG as error:
            traceback.print_exc()
            found.failures.append(f"{path.name}: {error}")
    if not found.files:
        found.failures.append(f"{data / name} holds no .nii.gz")
    return found


def main() -> int:
    """Run what was asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder that holds the sets")
    parser.add_argument("--sets", nargs="+", default=SETS, choices=SETS, help="only these")
    parser.add_argument("--segment", type=int, default=1, metavar="N", help="pictures of each set; 0 for none")
    parser.add_argument("--models", nargs="+", default=["hippocampus"], help="which to segment them with")
    parser.add_argument("--json", type=Path, help="write all numbers here")
    given = parser.parse_args()
    row = "{:18} {:>6} {:>7} {:>12} {:>12} {:>10} {:>8} {:>7} {:>6}  {}"
    titles = ("set", "files", "opened", "round trips", "farthest mm", "segmented", "refused", "failed", "s", "axes")
    print(row.format(*titles))
    all_found = {}
    for name in given.sets:
        start = time.perf_counter()
        found = all_found[name] = measured(given.data, name, given.segment, given.models)
        counts = (found.files, found.opened, found.round_trips, f"{found.farthest_mm:.1e}")
        seconds, axes = f"{time.perf_counter() - start:.0f}", " ".join(sorted(found.orientations))
        more = (found.segmented, found.refused, len(found.failures), seconds, axes)
        print(row.format(name, *counts, *more), flush=True)
    if given.json is not None:
        given.json.write_text(json.dumps({k: asdict(v) for k, v in all_found.items()}, default=sorted, indent=1))
    failures = [f"{name}: {one}" for name, found in all_found.items() for one in found.failures]
    print("\n".join(failures), file=sys.stderr)
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
