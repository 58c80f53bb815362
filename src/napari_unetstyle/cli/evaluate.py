"""``napari-unetstyle evaluate``: labels against the truth."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from napari_unetstyle.cli.values import parse_spacing

if TYPE_CHECKING:
    from collections.abc import Sequence

    from napari_unetstyle.core.imaging.geometry import Geometry
    from napari_unetstyle.core.imaging.image import Image
    from napari_unetstyle.core.metrics import Differences

HELP = """Compare labels with the truth: Dice, IoU, HD95, ASSD, NSD and volumes of classes; average precision and
panoptic quality of objects.

Research use only, not a medical device.

**Examples**

`napari-unetstyle evaluate out/slide.tif truth/slide.tif`

`napari-unetstyle evaluate out/nerve.tif truth/nerve.png --areas --json`

Volumes, with NSD at 2 mm, a table, and labels that show where the two differ:

`napari-unetstyle evaluate out/scan.nii.gz truth/scan.nii.gz --tolerance 2 --csv scores.csv --differences where.nii.gz`

Objects may be numbered differently in the two files. A pair of objects matches if their IoU is above the threshold;
average precision is matched / (matched + missed + wrong). Where neither file has a class or object, they agree: scores
are 1, distances 0. Where only one has a class, distances are infinite (null in JSON). Files of different pixel size or
place are refused. No file is replaced without `--force`, and what is compared never.
"""


def evaluate_labels(
    prediction: Annotated[Path, typer.Argument(help="Label file, as segment writes it.")],
    truth: Annotated[
        Path, typer.Argument(help="Label file of the same picture: TIFF, PNG, NIfTI, NRRD, MHA, DICOM-SEG.")
    ],
    objects: Annotated[bool, typer.Option("--objects", help="The values are numbers of objects.")] = False,
    areas: Annotated[bool, typer.Option("--areas", help="The values are classes.")] = False,
    ignore: Annotated[int | None, typer.Option(help="Pixels with this value in the truth do not count.")] = None,
    tolerance: Annotated[
        float | None,
        typer.Option(help="Distance that NSD allows, in the files' unit. [default: 1 for mm, else no NSD]"),
    ] = None,
    axes: Annotated[str | None, typer.Option(help="Axes of both, where the files do not say.")] = None,
    spacing: Annotated[
        str | None, typer.Option(help="Pixel size of both, Y,X or Z,Y,X, in place of what the files say.")
    ] = None,
    unit: Annotated[str | None, typer.Option(help="Of --spacing: um or mm. [default: um]")] = None,
    csv: Annotated[Path | None, typer.Option(help="Write the scores as a table.")] = None,
    differences: Annotated[
        Path | None, typer.Option(help="Write labels of where the two differ: too much, too little, something else.")
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace files of --csv and --differences.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON for machines, nothing else.")] = False,
) -> None:
    """Compare labels with the truth; see HELP."""
    from napari_unetstyle.core import run, write_labels, write_table
    from napari_unetstyle.core.errors import OptionError
    from napari_unetstyle.core.metrics import score_table, strict_json
    from napari_unetstyle.core.segmentation.compare import (
        common_geometry,
        difference_classes,
        iter_compare,
        place_notes,
        read_label_pair,
        with_sizes,
    )
    from napari_unetstyle.core.segmentation.output import label_info

    if objects and (areas or tolerance is not None):
        raise OptionError(
            f"--objects and {'--areas' if areas else '--tolerance'} exclude each other: give one of them."
        )
    _check_targets([path for path in (csv, differences) if path is not None], (prediction, truth), force=force)
    if unit is not None and spacing is None:
        raise OptionError("--unit is that of --spacing: give that, too, or leave it out.")
    first, second = read_label_pair(prediction, truth, axes)
    sizes = parse_spacing(spacing)
    place = common_geometry(first, second) if sizes is None else with_sizes(second, sizes, unit or "um")
    info = label_info(prediction)
    is_areas = areas or (
        not objects and (tolerance is not None or _holds_areas(info, place, is_sized=sizes is not None))
    )
    output: Any = "areas" if is_areas else "objects"
    lost: list[str] = []
    # before the scores, which take long for ids that this refuses
    found = None if differences is None else _differences((first, second), output, ignore)
    said = None if is_areas and not areas else output
    scores = run(iter_compare(first, second, output=said, ignore=ignore, tolerance=tolerance, geometry=place))
    names = {int(c["value"]): str(c["name"]) for c in info.get("classes", [])}
    if csv is not None:
        write_table(csv, score_table(scores, names))
    if differences is not None and found is not None:
        classes = difference_classes(found, names)
        where = place if sizes is None else second.geometry.with_spacing(place.spacing, place.unit)
        more: dict[str, Any] = {"axes": second.label_axes, "geometry": where, "classes": classes, "say": lost.append}
        write_labels(differences, found.labels, **more)
    placed = place_notes(first, second, None if sizes is None else place)
    for note in (*first.notes, *second.notes, *placed, *lost):
        typer.echo(f"Note: {note}", err=True)
    if as_json:
        typer.echo(json.dumps({"prediction": str(prediction), "truth": str(truth), **strict_json(scores)}))
        return
    for name, value in _lines(scores, names):
        typer.echo(f"{name:<22}{value}")
    if is_areas and "tolerance" not in scores:
        typer.echo(f"Note: no NSD without a tolerance in {place.unit}; give one with --tolerance.", err=True)


def _check_targets(targets: Sequence[Path], compared: Sequence[Path], *, force: bool) -> None:
    """Whether nothing that somebody made would be lost; what is compared is never replaced."""
    from napari_unetstyle.core.errors import OptionError, OutputError

    if len({path.resolve() for path in targets}) < len(targets):
        raise OptionError("--csv and --differences name the same file: give each its own.")
    for path in targets:
        if path.exists() and any(one.exists() and path.samefile(one) for one in compared):
            raise OptionError(f"{path} is one of the files that are compared, and is not replaced. Give another name.")
        if path.exists() and not force:
            raise OutputError(
                f"Could not write {path}: it exists and would be lost. Give another name, or replace it with --force."
            )


def _holds_areas(info: dict[str, Any], place: Geometry, *, is_sized: bool) -> bool:
    """As the file says; if it does not, labels of scans or of a stated size are classes and those of slides objects."""
    return info["output"] == "areas" if "output" in info else is_sized or place.unit == "mm"


def _differences(pair: tuple[Image, Image], output: Any, ignore: int | None) -> Differences:
    from napari_unetstyle.core.metrics import differences
    from napari_unetstyle.core.segmentation.compare import whole_labels

    arrays = (whole_labels(image, name) for image, name in zip(pair, ("prediction", "truth"), strict=True))
    return differences(*arrays, output=output, ignore=ignore)


def _lines(scores: dict[str, Any], names: dict[int, str]) -> list[tuple[str, str]]:
    if "classes" in scores:
        rows = [("Dice", f"{scores['dice']:.4f}"), ("IoU", f"{scores['iou']:.4f}")]
        rows += [(words, text) for words, text in _distances(scores, scores)]
        for value, score in scores["classes"].items():
            parts = [f"Dice {score['dice']:.4f}", f"IoU {score['iou']:.4f}"]
            parts += [f"{words} {text}" for words, text in _distances(score, scores)]
            rows.append((f"  {names.get(value) or f'class {value}'}", ", ".join([*parts, _volumes(score, scores)])))
        return rows
    rows = [("Dice", f"{scores['dice']:.4f}"), ("IoU", f"{scores['iou']:.4f}")]
    rows += [(f"AP at IoU {t:.1f}", f"{value:.4f}") for t, value in scores["average_precision"].items()]
    rows += [("Panoptic quality", f"{scores['panoptic_quality']:.4f}")]
    counts = (scores[f"objects_{which}"] for which in ("predicted", "true", "matched"))
    rows += [("Objects", "{} predicted, {} true, {} matched (IoU above 0.5)".format(*counts))]
    return rows


def _distances(score: dict[str, Any], scores: dict[str, Any]) -> list[tuple[str, str]]:
    rows = [(words, f"{score[name]:.4g} {scores['unit']}") for name, words in (("hd95", "HD95"), ("assd", "ASSD"))]
    if "tolerance" in scores:
        rows.append((f"NSD at {scores['tolerance']:g} {scores['unit']}", f"{score['nsd']:.4f}"))
    return rows


def _volumes(score: dict[str, float], scores: dict[str, Any]) -> str:
    what = "area" if len(scores["spacing"]) < 3 else "volume"
    sizes = f"{score['volume_predicted']:.5g} for {score['volume_true']:.5g} {scores['volume_unit']}"
    return f"{what} {sizes} ({score['volume_difference_relative']:+.1%})"
