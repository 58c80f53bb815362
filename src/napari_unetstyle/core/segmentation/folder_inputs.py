"""Which pictures a folder run takes, and what their results are called."""

from __future__ import annotations

import glob
import os
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from napari_unetstyle.core.errors import OptionError
from napari_unetstyle.core.imaging import dicom
from napari_unetstyle.core.imaging.dicom import volume_folders
from napari_unetstyle.core.imaging.files import OME, SUFFIXES, files_of, is_image_file
from napari_unetstyle.core.imaging.medical import medical_suffix
from napari_unetstyle.core.imaging.ome_zarr import is_zarr, zarr_stem

VOLUME = ".nii.gz"
_VOLUMES = {".nii": VOLUME, ".nii.gz": VOLUME, ".nrrd": ".nrrd", ".nhdr": ".nrrd", ".mha": ".mha", ".mhd": ".mha"}


@dataclass(frozen=True)
class Entry:
    """One picture of a folder run.

    Attributes
    ----------
    path
        The picture file, a folder of DICOM slices, or the folder of an OME-Zarr picture.
    name
        Its path below the inputs' common folder, with ``/``; its results are named after it.
    target
        Path of its labels below the output folder.
    """

    path: Path
    name: str
    target: PurePosixPath

    @property
    def suffix(self) -> str:
        """Of the target: ``".tif"``, or that of a volume."""
        return medical_suffix(self.target.name) or self.target.suffix

    def beside(self, ending: str) -> PurePosixPath:
        """The labels' path with another ending (``".csv"``, ``"_rois.zip"``) in the place of its suffix."""
        return self.target.with_name(f"{self.target.name[: -len(self.suffix)]}{ending}")


def find_entries(inputs: Sequence[Path], out: Path, suffix: str | None = None, ending: str = "") -> list[Entry]:
    """Pictures among files, folders (searched in depth) and patterns such as ``slides/*.tif``, by name.

    Results are called after their picture and an ending, with the given suffix or that of the kind of picture.

    What lies in the output folder is no input, unless it is named itself.

    Raises
    ------
    OptionError
        If there is no picture, two would have the same name, or a result would replace a picture.
    """
    entries = _with_targets(find_pictures(inputs, out), suffix, ending)
    check_places(entries, lambda entry: [out / entry.target])
    return entries


def find_pictures(inputs: Sequence[Path], out: Path | None = None) -> list[tuple[Path, str]]:
    """The pictures of :func:`find_entries`, each with its name; there need be no output folder.

    Raises
    ------
    OptionError
        If there is none.
    """
    ours = None if out is None else out.resolve()
    named = _with_volumes([found for given in inputs for found in _expanded(given)], ours)
    pairs: dict[Path, tuple[Path, str]] = {}
    for path in named:
        for picture, name in _pictures(path, named, out):
            pairs.setdefault(_whole(picture), (picture, name))  # named in two ways it is one picture
    if not pairs:
        left_out = [given for given in named if given.is_dir() and _is_ours(given, ours)]
        if left_out:
            raise OptionError(
                f"{left_out[0]} is in the output folder {out}, or is it, and nothing in there is taken for a picture: "
                "labels lie there. Choose another output folder."
            )
        raise OptionError(
            f"There is no picture in {', '.join(map(str, inputs)) or 'nothing'}. Give files, folders or patterns of "
            f"{', '.join(SUFFIXES)} files."
        )
    return _without_parts(sorted(pairs.values(), key=lambda pair: pair[1]))


def _with_volumes(named: Sequence[Path], ours: Path | None) -> list[Path]:
    """Folders in the place of their slices, where all DICOM files of a volume's folder are named one by one."""
    slices = {path for path in named if path.suffix.lower() in dicom.SUFFIXES and path.is_file()}
    if len(slices) < 2:
        return list(named)
    whole = [
        folder
        for folder in sorted(volume_folders(sorted(slices)))
        if slices.issuperset(
            path
            for path in folder.rglob("*")
            if path.suffix.lower() in dicom.SUFFIXES and not _is_ours(path, ours)  # labels of an earlier run
        )
    ]
    return [*(path for path in named if path not in slices or not set(whole) & set(path.parents)), *whole]


def _is_ours(path: Path, ours: Path | None) -> bool:
    """Whether a path is the output folder `ours`, which is resolved, or lies in it."""
    return ours is not None and path.resolve().is_relative_to(ours)


def _without_parts(pairs: Sequence[tuple[Path, str]]) -> list[tuple[Path, str]]:
    """OME-TIFF that lies in several files once, under the name of the first one that tells of all."""
    files = {path: {_whole(file) for file in files_of(path)} for path, _ in pairs if path.name.lower().endswith(OME)}
    seen: set[Path] = set()
    parts: set[Path] = set()
    for path in sorted(files, key=lambda path: -len(files[path])):  # those that tell of the most first
        if _whole(path) in seen:
            parts.add(path)
        seen |= files[path]
    return [(path, name) for path, name in pairs if path not in parts]


def _expanded(given: Path) -> list[Path]:
    """Some shells leave patterns to the program."""
    if given.exists() or not glob.has_magic(str(given)):
        return [given]
    found = glob.glob(str(given), recursive=True)  # noqa: PTH207 (Path.glob takes no absolute patterns)
    return sorted(path for path in map(Path, found) if path.is_dir() or is_image_file(path))


def _pictures(path: Path, named: Sequence[Path], out: Path | None) -> Iterable[tuple[Path, str]]:
    if path.is_dir():
        return [(found, _name(found, path)) for found in pictures_in(path, out)]
    return [(path, _name(_whole(path), _common_folder(named)))]


def _whole(path: Path) -> Path:
    """A path from the root without ``..``, which behind a link is asked of the disk; links keep their names."""
    plain = Path(os.path.abspath(path))  # noqa: PTH100 (Path.absolute keeps "..")
    is_same = ".." not in path.parts or (plain.exists() and path.exists() and plain.samefile(path))
    return plain if is_same else path.resolve()


def pictures_in(folder: Path, out: Path | None = None) -> Iterator[Path]:
    """Picture files in and below a folder, and folders of DICOM slices or OME-Zarr in the place of their files.

    What lies in the output folder is left out.
    """
    ours = None if out is None else out.resolve()
    found = [path for path in _walked(folder) if not _is_ours(path, ours)]
    files = [path for path in found if path.is_file()]
    yield from (path for path in found if path.is_dir())
    volumes = volume_folders(files)
    yield from volumes
    for file in files:
        is_slice = file.suffix.lower() in dicom.SUFFIXES and volumes & set(file.parents)
        if is_image_file(file) and not is_slice:
            yield file


def _walked(folder: Path) -> Iterator[Path]:
    """All files below a folder, but in hidden ones; OME-Zarr as its folder, whose many files are not looked at."""
    for parent, folders, files in os.walk(folder):
        if is_zarr(Path(parent)):
            folders.clear()
            yield Path(parent)
            continue
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        yield from (Path(parent) / file for file in sorted(files))


def _name(file: Path, below: Path) -> str:
    """What tables and people get to see; bytes that are no text (Linux allows them) are written out."""
    name = _whole(file).name if file == below else file.relative_to(below).as_posix()
    return name.encode("utf-8", "backslashreplace").decode()


def _common_folder(paths: Sequence[Path]) -> Path:
    parents = [_whole(path).parent for path in paths if not path.is_dir()]
    common = parents[0]
    while not all(common == parent or common in parent.parents for parent in parents):
        common = common.parent
    return common


def _with_targets(pairs: Sequence[tuple[Path, str]], stated: str | None, ending: str) -> list[Entry]:
    """``a/x.png`` to ``a/x.tif``, volumes to volumes; to ``a/x.png.tif`` if another picture has the same stem."""
    names = [_stem_and_suffix(path, name) for path, name in pairs]
    wanted = Counter(stem.lower() for stem, _ in names)  # some file systems do not tell A from a
    targets = [
        f"{stem if wanted[stem.lower()] == 1 or name.lower().endswith('.tif') else name}{ending}{stated or suffix}"
        for (stem, suffix), (_, name) in zip(names, pairs, strict=True)
    ]
    return [Entry(path, name, PurePosixPath(target)) for (path, name), target in zip(pairs, targets, strict=True)]


def _stem_and_suffix(path: Path, name: str) -> tuple[str, str]:
    """What a picture is called without its suffix, and the suffix of its labels: a volume's place needs a volume."""
    if path.is_dir():
        stem = PurePosixPath(name).with_name(zarr_stem(Path(name))).as_posix() if is_zarr(path) else name
        return stem, VOLUME
    if suffix := medical_suffix(name):
        return name[: -len(suffix)], _VOLUMES[suffix]
    stem = name[: len(name) - len(PurePosixPath(name).suffix)]
    if PurePosixPath(name).suffix.lower() in dicom.SUFFIXES:
        return stem, VOLUME
    return stem[:-4] if stem.lower().endswith(".ome") else stem, ".tif"


def check_places(entries: Sequence[Entry], places: Callable[[Entry], Iterable[Path]]) -> None:
    """Whether every result of every picture has a place of its own.

    Raises
    ------
    OptionError
        If results of two pictures would have one name, or one would replace a picture.
    """
    first: dict[str, Entry] = {}
    pictures = {entry.path.resolve() for entry in entries}
    for entry in entries:
        for path in places(entry):
            other = first.setdefault(path.as_posix().lower(), entry)  # some file systems do not tell A from a
            if other is not entry:
                raise OptionError(
                    f"Results of {other.path} and {entry.path} would both become {path}. "
                    "Run them with two output folders."
                )
            if path.resolve() in pictures:
                raise OptionError(
                    f"A result of {entry.path} would replace a picture ({path}). Choose another output folder."
                )
