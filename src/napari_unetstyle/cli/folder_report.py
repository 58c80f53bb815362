"""What a folder run says: a line for each picture and a summary, for people and for machines."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import typer

if TYPE_CHECKING:
    from napari_unetstyle.core.segmentation.folder_report import FolderReport, PictureStatus


def text_line(picture: PictureStatus) -> str:
    """What became of a picture."""
    if picture.state == "failed":
        return f"{picture.name}: failed"
    what = f"{picture.count} objects" if picture.output == "objects" else "areas"
    how = "unchanged, skipped" if picture.state == "skipped" else f"{picture.seconds:.1f} s"
    return f"{picture.name}: {what}, {how} -> {picture.labels}"


def echo_text_summary(report: FolderReport) -> None:
    """Counts on stdout; notes, and why pictures failed, on stderr."""
    done, skipped, failed = (report.having(state) for state in ("done", "skipped", "failed"))
    counts = [f"{len(done)} done", f"{len(skipped)} skipped (finished earlier and unchanged)", f"{len(failed)} failed"]
    kept = [counts[0], *(counts[1:2] if skipped else []), *(counts[2:] if failed else [])]
    typer.echo(f"{', '.join(kept)}." + (f" Table: {report.table}" if report.table else ""))
    for note in dict.fromkeys(note for picture in report.pictures for note in picture.notes):
        typer.echo(f"Note{_on(note, report)}: {note}", err=True)
    if failed:
        typer.echo(f"\n{len(failed)} of {len(report.pictures)} pictures failed:", err=True)
    for picture in failed:
        typer.echo(f"  {picture.name}: {picture.message}", err=True)


def _on(note: str, report: FolderReport) -> str:
    """Which pictures a note is about, unless it is about every one that has labels."""
    finished = [picture for picture in report.pictures if picture.state != "failed"]
    names = [picture.name for picture in finished if note in picture.notes]
    if len(names) == len(finished):
        return ""
    return f" on {names[0]}" + (f" and {len(names) - 1} more" if len(names) > 1 else "")


def json_line(picture: PictureStatus) -> str:
    """What became of a picture, as one JSON object."""
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


def echo_json_summary(report: FolderReport) -> None:
    """Counts and the table as one JSON object; why pictures failed, on stderr."""
    counts = {state: len(report.having(state)) for state in ("done", "skipped", "failed")}
    typer.echo(json.dumps({"summary": counts, "table": str(report.table) if report.table else None}))
    for picture in report.having("failed"):
        typer.echo(f"{picture.name}: {picture.message}", err=True)
