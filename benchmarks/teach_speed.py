"""How much of a teaching's time is the network: its steps beside the same network in a bare loop on ready tensors.

    python benchmarks/teach_speed.py [--steps 10] [--repeats 5] [--threads 2] [--json FILE]

Both teach the bundled nuclei model on the pictures that it carries, with the same loss and the same sizes. Ours draws,
bends and restains its patches, clips the gradient and keeps a moving average of the weights; the limit does nothing
but forward, backward and Adam on one batch that was made before. Both are under way when time is taken. With styles:
every picture takes three looks, by their colors as `teach --style …` has it, or with their texture as `--texture` does.
"""

from __future__ import annotations

import argparse
import copy
import itertools
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from timing import interleaved

from napari_unetstyle.core import ModelStore, run
from napari_unetstyle.core.models.memory import read_memory
from napari_unetstyle.core.segmentation.preprocessing import select_channels
from napari_unetstyle.core.style.any_style import with_texture
from napari_unetstyle.core.training.drawing import Drawing, losses
from napari_unetstyle.core.training.fit import Fit, advance
from napari_unetstyle.core.training.options import FitOptions
from napari_unetstyle.core.training.patches import Example, unit_range
from napari_unetstyle.core.training.styling import iter_styled


def jobs(steps: int) -> dict[str, Callable[[], object]]:
    """Ours and the limit, each `steps` steps long."""
    model = ModelStore().load("nuclei")
    carried = read_memory(model.spec, ModelStore().folder("nuclei"))
    examples = [
        Example(unit_range(np.asarray(select_channels(m.pixels, model.spec.input, 3))), m.targets)
        for m in carried
        if m.role == "learn"
    ]
    drawing = Drawing(spec=model.spec, lessons=examples[:3], old=examples)
    looks = [with_texture(example.look, example.image) for example in examples[-3:]]
    in_styles, in_colors = (
        Drawing(spec=model.spec, lessons=styled[:3], old=styled)
        for styled in (run(iter_styled(examples, kind)).examples for kind in (looks, [e.look for e in examples[-3:]]))
    )
    ready = drawing(np.random.default_rng(0))
    bare = copy.deepcopy(model.network).requires_grad_(True).train()
    optimizer = torch.optim.Adam(bare.parameters(), lr=1e-3)

    def limit() -> None:
        for _ in range(steps):
            optimizer.zero_grad(set_to_none=True)
            sum(losses(bare, ready).values()).backward()
            optimizer.step()

    def taught(draw: Drawing) -> Callable[[], object]:
        options = FitOptions(steps=10**6, learning_rate=1e-3, averaging=0.99, clip=1.0)
        state = Fit.of(copy.deepcopy(model.network).requires_grad_(True), options)
        under_way = advance(state, draw, losses, options)
        return lambda: [*itertools.islice(under_way, steps)]

    return {
        "ours": taught(drawing),
        "with colors": taught(in_colors),
        "with styles": taught(in_styles),
        "bare loop": limit,
    }


def main() -> None:
    """Read the command line, measure, print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=10)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    seconds = interleaved(jobs(given.steps), given.repeats, warm_up=1)
    rates = {name: given.steps / value for name, value in seconds.items()}
    ratio, styled = rates["ours"] / rates["bare loop"], rates["with styles"] / rates["ours"]
    colored = rates["with colors"] / rates["ours"]
    for name, rate in rates.items():
        print(f"{name:<12}{rate:8.2f} steps per second")
    print(f"{'ours / bare loop':<24}{ratio:8.2f} (goal: at least 0.85)")
    print(f"{'with colors / ours':<24}{colored:8.2f} (goal: at least 0.90)")
    print(f"{'with styles / ours':<24}{styled:8.2f} (goal: at least 0.90)")
    if given.json:
        given.json.write_text(json.dumps({**rates, "ratio": ratio, "styled": styled, "colored": colored}, indent=1))


if __name__ == "__main__":
    main()
