"""One picture of a folder run: what becomes of it, and whether that is finished already."""

from __future__ import annotations

import csv
import hashlib
import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import numpy as np

from napari_unetstyle import __version__
from napari_unetstyle.core.errors import SeveralSeriesError, UnetstyleError
from napari_unetstyle.core.files import atomic_path
from napari_unetstyle.core.imaging.dicom import series_of
from napari_unetstyle.core.imaging.dicom_seg import check_source
from napari_unetstyle.core.imaging.files import digest_of, is_dicom_picture, read_levels
from napari_unetstyle.core.imaging.image import Image
from napari_unetstyle.core.imaging.ome_zarr_labels import BegunLabels
from napari_unetstyle.core.models.model import Model
from napari_unetstyle.core.progress import Progress, Steps, share
from napari_unetstyle.core.segmentation.folder_inputs import Entry, check_places
from napari_unetstyle.core.segmentation.folder_outputs import Outputs, discard
from napari_unetstyle.core.segmentation.folder_report import FolderFiles, FolderProgress, PictureStatus, State
from napari_unetstyle.core.segmentation.full_resolution import iter_full_resolution
from napari_unetstyle.core.segmentation.level_choice import read_fitting
from napari_unetstyle.core.segmentation.measure import iter_measure
from napari_unetstyle.core.segmentation.memory import predict_memory
from napari_unetstyle.core.segmentation.options import SegmentOptions
from napari_unetstyle.core.segmentation.output import (
    check_is_dicom,
    place_note,
    write_labels,
    write_probabilities,
    write_table,
)
from napari_unetstyle.core.segmentation.output_outlines import write_geojson, write_rois
from napari_unetstyle.core.segmentation.restyle import MODEL
from napari_unetstyle.core.segmentation.result import SegmentResult, Table
from napari_unetstyle.core.segmentation.segment import iter_segment
from napari_unetstyle.core.style.given import kept_of

SIDECARS = ".napari-unetstyle"
_NO_SAY = ("tile", "memory", "device", "backend")  # options that do not change labels
_UNMEASURED = "Shape, intensity and stains are measured of objects only: the table of areas has none of them."
_SKIPPABLE = (UnetstyleError, ArithmeticError, LookupError, MemoryError, OSError, RuntimeError, ValueError)


@dataclass(frozen=True, eq=False)
class FolderJob:
    """What is the same for all pictures of a run."""

    out: Path
    model: Model
    options: SegmentOptions
    given: Mapping[str, Any]  # axes, spacing, series, level
    stated: Mapping[Path, Mapping[str, Any]]  # the same, where it is another for one picture
    files: FolderFiles
    force: bool = False

    def check(self, entries: Sequence[Entry]) -> None:
        """Whether every result has a place of its own, before any is made.

        Raises
        ------
        OptionError
            If results of two pictures would have one name, or one would replace a picture.
        OutputError
            If the table of all pictures is not as a run left it.
        """
        if self.files.table:
            usual = "areas" if self.model.spec.separation is None else "objects"
            self._table_of_all(self.options.output or usual).check(force=self.force)
        check_places(entries, lambda entry: self._outputs(entry).targets.values())

    def status(self, entry: Entry, state: State, **more: Any) -> PictureStatus:
        """Of one picture."""
        return PictureStatus(path=entry.path, name=entry.name, labels=self.out / entry.target, state=state, **more)

    def iter_picture(self, entry: Entry) -> Steps[PictureStatus]:
        """Segment one picture and write everything; a failure becomes a status."""
        started = time.perf_counter()
        staged = self._outputs(entry).staged()
        try:
            self._outputs(entry).check(force=self.force)  # not after minutes of computing
            if self.files.dicom_seg:
                check_is_dicom(entry.path)
            where = self._where(entry)
            image, options = read_fitting(entry.path, [self.model.spec], self.options, **where)
            if self.files.dicom_seg:
                check_source(self.out / entry.target, image.label_shape, image.geometry, entry.path, where["series"])
            needed = predict_memory(image, self.model, options)
            yield FolderProgress(0, 100, "Starting", picture=self.status(entry, "running", memory=needed))
            make = partial(BegunLabels, staged["labels"], image.label_axes) if self._is_straight(options) else None
            facts = {"picture": digest_of(entry.path, self.out), "made_by": self._fingerprint(entry)}
            result = yield from share(iter_segment(image, self.model, options, make=make), 0.0, 0.9)
            if self.files.measure and result.output == "areas":
                result = result.changed(notes=(*result.notes, _UNMEASURED))
            result = result.changed(notes=(*result.notes, *place_note(entry.target, result.geometry)))
            table = yield from share(self._iter_table(result, image), 0.9, 0.95)
            drawn = result
            if self.files.full_resolution and read_levels(entry.path):
                drawn = yield from share(iter_full_resolution(result, entry.path), 0.95, 0.97)
            yield Progress(97, 100, "Writing")
            self._write(entry, staged, facts, result, table, drawn)
        except _SKIPPABLE as error:
            message = _reason(error)
            for kind, path in self._outputs(entry).targets.items():
                message = message.replace(str(staged[kind]), str(path))
            why = error if isinstance(error, UnetstyleError) else None
            seconds = time.perf_counter() - started
            return self.status(entry, "failed", message=message, error=why, seconds=seconds)
        finally:
            discard(staged)
        seconds = round(time.perf_counter() - started, 3)
        more: dict[str, Any] = {"count": result.count, "output": result.output, "notes": drawn.notes}
        return self.status(entry, "done", seconds=seconds, **more)

    def unanswered(self, entry: Entry) -> PictureStatus | None:
        """The status of a folder of several series of which nobody said which one; headers are read for it."""
        try:
            if entry.path.is_dir() and is_dicom_picture(entry.path):
                series_of(entry.path, self._where(entry)["series"])
        except SeveralSeriesError as error:
            return self.status(entry, "failed", message=str(error), error=error)
        except UnetstyleError:  # which it says at its turn
            pass
        return None

    def finished(self, entry: Entry) -> PictureStatus | None:
        """The status of a picture that an earlier run finished, if nothing has changed since."""
        outputs = self._outputs(entry)
        known = outputs.known()
        try:
            same = (
                known["made_by"] == self._fingerprint(entry)
                and known["picture"] == digest_of(entry.path, self.out)
                and outputs.targets.keys() <= known["files"].keys()
                and all(digest_of(path) == known["files"][kind] for kind, path in outputs.targets.items())
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
        parts = [(entry.name, self._outputs(entry).targets["table"]) for entry, _ in good]
        header: dict[str, None] = {"picture": None}
        for _, part in parts:
            with part.open(newline="", encoding="utf-8") as file:
                header |= dict.fromkeys(next(csv.reader(file)))
        outputs = self._table_of_all(good[0][1].output)
        staged = outputs.staged()
        try:
            with atomic_path(staged["table"]) as new, new.open("w", newline="", encoding="utf-8") as file:
                writer = csv.DictWriter(file, list(header))
                writer.writeheader()
                for name, part in parts:
                    with part.open(newline="", encoding="utf-8") as rows:
                        writer.writerows({"picture": name, **row} for row in csv.DictReader(rows))
            outputs.put(staged, {}, force=self.force)
        finally:
            discard(staged)
        return outputs.targets["table"]

    def _iter_table(self, result: SegmentResult, image: Image) -> Steps[Table]:
        if not self.files.measure or result.output == "areas":
            return result.objects
        dims = result.labels.ndim - len(result.frames[0])  # linked slices are a volume
        steps = iter_measure(result.labels, image, stains=self.files.stains, dims=dims)
        measured = yield from steps
        if not np.array_equal(measured["label"], result.objects["label"]):
            raise RuntimeError("the measured objects are not those that were found")
        return result.objects | {name: column for name, column in measured.items() if name not in result.objects}

    def _is_straight(self, options: SegmentOptions) -> bool:
        """Whether labels are decided where they are written: nothing else needs them as a whole, or in columns."""
        files, usual = self.files, "areas" if self.model.spec.separation is None else "objects"
        is_whole = files.measure and (options.output or usual) == "objects"
        in_columns = options.link and options.plane in ("ZX", "ZY")
        return files.zarr and not (is_whole or in_columns or files.rois or files.geojson or files.full_resolution)

    def _write(
        self,
        entry: Entry,
        staged: Mapping[str, Path],
        facts: dict[str, Any],
        result: SegmentResult,
        table: Table,
        drawn: SegmentResult,
    ) -> None:
        """Write `result` and its table; its labels and outlines as `drawn` has them."""
        source: dict[str, Any] = (
            {"source": entry.path, "series": self._where(entry)["series"]} if self.files.dicom_seg else {}
        )
        write_labels(staged["labels"], drawn, say=lambda _: None, **source)  # what is said is among the notes
        write_table(staged["table"], table)
        if "rois" in staged:
            write_rois(staged["rois"], drawn)
        if "geojson" in staged:
            write_geojson(staged["geojson"], drawn)
        if "probabilities" in staged:
            write_probabilities(staged["probabilities"], result)
        found = {"count": result.count, "output": result.output, "notes": list(drawn.notes)}
        self._outputs(entry).put(staged, facts | found, force=self.force)

    def _outputs(self, entry: Entry) -> Outputs:
        files, ours = self.files, self.out / SIDECARS
        every = {
            "labels": (True, self.out / entry.target),
            "table": (True, ours / entry.beside(".csv")),
            "rois": (files.rois, self.out / entry.beside("_rois.zip")),
            "geojson": (files.geojson, self.out / entry.beside(".geojson")),
            "probabilities": (files.probabilities, self.out / entry.beside("_probabilities.tif")),
        }
        targets = {kind: path for kind, (is_wanted, path) in every.items() if is_wanted}
        return Outputs(targets, ours / entry.beside(".json"))

    def _table_of_all(self, output: str) -> Outputs:
        return Outputs({"table": self.out / f"{output}.csv"}, self.out / SIDECARS / ".tables" / f"{output}.json")

    def _where(self, entry: Entry) -> dict[str, Any]:
        """Axes, pixel size, series and level that are stated of a picture."""
        return {**self.given, **self.stated.get(entry.path, {})}

    def _fingerprint(self, entry: Entry) -> str:
        """What labels and tables follow from, besides the picture, as a sha256."""
        return hashlib.sha256(json.dumps({**self._made_by, **self._where(entry)}, sort_keys=True).encode()).hexdigest()

    @cached_property
    def _made_by(self) -> dict[str, Any]:
        """What they follow from alike for all pictures: of one time for the whole run."""
        options = {name: value for name, value in self.options.stated().items() if name not in _NO_SAY}
        return {
            "program": __version__,
            "model": self.model.sha256,
            "options": options,
            "restyle": _digest_of_style(self.options.restyle),
            "measure": self.files.measure,
            "full_resolution": self.files.full_resolution,
            "stains": self.files.stains,
        }


def _digest_of_style(restyle: str | None) -> str | None:
    """Of the file that pictures are to look like, or of what the bank keeps under that name."""
    if restyle is None or restyle == MODEL:
        return None
    kept = kept_of(restyle)
    return digest_of(Path(restyle)) if kept is None else hashlib.sha256(kept.model_dump_json().encode()).hexdigest()


def _reason(error: BaseException) -> str:
    if isinstance(error, UnetstyleError):
        return str(error)
    if isinstance(error, MemoryError):
        return "There was not enough memory. Close other programs, or give a smaller tile."
    return f"Unexpected problem ({type(error).__name__}: {error}). Please report it."
