"""Which picture is for training, for choosing and for testing: one answer for recipes and benchmarks.

Deterministic by the sha256 of the file stems, about 65/10/25. Pictures of one acquisition stay together:

- axon_sem: by animal, the part of the stem before ``_`` (``sub-rat3``);
- fluo256: crops of one acquisition look alike, so pictures whose background level, brightness, noise and
  nuclei's size agree closely (single linkage of robust, standardized statistics) form a group;
- the other nuclei domains: by picture, as nothing tells their acquisitions apart;
- hippocampus: by case;
- spinalcord: two people, each tested by what the other teaches.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Literal

import numpy as np
from skimage.io import imread

Part = Literal["train", "val", "test"]
NUCLEI = ("fluo256", "fluo360", "hist_purple", "hist_white", "cytobf")
_SHARES: tuple[tuple[Part, float], ...] = (("test", 0.25), ("val", 0.10))


def split(groups: Mapping[str, str]) -> dict[str, Part]:
    """Part of each stem, given the group of each; whole groups go to test, then val, then train, in hash order."""
    members: dict[str, list[str]] = {}
    for stem, group in sorted(groups.items()):
        members.setdefault(group, []).append(stem)
    order = sorted(members, key=lambda group: hashlib.sha256(group.encode()).hexdigest())
    result: dict[str, Part] = {}
    left = [(part, share * len(groups)) for part, share in _SHARES]
    for group in order:
        part: Part = "train"
        for index, (name, room) in enumerate(left):
            size = len(members[group])
            if room > 0 and size <= room + max(1.0, 0.1 * room):
                part, left[index] = name, (name, room - size)
                break
        result |= dict.fromkeys(members[group], part)
    return result


def nuclei(data: Path, domain: str) -> dict[str, Part]:
    """Part of each picture of a nuclei domain, by stem."""
    stems = sorted(path.stem for path in (data / "nuclei" / domain / "images").glob("*.png"))
    return split(_alike(data, domain, stems) if domain == "fluo256" else {stem: stem for stem in stems})


def axons(data: Path) -> dict[str, Part]:
    """Part of each picture of axon_sem, by stem: animals never cross."""
    stems = [path.stem for path in (data / "axon_sem" / "images").glob("*.png")]
    return split({stem: stem.split("_")[0] for stem in stems})


def hippocampus(data: Path) -> dict[str, Part]:
    """Part of each volume of hippocampus, by stem; one volume is one case."""
    return split({stem: stem for stem in _volumes(data / "hippocampus")})


def spinal_cords(data: Path) -> dict[str, str]:
    """Person of each volume of spinalcord, by stem: ``"unf01"``, or ``"sct"`` for those without a name.

    Masks of mt0, mt1, t1w and t2w overlap in scanner coordinates (Dice 0.8 to 0.9): one person in one session. t2star
    lies elsewhere, and nothing says that it is someone else.
    """
    return {stem: "unf01" if stem.startswith("unf01_") else "sct" for stem in _volumes(data / "spinalcord")}


def _volumes(folder: Path) -> list[str]:
    return sorted(path.name.removesuffix(".nii.gz") for path in (folder / "images").glob("*.nii.gz"))


def _alike(data: Path, domain: str, stems: list[str]) -> dict[str, str]:
    """Group of each picture: the first stem of those that look like the same acquisition."""
    from scipy.cluster.hierarchy import fcluster, linkage

    folder = data / "nuclei" / domain
    rows = [_look(imread(folder / "images" / f"{s}.png"), imread(folder / "instances" / f"{s}.png")) for s in stems]
    table = np.array(rows)
    spread = np.subtract(*np.percentile(table, [75, 25], axis=0))
    cluster = fcluster(linkage(table / np.maximum(spread, 1e-6), "single"), 0.35, "distance")
    first = {number: stems[int(np.flatnonzero(cluster == number)[0])] for number in np.unique(cluster)}
    return {stem: first[number] for stem, number in zip(stems, cluster, strict=True)}


def _look(image: np.ndarray, objects: np.ndarray) -> list[float]:
    pixels = image.astype(float)
    outside = pixels[objects == 0]
    areas = np.bincount(objects.ravel())[1:]
    grain = np.median(np.abs(np.diff(pixels, axis=1)[objects[:, 1:] == 0]))
    return [
        float(np.log1p(np.median(outside))),
        float(np.log1p(np.percentile(pixels, 99))),
        float(np.log1p(outside.std())),
        float(grain),
        float(np.log(np.median(areas[areas > 0]))),
    ]


if __name__ == "__main__":
    import sys
    from collections import Counter

    root = Path(sys.argv[1])
    for name in NUCLEI:
        print(name, dict(Counter(nuclei(root, name).values())))
    print("fluo256 groups", sorted(Counter(_alike(root, "fluo256", sorted(nuclei(root, "fluo256"))).values()).values()))
    print("axon_sem", axons(root))
    print("hippocampus", dict(Counter(hippocampus(root).values())))
