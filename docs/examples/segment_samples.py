"""Segment pictures without a window: ``python docs/examples/segment_samples.py [PICTURE ...] [-o FOLDER]``.

Without pictures it takes the samples; pictures of one's own are segmented by the model *nuclei*.
Writes the labels of each as TIFF and a picture with their outlines as PNG, and says where.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from skimage.exposure import rescale_intensity
from skimage.io import imsave
from skimage.segmentation import mark_boundaries

from napari_unetstyle.core import (
    Image,
    ModelStore,
    SegmentResult,
    UnetstyleError,
    read_image,
    segment,
    write_labels,
)

ROOT = Path(__file__).parents[2]
SAMPLES = {
    "nuclei-fluorescence.tif": ("nuclei", {}),
    "nuclei-he.tif": ("nuclei", {}),
    "timelapse-two-channels.tif": ("nuclei", {"channel": 0}),
    "axons-sem.tif": ("axon-myelin", {}),
}


def main(arguments: Sequence[str]) -> int:
    """Segment the pictures that are given, else every sample; returns 1 if one of them cannot be."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("pictures", nargs="*", type=Path, metavar="PICTURE")
    parser.add_argument("-o", dest="folder", type=Path, default=ROOT / "runs" / "samples", metavar="FOLDER")
    given = parser.parse_args(arguments)
    if len({path.stem for path in given.pictures}) < len(given.pictures):
        parser.error("Two pictures have the same name. Segment them one at a time, each with another -o.")
    given.folder.mkdir(parents=True, exist_ok=True)
    print("Research use only, not a medical device.\n")
    installed = {spec.name for spec in ModelStore().list()}
    samples = {ROOT / "sample_data" / name: how for name, how in SAMPLES.items()}
    failed = 0
    for path, (model, options) in (dict.fromkeys(given.pictures, ("nuclei", {})) or samples).items():
        if model not in installed:
            print(f"{path.name}: left out, as the model {model!r} is not installed")
            continue
        try:
            segment_into(given.folder, path, model, options)
        except UnetstyleError as error:
            print(f"{path.name}: {error}")
            failed = 1
    return failed


def segment_into(folder: Path, path: Path, model: str, options: dict[str, Any]) -> None:
    """Segment one picture, write what was found into `folder` and say it."""
    image = read_image(path)
    result = segment(image, model=model, **options)
    labels, outlines = folder / f"{path.stem}-labels.tif", folder / f"{path.stem}-outlines.png"
    write_labels(labels, result)
    imsave(outlines, outlined(image, result, options.get("channel", 0)), check_contrast=False)
    what = f"{result.count} objects" if result.output == "objects" else areas(result)
    print(
        f"{path.name}: {what}, model {model!r}, {result.provenance['seconds']:.1f} s on {result.provenance['device']}"
    )
    print(f"    {labels}\n    {outlines}")


def areas(result: SegmentResult) -> str:
    """Share of the picture that each class covers."""
    pairs = zip(result.objects["class_name"], result.objects["area"], strict=True)
    return ", ".join(f"{100 * area / result.labels.size:.0f} % {name}" for name, area in pairs)


def outlined(image: Image, result: SegmentResult, channel: int) -> NDArray[np.uint8]:
    """The first frame as RGB ``(Y, X, 3)`` with the outlines of its labels."""
    first = image.frame(image.frames(2)[0], 2)
    pixels = first.read()
    gray_or_color = pixels if len(pixels) == 3 else pixels[[channel] * 3]
    shown = rescale_intensity(np.moveaxis(gray_or_color, 0, -1), out_range=(0.0, 1.0))
    labels = result.labels[(0,) * (result.labels.ndim - 2)]
    return (255 * mark_boundaries(shown, labels, color=(1, 0.8, 0), mode="inner")).astype(np.uint8)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
