"""What taking InstanceNorm's statistics once per picture, from a few regions, costs and gains.

    python benchmarks/image_statistics.py --data FOLDER [--model nuclei] [--pictures 12] [--json FILE]

On test pictures that the bundled model never saw:

sampled   Dice against truth and pixels changed, against how much of a large picture (a mosaic of one
          acquisition) was looked at
tiles     the usual way for comparison: each tile of 256 normalized by itself
patches   windows as large as a patch of a teaching, with their own statistics, as patches have them, and with those
          of their picture, as they are run; both at the size of their picture's objects
crop      the same cells as a 256 x 256 crop and inside a 95 % blank 4096 x 4096 picture
lone      one nucleus in a dark 2048 x 2048 picture: found or not
blank     200 pictures of five kinds with nothing in them: objects found
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from unittest import mock

import numpy as np
import torch
from skimage.io import imread

from napari_unetstyle.core import ModelStore, segment
from napari_unetstyle.core.inference import statistics
from napari_unetstyle.core.models.model import Model
from napari_unetstyle.core.segmentation.scale import typical_diameter

sys.path.insert(0, str(Path(__file__).parents[1] / "recipes"))
import splits

PATCH = 192  # side of a patch of a teaching, in pixels of the model
SAMPLED = (2**15, 2**16, 2**17, 2**18, 2**19, 2**20, 2**22)


def load(data: Path, domain: str, count: int) -> list[tuple[np.ndarray, np.ndarray]]:
    """Test pictures of a domain as RGB or gray with their object ids."""
    stems = [stem for stem, part in splits.nuclei(data, domain).items() if part == "test"][:count]
    folder = data / "nuclei" / domain
    return [(imread(folder / "images" / f"{s}.png"), imread(folder / "instances" / f"{s}.png")) for s in stems]


def mosaic(pairs: list[tuple[np.ndarray, np.ndarray]], side: int) -> tuple[np.ndarray, np.ndarray]:
    """Pictures laid side by side, mirrored where they repeat, to a picture of `side` pixels and its foreground."""
    height, width = (min(p[0].shape[axis] for p in pairs) for axis in (0, 1))
    rows, columns = -(-side // height), -(-side // width)
    picks = [pairs[i % len(pairs)] for i in range(rows * columns)]
    image, truth = (
        np.concatenate(
            [
                np.concatenate([picks[r * columns + c][k][:height, :width] for c in range(columns)], 1)
                for r in range(rows)
            ]
        )[:side, :side]
        for k in (0, 1)
    )
    return image, truth > 0


def dice(found: np.ndarray, truth: np.ndarray) -> float:
    """Overlap of two masks; 1 if both are empty."""
    total = int(found.sum()) + int(truth.sum())
    return 2 * int((found & truth).sum()) / total if total else 1.0


def foreground(image: np.ndarray, model: Model) -> np.ndarray:
    """Where the model sees something."""
    axes = "YXC" if image.ndim == 3 else "YX"
    return segment(image, model, axes=axes, output="areas", device="cpu").labels > 0


def sampled(data: Path, model: Model, count: int) -> Iterator[dict[str, object]]:
    """Dice and changed pixels for each amount looked at, whole picture last."""
    for domain in ("fluo360", "hist_white"):  # pictures of one acquisition each, so a mosaic could be one picture
        image, truth = mosaic(load(data, domain, count), 1536)
        with mock.patch.dict(statistics.REGIONS_PIXELS, {2: 2**30}):
            whole = foreground(image, model)
        for pixels in SAMPLED:
            with mock.patch.dict(statistics.REGIONS_PIXELS, {2: pixels}):
                found = foreground(image, model)
            yield {
                "test": "sampled",
                "what": f"{domain}, {pixels / 2**20:.3f} Mpx",
                "dice": dice(found, truth),
                "changed_%": 100 * float((found != whole).mean()),
            }
        tiled = np.zeros_like(whole)
        for y in range(0, 1536, 256):
            for x in range(0, 1536, 256):
                tiled[y : y + 256, x : x + 256] = foreground(image[y : y + 256, x : x + 256], model)
        yield {
            "test": "tiles",
            "what": f"{domain}, each tile of 256 by itself",
            "dice": dice(tiled, truth),
            "changed_%": 100 * float((tiled != whole).mean()),
        }


def patches(data: Path, model: Model, count: int) -> Iterator[dict[str, object]]:
    """Dice of windows as large as a patch of a teaching, each by itself and as a box of its picture."""
    for domain in ("fluo256", "fluo360", "hist_purple", "hist_white", "cytobf"):
        own, pictures, each = np.zeros(3), np.zeros(3), []
        for image, ids in load(data, domain, count):
            diameter = typical_diameter(np.bincount(ids.ravel())[1:], 2)
            given = {"axes": "YXC" if image.ndim == 3 else "YX", "output": "areas", "object_diameter": diameter}
            side = round(PATCH * diameter / (model.spec.input.object_diameter or diameter))
            whole = segment(image, model, **given).labels > 0
            for y, x in np.ndindex(*(max(1, n // side) for n in ids.shape)):
                place = (slice(y * side, (y + 1) * side), slice(x * side, (x + 1) * side))
                alone, truth = segment(image[place], model, **given).labels > 0, ids[place] > 0
                own += overlap(alone, truth)
                pictures += overlap(whole[place], truth)
                each.append(dice(alone, truth) - dice(whole[place], truth))
        before, after = (2 * a[0] / (a[1] + a[2]) for a in (pictures, own))
        yield {
            "test": "patches",
            "what": f"{domain}: {len(each)} windows",
            "dice_picture": float(before),
            "dice_own": float(after),
            "mismatch": float(after - before),
            "mean_of_windows": float(np.mean(each)),
        }


def overlap(found: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """Pixels in both, in the first and in the second."""
    return np.array([(found & truth).sum(), found.sum(), truth.sum()])


def crop(data: Path, model: Model, count: int) -> Iterator[dict[str, object]]:
    """Crops alone and inside a blank picture of their background's level and noise."""
    rng = np.random.default_rng(0)
    for domain in ("fluo256", "fluo360", "hist_purple", "hist_white"):
        alone, inside = [], []
        for image, ids in load(data, domain, count // 2):
            cells, truth = image[:256, :256], ids[:256, :256] > 0
            height, width = truth.shape
            outside = cells[~truth].astype(float).reshape(int((~truth).sum()), -1)
            level, noise = np.median(outside, 0), np.median(np.abs(np.diff(outside, axis=0)), 0)
            shape = (4096, 4096, *cells.shape[2:])
            blank = (level + noise * rng.standard_normal(shape, np.float32)).clip(0, 255).astype(np.uint8)
            y, x = (int(v) for v in rng.integers(0, 3800, 2))
            blank[y : y + height, x : x + width] = cells
            axes = "YXC" if cells.ndim == 3 else "YX"
            part = segment(
                blank, model, axes=axes, output="areas", device="cpu", box=((y, y + height), (x, x + width))
            ).labels
            alone.append(dice(foreground(cells, model), truth))
            inside.append(dice(part[y : y + height, x : x + width] > 0, truth))
        yield {"test": "crop", "what": f"{domain}: alone", "dice": float(np.mean(alone))}
        yield {
            "test": "crop",
            "what": f"{domain}: in a 4096 blank",
            "dice": float(np.mean(inside)),
            "largest_loss": float(np.max(np.subtract(alone, inside))),
        }


def lone(data: Path, model: Model, count: int) -> Iterator[dict[str, object]]:
    """One nucleus with its surroundings on a dark field."""
    rng = np.random.default_rng(0)
    found, extra, tried = 0, 0, 0
    for domain in ("fluo256", "fluo360"):
        for image, ids in load(data, domain, count):
            gray = image if image.ndim == 2 else image[..., 0]
            areas = np.bincount(ids.ravel())
            label = int(np.argsort(areas[1:])[len(areas[1:]) // 2]) + 1
            ys, xs = np.nonzero(ids == label)
            if ys.size < 30 or not (
                ys.min() > 4 and xs.min() > 4 and ys.max() < len(ids) - 5 and xs.max() < ids.shape[1] - 5
            ):
                continue
            level = float(np.median(gray[ids == 0]))
            field = (level + 1.5 * rng.standard_normal((2048, 2048), np.float32)).clip(0, 255)
            y, x = (int(v) for v in rng.integers(100, 1800, 2))
            field[y + ys - ys.min(), x + xs - xs.min()] = gray[ys, xs]
            labels = segment(field.astype(np.uint8), model, device="cpu").labels
            here = labels[y + ys - ys.min(), x + xs - xs.min()]
            tried += 1
            found += bool((here > 0).mean() > 0.5)
            extra += len(set(np.unique(labels)) - {0} - set(np.unique(here)))
    yield {"test": "lone", "what": f"{found} of {tried} found, {extra} false objects", "found": found / max(tried, 1)}


def blank(data: Path, model: Model, count: int) -> Iterator[dict[str, object]]:
    """Forty pictures of each of five kinds."""
    from scipy.ndimage import gaussian_filter

    ramp = np.linspace(0, 1, 512, dtype=np.float32)
    kinds = {
        "dark, camera noise": lambda r: 100 + r.uniform(1, 10) * r.standard_normal((512, 512)),
        "few photons": lambda r: r.poisson(r.uniform(0.2, 20), (512, 512)).astype(float),
        "white slide": lambda r: np.clip(235 + r.uniform(0.5, 3) * r.standard_normal((512, 512, 3)), 0, 255).round(),
        "uneven light": lambda r: 60 + 80 * np.outer(ramp, ramp[:: r.choice([-1, 1])]) + r.standard_normal((512, 512)),
        "out of focus": lambda r: (
            90 + 400 * gaussian_filter(r.standard_normal((512, 512)), 12) + r.standard_normal((512, 512))
        ),
    }
    for name, draw in kinds.items():
        counts, shares = [], []
        for seed in range(40):
            image = draw(np.random.default_rng(seed))
            result = segment(image, model, axes="YXC" if image.ndim == 3 else "YX", device="cpu")
            counts.append(result.count)
            shares.append(float((result.labels > 0).mean()))
        yield {
            "test": "blank",
            "what": f"40 x {name}",
            "pictures_with_objects": int(np.count_nonzero(counts)),
            "objects": int(np.sum(counts)),
            "share_%": 100 * float(np.mean(shares)),
        }


def main() -> None:
    """Print the table."""
    parts = {"sampled": sampled, "patches": patches, "crop": crop, "lone": lone, "blank": blank}
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--model", default="nuclei")
    parser.add_argument("--pictures", type=int, default=12, help="test pictures of each domain")
    parser.add_argument("--only", default=",".join(parts))
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    model, rows = ModelStore().load(options.model), []
    for part in options.only.split(","):
        for row in parts[part](options.data, model, options.pictures):
            rows.append(row)
            values = "  ".join(f"{k} {v:.3f}" if isinstance(v, float) else f"{k} {v}" for k, v in list(row.items())[2:])
            print(f"{row['test']:<8} {row['what']:<42} {values}", flush=True)
    if options.json:
        options.json.write_text(json.dumps(rows, indent=1))


if __name__ == "__main__":
    main()
