"""``napari-unetstyle evaluate``: labels against the truth."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer

HELP = """Compare labels with the truth: Dice, IoU, and for objects average precision and panoptic quality.

**Examples**

`napari-unetstyle evaluate out/slide.tif truth/slide.tif`

`napari-unetstyle evaluate out/nerve.tif truth/nerve.png --areas --json`

Objects may be numbered differently in the two files. A pair of objects matches if their IoU is above the threshold;
average precision is matched / (matched + missed + wrong). Where neither file has anything, every score is 1.
"""


def evaluate_labels(
    prediction: Annotated[Path, typer.Argument(help="Label file, as segment writes it.")],
    truth: Annotated[Path, typer.Argument(help="Label file of the same picture: TIFF or PNG of whole numbers.")],
    objects: Annotated[bool, typer.Option("--objects", help="The values are numbers of objects.")] = False,
    areas: Annotated[bool, typer.Option("--areas", help="The values are classes.")] = False,
    ignore: Annotated[int | None, typer.Option(help="Pixels with this value in the truth do not count.")] = None,
    axes: Annotated[str | None, typer.Option(help="Axes of both, where the files do not say.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON for machines, nothing else.")] = False,
) -> None:
    """Compare labels with the truth; see HELP."""
    from napari_unetstyle.core import evaluate, read_image
    from napari_unetstyle.core.errors import OptionError
    from napari_unetstyle.core.segmentation.output import label_info

    if objects and areas:
        raise OptionError("--objects and --areas exclude each other: give one of them.")
    pair = [read_image(path, axes) for path in (prediction, truth)]
    info = label_info(prediction)
    known = "areas" if info.get("output") == "areas" else "objects"
    scores = evaluate(
        *(image.array for image in pair),  # type: ignore[arg-type]
        output="objects" if objects else "areas" if areas else known,  # type: ignore[arg-type]
        ignore=ignore,
    )
    if as_json:
        typer.echo(json.dumps({"prediction": str(prediction), "truth": str(truth), **scores}))
        return
    for name, value in _lines(scores, info):
        typer.echo(f"{name:<22}{value}")


def _lines(scores: dict[str, Any], info: dict[str, Any]) -> list[tuple[str, str]]:
    rows = [("Dice", f"{scores['dice']:.4f}"), ("IoU", f"{scores['iou']:.4f}")]
    if "classes" in scores:
        names = {c.get("value"): c.get("name") for c in info.get("classes", [])}
        for value, score in scores["classes"].items():
            named = names.get(value) or f"class {value}"
            rows.append((f"  {named}", f"Dice {score['dice']:.4f}, IoU {score['iou']:.4f}"))
        return rows
    rows += [(f"AP at IoU {t:.1f}", f"{value:.4f}") for t, value in scores["average_precision"].items()]
    rows += [("Panoptic quality", f"{scores['panoptic_quality']:.4f}")]
    counts = (scores[f"objects_{which}"] for which in ("predicted", "true", "matched"))
    rows += [("Objects", "{} predicted, {} true, {} matched (IoU above 0.5)".format(*counts))]
    return rows
