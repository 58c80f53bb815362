"""One picture of a folder run: what becomes of it, and whether that is finished already."""

from __future__ import annotations

import csv
import hashlib
import json
import shutil
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np

from napari_unetstyle import __version__
from napari_unetstyle.core.errors import UnetstyleError
from napari_unetstyle.core.files import atomic_path, atomic_write, sha256_of
from napari_unetstyle.core.imaging.image import Image
from napari_unetstyle.core.imaging.ome_zarr import is_zarr, ome_zarr_info
from napari_unetstyle.core.models.model import Model
from napari_unetstyle.core.progress import Progress, Steps, share
from napari_unetstyle.core.segmentation.folder_inputs import Entry
from napari_unetstyle.core.segmentation.folder_report import FolderFiles, PictureStatus, State
from napari_unetstyle.core.segmentation.level_choice import read_fitting
from napari_unetstyle.core.segmentation.measure import iter_measure
from napari_unetstyle.core.segmentation.options import SegmentOptions
from napari_unetstyle.core.segmentation.output import write_labels, write_probabilities, write_table
from napari_unetstyle.core.segmentation.output_outlines import write_geojson, write_rois
from napari_unetstyle.core.segmentation.result import SegmentResult, Table
from napari_unetstyle.core.segmentation.segment import iter_segment

SIDECARS = ".napari-unetstyle"
_NO_SAY = ("tile", "memory", "device", "backend")  # options that do not change labels
_SKIPPABLE = (UnetstyleError, ArithmeticError, LookupError, MemoryError, OSError, RuntimeError, ValueError)


@dataclass(frozen=True, eq=False)
class FolderJob:
    """What is the same for all pictures of a run."""

    out: Path
    model: Model
    options: SegmentOptions
    axes: str | None
    spacing: tuple[float, ...] | None
    series: int | str | None
    level: int | None
    files: FolderFiles

    def status(self, entry: Entry, state: State, **more: Any) -> PictureStatus:
        """Of one picture."""
        return PictureStatus(path=entry.path, name=entry.name, labels=self.out / entry.target, state=state, **more)

    def iter_picture(self, entry: Entry) -> Steps[PictureStatus]:
        """Segment one picture and write everything; a failure becomes a status."""
        started = time.perf_counter()
        try:
            where: dict[str, Any] = {name: getattr(self, name) for name in ("axes", "spacing", "series", "level")}
            image, options = read_fitting(entry.path, [self.model.spec], self.options, **where)
            digest = _digest(entry.path)
            result = yield from share(iter_segment(image, self.model, options), 0.0, 0.9)
            table = yield from share(self._iter_table(result, image), 0.9, 0.95)
            yield Progress(95, 100, "Writing")
            self._write(entry, digest, result, table)
        except _SKIPPABLE as error:
            return self.status(entry, "failed", message=_reason(error), seconds=time.perf_counter() - started)
        seconds = round(time.perf_counter() - started, 3)
        more: dict[str, Any] = {"count": result.count, "output": result.output, "notes": result.notes}
        return self.status(entry, "done", seconds=seconds, **more)

    def finished(self, entry: Entry) -> PictureStatus | None:
        """The status of a picture that an earlier run finished, if nothing has changed since."""
        try:
            known = json.loads(self._sidecar(entry).read_text(encoding="utf-8"))
            wanted = self._targets(entry)
            same = (
                known["made_by"] == self._fingerprint()
                and known["picture"] == _digest(entry.path)
                and wanted.keys() <= known["files"].keys()
                and all(_digest(self.out / path) == known["files"][kind] for kind, path in wanted.items())
            )
        except (OSError, ValueError, LookupError, TypeError, AttributeError):
            return None
        if not same:
            return None
        return self.status(entry, "skipped", count=known["count"], output=known["output"], notes=tuple(known["notes"]))

    def write_table(self, entries: Sequence[Entry], ended: Sequence[PictureStatus]) -> Path | None:
        """Put the tables of the pictures under one another, with a column that names the picture."""
        good = [(entry, status) for entry, status in zip(entries, ended, strict=True) if status.state != "failed"]
        if not good:
            return None
        parts = [(entry.name, self.out / self._targets(entry)["table"]) for entry, _ in good]
        header: dict[str, None] = {"picture": None}
        for _, part in parts:
            with part.open(newline="", encoding="utf-8") as file:
                header |= dict.fromkeys(next(csv.reader(file)))
        target = self.out / f"{good[0][1].output}.csv"
        with atomic_path(target) as temporary, temporary.open("w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, list(header))
            writer.writeheader()
            for name, part in parts:
                with part.open(newline="", encoding="utf-8") as rows:
                    writer.writerows({"picture": name, **row} for row in csv.DictReader(rows))
        return target

    def _iter_table(self, result: SegmentResult, image: Image) -> Steps[Table]:
        if not self.files.measure or result.output == "areas":
            return result.objects
        steps = iter_measure(result.labels, image, stains=self.files.stains, dims=self.model.spec.network.spatial_dims)
        measured = yield from steps
        if not np.array_equal(measured["label"], result.objects["label"]):
            raise RuntimeError("the measured objects are not those that were found")
        return result.objects | {name: column for name, column in measured.items() if name not in result.objects}

    def _write(self, entry: Entry, digest: str, result: SegmentResult, table: Table) -> None:
        targets = self._targets(entry)
        self._sidecar(entry).unlink(missing_ok=True)  # from here on the picture is not finished
        _make_room(self.out / targets["labels"])
        write_labels(self.out / targets["labels"], result)
        write_table(self.out / targets["table"], table)
        if "rois" in targets:
            write_rois(self.out / targets["rois"], result)
        if "geojson" in targets:
            write_geojson(self.out / targets["geojson"], result)
        if "probabilities" in targets:
            write_probabilities(self.out / targets["probabilities"], result)
        known = {
            "picture": digest,
            "made_by": self._fingerprint(),
            "count": result.count,
            "output": result.output,
            "notes": list(result.notes),
            "files": {kind: _digest(self.out / path) for kind, path in targets.items()},
        }
        atomic_write(self._sidecar(entry), json.dumps(known, indent=1) + "\n")

    def _targets(self, entry: Entry) -> dict[str, PurePosixPath]:
        """Every file of a picture, by what it is, below the output folder."""
        labels, files = entry.target, self.files
        every = {
            "labels": (True, labels),
            "table": (True, PurePosixPath(SIDECARS) / entry.beside(".csv")),
            "rois": (files.rois, entry.beside("_rois.zip")),
            "geojson": (files.geojson, entry.beside(".geojson")),
            "probabilities": (files.probabilities, entry.beside("_probabilities.tif")),
        }
        return {kind: path for kind, (is_wanted, path) in every.items() if is_wanted}

    def _sidecar(self, entry: Entry) -> Path:
        return self.out / SIDECARS / entry.beside(".json")

    def _fingerprint(self) -> str:
        """What labels and tables follow from, besides the picture; as a sha256."""
        options = {name: value for name, value in self.options.stated().items() if name not in _NO_SAY}
        content = {
            "program": __version__,
            "model": self.model.sha256,
            "options": options,
            "axes": self.axes,
            "spacing": self.spacing,
            "series": self.series,
            "level": self.level,
            "measure": self.files.measure,
            "stains": self.files.stains,
        }
        return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def _reason(error: BaseException) -> str:
    if isinstance(error, UnetstyleError):
        return str(error)
    if isinstance(error, MemoryError):
        return "There was not enough memory. Close other programs, or give a smaller tile."
    return f"Unexpected problem ({type(error).__name__}: {error}). Please report it."


def _digest(path: Path) -> str:
    """Hex sha256 of a picture file, of the files of a DICOM folder, whatever their names, or of OME-Zarr."""
    if path.is_file():
        return sha256_of(path)
    has_names = is_zarr(path)  # which say what chunk each file is
    digests = sorted(
        (file.relative_to(path).as_posix() if has_names else "") + sha256_of(file) for file in files_of(path)
    )
    return hashlib.sha256("".join(digests).encode()).hexdigest()


def _make_room(labels: Path) -> None:
    """Remove the OME-Zarr labels of an earlier run, which no writer replaces; nothing else is touched."""
    if is_zarr(labels) and str(ome_zarr_info(labels).get("program", "")).startswith("napari-unetstyle"):
        shutil.rmtree(labels)


def files_of(path: Path) -> list[Path]:
    """The files of a picture: it, or all that a folder holds."""
    return [file for file in path.rglob("*") if file.is_file()] if path.is_dir() else [path]
