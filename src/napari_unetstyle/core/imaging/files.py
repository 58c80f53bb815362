"""The front door for picture files: what a file is, is seen from its first bytes."""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import os
from collections.abc import Callable, Sequence
from pathlib import Path

from napari_unetstyle.core.errors import ImageError, ImageFileError, OptionError
from napari_unetstyle.core.files import sha256_of
from napari_unetstyle.core.imaging import dicom, medical, slides
from napari_unetstyle.core.imaging.dicom import read_series
from napari_unetstyle.core.imaging.dicom_file import is_dicom
from napari_unetstyle.core.imaging.dicom_labels import is_segmentation, read_segmentation
from napari_unetstyle.core.imaging.image import Image, stated_axes, stated_spacing
from napari_unetstyle.core.imaging.levels import LevelGrid
from napari_unetstyle.core.imaging.ome_zarr import is_zarr, opened_picture, read_ome_zarr
from napari_unetstyle.core.imaging.payload import first_bytes
from napari_unetstyle.core.imaging.raster import JPEG, PNG, read_raster
from napari_unetstyle.core.imaging.tiff import is_tiff, read_tiff, tiff_files, tiff_levels

Reader = Callable[[Path, str | None], Image]

TIFFS = (".tif", ".tiff", ".btf")
OME = (".ome.tif", ".ome.tiff")
SLIDES = (".svs", ".ndpi", *slides.SUFFIXES)
SUFFIXES = (*TIFFS, ".png", ".jpg", ".jpeg", *SLIDES, *medical.SUFFIXES, *dicom.SUFFIXES)


def is_image_file(path: str | os.PathLike[str]) -> bool:
    """Whether a file has the suffix of a picture and is not hidden; used to choose files in a folder."""
    name = Path(path).name
    return name.lower().endswith(SUFFIXES) and not name.startswith(".")


def read_image(
    path: str | os.PathLike[str],
    axes: str | None = None,
    spacing: tuple[float, ...] | None = None,
    series: int | str | None = None,
    level: int = 0,
) -> Image:
    """Read a picture: TIFF, slides, PNG, JPEG, NIfTI, NRRD, MHA, MHD, DICOM or OME-Zarr, with what they state.

    Labels in DICOM (DICOM-SEG) are read as labels ``ZYX``, from the first to the last slice that the file holds: see
    :func:`~napari_unetstyle.core.imaging.dicom_labels.read_segmentation`.

    Large files are read lazily where their format allows it; truncated and damaged ones are refused before anything of
    them is seen.

    Parameters
    ----------
    path
        The file, whose kind is seen from its contents, whatever its suffix; a folder of DICOM files; the folder of
        an OME-Zarr picture, or of labels in it (``picture.zarr/labels/nuclei``).
    axes
        One letter per stored axis out of ``T C Z Y X``, where the file does not say, or says wrong.
    spacing
        Pixel size ``(Z)YX`` in micrometers, in place of the stored one; origin and direction are kept. A size that is
        neither given nor stored stays unknown (unit ``"px"``).
    series
        Which series of a DICOM folder, if there are several: its number in the list of
        :func:`~napari_unetstyle.core.imaging.dicom.find_series`, its Series Instance UID, or its `Series.key`.
    level
        Which resolution of an OME-Zarr picture, a slide or another TIFF that has several; 0 is the finest.

    Raises
    ------
    ImageFileError
        If the file is missing, truncated, damaged or no picture.
    ImageError
        If its axes are not known or its pixels cannot be used.
    OptionError
        If there is no such level, or a series is asked for of what is no DICOM.
    MissingExtraError
        If the file is a slide ``.mrxs`` and OpenSlide is not installed.
    """
    file = _found(path)
    if series is not None and not is_dicom_picture(file):
        raise OptionError(f"Option series={series!r} is for DICOM, which {file} is not. Leave it out.")
    image = _reader(file, series, level)(file, axes if axes is None else stated_axes(axes))
    if spacing is None:
        return image
    spacing = stated_spacing(spacing)
    spatial = "".join(a for a in "ZYX" if a in image.axes)
    if len(spacing) != len(spatial):
        raise ImageError(
            f"Pixel size {spacing} has {len(spacing)} numbers, but {file} has the spatial axes {spatial}: "
            "give one number for each."
        )
    return dataclasses.replace(image, geometry=image.geometry.with_spacing(spacing, "um"))


def is_dicom_picture(path: Path) -> bool:
    """Whether a picture is DICOM by its first bytes, or may be as a folder.

    Raises
    ------
    ImageFileError
        If it cannot be read.
    """
    return not is_zarr(path) and (path.is_dir() or is_dicom(_start_of(path)))


def read_levels(path: str | os.PathLike[str]) -> tuple[LevelGrid, ...]:
    """Where the levels of a picture in several resolutions lie, finest first; none of a picture that has one.

    Raises
    ------
    ImageFileError
        If the file is missing, truncated or damaged.
    """
    file = _found(path)
    if is_zarr(file):
        picture = opened_picture(file)
        grids = picture.grids if picture is not None else ()
    elif slides.is_slide(file):
        grids = slides.slide_levels(file)
    else:
        grids = tiff_levels(file) if not file.is_dir() and is_tiff(_start_of(file)) else ()
    return grids if len(grids) > 1 else ()


def files_of(path: Path) -> list[Path]:
    """The files of a picture: all that its folder holds, or itself and those that its pixels lie in besides.

    These are the voxels that a header names (``.mhd``, ``.nhdr``), the folder of a slide ``.mrxs``, and the files of an
    OME-TIFF that lies in several.
    """
    if path.is_dir():
        return [file for file in path.rglob("*") if file.is_file()]
    if path.name.lower().endswith(OME):
        with contextlib.suppress(ImageFileError):  # what is damaged is told when it is read
            return tiff_files(path)
    apart = medical.voxels_apart(path) if path.name.lower().endswith((".mhd", ".nhdr")) else None
    photos = sorted(path.with_suffix("").rglob("*")) if slides.is_slide(path) else []
    return [path, *([] if apart is None else [apart]), *(file for file in photos if file.is_file())]


def files_with_pixels(path: Path, series: str | None = None) -> list[Path]:
    """The files of one picture: of a DICOM folder those of one series, of an OME-Zarr all but its labels.

    What comes and goes beside them, as labels that are saved there, changes no pixel.

    Raises
    ------
    ImageFileError
        If a folder has no such series.
    """
    if not path.is_dir():
        return files_of(path)
    if is_zarr(path):
        return [file for file in files_of(path) if "labels" not in file.relative_to(path).parts]
    return sorted({plane.stored.path for plane in dicom.series_of(path, series).planes})


def digest_of(path: Path, out: Path | None = None) -> str:
    """Hex sha256 of a picture: of its file, or of all its files; those of a DICOM folder may have any names.

    What lies in the folder `out` is none of them: results may be written beside the slices.
    """
    files = files_of(path)
    if path.is_dir() and out is not None:
        results = out.resolve()
        files = [file for file in files if results not in file.resolve().parents]
    return digest_of_files(path, files)


def digest_of_files(path: Path, files: Sequence[Path]) -> str:
    """Hex sha256 of some files of a picture."""
    if files == [path]:
        return sha256_of(path)
    has_names = is_zarr(path)  # which say what chunk each file is
    digests = sorted((file.relative_to(path).as_posix() if has_names else "") + sha256_of(file) for file in files)
    return hashlib.sha256("".join(digests).encode()).hexdigest()


def _found(path: str | os.PathLike[str]) -> Path:
    """A file or folder that is there, whatever its name."""
    file = Path(path)
    try:
        file.stat()
    except FileNotFoundError as error:
        raise ImageFileError(f"There is no file {file}. Check the name and the folder.") from error
    except (OSError, ValueError) as error:  # a name that no file can have is one of these
        raise ImageFileError(f"{file} cannot be read: {getattr(error, 'strerror', None) or error}.") from error
    return file


def _reader(file: Path, series: int | str | None, level: int) -> Reader:
    if is_zarr(file):
        return lambda path, axes: read_ome_zarr(path, axes, level)
    if slides.is_slide(file):
        return lambda path, axes: slides.read_slide(path, axes, level)
    start = b"" if file.is_dir() else _start_of(file)
    if is_tiff(start):
        return lambda path, axes: read_tiff(path, axes, level)
    if level:
        raise OptionError(f"{file} has no level {level}: only OME-Zarr, slides and TIFF have several. Leave it out.")
    if is_segmentation(file):
        if series is not None:
            raise OptionError(f"Option series={series!r} is for pictures, and {file} holds labels. Leave it out.")
        return read_segmentation
    if file.is_dir() or is_dicom(start):
        return lambda path, axes: read_series(path, series, axes)
    if start.startswith((PNG, JPEG)):
        return read_raster
    volume = medical.header_reader(first_bytes(file, medical.SNIFFED))
    if volume is not None:
        return lambda path, axes: medical.image_of(path, volume(path), axes)
    what = "is empty" if not start else "is not a picture that can be read"
    raise ImageFileError(
        f"{file} {what}. Give a TIFF, slide, PNG, JPEG, NIfTI, NRRD, MHA, MHD or DICOM file, or OME-Zarr."
    )


def _start_of(file: Path) -> bytes:
    try:
        with file.open("rb") as opened:
            return opened.read(medical.SNIFFED)
    except OSError as error:
        raise ImageFileError(f"{file} cannot be read: {error.strerror or error}.") from error
