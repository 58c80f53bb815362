"""Make the bundled styles: the mean look of a few pictures of each kind, as numbers.

    python recipes/styles.py --data FOLDER [--out src/napari_unetstyle/core/style/bundled]

Each is the mean of up to eight pictures, evenly spaced in the folder; a style has no picture in it. The thumbnail
shows one of our own sample pictures in that style, so none of the pictures that it was made of.
Where none of our samples is of the kind there is no thumbnail.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from napari_unetstyle.core import read_image, stylize
from napari_unetstyle.core.files import atomic_write
from napari_unetstyle.core.imaging.image import Image
from napari_unetstyle.core.style.kept_style import SUFFIX, KeptStyle

MOST = 8
CC0 = "CC0; from BBBC038v1 (Caicedo et al., Nature Methods 2019)"
MIT, APACHE = (f"{name} (its text comes with napari-unetstyle)" for name in ("MIT", "Apache-2.0"))
SCT = f"{MIT}; from sct_testing_data of the Spinal Cord Toolbox (De Leener et al., NeuroImage 2017)"
ROOT = Path(__file__).parent.parent


@dataclass(frozen=True)
class Kind:
    """Where the pictures of a style are."""

    about: str
    pattern: str
    license: str
    sample: str | None = "nuclei-fluorescence.tif"


KINDS = {
    "he-light": Kind("H&E, purple nuclei on white", "nuclei/hist_white/images/*.png", CC0, "nuclei-he.tif"),
    "he-dark": Kind("H&E, purple nuclei on purple", "nuclei/hist_purple/images/*.png", CC0, "nuclei-he.tif"),
    "fluorescence": Kind("Fluorescence, bright nuclei on black", "nuclei/fluo360/images/*.png", CC0),
    "brightfield": Kind("Brightfield cytology, dark nuclei on gray", "nuclei/cytobf/images/*.png", CC0),
    "sem": Kind(
        "Scanning electron microscopy of nerve fibers",
        "axon_sem/images/*.png",
        f"{MIT}; from AxonDeepSeg (Zaimi et al., Scientific Reports 2018)",
        "axons-sem.tif",
    ),
    "mr-t1": Kind("MR, T1-weighted, neck", "spinalcord/images/*[tT]1w.nii.gz", SCT, None),
    "mr-t2": Kind("MR, T2-weighted, neck", "spinalcord/images/*[tT]2w.nii.gz", SCT, None),
    "ct": Kind(
        "CT of the trunk",
        "totalseg_examples/images/ct_*.nii.gz",
        f"{APACHE}; from the example data of TotalSegmentator (Wasserthal et al., Radiology: AI 2023)",
        None,
    ),
}


def pictures(data: Path, kind: Kind) -> list[Image]:
    """Up to eight of a kind, evenly spaced."""
    paths = sorted(data.glob(kind.pattern))
    if not paths:
        raise SystemExit(f"There is no picture {kind.pattern} in {data}.")
    return [read_image(paths[i]) for i in np.unique(np.linspace(0, len(paths) - 1, MOST).round().astype(int))]


def made(name: str, kind: Kind, data: Path) -> KeptStyle:
    """A style with a thumbnail of our own sample."""
    style = KeptStyle.of(name, pictures(data, kind), about=kind.about, license_note=kind.license, thumbnail=False)
    if kind.sample is None:
        return style
    shown = stylize(read_image(ROOT / "sample_data" / kind.sample), style).image
    own = KeptStyle.of(name, [shown])
    return style.model_copy(update={"thumbnail": own.thumbnail})


def main() -> None:
    """Read the command line, write a file for each kind."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    bundled = ROOT / "src" / "napari_unetstyle" / "core" / "style" / "bundled"
    parser.add_argument("--out", type=Path, default=bundled)
    given = parser.parse_args()
    for name, kind in KINDS.items():
        style = made(name, kind, given.data)
        path = atomic_write(given.out / f"{name}{SUFFIX}", style.model_dump_json(indent=1) + "\n")
        print(f"{path.name}: {style.reference.channels} channels, polarity {style.reference.polarity:+.2f}")


if __name__ == "__main__":
    main()
