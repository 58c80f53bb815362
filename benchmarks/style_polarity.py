"""Are objects bright on dark, or dark on bright? How often the style room knows, without being told.

    python benchmarks/style_polarity.py --data FOLDER

The truth is that of the masks: inside of the nuclei against a ring around them. Beside ours (``core.style.polarity``):
skewness of the luminance, and Otsu's threshold with the smaller side as objects. A wrong answer that counts as sure
exchanges bright and dark where it must not; one that is unsure leaves the picture as it is.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from scipy import ndimage
from skimage.filters import threshold_otsu
from skimage.io import imread

from napari_unetstyle.core.style.pixels import luminance
from napari_unetstyle.core.style.polarity import SURE, measure

DOMAINS = ("fluo256", "fluo360", "hist_purple", "hist_white", "cytobf")
RING = 8  # pixels


def skewness(pixels: Any) -> float:
    """Of the luminance between its 1st and 99th percentile, squashed."""
    values = luminance(pixels)
    kept = np.clip(values, *np.percentile(values, (1, 99)))
    spread = kept.std()
    return float(np.tanh(np.mean(((kept - kept.mean()) / spread) ** 3))) if spread > 1e-6 else 0.0


def otsu(pixels: Any) -> float:
    """The smaller side of Otsu's threshold is the objects."""
    values = luminance(pixels)
    return float(1 - 2 * (values > threshold_otsu(values)).mean())


METHODS: dict[str, Callable[[Any], float]] = {"ours": measure, "skewness": skewness, "Otsu": otsu}


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    given = parser.parse_args()
    print(f"{'domain':<14}{'pictures':>9}" + "".join(f"{name + ' right':>18}{'surely wrong':>14}" for name in METHODS))
    for domain in DOMAINS:
        folder = given.data / "nuclei" / domain
        found: dict[str, list[float]] = {name: [] for name in METHODS}
        for path in sorted((folder / "images").glob("*.png")):
            pixels = np.moveaxis(np.atleast_3d(imread(path)), -1, 0)[:3].astype(np.float32) / 255
            inside = imread(folder / "instances" / path.name) > 0
            if not inside.any():
                continue
            light, ring = luminance(pixels), ndimage.binary_dilation(inside, iterations=RING) & ~inside
            truth = np.sign(light[inside].mean() - light[ring].mean())
            for name, method in METHODS.items():
                found[name].append(truth * method(pixels))
        cells = (f"{np.mean(np.array(v) > 0):>18.3f}{np.mean(np.array(v) <= -SURE):>14.3f}" for v in found.values())
        print(f"{domain:<14}{len(found['ours']):>9}" + "".join(cells), flush=True)


if __name__ == "__main__":
    main()
