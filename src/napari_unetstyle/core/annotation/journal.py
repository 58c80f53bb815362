"""A journal of what a person does to labels: on disk within a second, whole after any crash.

A journal is a folder:

``journal.json``
    which picture and which result it belongs to (:class:`Header`); a folder without it holds nothing;
``original.runs``
    the labels as they were before the first stroke;
``edits.log``
    one record for each look at the labels that found changes; it is only appended to, and an undo is a change, too;
``snapshot.runs``
    the state at some place of the log, replaced in one step; it saves reading the whole log and is not needed;
``lock``
    held by the window that writes; the system frees it when that program ends, however it ends.

All values in the log are absolute, so replaying a part of it twice does no harm, and one damaged record does not
take those after it along.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import shutil
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from napari_unetstyle.core import scratch
from napari_unetstyle.core.annotation.changes import Changes
from napari_unetstyle.core.annotation.corrections import Mask
from napari_unetstyle.core.annotation.records import Kind, Record, Scan, scan
from napari_unetstyle.core.errors import JournalError, OutputError, UnetstyleError
from napari_unetstyle.core.files import AppendFile, atomic_write, sha256_of
from napari_unetstyle.core.imaging.geometry import Geometry
from napari_unetstyle.core.imaging.image import Image
from napari_unetstyle.core.models.spec import ClassSpec

HEADER, ORIGINAL, LOG, SNAPSHOT, LOCK = "journal.json", "original.runs", "edits.log", "snapshot.runs", "lock"
SNAPSHOT_RECORDS = 50
SNAPSHOT_SECONDS = 60.0
_VOLUMES = (".nii", ".nii.gz", ".nrrd", ".mha", ".mhd", ".dcm")


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Picture(_Part):
    """Which picture was corrected.

    Attributes
    ----------
    name
        What a person calls it.
    path
        Its file, or None if it has none.
    size, modified, sha256
        Of that file when the journal began (bytes, nanoseconds, hex), as far as known; without a file `sha256` is what
        :func:`~napari_unetstyle.core.annotation.pixels.digest_of_pixels` gives.
    axes
        As they were understood, with C where there are channels.
    spacing, unit, origin, direction, is_anatomical
        Its geometry.
    """

    name: str
    path: str | None = None
    size: int | None = None
    modified: int | None = None
    sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")] | None = None
    axes: str
    spacing: tuple[float, ...]
    unit: str
    origin: tuple[float, ...] = ()
    direction: tuple[tuple[float, ...], ...] = ()
    is_anatomical: bool = False

    @classmethod
    def of(cls, image: Image, path: str | os.PathLike[str] | None = None, pixels: str | None = None) -> Picture:
        """What is noted of a picture; its file is looked at later, and without one it is known by its `pixels`."""
        place = dataclasses.asdict(image.geometry)
        if path is None:
            return cls(name=image.name, sha256=pixels, axes=image.axes, **place)
        absolute = os.path.abspath(path)  # noqa: PTH100 (no link is followed)
        return cls(name=image.name, path=absolute, axes=image.axes, **place)

    @property
    def geometry(self) -> Geometry:
        """Pixel size and place."""
        names = ("spacing", "unit", "origin", "direction", "is_anatomical")
        return Geometry(**{name: getattr(self, name) for name in names})


class Header(_Part):
    """Whose journal this is.

    Attributes
    ----------
    layer
        Name of the labels.
    shape, dtype
        Of the labels, on the picture's grid, axes T Z Y X.
    output
        Whether they are objects or areas.
    dims
        Along how many of the last axes an object extends.
    model
        What made the labels, for a person; empty if nobody knows.
    classes
        Of the model.
    created
        Seconds since 1970.
    """

    schema_version: Literal[1] = 1
    layer: str
    picture: Picture
    shape: tuple[int, ...]
    dtype: Literal["uint8", "int8", "uint16", "int16", "uint32", "int32", "uint64", "int64"]
    output: Literal["objects", "areas"] = "objects"
    dims: Literal[2, 3] = 2
    model: str = ""
    classes: tuple[ClassSpec, ...] = ()
    created: float

    @classmethod
    def of(
        cls,
        layer: str,
        image: Image,
        dtype: Any,
        path: str | os.PathLike[str] | None = None,
        pixels: str | None = None,
        **more: Any,
    ) -> Header:
        """The header for labels of type `dtype` on the grid of a picture; `more` as the fields."""
        more = {"dims": 3 if "Z" in image.axes else 2, "created": time.time(), **more}
        picture = Picture.of(image, path, pixels)
        return cls(layer=layer, picture=picture, shape=image.label_shape, dtype=np.dtype(dtype).name, **more)

    @property
    def axes(self) -> str:
        """Of the labels."""
        return "".join(a for a in "TZYX" if a in self.picture.axes)

    @property
    def size(self) -> int:
        """Number of elements of the labels."""
        return int(np.prod(self.shape, dtype=np.int64))


@dataclass(kw_only=True, eq=False)
class State:
    """What stands in a journal.

    Attributes
    ----------
    header
        Whose it is.
    original, labels
        Before the first stroke and after the last one.
    accepted
        What was called right.
    said
        Facts by name, e.g. ``{"rest_is_right": True}``.
    number
        Of the last record.
    changed
        When it was written, seconds since 1970.
    end
        Length of the part of the log that is whole.
    notes
        Sentences that a person should read: what was damaged.
    """

    header: Header
    original: NDArray[Any]
    labels: NDArray[Any]
    accepted: Mask
    said: dict[str, Any] = field(default_factory=dict)
    number: int = 0
    changed: float = 0.0
    end: int = 0
    notes: tuple[str, ...] = ()

    def take(self, record: Record) -> None:
        """Go on by one record."""
        if record.kind == Kind.LABELS:
            Changes.from_bytes(record.payload, self.header.size).apply(self.labels)
        elif record.kind == Kind.ACCEPTED:
            Changes.from_bytes(record.payload, self.header.size).apply(self.accepted)
        else:
            self.said.update(json.loads(record.payload))
        self.number, self.changed = record.number, record.time


def is_journal(folder: Path) -> bool:
    """Whether a folder holds a journal that was begun."""
    return (folder / HEADER).is_file()


def read_header(folder: Path) -> Header:
    """Whose journal a folder is; reads nothing else.

    Raises
    ------
    JournalError
        If it is none, damaged or of a later version.
    """
    path = folder / HEADER
    try:
        return Header.model_validate_json(path.read_bytes())
    except OSError as error:
        raise JournalError(
            f"{path} cannot be read: {error.strerror or error}. Choose a folder with a journal."
        ) from error
    except ValidationError as error:
        what = "; ".join(f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors()[:3])
        raise JournalError(
            f"{path} is damaged or of a later version ({what}). "
            "Update napari-unetstyle, or take the file from a backup."
        ) from error


def read_journal(folder: Path) -> State:
    """What stands in a journal, however the program ended that wrote it.

    Raises
    ------
    JournalError
        If there is none, or the labels from before the first stroke are damaged.
    """
    header = read_header(folder)
    state = _beginning(header, folder)
    log = _scan(folder / LOG)
    notes = []
    if log.damaged:
        notes.append(f"{log.damaged} bytes of {folder / LOG} are damaged; the strokes in them are missing.")
    start = _take_snapshot(state, folder / SNAPSHOT)
    for record in log.records:
        if record.number > start:
            try:
                state.take(record)
            except (JournalError, ValueError) as error:
                notes.append(f"Record {record.number} of {folder / LOG} is left out: {error}")
    state.end, state.notes = log.end, tuple(notes)
    return state


def _beginning(header: Header, folder: Path) -> State:
    found = _scan(folder / ORIGINAL)
    if len(found.records) != 1 or found.damaged or found.torn:
        raise JournalError(
            f"{folder / ORIGINAL} is missing or damaged: what the corrections were made to is not known. "
            "Take the file from a backup."
        )
    original, labels = scratch.zeros(header.shape, header.dtype), scratch.zeros(header.shape, header.dtype)
    Changes.from_bytes(found.records[0].payload, header.size).apply(original)
    labels[...] = original
    return State(header=header, original=original, labels=labels, accepted=scratch.zeros(header.shape, bool))


def _take_snapshot(state: State, path: Path) -> int:
    """Take a snapshot's state if there is one and it is whole; the number of its last record, else 0."""
    found = _scan(path)
    if [r.kind for r in found.records] != [Kind.SAID, Kind.LABELS, Kind.ACCEPTED] or found.damaged or found.torn:
        return 0
    said, labels, accepted = found.records
    size = state.header.size
    state.labels[...] = 0
    Changes.from_bytes(labels.payload, size).apply(state.labels)
    Changes.from_bytes(accepted.payload, size).apply(state.accepted)
    state.said = json.loads(said.payload)
    state.number, state.changed = said.number, said.time
    return said.number


def _scan(path: Path) -> Scan:
    try:
        return scan(path.read_bytes())
    except FileNotFoundError:
        return Scan(records=(), end=0, damaged=0, torn=0)
    except OSError as error:
        raise JournalError(f"{path} cannot be read: {error.strerror or error}.") from error


class Journal:
    """Writes a journal; what it is given is on disk when a method returns.

    :class:`~napari_unetstyle.core.annotation.recorder.Recorder` does so from a thread of its own.

    Parameters
    ----------
    folder
        Of the journal; there has to be one, and nobody else may be writing to it.
    clock
        Seconds since 1970.

    Raises
    ------
    JournalError
        If the journal cannot be read, or another window writes to it.
    OutputError
        If it cannot be written to.
    """

    def __init__(self, folder: Path, clock: Callable[[], float] = time.time) -> None:
        self.folder, self._clock = folder, clock
        self._lock = lock(folder)
        with contextlib.ExitStack() as undo:
            undo.callback(self._lock.release)
            self.state = read_journal(folder)
            self._log = AppendFile(folder / LOG, self.state.end)
            undo.pop_all()
        self._since, self._snapshot_at = 0, clock()

    @classmethod
    def begin(
        cls, folder: Path, header: Header, original: NDArray[Any] | Changes, clock: Callable[[], float] = time.time
    ) -> Journal:
        """A new journal in a folder of its own; `folder` with a number behind it where there is one already."""
        place = _new_folder(folder)
        changes = original if isinstance(original, Changes) else Changes.of(original)
        first = Record(kind=Kind.LABELS, number=0, time=header.created, payload=changes.to_bytes())
        try:
            atomic_write(place / ORIGINAL, first.to_bytes())
            atomic_write(place / HEADER, header.model_dump_json(indent=1))
            return cls(place, clock)
        except UnetstyleError:
            shutil.rmtree(place, ignore_errors=True)  # nothing was painted into it
            raise

    @property
    def strokes(self) -> int:
        """Number of records since the beginning."""
        return self.state.number

    def edit(self, changes: Changes) -> Record:
        """New values of labels, as a record to be given to :meth:`write`."""
        return self._record(Kind.LABELS, changes.to_bytes())

    def accept(self, changes: Changes) -> Record:
        """New values of the mask of what is right."""
        return self._record(Kind.ACCEPTED, changes.to_bytes())

    def say(self, facts: dict[str, Any]) -> Record:
        """Facts by name; earlier ones of the same name no longer hold."""
        return self._record(Kind.SAID, json.dumps(facts).encode())

    def write(self, records: Iterable[Record]) -> None:
        """Append records in one piece and take them into the state.

        Raises
        ------
        OutputError
            If the disk refuses; nothing is in the journal then, and the same records can be given again.
        """
        numbered = [
            Record(kind=r.kind, number=self.state.number + i, time=r.time, payload=r.payload)
            for i, r in enumerate(records, 1)
        ]
        if not numbered:
            return
        self._log.append(b"".join(record.to_bytes() for record in numbered))
        for record in numbered:
            self.state.take(record)
        self._since += len(numbered)
        self.state.end = self._log.end

    def is_snapshot_due(self) -> bool:
        """Whether enough has happened since the last snapshot."""
        return self._since >= SNAPSHOT_RECORDS or (
            self._since > 0 and self._clock() - self._snapshot_at >= SNAPSHOT_SECONDS
        )

    def snapshot(self) -> None:
        """Replace the snapshot by the state as it is now."""
        state = self.state

        def record(kind: Kind, payload: bytes) -> bytes:
            return Record(kind=kind, number=state.number, time=state.changed, payload=payload).to_bytes()

        said = record(Kind.SAID, json.dumps(state.said).encode())
        labels = record(Kind.LABELS, Changes.of(state.labels).to_bytes())
        accepted = record(Kind.ACCEPTED, Changes.of(state.accepted).to_bytes())
        atomic_write(self.folder / SNAPSHOT, said + labels + accepted)
        self._since, self._snapshot_at = 0, self._clock()

    def identify(self, picture: Picture) -> None:
        """Say more about the picture's file than was known in the beginning."""
        self.state.header = self.state.header.model_copy(update={"picture": picture})
        atomic_write(self.folder / HEADER, self.state.header.model_dump_json(indent=1))

    def close(self) -> None:
        """Let others write to it."""
        self._log.close()
        self._lock.release()

    def _record(self, kind: Kind, payload: bytes) -> Record:
        return Record(kind=kind, number=0, time=self._clock(), payload=payload)


def publish(folder: Path, state: State) -> Path:
    """Write the labels of a journal in a format that other programs read; the journal stays what counts."""
    from napari_unetstyle.core.segmentation.output import write_labels

    header = state.header
    is_volume = (header.picture.path or "").lower().endswith(_VOLUMES)
    return write_labels(
        folder / ("labels.nii.gz" if is_volume else "labels.tif"),
        state.labels,
        axes=header.axes,
        geometry=header.picture.geometry,
        classes=header.classes,
        output=header.output,
    )


def identified(picture: Picture) -> Picture:
    """The picture with what its file is known by; as it was if the file is gone."""
    assert picture.path is not None
    path = Path(picture.path)
    try:
        about = path.stat()
        content = sha256_of(path) if path.is_file() else None
    except OSError:
        return picture.model_copy(update={"path": None})
    return picture.model_copy(update={"size": about.st_size, "modified": about.st_mtime_ns, "sha256": content})


def _new_folder(wanted: Path) -> Path:
    """Make a folder that was not there, so that two windows never begin in the same one."""
    place, number = wanted, 1
    try:
        wanted.parent.mkdir(parents=True, exist_ok=True)
        while True:
            try:
                place.mkdir()
                return place
            except FileExistsError:
                number += 1
                place = wanted.with_name(f"{wanted.name}-{number}")
    except OSError as error:
        raise OutputError(
            f"Could not make the folder {place}: {error.strerror or error}. Choose a folder that you may write to."
        ) from error


def lock(folder: Path) -> Any:
    """The lock of a journal, taken: a ``filelock.FileLock``.

    Raises
    ------
    JournalError
        If another window has it.
    """
    from filelock import FileLock, Timeout

    taken = FileLock(folder / LOCK, thread_local=False)
    try:
        taken.acquire(blocking=False)
    except Timeout as error:
        raise JournalError(f"{folder} is open in another window. Close it there first.") from error
    except OSError as error:
        raise JournalError(
            f"{folder / LOCK} cannot be made: {error.strerror or error}. Choose a folder that you may write to."
        ) from error
    return taken
