"""Write the gallery of styles, pictures and page: ``python docs/gallery.py [FOLDER OF docs] [METHOD ...]``.

Each method on our own sample pictures and drawn ones, with the outlines of their truth and what the check of the labels
says; those that make texture are tried on a part, as each takes a minute or more. With methods, only their sections are
written anew.
"""

from __future__ import annotations

import dataclasses
import sys
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import phantom
import PIL.Image
from numpy.typing import NDArray
from skimage.segmentation import find_boundaries

from napari_unetstyle._sample_data import sample_folder
from napari_unetstyle.core import (
    FastStyleOptions,
    GatysOptions,
    Image,
    StyleBank,
    as_image,
    check_content,
    iter_train_fast,
    read_image,
    run,
    stylize,
)
from napari_unetstyle.core.style.change import TEXTURED, TRAINED
from napari_unetstyle.core.style.photometric import METHODS

SIDE, GAP, FRAME = 112, 6, 3
CORNER = 60  # where the part that is shown begins, of a large picture
AROUND = 8  # pixels around that part that a method that makes texture sees, too
COLOR, BAD = (235, 40, 160), (230, 20, 20)
STEPS = 150  # of the training of `fast`
GATYS_STEPS = 10
MR_SLICES = slice(20, 29, 4)
PAIRS = (
    ("nuclei-fluorescence", "nuclei-he"),
    ("nuclei-he", "nuclei-fluorescence"),
    ("nuclei-he", "he-dark"),
    ("axons-sem", "brightfield"),
    ("drawn-mr", "drawn-mr-2"),
    ("nuclei-he", "drawn-ct"),
)
PAGE = f"""# A gallery of styles

Each row, from the left: a part of one of our sample pictures; what it is to look like; what was made of it; and source
and result again, with the outlines of the labels. **Where the labels no longer fit, the last part has a red frame**:
H&E made to look like a CT is what nobody should do, and what teaching leaves out.

Written by `docs/gallery.py`. Styles are pictures, or kept ones (`he-dark`, `brightfield`), with which methods that
make texture are not shown: most of these need a picture. `drawn-ct` and `drawn-mr` are drawn by the script, and
`drawn-mr-2` is as a second scanner with another gain and another coil has it: a volume, whose statistics are taken
once, and of which one slice is shown. Methods that make texture were given a part of {SIDE + 2 * AROUND} pixels a
side, of the volume its middle slice, and `gatys` {GATYS_STEPS} steps of the usual 30; for `fast` a network was trained
for each style, in {STEPS} steps and on the part that is shown.

"""


@dataclasses.dataclass(frozen=True)
class Row:
    """One picture in one style."""

    pixels: NDArray[np.uint8]
    sentence: str


def main(folder: Path, methods: tuple[str, ...]) -> None:
    """A picture and a section for each method."""
    page = folder / "explanation" / "gallery.md"
    before = page.read_text().split("\n## ")[1:] if methods else []
    sections = {text.split("\n", 1)[0]: text.split("\n", 1)[1].strip() for text in before}
    for method in methods or (*METHODS, *TEXTURED):
        rows = [row(source, style, method) for source, style in PAIRS if method not in TEXTURED or is_picture(style)]
        path = folder / "images" / f"gallery-{method}.png"
        pixels = np.concatenate([r.pixels for r in rows])
        PIL.Image.fromarray(pixels).quantize(96, dither=PIL.Image.Dither.NONE).save(path, optimize=True)
        sections[method] = "\n".join([f"![{method}](../images/{path.name})", "", *(f"1. {r.sentence}" for r in rows)])
        print(path.name, *(r.sentence for r in rows), sep="\n  ")
    text = "\n\n".join(f"## {method}\n\n{sections[method]}" for method in (*METHODS, *TEXTURED) if method in sections)
    page.write_text(f"{PAGE}{text}\n")


def row(source: str, style: str, method: str) -> Row:
    """Source, style and result, and source and result with outlines."""
    picture, truth = named(source)
    look: Any = named(style)[0] if is_picture(style) else style
    if method in TEXTURED:
        look, (picture, truth) = part_of(look), (part_of(picture), part_of(truth))
    wanted = look
    if method in TRAINED:
        wanted = run(iter_train_fast("trained", [picture], [look], FastStyleOptions(minutes=None, steps=STEPS)))
    styled = stylize(picture, wanted, method, neural=GatysOptions(steps=GATYS_STEPS))
    before, after = (tile(one) for one in (picture, styled.image))
    labels = part(np.asarray(truth.array)[len(truth.array) // 2 if truth.axes == "ZYX" else slice(None)])
    check = check_content(np.moveaxis(before, -1, 0) / 255, np.moveaxis(after, -1, 0) / 255, labels)
    last = outlined(after, labels) if check.holds else framed(outlined(after, labels))
    tiles = [before, tile(look) if isinstance(look, Image) else swatch(style), after, outlined(before, labels), last]
    white = np.full((SIDE, GAP, 3), 255, np.uint8)
    line = np.concatenate([one for each in tiles for one in (each, white)], axis=1)
    pixels = np.concatenate([line, np.full((GAP, *line.shape[1:]), 255, np.uint8)])
    notes = [note for note in styled.notes if not (styled.is_inverted and note.startswith("Bright and dark"))]
    words = check.words if check.holds else f"**{check.words}**"
    return Row(pixels, f"`{source}` like `{style}`: {' '.join([words, *notes])}")


@cache
def named(name: str) -> tuple[Image, Image]:
    """A picture and its labels, of our samples or drawn."""
    if name.startswith("drawn-mr"):
        pair = phantom.resonance(2, other=True) if name.endswith("2") else phantom.resonance()
        volume, labels = (as_image(array[MR_SLICES], axes="ZYX") for array in pair)
        return volume, labels
    if name == "drawn-ct":
        slice_, truth = (as_image(array[24]) for array in phantom.abdomen())
        return slice_, truth
    return read_image(sample_folder() / f"{name}.tif"), read_image(sample_folder() / "truth" / f"{name}.tif")


def is_picture(style: str) -> bool:
    """Whether a style is a picture here, and no kept one."""
    return style.startswith("drawn-") or (sample_folder() / f"{style}.tif").exists()


def part_of(image: Image) -> Image:
    """The part that is shown, of a volume in its middle slice, and a little around it."""
    if image.axes == "ZYX":
        image = as_image(np.asarray(image.array)[len(image.array) // 2])
    where = tuple(
        slice(start(image.size(axis)) - AROUND, start(image.size(axis)) + SIDE + AROUND)
        if axis in "YX"
        else slice(None)
        for axis in image.axes
    )
    return dataclasses.replace(image, array=np.asarray(image.array)[where])


def start(size: int) -> int:
    """Where along a side of so many pixels the part begins that is shown."""
    return min(CORNER, (size - SIDE) // 2)


def part(pixels: NDArray[Any]) -> NDArray[Any]:
    """Of ``(Y, X, ...)``."""
    y, x = (start(size) for size in pixels.shape[:2])
    return pixels[y : y + SIDE, x : x + SIDE]


def tile(image: Image) -> NDArray[np.uint8]:
    """The part that is shown, of a volume of its middle slice, ``(Y, X, 3)``."""
    array = np.asarray(image.array)
    if image.axes.startswith("Z"):
        array = array[len(array) // 2]
    if array.dtype != np.uint8:
        low, high = np.percentile(array, (0.5, 99.5))
        array = (255 * ((array - low) / (high - low)).clip(0, 1)).astype(np.uint8)
    return part(array if array.ndim == 3 else np.repeat(array[..., np.newaxis], 3, axis=-1))


def swatch(style: str) -> NDArray[np.uint8]:
    """The small picture of a kept style, ``(Y, X, 3)``."""
    small = StyleBank().load(style).picture
    assert small is not None, f"{style} is kept without a picture"
    return np.asarray(PIL.Image.fromarray(small).resize((SIDE, SIDE)))


def outlined(picture: NDArray[np.uint8], labels: NDArray[np.integer]) -> NDArray[np.uint8]:
    """With borders in a color that is seen on black, white and stains."""
    drawn = picture.copy()
    drawn[find_boundaries(labels, mode="inner")] = COLOR
    return drawn


def framed(picture: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """In a red frame."""
    drawn = np.full_like(picture, BAD)
    inside = slice(FRAME, -FRAME)
    drawn[inside, inside] = picture[inside, inside]
    return drawn


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parent, tuple(sys.argv[2:]))
