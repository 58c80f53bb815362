"""A folder of pictures, one after the other: goes on after a bad one, and knows what is finished already."""

from __future__ import annotations

import os
import shutil
import tempfile
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from itertools import accumulate
from pathlib import Path
from typing import Any

from napari_unetstyle.core import device as devices
from napari_unetstyle.core.errors import ImageFileError, OptionError, OutputError
from napari_unetstyle.core.imaging import dicom_seg
from napari_unetstyle.core.imaging.files import files_of, is_dicom_picture
from napari_unetstyle.core.imaging.ome_zarr import SUFFIX as ZARR
from napari_unetstyle.core.models.model import Model
from napari_unetstyle.core.models.store import ModelStore
from napari_unetstyle.core.progress import Progress, Steps, through
from napari_unetstyle.core.segmentation.folder_inputs import Entry, find_entries
from napari_unetstyle.core.segmentation.folder_job import FolderJob
from napari_unetstyle.core.segmentation.folder_report import FolderFiles, FolderProgress, FolderReport, PictureStatus
from napari_unetstyle.core.segmentation.options import SegmentOptions
from napari_unetstyle.core.segmentation.output import check_is_dicom

_A_DAY = 86400


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
    stated: Mapping[Path, Mapping[str, Any]] | None = None,
    files: FolderFiles | None = None,
    force: bool = False,
    asks: bool = False,
    store: ModelStore | None = None,
) -> Steps[FolderReport]:
    """Segment pictures one after the other and write what was found into a folder.

    A picture that fails does not stop the rest. What an earlier run finished is skipped if nothing has changed
    since: picture, model, options and results are compared by sha256. So a run that was stopped goes on
    where it was, and ends as if it had never been stopped.

    Nothing that somebody painted is replaced: if one of the files of a picture is not as a run left it, the picture
    fails and says which, unless `force` is set.

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
    stated
        Of single pictures, by their paths, what is stated in the place of the above: ``{path: {"series": 2}}``.
    files
        What to write besides labels.
    force
        Skip nothing, and replace files that were changed or made by somebody else.
    asks
        Where folders hold several series and nobody said which, the run ends before anything is computed, with these
        pictures as failed; else each fails at its turn.
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
        If nothing can be done at all: no picture, no such model or an edited one, an option that cannot be. Nothing is
        written.
    """
    options, files, target = options or SegmentOptions(), files or FolderFiles(), Path(out)
    loaded = model if isinstance(model, Model) else (store or ModelStore()).load(model)
    _check(loaded, options, files)
    suffix = ZARR if files.zarr else dicom_seg.SUFFIX if files.dicom_seg else None
    entries = find_entries([Path(given) for given in inputs], target, suffix)
    if files.dicom_seg and not any(map(_may_be_dicom, entries)):
        check_is_dicom(entries[0].path)
    given = {"axes": axes, "spacing": spacing, "series": series, "level": level}
    job = FolderJob(target, loaded, options, given, stated or {}, files, force)
    job.check(entries)
    if asks and (unanswered := (yield from _iter_unanswered(job, entries))):
        return FolderReport(pictures=tuple(unanswered))
    missing = [folder for folder in (target, *target.parents) if not folder.exists()]
    try:
        _check_writable(target)
        ended = yield from _iter_pictures(job, entries)
        return FolderReport(pictures=tuple(ended), table=job.write_table(entries, ended) if files.table else None)
    finally:
        _remove_empty(missing)


def _iter_unanswered(job: FolderJob, entries: Sequence[Entry]) -> Steps[list[PictureStatus]]:
    """Folders of several series of which nobody said which one, as failed."""
    found = []
    for i, entry in enumerate(entries):
        status = job.unanswered(entry)
        counted = (i + 1, len(entries)) if len(entries) > 1 else None
        yield FolderProgress(i + 1, len(entries), f"{entry.name}: Looking", counted, status)
        found += [] if status is None else [status]
    return found


def _iter_pictures(job: FolderJob, entries: Sequence[Entry]) -> Steps[list[PictureStatus]]:
    """What became of each picture, in order."""
    ended: list[PictureStatus] = []
    for entry, place in zip(entries, _places(entries), strict=True):
        status = None if job.force else job.finished(entry)
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
        said = progress.picture if isinstance(progress, FolderProgress) else None
        return FolderProgress(done, self.total, message, self.counted or progress.counted, said or picture)

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
    if files.zarr and files.dicom_seg:
        raise OptionError("Labels are OME-Zarr or DICOM-SEG, not both: ask for one of them, or run twice.")
    if files.dicom_seg:
        dicom_seg.check_highdicom()
    if options.device not in ("auto", "cpu"):
        devices.resolve(options.device)
    model.verify()


def _may_be_dicom(entry: Entry) -> bool:
    try:
        return is_dicom_picture(entry.path)
    except ImageFileError:  # which it says at its turn
        return True


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


def _remove_empty(made: Sequence[Path]) -> None:
    """Remove the folders that a run made, the innermost first, if no file is in them."""
    if not made or any(not path.is_dir() for path in made[0].rglob("*")):
        return
    for folder in (*sorted(made[0].rglob("*"), reverse=True), *made):
        with suppress(OSError):
            folder.rmdir()


def _size(path: Path) -> int:
    """Weight of a picture in the progress."""
    try:
        return max(1, sum(file.stat().st_size for file in files_of(path)))
    except OSError:
        return 1
