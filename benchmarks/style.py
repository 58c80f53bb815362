"""Does style carry a model over to another microscope or stain: leave one domain out.

    python benchmarks/style.py --data FOLDER --work FOLDER [--pairs fluo360:hist_purple,…] [--seeds 3] [--json FILE]

A network as large as the bundled one is trained on one domain of ``nuclei/`` and tested on another that it never saw;
Dice of all nuclei pixels, mean over the test pictures of the split of ``recipes/splits.py``, whole pictures with
statistics of their own. All methods share network, steps, patches and geometry, and differ in appearance alone:

none        no change of appearance
nnunet      the default intensity transforms of nnU-Net v2 (batchgeneratorsv2)
inversion   inverted with p 0.5
gin         random convolutions (Ouyang et al. 2022)
stain       hematoxylin and eosin jitter (Tellez et al. 2018)
bezier      random Bezier curves, rising or falling (Zhou et al. 2019)
slaug       a random curve for each class, or one for all (Su et al. 2023, without its mixture by saliency)
fda         lowest amplitudes of five unlabeled pictures of the other domain (Yang and Soatto 2020), as published
histogram   histogram matching to five unlabeled pictures of the other domain, as published: no polarity, no check
adain       every training picture once more, by a network of any style (Huang and Belongie 2017) in the style of one of
            five unlabeled pictures of the other domain: no polarity, no check; the bundled network, whose own training
            has seen pictures of all domains
open        ours without pictures of the other domain
five        ours with five unlabeled pictures of it: ``StyleAugment``
texture     the same, also with the texture of those pictures by the bundled network, of which stands above what it saw
restyle     no training: the test picture takes the style of the training pictures; network of ``none``
unstain     the same by the method stain (Macenko et al. 2009), where both have stains
ceiling     trained on the other domain itself

A line is written for each cell as soon as it is measured; started again with the same ``--work``, finished cells are
read, not measured. A method without pictures of the other domain is trained once for all targets. nnU-Net:
`pip install --group bench`.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch

sys.path.insert(0, str(Path(__file__).parent.parent / "recipes"))
import nuclei

from napari_unetstyle.core import Reference, StyleOptions, as_image, run, stylize
from napari_unetstyle.core.networks.unet import UNet
from napari_unetstyle.core.segmentation.preprocessing import Intensity, select_channels
from napari_unetstyle.core.style import randomized
from napari_unetstyle.core.style.any_style import with_texture
from napari_unetstyle.core.style.change import change_of
from napari_unetstyle.core.training import augmentation
from napari_unetstyle.core.training.fit import fit
from napari_unetstyle.core.training.losses import class_loss
from napari_unetstyle.core.training.options import FitOptions
from napari_unetstyle.core.training.patches import Example, Warp, draw_patch
from napari_unetstyle.core.training.styling import METHODS as STYLED_BY
from napari_unetstyle.core.training.styling import iter_styled

PAIRS = ("fluo360:hist_purple", "hist_purple:fluo360", "hist_purple:fluo256", "fluo360:cytobf")
METHODS = (
    *("none", "nnunet", "inversion", "gin", "stain", "bezier", "slaug", "fda", "histogram", "adain"),
    *("open", "five", "texture", "restyle", "unstain", "ceiling"),
)
TOWARD = ("fda", "histogram", "adain", "five", "texture")
"""Methods with pictures of the other domain."""
SIDE, BATCH, FEW = 128, 8, 5
RESTYLED_BY = {"restyle": "automatic", "unstain": "stain"}
ANYWHERE = Warp(turn=0, bend=0, focus=0)
Pixels = Any
Change = Callable[[Example, Example, np.random.Generator], Pixels]
"""``(whole training picture, patch (C, Y, X) in 0..1, generator)`` to the patch as the network is shown it."""


def no_change(_: Example, patch: Example, __: np.random.Generator) -> Pixels:
    """The patch as it is."""
    return patch.image


def steps(chosen: Sequence[tuple[float, augmentation.Augmentation]]) -> Change:
    """Each with its chance."""
    return lambda _, patch, rng: augmentation.appear(patch.image, rng, chosen)


def nnunet() -> Change:
    """nnU-Net v2's default training transforms, those of intensity, as ``nnUNetTrainer`` of version 2.6 builds them."""
    from batchgeneratorsv2.helpers.scalar_type import RandomScalar  # noqa: F401 (says at once whether it is there)
    from batchgeneratorsv2.transforms.intensity.brightness import MultiplicativeBrightnessTransform
    from batchgeneratorsv2.transforms.intensity.contrast import BGContrast, ContrastTransform
    from batchgeneratorsv2.transforms.intensity.gamma import GammaTransform
    from batchgeneratorsv2.transforms.intensity.gaussian_noise import GaussianNoiseTransform
    from batchgeneratorsv2.transforms.noise.gaussian_blur import GaussianBlurTransform
    from batchgeneratorsv2.transforms.spatial.low_resolution import SimulateLowResolutionTransform
    from batchgeneratorsv2.transforms.utils.compose import ComposeTransforms
    from batchgeneratorsv2.transforms.utils.random import RandomTransform

    shared = {"p_per_channel": 1, "synchronize_channels": False}
    gamma = {"p_per_channel": 1, "synchronize_channels": False, "p_retain_stats": 1}
    chain = ComposeTransforms(
        [
            RandomTransform(
                GaussianNoiseTransform(noise_variance=(0, 0.1), p_per_channel=1, synchronize_channels=True),
                apply_probability=0.1,
            ),
            RandomTransform(
                GaussianBlurTransform(
                    blur_sigma=(0.5, 1.0),
                    synchronize_channels=False,
                    synchronize_axes=False,
                    p_per_channel=0.5,
                    benchmark=False,
                ),
                apply_probability=0.2,
            ),
            RandomTransform(
                MultiplicativeBrightnessTransform(multiplier_range=BGContrast((0.75, 1.25)), **shared),
                apply_probability=0.15,
            ),
            RandomTransform(
                ContrastTransform(contrast_range=BGContrast((0.75, 1.25)), preserve_range=True, **shared),
                apply_probability=0.15,
            ),
            RandomTransform(
                SimulateLowResolutionTransform(
                    scale=(0.5, 1),
                    synchronize_channels=False,
                    synchronize_axes=True,
                    ignore_axes=(),
                    allowed_channels=None,
                    p_per_channel=0.5,
                ),
                apply_probability=0.25,
            ),
            RandomTransform(
                GammaTransform(gamma=BGContrast((0.7, 1.5)), p_invert_image=1, **gamma), apply_probability=0.1
            ),
            RandomTransform(
                GammaTransform(gamma=BGContrast((0.7, 1.5)), p_invert_image=0, **gamma), apply_probability=0.3
            ),
        ]
    )

    def change(_: Example, drawn: Example, rng: np.random.Generator) -> Pixels:
        patch = drawn.image
        np.random.seed(int(rng.integers(2**31)))  # noqa: NPY002 (the library draws from there)
        torch.manual_seed(int(rng.integers(2**31)))
        normal = Intensity.of(patch.reshape(len(patch), -1)).normalize(patch)  # as nnU-Net feeds its transforms
        return chain(image=torch.from_numpy(normal))["image"].numpy()

    return change


def published_histogram(looks: Sequence[Reference]) -> Change:
    """Ranks of one of the other domain's pictures, with p 0.6."""
    options = StyleOptions(method="histogram", align=False)

    def change(whole: Example, patch: Example, rng: np.random.Generator) -> Pixels:
        if rng.random() > 0.6:
            return patch.image
        return change_of(whole.look, looks[int(rng.integers(len(looks)))], options)(patch.image)

    return change


def fda(pictures: Sequence[Example]) -> Change:
    """Amplitudes of a patch of one of the other domain's pictures, always."""

    def change(_: Example, patch: Example, rng: np.random.Generator) -> Pixels:
        other = pictures[int(rng.integers(len(pictures)))]
        return randomized.fourier(patch.image, draw_patch(other, patch.image.shape[1:], ANYWHERE, rng).image, rng)

    return change


def by_any(sources: Sequence[nuclei.Source], pictures: Sequence[Example]) -> list[nuclei.Source]:
    """Each training picture in the style of one of the other domain's pictures, in turn."""
    return [
        replace(source, example=replace(source.example, image=in_style(source.example, pictures[i % len(pictures)])))
        for i, source in enumerate(sources)
    ]


def in_style(example: Example, other: Example) -> Pixels:
    """By the bundled network of any style, as published."""
    image, look = (as_image((255 * one.image).round().astype(np.uint8), axes="CYX") for one in (example, other))
    return stylize(image, look, "any", align=False).image.array.astype(np.float32) / 255


def slaug(_: Example, patch: Example, rng: np.random.Generator) -> Pixels:
    """One curve for the whole, or one for each class, as often."""
    if rng.random() < 0.5:
        return randomized.bezier(patch.image, rng, inverted=0)
    return randomized.by_class(patch.image, patch.labels[0], rng)


def ours_with_five(whole: Example, patch: Example, rng: np.random.Generator) -> Pixels:
    """The styles that the picture's labels survive, then what another day could do; polarity follows the styles."""
    styled = patch.image if whole.style is None else whole.style(patch.image, rng, whole.look)
    return augmentation.appear(styled, rng, UPRIGHT)


UPRIGHT = tuple(step for step in augmentation.STRONG if step[1] is not augmentation.invert)
CHANGES: dict[str, Callable[[], Change]] = {
    "none": lambda: no_change,
    "ceiling": lambda: no_change,
    "nnunet": nnunet,
    "inversion": lambda: steps(((0.5, augmentation.invert),)),
    "gin": lambda: steps(((1.0, augmentation.random_convolution),)),
    "stain": lambda: steps(((0.8, augmentation.stain),)),
    "bezier": lambda: steps(((1.0, randomized.bezier),)),
    "slaug": lambda: slaug,
    "open": lambda: steps(augmentation.STRONG),
}


@dataclass(frozen=True)
class Drawing:
    """Batches of one domain."""

    sources: Sequence[nuclei.Source]
    change: Change

    def __call__(self, rng: np.random.Generator) -> tuple[torch.Tensor, torch.Tensor]:
        """Normalized patches and their classes."""
        images, classes = [], []
        for _ in range(BATCH):
            source = self.sources[int(rng.integers(len(self.sources)))]
            patch = draw_patch(source.example, (SIDE, SIDE), source.warp, rng)
            shown = np.ascontiguousarray(self.change(source.example, patch, rng), np.float32)
            images.append(Intensity.of(shown.reshape(len(shown), -1)).normalize(shown))
            classes.append(patch.labels[0])
        return torch.from_numpy(np.stack(images)), torch.from_numpy(np.stack(classes).astype(np.int64))


def channels(pixels: Pixels) -> Pixels:
    """Stored pixels as the three channels ``(3, Y, X)`` of the network."""
    return select_channels(np.moveaxis(np.atleast_3d(pixels), -1, 0), nuclei.INPUT, 3)


@cache
def few(data: Path, domain: str) -> tuple[Example, ...]:
    """Five training pictures, whose labels are not looked at."""
    stems = sorted(nuclei.examples(data, domain, "train"))[:FEW]
    return tuple(nuclei.read_example(data / "nuclei" / domain, stem) for stem in stems)


@cache
def looks(data: Path, domain: str) -> tuple[Reference, ...]:
    """Of those five."""
    return tuple(Reference.of_unit(example.image, domain) for example in few(data, domain))


def trained(method: str, source: str, target: str, seed: int, given: argparse.Namespace) -> UNet:
    """A network, trained once for all that share it."""
    name = f"{method}-{source}-{target if method in TOWARD else 'any'}-{seed}-{given.steps}"
    path = given.work / f"{name}.safetensors"
    from safetensors.torch import load_file, save_file

    torch.manual_seed(seed)
    network = UNet(nuclei.NETWORK, 2)
    if path.exists():
        network.load_state_dict(load_file(path))
        return network.eval()
    sources = [nuclei.own(example) for example in nuclei.examples(given.data, source, "train").values()]
    if method in ("five", "texture"):
        known = looks(given.data, target)
        if method == "texture":
            pairs = zip(known, few(given.data, target), strict=True)
            known = tuple(with_texture(look, example.image) for look, example in pairs)
        styled = run(iter_styled([s.example for s in sources], known))
        sources = [replace(s, example=example) for s, example in zip(sources, styled.examples, strict=True)]
        change: Change = ours_with_five
    elif method == "adain":
        sources += by_any(sources, few(given.data, target))
        change = no_change
    elif method == "fda":
        change = fda(few(given.data, target))
    elif method == "histogram":
        change = published_histogram(looks(given.data, target))
    else:
        change = CHANGES[method]()
    options = FitOptions(steps=given.steps, averaging=0.98, seed=seed)
    state = run(fit(network, Drawing(sources, change), lambda net, b: class_loss(net(b[0]), b[1]), options))
    save_file(state.average.state_dict(), path)
    average = state.average.eval()
    assert isinstance(average, UNet)
    return average


def dice(network: UNet, pictures: Sequence[nuclei.Picture], before: Callable[[Pixels], Pixels] = lambda p: p) -> float:
    """Mean over pictures, each as a whole, mirrored to what the network can take."""
    found = []
    for pixels, ids in pictures:
        image = before(channels(pixels))
        normal = Intensity.of(image.reshape(3, -1)).normalize(image)
        height, width = normal.shape[1:]
        padded = np.pad(normal, ((0, 0), (0, -height % 16), (0, -width % 16)), mode="reflect")
        with torch.inference_mode():
            got = network(torch.from_numpy(padded)[np.newaxis])[0, :2].argmax(0).numpy()[:height, :width] > 0
        truth = ids > 0
        found.append(2 * (got & truth).sum() / max(1, got.sum() + truth.sum()))
    return float(np.mean(found))


def restyled(known: Sequence[Reference], by: str) -> Callable[[Pixels], Pixels]:
    """Test pictures in the mean style of the training pictures."""
    wanted = Reference.mixed(known)

    def before(image: Pixels) -> Pixels:
        unit = image.astype(np.float32) / 255
        return change_of(Reference.of_unit(unit), wanted, StyleOptions(method=by))(unit)

    return before


def measured(pair: str, method: str, seed: int, given: argparse.Namespace) -> dict[str, Any]:
    """One cell."""
    source, target = pair.split(":")
    started = time.monotonic()
    there, own = (nuclei.pictures(given.data, domain, "test")[: given.most] for domain in (target, source))
    if method == "ceiling":
        score, kept = dice(trained("ceiling", target, target, seed, given), there), float("nan")
    elif method in RESTYLED_BY:
        network = trained("none", source, target, seed, given)
        score = dice(network, there, restyled(looks(given.data, source), RESTYLED_BY[method]))
        kept = dice(network, own)
    else:
        network = trained(method, source, target, seed, given)
        score, kept = dice(network, there), dice(network, own)
    seconds = round(time.monotonic() - started)
    return {"pair": pair, "method": method, "seed": seed, "there": score, "own": kept, "seconds": seconds}


def main() -> None:
    """Read the command line, measure what is missing, print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--work", type=Path, required=True, help="folder for networks and finished cells")
    parser.add_argument("--pairs", default=",".join(PAIRS), help="training domain:test domain, with commas")
    parser.add_argument("--methods", default=",".join(METHODS))
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--steps", type=int, default=200)
    parser.add_argument("--most", type=int, default=40, help="test pictures of a domain")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    given.work.mkdir(parents=True, exist_ok=True)
    cells = given.work / f"cells-{given.steps}.jsonl"
    rows = [json.loads(line) for line in cells.read_text().splitlines()] if cells.exists() else []
    known = {(row["pair"], row["method"], row["seed"]) for row in rows}
    for seed in range(given.seeds):
        for method in given.methods.split(","):
            for pair in given.pairs.split(","):
                if (pair, method, seed) in known:
                    continue
                rows.append(row := measured(pair, method, seed, given))
                with cells.open("a") as file:
                    file.write(json.dumps(row) + "\n")
                print(row, flush=True)
    table(rows, given.pairs.split(","), given.steps)
    if given.json:
        given.json.write_text(json.dumps(rows, indent=1))


def table(rows: Sequence[dict[str, Any]], pairs: Sequence[str], count: int) -> None:
    """Means over seeds, lowest and highest in brackets; the own domain beside it."""
    print(f"\n{count} steps; styled by {' and '.join(STYLED_BY)}")
    print(f"{'pair':<24}{'method':<12}{'seeds':>6}  {'Dice there':<26}own domain")
    for pair in pairs:
        for method in METHODS:
            found = [row for row in rows if (row["pair"], row["method"]) == (pair, method)]
            if found:
                texts = (spread([row[key] for row in found]) for key in ("there", "own"))
                print(f"{pair:<24}{method:<12}{len(found):>6}  " + "".join(f"{text:<26}" for text in texts))


def spread(values: Sequence[float]) -> str:
    """``0.712 (0.690 to 0.731)``"""
    return "" if np.isnan(values).any() else f"{np.mean(values):.3f} ({min(values):.3f} to {max(values):.3f})"


if __name__ == "__main__":
    main()
