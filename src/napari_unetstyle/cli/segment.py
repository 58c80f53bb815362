"""``napari-unetstyle segment``: pictures in, labels and tables out."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from napari_unetstyle.cli.values import parse_box, parse_channel, parse_frames, parse_polygon, parse_spacing

if TYPE_CHECKING:
    from napari_unetstyle.core.progress import Steps
    from napari_unetstyle.core.segmentation.folder import FolderProgress, FolderReport, PictureStatus

SOME_FAILED = 1
ALL_FAILED = 2
STOPPED = 130

HELP = """Segment pictures and write their labels, and what else is asked for, into a folder.

Research use only, not a medical device.

**Examples**

One picture, a pattern, or a folder with all its subfolders:

`napari-unetstyle segment slide.tif -o out/`

`napari-unetstyle segment slides/*.tif -o out/ --model nuclei --objects --csv`

`napari-unetstyle segment slides/ -o out/ --model axon-myelin --areas --csv`

A stack whose file does not say what its axes are, its second channel, with the pixel size in micrometers:

`napari-unetstyle segment movie.tif -o out/ --axes TCYX --channel 1 --spacing 0.25,0.25`

For ImageJ and QuPath, with shape, intensity and stains of every nucleus:

`napari-unetstyle segment slide.tif -o out/ --rois --geojson --csv --measure --stains hed`

Run the same line again and what is finished and unchanged is skipped; a bad picture does not stop the others.
"""

_PICTURE, _WHAT, _WHERE, _HOW, _FILES = "Picture", "What to find", "Where", "How to run", "What to write"


def segment_pictures(
    pictures: Annotated[
        list[Path], typer.Argument(help="Files, folders (with subfolders) or patterns: TIFF, PNG, JPEG.")
    ],
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder for the results; names and subfolders are kept.")],
    model: Annotated[
        str, typer.Option("--model", "-m", help="Name (see [models list]), name@version, or a model folder.")
    ] = "nuclei",
    objects: Annotated[
        bool, typer.Option("--objects", help="Each object gets its own number.", rich_help_panel=_WHAT)
    ] = False,
    areas: Annotated[
        bool, typer.Option("--areas", help="Each pixel gets the number of its class.", rich_help_panel=_WHAT)
    ] = False,
    threshold: Annotated[
        float | None,
        typer.Option(help="Probability (0-1) from which a pixel counts. [default: the model's]", rich_help_panel=_WHAT),
    ] = None,
    min_pixels: Annotated[
        int | None,
        typer.Option(
            help="Drop objects with fewer pixels. Default: 1/32 of a typical object.", min=0, rich_help_panel=_WHAT
        ),
    ] = None,
    object_diameter: Annotated[
        float | None,
        typer.Option(
            help="Diameter of a typical object in pixels of the picture. [default: estimated]", rich_help_panel=_WHAT
        ),
    ] = None,
    channel: Annotated[
        str | None, typer.Option(help="Take one channel only: number from 0, or name.", rich_help_panel=_PICTURE)
    ] = None,
    axes: Annotated[
        str | None,
        typer.Option(
            help="Axes as stored, one letter each of T C Z Y X, where the file does not say.", rich_help_panel=_PICTURE
        ),
    ] = None,
    spacing: Annotated[
        str | None,
        typer.Option(
            help="Pixel size in micrometers, Y,X or Z,Y,X (or one number for Y and X). [default: as stored]",
            rich_help_panel=_PICTURE,
        ),
    ] = None,
    box: Annotated[
        str | None, typer.Option(help="Only this part, in pixels: 'y0,y1;x0,x1'.", rich_help_panel=_WHERE)
    ] = None,
    polygon: Annotated[
        str | None,
        typer.Option(
            help="Only inside a polygon: 'y,x;y,x;y,x' in pixels, or a GeoJSON file (as QuPath saves it).",
            rich_help_panel=_WHERE,
        ),
    ] = None,
    frames: Annotated[
        str | None,
        typer.Option(
            help="Only these frames or slices, from 0: '0;4;7'; of T and Z: '0,2;1,2'.", rich_help_panel=_WHERE
        ),
    ] = None,
    statistics: Annotated[
        str,
        typer.Option(
            help="Brightness of a stack is judged for the whole [picture] or for each [frame].", rich_help_panel=_WHERE
        ),
    ] = "picture",
    device: Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:N or mps.", rich_help_panel=_HOW)] = "auto",
    amp: Annotated[
        bool | None,
        typer.Option(
            "--amp/--no-amp",
            help="Mixed precision. [default: where the model is known to keep its labels]",
            rich_help_panel=_HOW,
        ),
    ] = None,
    flip: Annotated[
        bool, typer.Option("--flip", help="Average over mirrored pictures: slower, steadier.", rich_help_panel=_HOW)
    ] = False,
    tile: Annotated[
        int | None, typer.Option(help="Pixels at once; never changes a label.", min=16, rich_help_panel=_HOW)
    ] = None,
    memory: Annotated[
        int | None, typer.Option(help="Megabytes for results before they go to disk.", min=1, rich_help_panel=_HOW)
    ] = None,
    force: Annotated[
        bool, typer.Option("--force", help="Do what is finished already once more.", rich_help_panel=_HOW)
    ] = False,
    csv: Annotated[
        bool, typer.Option("--csv", help="One table of all pictures' objects or areas.", rich_help_panel=_FILES)
    ] = False,
    measure: Annotated[
        bool, typer.Option("--measure", help="In the table, shape and intensity, too.", rich_help_panel=_FILES)
    ] = False,
    stains: Annotated[
        str | None,
        typer.Option(help="In the table, the stains of H&E (hed) or DAB (hdx), too.", rich_help_panel=_FILES),
    ] = None,
    rois: Annotated[bool, typer.Option("--rois", help="Outlines for ImageJ.", rich_help_panel=_FILES)] = False,
    geojson: Annotated[bool, typer.Option("--geojson", help="Outlines for QuPath.", rich_help_panel=_FILES)] = False,
    probabilities: Annotated[
        bool, typer.Option("--probabilities", help="Probabilities as TIFF (255 is 1).", rich_help_panel=_FILES)
    ] = False,
    as_json: Annotated[
        bool,
        typer.Option("--json", help="On stdout one JSON object a line: each picture, then a summary; nothing else."),
    ] = False,
) -> None:
    """Segment pictures; see HELP."""
    from napari_unetstyle.core.errors import OptionError
    from napari_unetstyle.core.segmentation.folder import FolderFiles, iter_segment_folder
    from napari_unetstyle.core.segmentation.options import make_options

    if objects and areas:
        raise OptionError("--objects and --areas exclude each other: give one of them.")
    options = make_options(
        channel=parse_channel(channel),
        output="objects" if objects else "areas" if areas else None,
        object_diameter=object_diameter,
        threshold=threshold,
        min_pixels=min_pixels,
        box=parse_box(box),
        polygon=parse_polygon(polygon),
        frames=parse_frames(frames),
        statistics=statistics,
        flip=flip,
        tile=tile,
        device=device,
        amp=amp,
        memory=None if memory is None else memory * 2**20,
    )
    files = FolderFiles(
        table=csv or measure or stains is not None,
        measure=measure or stains is not None,
        stains=stains,
        rois=rois,
        geojson=geojson,
        probabilities=probabilities,
    )
    steps = iter_segment_folder(
        pictures, out, model, options, axes=axes, spacing=parse_spacing(spacing), files=files, force=force
    )
    try:
        report = _drained(steps, _json_line if as_json else _text_line)
    except KeyboardInterrupt as stop:
        typer.echo("Stopped. What is finished is kept; the same command goes on from there.", err=True)
        raise typer.Exit(STOPPED) from stop
    (_json_summary if as_json else _text_summary)(report)
    if failed := report.having("failed"):
        raise typer.Exit(ALL_FAILED if len(failed) == len(report.pictures) else SOME_FAILED)


def _drained(steps: Steps[FolderReport], line: Callable[[PictureStatus], str]) -> FolderReport:
    """Run with a bar on stderr that knows the time left; one line on stdout for each picture."""
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

    from napari_unetstyle.core.progress import run

    columns = (TextColumn("{task.fields[what]}"), BarColumn(), TaskProgressColumn(), TimeRemainingColumn())
    console = Console(stderr=True)
    with Progress(*columns, console=console, transient=True, redirect_stdout=False, redirect_stderr=False) as bar:
        task = bar.add_task("", total=None, what="Starting")

        def show(progress: Any) -> None:
            step: FolderProgress = progress
            what = f"{step.number + 1}/{step.count} {step.message}"
            bar.update(task, completed=step.step, total=step.total, what=what[:60])
            if step.picture is not None and step.picture.state != "running":
                text = line(step.picture)
                if console.is_terminal and sys.stdout.isatty():
                    bar.print(text, markup=False, highlight=False, soft_wrap=True)
                else:
                    typer.echo(text)

        return run(steps, show)


def _text_line(picture: PictureStatus) -> str:
    if picture.state == "failed":
        return f"{picture.name}: failed"
    what = f"{picture.count} objects" if picture.output == "objects" else "areas"
    how = "unchanged, skipped" if picture.state == "skipped" else f"{picture.seconds:.1f} s"
    return f"{picture.name}: {what}, {how} -> {picture.labels}"


def _text_summary(report: FolderReport) -> None:
    done, skipped, failed = (report.having(state) for state in ("done", "skipped", "failed"))
    counts = [f"{len(done)} done", f"{len(skipped)} skipped (finished earlier and unchanged)", f"{len(failed)} failed"]
    kept = [counts[0], *(counts[1:2] if skipped else []), *(counts[2:] if failed else [])]
    typer.echo(f"{', '.join(kept)}." + (f" Table: {report.table}" if report.table else ""))
    for note in dict.fromkeys(note for picture in report.pictures for note in picture.notes):
        typer.echo(f"Note: {note}", err=True)
    if failed:
        typer.echo(f"\n{len(failed)} of {len(report.pictures)} pictures failed:", err=True)
    for picture in failed:
        typer.echo(f"  {picture.name}: {picture.message}", err=True)


def _json_line(picture: PictureStatus) -> str:
    fields = {
        "picture": str(picture.path),
        "name": picture.name,
        "state": picture.state,
        "labels": None if picture.state == "failed" else str(picture.labels),
        "output": picture.output or None,
        "count": picture.count,
        "seconds": picture.seconds,
        "error": picture.message or None,
        "notes": list(picture.notes),
    }
    return json.dumps(fields)


def _json_summary(report: FolderReport) -> None:
    counts = {state: len(report.having(state)) for state in ("done", "skipped", "failed")}
    typer.echo(json.dumps({"summary": counts, "table": str(report.table) if report.table else None}))
    for picture in report.having("failed"):
        typer.echo(f"{picture.name}: {picture.message}", err=True)
