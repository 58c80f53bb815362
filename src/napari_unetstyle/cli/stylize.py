"""``napari-unetstyle stylize``: pictures as another scanner, stain or microscope would have made them."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from napari_unetstyle.cli import reading
from napari_unetstyle.cli.exit_codes import ALL_FAILED, SOME_FAILED, STOPPED
from napari_unetstyle.cli.previews import keeper
from napari_unetstyle.cli.progress_bar import progress_bar
from napari_unetstyle.cli.train_fast import train_fast
from napari_unetstyle.cli.values import parse_channel

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from napari_unetstyle.cli.previews import Keeper
    from napari_unetstyle.core.imaging.image import Image
    from napari_unetstyle.core.progress import Steps
    from napari_unetstyle.core.segmentation.folder_inputs import Entry
    from napari_unetstyle.core.style.change import StyleOptions

    Reader = Callable[[Path], Image]

_ENDING = "_restyled"

HELP = """Make pictures look like others: nothing moves, so their labels stay true.

Research use only, not a medical device.

**Examples**

`napari-unetstyle stylize slide.tif --style other.tif -o restyled/`

A mixture of two looks, half as strong:

`napari-unetstyle stylize slides/ --style a.tif --style b.tif --strength 0.5 -o restyled/`

Texture, too, in one pass: a network learns the look from your own pictures, and is kept as a style:

`napari-unetstyle stylize --train-fast our-he slides/ --style he/a.tif --minutes 3`

`napari-unetstyle stylize slides/ --style our-he --method fast -o restyled/`

A picture `slide.tif` becomes `restyled/slide_restyled.tif`, so that nobody takes it for the picture itself; volumes
stay volumes, on their place. What others made is never replaced. A bad picture does not stop the others.

**Exit codes**: 0 all went well; 1 some pictures failed, the others are done; 2 nothing could be done, and a sentence
says why.
"""


def stylize_pictures(
    pictures: Annotated[list[Path], typer.Argument(help="Pictures, folders or patterns.", show_default=False)],
    style: Annotated[
        list[str],
        typer.Option(
            help="A picture to look like, or a style of the bank, by name or file; several are mixed.",
            show_default=False,
        ),
    ],
    out: Annotated[Path | None, typer.Option("--out", "-o", help="Folder for the results.", show_default=False)] = None,
    method: Annotated[
        str, typer.Option(help="automatic, histogram, moments, stain, landmarks, gatys, any or fast.")
    ] = "automatic",
    channel: Annotated[
        str | None,
        typer.Option(
            help="Take one channel only, of pictures and of a style with as many: number from 0, or name.",
            show_default=False,
        ),
    ] = None,
    strength: Annotated[float, typer.Option(help="From 0 (as it is) to 1 (all of the style).")] = 1.0,
    align: Annotated[
        bool, typer.Option(help="Exchange bright and dark first where picture and style differ in that.")
    ] = True,
    steps: Annotated[
        int | None, typer.Option(help="Of the method gatys [default: 30]; of --train-fast instead of --minutes.")
    ] = None,
    optimizer: Annotated[str | None, typer.Option(help="Of gatys: lbfgs or adam. [default: lbfgs]")] = None,
    content_weight: Annotated[
        float | None, typer.Option(help="How much what is shown counts, for gatys and --train-fast. [default: 1e5]")
    ] = None,
    style_weight: Annotated[
        float | None, typer.Option(help="How much the style counts, for gatys and --train-fast. [default: 1e10]")
    ] = None,
    smoothness: Annotated[
        float | None, typer.Option(help="How much smoothness counts, for gatys and --train-fast. [default: 0.01]")
    ] = None,
    content_layer: Annotated[
        str | None,
        typer.Option(
            help="Of VGG16, that what is shown is compared in: relu1_2, relu2_2, relu3_3 or relu4_3; for gatys and "
            "--train-fast. [default: relu3_3]"
        ),
    ] = None,
    vgg: Annotated[
        Path | None,
        typer.Option(
            help="torchvision's VGG16 file for gatys and --train-fast. [default: random weights, no file needed]"
        ),
    ] = None,
    seed: Annotated[int, typer.Option(help="Of the random weights, and of --train-fast.")] = 0,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda or mps; for all that makes texture.")] = "auto",
    train: Annotated[
        str | None,
        typer.Option(
            "--train-fast",
            help="Name of a new style: a network learns it from PICTURES, which stay as they are.",
            show_default=False,
        ),
    ] = None,
    minutes: Annotated[float | None, typer.Option(help="How long --train-fast takes. [default: 3]")] = None,
    previews: Annotated[
        Path | None, typer.Option(help="New folder for PNG files of what is getting there, of all that makes texture.")
    ] = None,
    log: Annotated[Path | None, typer.Option(help="Folder for a TensorBoard log of --train-fast.")] = None,
    axes: reading.Axes = None,
    level: reading.Level = 0,
    series: reading.Series = None,
) -> None:
    """Make pictures look like others; see HELP."""
    from napari_unetstyle.core.imaging.files import read_image
    from napari_unetstyle.core.style.change import StyleOptions
    from napari_unetstyle.core.style.gatys import GatysOptions

    weighing: dict[str, Any] = {
        "content_weight": content_weight,
        "style_weight": style_weight,
        "smoothness": smoothness,
        "content_layer": content_layer,
        "weights": vgg,
    }
    chosen = {name: value for name, value in weighing.items() if value is not None}
    is_plain = method == "automatic" and strength == 1 and align
    is_usual = is_plain and channel is None and level == 0 and optimizer is None
    _check_together(train, out, is_usual=is_usual, is_timed=minutes is not None or log is not None)
    if train is not None:
        given = {**chosen, "seed": seed, "device": device, "log": log}
        read = partial(read_image, axes=axes, series=series)
        train_fast(train, pictures, style, minutes=minutes, steps=steps, previews=previews, read=read, **given)
        return
    pairs: dict[str, Any] = {"steps": steps, "optimizer": optimizer}
    own = {name: value for name, value in pairs.items() if value is not None}
    is_gatys, is_textured = bool(chosen or own or seed), device != "auto" or previews is not None
    _check_used(method, is_gatys=is_gatys, is_textured=is_textured)
    neural = GatysOptions(**chosen, **own, seed=seed, device=device)
    options = StyleOptions(method=method, strength=strength, align=align, neural=neural, channel=parse_channel(channel))
    assert out is not None  # as was checked
    _stylize(pictures, style, options, out, partial(read_image, axes=axes, level=level, series=series), previews)


def _check_together(train: str | None, out: Path | None, *, is_usual: bool, is_timed: bool) -> None:
    """Whether these options go together: training a style is one thing, using one another."""
    from napari_unetstyle.core.errors import OptionError

    if train is not None and out is not None:
        raise OptionError("With --train-fast nothing is written but the style, into the bank: leave --out out.")
    if train is not None and not is_usual:
        raise OptionError(
            "--method, --channel, --strength, --no-align, --level and --optimizer are for using a style: leave them "
            "out."
        )
    if train is None and out is None:
        raise OptionError("Give a folder for the results with --out, or a name with --train-fast.")
    if train is None and is_timed:
        raise OptionError("--minutes and --log go with --train-fast only: give that, too, or leave them out.")


def _check_used(method: str, *, is_gatys: bool, is_textured: bool) -> None:
    """Whether the method heeds what was given for its like."""
    from napari_unetstyle.core.errors import OptionError
    from napari_unetstyle.core.style.change import TEXTURED

    if is_gatys and method != "gatys":
        raise OptionError(
            "--steps, --optimizer, --vgg, --seed, --smoothness, --content-layer and the weights are for the method "
            f"gatys and --train-fast, not for {method!r}: leave them out."
        )
    if is_textured and method not in TEXTURED:
        raise OptionError(
            f"--device and --previews are for the methods {', '.join(TEXTURED)} and --train-fast, not for {method!r}: "
            "leave them out."
        )


def _stylize(
    pictures: Sequence[Path],
    styles: Sequence[str],
    options: StyleOptions,
    out: Path,
    read: Reader,
    previews: Path | None,
) -> None:
    """Every picture, and the exit code that says how it went."""
    from napari_unetstyle.core.segmentation.folder_inputs import find_entries
    from napari_unetstyle.core.style.given import style_for

    wanted = [style_for(one, options) for one in styles]
    entries = find_entries(pictures, out, ending=_ENDING)
    keep = keeper(previews)
    try:
        failed = _all(entries, partial(_iter_one, wanted=wanted, options=options, out=out, read=read), keep)
    except KeyboardInterrupt as stop:
        typer.echo("Stopped. What is finished is kept.", err=True)
        raise typer.Exit(STOPPED) from stop
    if failed:
        raise typer.Exit(ALL_FAILED if failed == len(entries) else SOME_FAILED)


def _all(entries: list[Entry], restyled: Callable[[Entry], Steps[str]], keep: Keeper) -> int:
    """One line on stdout for each picture; at the end, on stderr, why some failed. How many did."""
    from napari_unetstyle.core.errors import UnetstyleError
    from napari_unetstyle.core.progress import Progress, run, share

    problems, count = list[str](), len(entries)
    with progress_bar() as (show, say):
        for number, entry in enumerate(entries):

            def follow(step: Progress, name: str = entry.name, done: str = f"{number}/{count}") -> None:
                show(Progress(step.step, step.total, name), done)
                keep(name, step)

            job = share(restyled(entry), number / count, (number + 1) / count)
            try:
                say(run(job, follow))
            except UnetstyleError as error:
                problems.append(f"{entry.name}: {error}")
                say(f"{entry.name}: failed")
    for problem in problems:
        typer.echo(problem, err=True)
    return len(problems)


def _iter_one(entry: Entry, wanted: Sequence[Any], options: StyleOptions, out: Path, read: Reader) -> Steps[str]:
    from napari_unetstyle.core.imaging.picture_file import write_image
    from napari_unetstyle.core.imaging.restyled import KEY
    from napari_unetstyle.core.style.stylize import iter_stylize

    target = out / entry.target
    _check_ours(target)  # not after minutes of computing
    styled = yield from iter_stylize(read(entry.path), wanted, options)
    about = {KEY: {"method": options.method, "strength": options.strength, "inverted": styled.is_inverted}}
    if options.channel is not None:
        about[KEY]["channel"] = options.channel
    write_image(target, styled.image, about)
    return " ".join([f"{entry.name} -> {target}.", *styled.notes])


def _check_ours(target: Path) -> None:
    """Whether what is there, if anything, is a picture that was restyled."""
    from napari_unetstyle.core.errors import OutputError
    from napari_unetstyle.core.segmentation.output import restyled_in

    if target.exists() and restyled_in(target) is None:
        raise OutputError(
            f"Could not write {target}: what is there is no restyled picture of ours, and would be lost. Move it away "
            "or choose another output folder."
        )
