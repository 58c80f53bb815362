"""A project: one folder in which the fixes of many pictures over many days collect.

Each entry is a folder with a journal and, for other programs, the fixed labels as plain TIFF or NIfTI. Pictures stay
where they are; an entry knows them by path and sha256.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import shutil
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_unetstyle.core.annotation.changes import Changes
from napari_unetstyle.core.annotation.corrections import Correction, corrected
from napari_unetstyle.core.annotation.journal import Journal, lock, publish
from napari_unetstyle.core.annotation.journal_header import Header, as_on_disk, identified, is_journal, read_header
from napari_unetstyle.core.annotation.journal_state import State, read_journal
from napari_unetstyle.core.errors import ImageError, ImageFileError, JournalError, UnetstyleError
from napari_unetstyle.core.files import atomic_path
from napari_unetstyle.core.imaging.dicom import series_of
from napari_unetstyle.core.imaging.image import Image
from napari_unetstyle.core.imaging.picture_file import in_a_type_of_tiff
from napari_unetstyle.core.models.spec import ClassSpec

FOLDER = "unetstyle-fixes"
COPY = "picture.ome.tif"
TICKED, REST, TOUCHED, CLASSES, ADDED = "ticked", "rest_is_right", "touched", "classes", "added_classes"
"""Facts that a journal keeps: learned from or not; whether the rest is right (null: not asked); ids; id -> class; names
and colors of added classes."""


@dataclass(frozen=True, kw_only=True)
class Entry:
    """The fixes of one picture.

    Attributes
    ----------
    folder
        Of its journal.
    header
        Which picture and which labels.
    """

    folder: Path
    header: Header

    @property
    def is_open(self) -> bool:
        """Whether a window is writing to it."""
        try:
            lock(self.folder).release()
        except JournalError:
            return True
        return False

    def state(self) -> State:
        """The labels and all that was said."""
        return read_journal(self.folder)

    def image(self) -> Image:
        """The picture, with the axes and the pixel size it was corrected with.

        Raises
        ------
        ImageFileError
            If its file is gone, has no file, or holds a picture of another shape.
        ImageError
            If the file cannot be read with these axes, or has no such series.
        OptionError
            If it has no such level.
        """
        picture, copy = self.header.picture, self.folder / COPY
        if picture.path is None and not copy.exists():
            raise ImageFileError(
                f"{picture.name} has no file, so it cannot be opened again. Open the picture and paint on it, or keep "
                "a copy of it with the fixes."
            )
        is_copied = copy.exists()  # of this one series and level
        read = self._read(copy) if is_copied else self._read(str(picture.path), picture.series, picture.level)
        image = Image(
            array=read.array,
            axes=read.axes,
            geometry=picture.geometry,
            channel_names=read.channel_names,
            name=picture.name,
        )
        if image.label_shape != self.header.shape:
            raise ImageFileError(
                f"{picture.path} is a picture of shape {image.label_shape} now, but {self.header.shape} was corrected. "
                "Put the former file back."
            )
        return image

    def _read(self, path: str | Path, series: str | None = None, level: int = 0) -> Image:
        """As the file itself says, or, if that is another picture, with the axes that a person stated."""
        from napari_unetstyle.core.imaging.files import read_image

        try:
            read = read_image(path, series=series, level=level)
            if (read.label_shape, read.label_axes) == (self.header.shape, self.header.axes):
                return read
        except ImageError:  # the file does not say what its axes are
            pass
        return read_image(path, axes=self.header.picture.axes, series=series, level=level)

    def is_changed(self) -> bool:
        """Whether the picture's file, or files, are others than when it was corrected; false if nobody can tell."""
        from napari_unetstyle.core.imaging.files import digest_of_files, files_with_pixels

        picture = self.header.picture
        if picture.path is None or picture.sha256 is None:
            return False
        try:
            path = Path(picture.path)
            files = files_with_pixels(path, picture.series)
            is_same = as_on_disk(files) == (picture.size, picture.modified)
            return not is_same and digest_of_files(path, files) != picture.sha256
        except OSError:
            return False
        except UnetstyleError:  # a folder in which its series is no more
            return True

    def correction(self, image: Image | None = None, state: State | None = None) -> Correction:
        """What is learned from; picture and journal are read unless given."""
        state = state or self.state()
        return correction_of(state, image or self.image())

    def say(self, **facts: Any) -> None:
        """Note facts, e.g. ``ticked=False``, in a journal that no window has open.

        Raises
        ------
        JournalError
            If a window has it open.
        OutputError
            If it cannot be written.
        """
        journal = Journal(self.folder)
        try:
            journal.write([journal.say(facts)])
        finally:
            journal.close()

    def publish(self, state: State | None = None) -> Path:
        """Write the fixed labels for other programs, beside the journal: ``labels.nii.gz`` for volumes, else TIFF."""
        return publish(self.folder, state or self.state())


def classes_of(header: Header, said: Mapping[str, Any]) -> tuple[ClassSpec, ...]:
    """What the labels of a journal can be: the classes of the model that made them, and those that were added."""
    known = header.classes
    more = enumerate(said.get(ADDED, ()), len(known) + 1)
    return (*known, *(ClassSpec(value=value, **about) for value, about in more))


def added_fact(classes: Iterable[ClassSpec]) -> dict[str, Any]:
    """The fact that these classes were added, for a journal."""
    return {ADDED: [{"name": one.name, "color": one.color} for one in classes]}


def correction_of(state: State, image: Image) -> Correction:
    """What a journal says of a picture."""
    return corrected(
        image,
        state.original,
        state.labels,
        output=state.header.output,
        accepted=state.accepted,
        rest_is_right=bool(state.said.get(REST)),
        touched=frozenset(map(int, state.said.get(TOUCHED, ()))),
        classes={int(i): int(c) for i, c in state.said.get(CLASSES, {}).items()},
        dims=state.header.dims,
        known=len(classes_of(state.header, state.said)) or None,
    )


@dataclass(frozen=True, kw_only=True)
class Count:
    """How much was said of a picture: fixed objects (places, for areas), areas called right, and whether all is."""

    fixes: int
    right: int
    rest_is_right: bool | None


def count(state: State) -> Count:
    """How much stands in a journal, for a person."""
    from scipy import ndimage

    differ = state.original != state.labels
    if state.header.output == "objects":
        ids = np.union1d(np.unique(state.original[differ]), np.unique(state.labels[differ]))
        fixes = len(set(ids.tolist()) | set(map(int, state.said.get(TOUCHED, ()))) - {0}) - int(0 in ids)
    else:
        fixes = ndimage.label(differ)[1]
    right = ndimage.label(state.accepted)[1] if state.accepted.any() else 0
    return Count(fixes=fixes, right=right, rest_is_right=state.said.get(REST))


class Project:
    """A folder of entries. Several windows may use it at once; each entry is written by one of them at a time.

    Parameters
    ----------
    folder
        Need not exist before something is put in.
    is_earlier
        Whether an entry in the folder above is one of this project, from a time when they lay there.
    also
        More folders of entries of this project.
    """

    def __init__(
        self,
        folder: str | os.PathLike[str],
        *,
        is_earlier: Callable[[Header], bool] | None = None,
        also: Iterable[Path] = (),
    ) -> None:
        self.folder = Path(folder)
        self._is_earlier, self._also = is_earlier, tuple(also)

    @classmethod
    def for_picture(cls, path: str | os.PathLike[str] | None, otherwise: Path | None = None) -> Project:
        """The project beside a picture, which the pictures of its folder share.

        Where nobody may write it lies in the person's own data folder, under the name of that folder and a digest of
        its path; without a file it is that data folder itself.

        Parameters
        ----------
        path
            Of the picture.
        otherwise
            In place of the person's own data folder.
        """
        own = otherwise or user_folder()
        if path is None:
            return cls(own)
        among = Path(path).absolute().parent
        beside = among / FOLDER
        if os.access(beside if beside.is_dir() else among, os.W_OK | os.X_OK):
            return cls(beside)
        digest = hashlib.sha256(os.fsencode(among)).hexdigest()[:12]

        def is_earlier(header: Header) -> bool:
            """Whether an entry is of this folder, from a time when those of all such folders lay together."""
            return header.picture.path is not None and Path(header.picture.path).absolute().parent == among

        return cls(own / f"{_plain(among.name, 'pictures')}-{digest}", is_earlier=is_earlier)

    @classmethod
    def for_pixels(cls, name: str, pixels: str, path: str | None = None) -> Project:
        """The project of one picture, in the person's own data folder; whatever else lies there is of others.

        Parameters
        ----------
        name
            What the picture is called; it may change.
        pixels
            From :func:`~napari_unetstyle.core.annotation.pixels.digest_of_pixels`.
        path
            Its file, if it has one beside which nothing is to be put.
        """
        own, digest = user_folder(), pixels[:12]
        known = sorted(own.glob(f"*-{digest}")) if own.is_dir() else []

        def is_earlier(header: Header) -> bool:
            """Whether an entry that lies among those of all pictures, as they once did, is of this one."""
            picture = header.picture
            return picture.path == path and (path is not None or picture.name == name)

        folder = known[0] if known else own / f"{_plain(name, 'picture')}-{digest}"
        return cls(folder, is_earlier=is_earlier, also=known[1:])  # as two windows began at once

    def new_folder(self, layer: str) -> Path:
        """Where a new journal for labels of that name is to begin."""
        return self.folder / _plain(layer, "labels")

    def entries(self) -> list[Entry]:
        """Everything that was corrected, the latest first; folders whose header cannot be read are left out."""
        found = [entry for folder in (self.folder, *self._also) for entry in _entries(folder)]
        if self._is_earlier is not None:
            found += [entry for entry in _entries(self.folder.parent) if self._is_earlier(entry.header)]
        return sorted(found, key=lambda entry: entry.header.created, reverse=True)

    def problems(self) -> list[str]:
        """What cannot be read, in words."""
        said = []
        for folder in sorted(self.folder.iterdir()) if self.folder.is_dir() else []:
            if is_journal(folder):
                try:
                    read_journal(folder)
                except UnetstyleError as error:
                    said.append(str(error))
        return said

    def add(
        self,
        image: Image,
        labels: NDArray[Any],
        path: str | os.PathLike[str] | None = None,
        *,
        layer: str = "",
        classes: Mapping[int, int] | None = None,
        known: tuple[ClassSpec, ...] = (),
        series: int | str | None = None,
        level: int = 0,
        **header: Any,
    ) -> Entry:
        """Take in masks that were made elsewhere: all of the picture is right.

        Parameters
        ----------
        image
            The picture.
        labels
            On its grid; integers.
        path
            Its file, if it has one.
        layer
            What a person calls the labels; the picture's name if empty.
        classes
            Class of each object, where it is not 1.
        known
            The classes that the labels tell apart, if that is known.
        series, level
            Which picture of the file, as for :func:`~napari_unetstyle.core.read_image`.
        **header
            More fields of :class:`~napari_unetstyle.core.annotation.journal_header.Header`, as ``output="areas"``.
        """
        Correction(image=image, labels=labels)  # whether they fit
        key = None if series is None or path is None else series_of(path, series).key
        more = {"classes": known, "series": key, "level": level, **header}
        about = Header.of(layer or image.name, image, labels.dtype, path, **more)
        journal = Journal.begin(self.new_folder(about.layer), about, Changes.of(labels))
        try:
            facts: dict[str, Any] = {REST: True}
            if classes:
                facts[CLASSES] = {str(i): c for i, c in classes.items()}
            journal.write([journal.say(facts)])
            if path is not None:
                journal.identify(identified(about.picture))
            publish(journal.folder, journal.state)
            return Entry(folder=journal.folder, header=journal.state.header)
        except UnetstyleError:
            shutil.rmtree(journal.folder, ignore_errors=True)  # else a second try would be a second entry
            raise
        finally:
            journal.close()

    def corrections(self, problems: list[str] | None = None) -> list[Correction]:
        """All that is ticked and says something, with their pictures.

        Parameters
        ----------
        problems
            Gets a sentence about each that cannot be read, and the others are learned from without it.

        Raises
        ------
        UnetstyleError
            If one of them cannot be read, and no list takes the reason.
        """
        found = []
        for entry in self.entries():
            try:
                state = entry.state()
                correction = entry.correction(state=state) if state.said.get(TICKED, True) else None
            except UnetstyleError as error:
                if problems is None:
                    raise
                problems.append(f"{entry.header.layer}: {error}")
            else:
                found += [] if correction is None or correction.is_empty else [correction]
        return found


def _plain(name: str, otherwise: str) -> str:
    """A name for a folder."""
    return re.sub(r"[^\w.-]+", "-", name).strip("-.")[:60] or otherwise


def _entries(folder: Path) -> list[Entry]:
    found = []
    for journal in sorted(folder.iterdir()) if folder.is_dir() else []:
        if is_journal(journal):
            with contextlib.suppress(JournalError):
                found.append(Entry(folder=journal, header=read_header(journal)))
    return found


def keep_copy(entry: Entry, image: Image) -> Path:
    """Copy a picture that has no file to its fixes, as OME-TIFF; to be asked for before.

    Raises
    ------
    OutputError
        If the copy cannot be written, or not exactly.
    """
    import tifffile

    order = [image.axes.index(a) for a in "TCZYX" if a in image.axes]
    array = in_a_type_of_tiff(entry.folder / COPY, np.asarray(image.array[...]).transpose(order))
    axes = "".join(a for a in "TCZYX" if a in image.axes)
    unit = {"um": "µm", "mm": "mm"}.get(image.geometry.unit)
    spacing = dict(zip(image.geometry.axes, image.geometry.spacing, strict=True))
    sizes = {f"PhysicalSize{a}": s for a, s in spacing.items()} if unit else {}
    units = {f"PhysicalSize{a}Unit": unit for a in spacing} if unit else {}
    with atomic_path(entry.folder / COPY, array.nbytes) as temporary:
        tifffile.imwrite(
            temporary, array, ome=True, photometric="minisblack", metadata={"axes": axes, **sizes, **units}
        )
    return entry.folder / COPY


def user_folder() -> Path:
    """The project of pictures beside which nobody may write; ``NAPARI_UNETSTYLE_FIXES`` moves it."""
    import platformdirs

    moved = os.environ.get("NAPARI_UNETSTYLE_FIXES")
    return Path(moved) if moved else Path(platformdirs.user_data_dir("napari-unetstyle", appauthor=False)) / "fixes"
