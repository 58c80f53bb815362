"""``napari-unetstyle segment``: pictures in, labels and tables out."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import typer

from napari_unetstyle.cli import folder_report
from napari_unetstyle.cli import segment_arguments as arguments
from napari_unetstyle.cli.exit_codes import ALL_FAILED, SOME_FAILED, STOPPED
from napari_unetstyle.cli.progress_bar import progress_bar
from napari_unetstyle.cli.values import parse_box, parse_channel, parse_frames, parse_polygon, parse_spacing

if TYPE_CHECKING:
    from napari_unetstyle.core.progress import Steps
    from napari_unetstyle.core.segmentation.folder_report import FolderProgress, FolderReport


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

For a PACS, labels of every patient's series as DICOM-SEG, which refers to it:

`napari-unetstyle segment patients/ -o out/ --model hippocampus --dicom-seg`

Run the same line again and what is finished and unchanged is skipped; a bad picture does not stop the others.
"""


def segment_pictures(
    pictures: arguments.Pictures,
    out: arguments.OutputFolder,
    model: arguments.ModelName = "nuclei",
    objects: arguments.Objects = False,
    areas: arguments.Areas = False,
    threshold: arguments.Threshold = None,
    min_pixels: arguments.MinPixels = None,
    min_size: arguments.MinSize = None,
    keep_largest: arguments.KeepLargest = None,
    fill_holes: arguments.FillHoles = None,
    object_diameter: arguments.ObjectDiameter = None,
    channel: arguments.Channel = None,
    axes: arguments.Axes = None,
    spacing: arguments.Spacing = None,
    series: arguments.Series = None,
    level: arguments.Level = None,
    box: arguments.Box = None,
    polygon: arguments.Polygon = None,
    frames: arguments.Frames = None,
    skip_glass: arguments.SkipGlass = True,
    statistics: arguments.Statistics = "picture",
    device: arguments.Device = "auto",
    amp: arguments.MixedPrecision = None,
    plane: arguments.Plane = "YX",
    link: arguments.Link = False,
    restyle: arguments.Restyle = None,
    flip: arguments.Flip = False,
    tile: arguments.Tile = None,
    memory: arguments.Memory = None,
    force: arguments.Force = False,
    csv: arguments.WithTable = False,
    measure: arguments.Measured = False,
    stains: arguments.Stains = None,
    rois: arguments.Rois = False,
    geojson: arguments.GeoJson = False,
    probabilities: arguments.Probabilities = False,
    zarr: arguments.Zarr = False,
    dicom_seg: arguments.DicomSeg = False,
    full_resolution: arguments.FullResolution = False,
    as_json: arguments.AsJson = False,
) -> None:
    """Segment pictures; see HELP."""
    from napari_unetstyle.core.segmentation.folder import iter_segment_folder
    from napari_unetstyle.core.segmentation.folder_report import FolderFiles
    from napari_unetstyle.core.segmentation.options import make_options

    options = make_options(
        channel=parse_channel(channel),
        output=_output(objects=objects, areas=areas),
        object_diameter=object_diameter,
        threshold=threshold,
        min_pixels=min_pixels,
        min_size=min_size,
        keep_largest=keep_largest,
        fill_holes=fill_holes,
        box=parse_box(box),
        polygon=parse_polygon(polygon),
        frames=parse_frames(frames),
        skip_glass=skip_glass,
        statistics=statistics,
        plane=plane,
        link=link,
        restyle=restyle,
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
        zarr=zarr,
        dicom_seg=dicom_seg,
        full_resolution=full_resolution,
    )
    steps = iter_segment_folder(
        pictures,
        out,
        model,
        options,
        axes=axes,
        spacing=parse_spacing(spacing),
        series=series,
        level=level,
        files=files,
        force=force,
    )
    _finish(steps, as_json=as_json)


def _output(*, objects: bool, areas: bool) -> str | None:
    from napari_unetstyle.core.errors import OptionError

    if objects and areas:
        raise OptionError("--objects and --areas exclude each other: give one of them.")
    return "objects" if objects else "areas" if areas else None


def _finish(steps: Steps[FolderReport], *, as_json: bool) -> None:
    """Run to the end, say what became of every picture, and exit with a code that means it."""
    try:
        report = _drained(steps, as_json=as_json)
    except KeyboardInterrupt as stop:
        typer.echo("Stopped. What is finished is kept; the same command goes on from there.", err=True)
        raise typer.Exit(STOPPED) from stop
    (folder_report.echo_json_summary if as_json else folder_report.echo_text_summary)(report)
    if failed := report.having("failed"):
        raise typer.Exit(ALL_FAILED if len(failed) == len(report.pictures) else SOME_FAILED)


def _drained(steps: Steps[FolderReport], *, as_json: bool) -> FolderReport:
    """Run with a bar; one line on stdout for each picture.

    Much memory is said on stderr before it is taken, for a program that reads JSON not, and of several pictures again
    only where it is more.
    """
    from napari_unetstyle.core.free_memory import free_memory
    from napari_unetstyle.core.progress import run
    from napari_unetstyle.core.segmentation.memory import memory_words

    line, most = folder_report.json_line if as_json else folder_report.text_line, 0
    with progress_bar() as (show, say):

        def follow(progress: Any) -> None:
            nonlocal most
            step: FolderProgress = progress
            show(step, step.done)
            if step.picture is not None and step.picture.memory > most and not as_json:
                most = step.picture.memory
                if words := memory_words(most, free_memory()):
                    say(f"{step.picture.name}: {words}", err=True)
            if step.picture is not None and step.picture.state != "running":
                say(line(step.picture))

        return run(steps, follow)
