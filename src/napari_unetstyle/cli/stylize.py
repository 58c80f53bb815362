"""``napari-unetstyle stylize``: pictures as another scanner, stain or microscope would have made them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from napari_unetstyle.cli.progress_bar import progress_bar

if TYPE_CHECKING:
    from collections.abc import Sequence

    from napari_unetstyle.core.progress import Steps
    from napari_unetstyle.core.segmentation.folder_inputs import Entry
    from napari_unetstyle.core.style.change import StyleOptions

SOME_FAILED = 1
ALL_FAILED = 2
STOPPED = 130

HELP = """Make pictures look like others: nothing moves, so their labels stay true.

Research use only, not a medical device.

**Examples**

`napari-unetstyle stylize slide.tif --style other.tif -o restyled/`

A mixture of two looks, half as strong:

`napari-unetstyle stylize slides/ --style a.tif --style b.tif --strength 0.5 -o restyled/`

A picture `slide.tif` becomes `restyled/slide_restyled.tif`, so that nobody takes it for the picture itself; volumes
stay volumes, on their place. A bad picture does not stop the others.

**Exit codes**: 0 all went well; 1 some pictures failed, the others are done; 2 nothing could be done, and a sentence
says why.
"""


def stylize_pictures(
    pictures: Annotated[list[Path], typer.Argument(help="Pictures, folders or patterns.", show_default=False)],
    style: Annotated[
        list[str],
        typer.Option(help="A picture to look like, or a style of the bank; several are mixed.", show_default=False),
    ],
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder for the results.", show_default=False)],
    method: Annotated[
        str, typer.Option(help="automatic, histogram, moments, stain, landmarks or gatys.")
    ] = "automatic",
    strength: Annotated[float, typer.Option(help="From 0 (as it is) to 1 (all of the style).")] = 1.0,
    align: Annotated[
        bool, typer.Option(help="Exchange bright and dark first where picture and style differ in that.")
    ] = True,
    steps: Annotated[int, typer.Option(help="Of the method gatys.")] = 30,
    vgg: Annotated[
        Path | None, typer.Option(help="torchvision's VGG16 file for gatys. [default: random weights, no file needed]")
    ] = None,
    seed: Annotated[int, typer.Option(help="Of the random weights.")] = 0,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda or mps; for gatys.")] = "auto",
    axes: Annotated[str | None, typer.Option(help="Axes of the pictures where their files do not say.")] = None,
) -> None:
    """Make pictures look like others; see HELP."""
    from napari_unetstyle.core.imaging.files import read_image
    from napari_unetstyle.core.segmentation.folder_inputs import find_entries
    from napari_unetstyle.core.style.change import NEURAL, StyleOptions
    from napari_unetstyle.core.style.gatys import GatysOptions
    from napari_unetstyle.core.style.stylize import reference_of

    neural = GatysOptions(steps=steps, weights=vgg, seed=seed, device=device)
    options = StyleOptions(method=method, strength=strength, align=align, neural=neural)
    wanted = [read_image(path) if method in NEURAL else reference_of(path) for path in style]
    entries = find_entries(pictures, out)
    try:
        failed = _all(entries, wanted, options, out, axes)
    except KeyboardInterrupt as stop:
        typer.echo("Stopped. What is finished is kept.", err=True)
        raise typer.Exit(STOPPED) from stop
    if failed:
        raise typer.Exit(ALL_FAILED if failed == len(entries) else SOME_FAILED)


def _all(entries: list[Entry], wanted: Sequence[Any], options: StyleOptions, out: Path, axes: str | None) -> int:
    """One line on stdout for each picture; how many failed."""
    from napari_unetstyle.core.errors import UnetstyleError
    from napari_unetstyle.core.progress import Progress, run, share

    failed, count = 0, len(entries)
    with progress_bar() as (show, say):
        for number, entry in enumerate(entries):

            def follow(step: Progress, name: str = entry.name, done: str = f"{number}/{count}") -> None:
                show(Progress(step.step, step.total, name), done)

            job = share(_iter_one(entry, wanted, options, out, axes), number / count, (number + 1) / count)
            try:
                say(run(job, follow))
            except UnetstyleError as error:
                failed += 1
                say(f"{entry.name}: failed. {error}")
    return failed


def _iter_one(entry: Entry, wanted: Sequence[Any], options: StyleOptions, out: Path, axes: str | None) -> Steps[str]:
    from napari_unetstyle.core.imaging.files import read_image
    from napari_unetstyle.core.imaging.picture_file import write_image
    from napari_unetstyle.core.style.stylize import iter_stylize

    styled = yield from iter_stylize(read_image(entry.path, axes=axes), wanted, options)
    target = out / entry.beside(f"_restyled{entry.suffix}")
    about = {"restyled": {"method": options.method, "strength": options.strength, "inverted": styled.is_inverted}}
    write_image(target, styled.image, about)
    return " ".join([f"{entry.name} -> {target}.", *styled.notes])
