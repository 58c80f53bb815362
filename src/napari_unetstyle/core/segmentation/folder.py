"""A folder of pictures, one after the other: goes on after a bad one, and knows what is finished already."""

from __future__ import annotations

import csv
import hashlib
import json
import os
import shutil
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from itertools import accumulate
from pathlib import Path, PurePosixPath
from typing import Any, Literal

import numpy as np

from napari_unetstyle import __version__
from napari_unetstyle.core import device as devices
from napari_unetstyle.core.errors import OptionError, OutputError, UnetstyleError
from napari_unetstyle.core.files import atomic_path, atomic_write, sha256_of
from napari_unetstyle.core.imaging.image import Image
from napari_unetstyle.core.imaging.ome_zarr import SUFFIX as ZARR
from napari_unetstyle.core.imaging.ome_zarr import is_zarr, ome_zarr_info
from napari_unetstyle.core.models.model import Model
from napari_unetstyle.core.models.store import ModelStore
from napari_unetstyle.core.progress import Progress, Steps, share, through
from napari_unetstyle.core.segmentation.folder_inputs import Entry, find_entries
from napari_unetstyle.core.segmentation.level_choice import read_fitting
from napari_unetstyle.core.segmentation.measure import iter_measure
from napari_unetstyle.core.segmentation.options import SegmentOptions
from napari_unetstyle.core.segmentation.output import write_labels, write_probabilities, write_table
from napari_unetstyle.core.segmentation.output_outlines import write_geojson, write_rois
from napari_unetstyle.core.segmentation.result import SegmentResult, Table
from napari_unetstyle.core.segmentation.segment import iter_segment

_A_DAY = 86400
SIDECARS = ".napari-unetstyle"
_NO_SAY = ("tile", "memory", "device", "backend")  # options that do not change labels
_SKIPPABLE = (UnetstyleError, ArithmeticError, LookupError, MemoryError, OSError, RuntimeError, ValueError)

State = Literal["running", "done", "skipped", "failed"]


@dataclass(frozen=True, kw_only=True)
class FolderFiles:
    """What is written besides the labels of each picture.

    Attributes
    ----------
    table
        One CSV of all objects (or areas) with a ``picture`` column, named after `SegmentResult.output`.
    measure
        The table has shape and intensity, too.
    stains
        The table has these stains, too (``"hed"`` or ``"hdx"``); needs `measure`.
    rois, geojson, probabilities
        Files beside the labels: ``_rois.zip``, ``.geojson``, ``_probabilities.tif``.
    zarr
        The labels are OME-Zarr, written chunk by chunk, in the place of TIFF and volumes.
    """

    table: bool = False
    measure: bool = False
    stains: str | None = None
    rois: bool = False
    geojson: bool = False
    probabilities: bool = False
    zarr: bool = False


@dataclass(frozen=True, kw_only=True)
class PictureStatus:
    """How one picture fared.

    Attributes
    ----------
    path, name
        The picture, and its path below the inputs' common folder.
    labels
        Where its labels are, or will be.
    state
        ``"running"``, ``"done"``, ``"skipped"`` (finished earlier and unchanged) or ``"failed"``.
    count
        Number of objects; for areas of rows in the table, one for each class and frame.
    output
        ``"objects"`` or ``"areas"``.
    seconds
        Time it took.
    message
        Why it failed.
    notes
        Sentences that a person should read.
    """

    path: Path
    name: str
    labels: Path
    state: State
    count: int = 0
    output: str = ""
    seconds: float = 0.0
    message: str = ""
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class FolderProgress(Progress):
    """A step of a folder run; `picture` is the one it is about, and `counted` says which of several it is."""

    picture: PictureStatus | None = None


@dataclass(frozen=True, kw_only=True)
class FolderReport:
    """What became of every picture, and where their table is (None if none was asked for)."""

    pictures: tuple[PictureStatus, ...]
    table: Path | None = None

    def having(self, state: State) -> tuple[PictureStatus, ...]:
        """The pictures that ended in a state."""
        return tuple(picture for picture in self.pictures if picture.state == state)


def iter_segment_folder(
    inputs: Sequence[str | os.PathLike[str]],
    out: str | os.PathLike[str],
    model: Model | str | Path = "nuclei",
    options: SegmentOptions | None = None,
    *,
    axes: str | None = None,
    spacing: tuple[float, ...] | None = None,
    series: int | str | None = None,
    level: int | None = None,
    files: FolderFiles | None = None,
    force: bool = False,
    store: ModelStore | None = None,
) -> Steps[FolderReport]:
    """Segment pictures one after the other and write what was found into a folder.

    A picture that fails does not stop the rest. What an earlier run finished is skipped if nothing has changed
    since: picture, model, options and results are compared by sha256. So a run that was stopped goes on
    where it was, and ends as if it had never been stopped.

    Parameters
    ----------
    inputs
        Files, folders (searched in depth) or patterns; a folder of DICOM slices is one picture.
    out
        Folder for the results; subfolders are kept.
    model
        Name in the store, model folder, or a loaded model.
    options
        The same for every picture.
    axes, spacing, series
        As in :func:`~napari_unetstyle.core.read_image`, for every picture.
    level
        As in :func:`~napari_unetstyle.core.segment`: of pictures in several resolutions; None: the one that fits.
    files
        What to write besides labels.
    force
        Skip nothing.
    store
        Where models are looked up; the person's own by default.

    Yields
    ------
    FolderProgress
        After each strip, and once with the final state of each picture.

    Returns
    -------
    FolderReport
        The state of every picture.

    Raises
    ------
    UnetstyleError
        If nothing can be done at all: no picture, no such model, an option that cannot be. Nothing is written.
    """
    options, files, target = options or SegmentOptions(), files or FolderFiles(), Path(out)
    loaded = model if isinstance(model, Model) else (store or ModelStore()).load(model)
    _check(loaded, options, files)
    entries = find_entries([Path(given) for given in inputs], target, ZARR if files.zarr else None)
    _check_writable(target)
    job = _Job(target, loaded, options, axes, spacing, series, level, files)
    ended = yield from _iter_pictures(job, entries, force=force)
    return FolderReport(pictures=tuple(ended), table=job.write_table(entries, ended) if files.table else None)


def _iter_pictures(job: _Job, entries: Sequence[Entry], *, force: bool) -> Steps[list[PictureStatus]]:
    """What became of each picture, in order."""
    ended: list[PictureStatus] = []
    for entry, place in zip(entries, _places(entries), strict=True):
        status = None if force else job.finished(entry)
        if status is None:
            during = partial(place.during, job.status(entry, "running"))
            status = yield from through(job.iter_picture(entry), during)
        ended.append(status)
        yield place.after(status)
    return ended


@dataclass(frozen=True, kw_only=True)
class _Place:
    """Where a picture lies in the progress of the run: `start` to `start` + `size` of `total` bytes."""

    start: int
    size: int
    total: int
    counted: tuple[int, int] | None

    def during(self, picture: PictureStatus, progress: Progress) -> FolderProgress:
        """A step of the picture as one of the run."""
        done = self.start + int(progress.fraction * self.size)
        message = f"{picture.name}: {progress.message}"
        return FolderProgress(done, self.total, message, self.counted or progress.counted, picture)

    def after(self, picture: PictureStatus) -> FolderProgress:
        """The step at the end of the picture."""
        return FolderProgress(self.start + self.size, self.total, picture.name, self.counted, picture)


def _places(entries: Sequence[Entry]) -> list[_Place]:
    sizes = [_size(entry.path) for entry in entries]
    starts = accumulate([0, *sizes[:-1]])
    return [
        _Place(start=start, size=size, total=sum(sizes), counted=(i + 1, len(sizes)) if len(sizes) > 1 else None)
        for i, (start, size) in enumerate(zip(starts, sizes, strict=True))
    ]


def _check(model: Model, options: SegmentOptions, files: FolderFiles) -> None:
    """What would fail for every picture alike fails before the first."""
    if options.output == "objects" and model.spec.separation is None:
        raise OptionError(f"Model {model.spec.name!r} knows areas only. Ask for areas, or take another model.")
    if files.stains is not None and not files.measure:
        raise OptionError("Stains are part of the measurements: ask for these too (measure).")
    if options.device not in ("auto", "cpu"):
        devices.resolve(options.device)


def _check_writable(folder: Path) -> None:
    """Nobody should learn after an hour that nothing can be written."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
        for left in folder.rglob(".partial-*"):  # by a run that was killed a day ago or earlier
            if time.time() - left.stat().st_mtime > _A_DAY:
                if left.is_dir():
                    shutil.rmtree(left, ignore_errors=True)
                else:
                    left.unlink(missing_ok=True)
    except OSError as error:
        raise OutputError(
            f"Could not write to {folder}: {error.strerror or error}. Choose a folder that you may write to."
        ) from error


def _size(path: Path) -> int:
    """Weight of a picture in the progress."""
    try:
        return max(1, sum(file.stat().st_size for file in _files(path)))
    except OSError:
        return 1


def _digest(path: Path) -> str:
    """Hex sha256 of a picture file, of the files of a DICOM folder, whatever their names, or of OME-Zarr."""
    if path.is_file():
        return sha256_of(path)
    has_names = is_zarr(path)  # which say what chunk each file is
    digests = sorted(
        (file.relative_to(path).as_posix() if has_names else "") + sha256_of(file) for file in _files(path)
    )
    return hashlib.sha256("".join(digests).encode()).hexdigest()


def _make_room(labels: Path) -> None:
    """Remove the OME-Zarr labels of an earlier run, which no writer replaces; nothing else is touched."""
    if is_zarr(labels) and str(ome_zarr_info(labels).get("program", "")).startswith("napari-unetstyle"):
        shutil.rmtree(labels)


def _files(path: Path) -> list[Path]:
    return [file for file in path.rglob("*") if file.is_file()] if path.is_dir() else [path]


@dataclass(frozen=True, eq=False)
class _Job:
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
