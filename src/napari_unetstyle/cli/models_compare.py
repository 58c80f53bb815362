"""``napari-unetstyle models compare``: two models on the same pictures, and how far they agree."""

from __future__ import annotations

import dataclasses
import json
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from napari_unetstyle.cli import segment_arguments as arguments
from napari_unetstyle.cli.exit_codes import ALL_FAILED, SOME_FAILED
from napari_unetstyle.cli.progress_bar import progress_bar
from napari_unetstyle.cli.values import parse_channel, parse_spacing

if TYPE_CHECKING:
    from napari_unetstyle.core import Agreement


_MODEL = typer.Argument(help="Name, name@version, or a model folder.", show_default=False)
_PICTURES = typer.Argument(help="Files, folders (with subfolders) or patterns, as of segment.", show_default=False)


def compare_models(
    first: Annotated[str, _MODEL],
    second: Annotated[str, _MODEL],
    pictures: Annotated[list[Path], _PICTURES],
    channel: arguments.Channel = None,
    axes: arguments.Axes = None,
    spacing: arguments.Spacing = None,
    level: arguments.Level = None,
    series: arguments.Series = None,
    device: arguments.Device = "auto",
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object a line for each picture.")] = False,
) -> None:
    """Run two models on pictures and say how far they agree; neither counts as right, and nothing is written."""
    from napari_unetstyle.core import ModelStore, run
    from napari_unetstyle.core.errors import UnetstyleError
    from napari_unetstyle.core.models.comparable import common_output
    from napari_unetstyle.core.progress import share
    from napari_unetstyle.core.segmentation.agreement import iter_compare_models
    from napari_unetstyle.core.segmentation.folder_inputs import find_pictures
    from napari_unetstyle.core.segmentation.level_choice import read_fitting
    from napari_unetstyle.core.segmentation.options import make_options

    store = ModelStore()
    pair = store.load(first), store.load(second)
    options = make_options(channel=parse_channel(channel), device=device)
    specs, sizes, problems = [model.spec for model in pair], parse_spacing(spacing), list[str]()
    common_output(*specs)  # what holds for every picture is said before the first
    paths = [path for path, _ in find_pictures(pictures)]
    read = partial(read_fitting, axes=axes, spacing=sizes, level=level, series=series)
    with progress_bar() as (show, say):
        for i, path in enumerate(paths):
            try:
                image, chosen = read(path, specs, options)
                steps = iter_compare_models(image, *pair, chosen)
                found = run(share(steps, i / len(paths), (i + 1) / len(paths)), lambda step: show(step, step.done))
            except UnetstyleError as error:
                problems.append(f"{path}: {error}")
                told = {"picture": str(path), "models": (first, second), "error": str(error)}
                say(json.dumps(told) if as_json else f"{path}: failed")
                continue
            say(_json_line(path, (first, second), found) if as_json else _text(path, (first, second), found))
            if not as_json and image.notes:
                say(f"  Note: {' '.join(image.notes)}")
    for problem in problems:
        typer.echo(problem, err=True)
    if problems:
        raise typer.Exit(ALL_FAILED if len(problems) == len(paths) else SOME_FAILED)


def _json_line(path: Path, names: tuple[str, str], found: Agreement) -> str:
    return json.dumps({"picture": str(path), "models": names, **dataclasses.asdict(found), "only": found.only})


def _text(path: Path, names: tuple[str, str], found: Agreement) -> str:
    rows = [("Dice", f"{found.dice:.4f}"), *((f"  {name}", f"{dice:.4f}") for name, dice in found.classes.items())]
    if found.objects is None or found.only is None:
        rows += [(name, f"{pixels:,} pixels") for name, pixels in zip(names, found.pixels, strict=True)]
    else:
        rows += [
            (name, f"{count:,} objects, {only:,} of them found by it alone")
            for name, count, only in zip(names, found.objects, found.only, strict=True)
        ]
        rows.append(("both", f"{found.alike:,} objects (IoU above 0.5)"))
    width = max(len(name) for name, _ in rows)
    return "\n".join([str(path), *(f"  {name:<{width}}  {value}" for name, value in rows)])
