"""Write the gallery of styles, pictures and page: ``python docs/gallery.py [FOLDER OF docs]``.

Each method on our own sample pictures, with the outlines of their truth and what the check of the labels says.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import PIL.Image
from numpy.typing import NDArray
from skimage.segmentation import find_boundaries

from napari_unetstyle._sample_data import sample_folder
from napari_unetstyle.core import FastStyleOptions, iter_train_fast, read_image, run, stylize
from napari_unetstyle.core.style.change import TEXTURED, TRAINED
from napari_unetstyle.core.style.content_check import check_content
from napari_unetstyle.core.style.photometric import METHODS

SIDE, GAP = 160, 6
CORNER = 60  # where the part that is shown begins
COLOR = (235, 40, 160)
STEPS = 150  # of the training of `fast`, a few minutes
PAIRS = (
    ("nuclei-fluorescence", "nuclei-he"),
    ("nuclei-he", "nuclei-fluorescence"),
    ("nuclei-he", "he-dark"),
    ("axons-sem", "brightfield"),
)
PAGE = """# A gallery of styles

Each row: a part of one of our sample pictures, the same part in the other style, both with the outlines of its labels.
Written by `docs/gallery.py`. Styles are whole pictures, or kept ones where only a name is given; those have no texture,
so methods that make it are not shown with them. For `fast` a network was trained for each style, in 150 steps and on
the picture that is shown.

"""


@dataclass(frozen=True)
class Row:
    """One picture in one style."""

    pixels: NDArray[np.uint8]
    sentence: str


def main(folder: Path) -> None:
    """A picture and a section for each method."""
    text = [PAGE]
    for method in (*METHODS, *TEXTURED):
        rows = [row(source, style, method) for source, style in PAIRS if method not in TEXTURED or is_sample(style)]
        path = folder / "images" / f"gallery-{method}.png"
        pixels = np.concatenate([r.pixels for r in rows])
        PIL.Image.fromarray(pixels).quantize(160, dither=PIL.Image.Dither.NONE).save(path, optimize=True)
        text.append(f"## {method}\n\n![{method}](../images/{path.name})\n\n")
        text.extend(f"1. {r.sentence}\n" for r in rows)
        text.append("\n")
        print(path.name, *(r.sentence for r in rows), sep="\n  ")
    (folder / "explanation" / "gallery.md").write_text("".join(text).rstrip() + "\n")


def row(source: str, style: str, method: str) -> Row:
    """The part before and after, and both with outlines."""
    picture = read_image(sample_folder() / f"{source}.tif")
    look = read_image(sample_folder() / f"{style}.tif") if is_sample(style) else style
    if method in TRAINED:
        look = run(iter_train_fast("trained", [picture], [look], FastStyleOptions(minutes=None, steps=STEPS)))
    styled = stylize(picture, look, method)
    truth = np.asarray(read_image(sample_folder() / "truth" / f"{source}.tif").array)
    part = slice(CORNER, CORNER + SIDE)
    before, after = (shown(np.asarray(array))[part, part] for array in (picture.array, styled.image.array))
    labels = truth[part, part]
    check = check_content(np.moveaxis(before, -1, 0) / 255, np.moveaxis(after, -1, 0) / 255, labels)
    tiles = [before, after, outlined(before, labels), outlined(after, labels)]
    white = np.full((SIDE, GAP, 3), 255, np.uint8)
    line = np.concatenate([tile for each in tiles for tile in (each, white)], axis=1)
    pixels = np.concatenate([line, np.full((GAP, *line.shape[1:]), 255, np.uint8)])
    notes = [note for note in styled.notes if not (styled.is_inverted and note.startswith("Bright and dark"))]
    return Row(pixels, f"`{source}` like `{style}`: {' '.join([check.words, *notes])}")


def is_sample(style: str) -> bool:
    """Whether a style is one of our pictures."""
    return (sample_folder() / f"{style}.tif").exists()


def shown(array: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """``(Y, X, 3)``"""
    return array if array.ndim == 3 else np.repeat(array[..., np.newaxis], 3, axis=-1)


def outlined(picture: NDArray[np.uint8], labels: NDArray[np.integer]) -> NDArray[np.uint8]:
    """With borders in a color that is seen on black, white and stains."""
    drawn = picture.copy()
    drawn[find_boundaries(labels, mode="inner")] = COLOR
    return drawn


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parent)
