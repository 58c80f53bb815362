"""Masks that were made elsewhere: folders of label images, and annotations of QuPath."""

from __future__ import annotations

import json
import os
from collections.abc import Container, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_unetstyle.core.annotation.corrections import Correction
from napari_unetstyle.core.errors import ImageError, ImageFileError
from napari_unetstyle.core.imaging import geometry as geo
from napari_unetstyle.core.imaging.dicom_labels import is_segmentation, on_grid
from napari_unetstyle.core.imaging.files import read_image
from napari_unetstyle.core.imaging.geometry import Geometry
from napari_unetstyle.core.imaging.image import Image
from napari_unetstyle.core.imaging.ome_zarr import is_zarr, zarr_stem
from napari_unetstyle.core.imaging.turn import Turn
from napari_unetstyle.core.models.spec import ClassSpec
from napari_unetstyle.core.segmentation.compare import whole_numbers
from napari_unetstyle.core.segmentation.folder_inputs import pictures_in

GEOJSON = (".geojson", ".json")
_ENDINGS = (
    "_labels",
    "-labels",
    "_label",
    "-label",
    "_masks",
    "-masks",
    "_mask",
    "-mask",
    "_seg",
    "-seg",
    "_gt",
    "-gt",
)
_LARGEST = 2**30  # bytes of a GeoJSON file


@dataclass(frozen=True, kw_only=True)
class Pair:
    """A picture and the file with its masks."""

    picture: Path
    masks: Path

    def correction(
        self,
        output: str | None = None,
        classes: tuple[ClassSpec, ...] = (),
        ignore: int | None = None,
        series: int | str | None = None,
        dims: int | None = None,
        apart: list[Path] | None = None,
    ) -> Correction:
        """All of the picture, as its masks say; see :func:`read_masks` and, for ``"areas"``, :func:`read_areas`.

        Where the masks have the value `ignore`, nothing is said. Of a DICOM folder the picture is `series`, as for
        :func:`~napari_unetstyle.core.read_image`. Where a label image has one value, as 255, and objects are wanted,
        each patch in it is one, along `dims` axes (None: all of Z, Y and X that there are), and its file is put into
        `apart`.
        """
        image, owners = read_image(self.picture, series=series), dict[int, int]()
        if output == "areas":
            labels = _read_values(self.masks, image, classes)
        else:
            labels, owners = read_masks(self.masks, image, classes)
        known = None if ignore is None else np.not_equal(labels, ignore)
        if known is not None:
            labels = np.where(known, labels, 0)
        if output != "areas" and has_one_value(self.masks, labels):
            labels = patches(labels, min(dims or 3, 3 if "Z" in image.axes else 2))
            if apart is not None:
                apart.append(self.masks)
        said: dict[str, Any] = {"image": image, "accepted": known, "rest_is_right": known is None}
        if output == "areas":  # only now, as what is ignored is not the class
            return Correction(labels=_of_only_class(labels, classes), output="areas", **said)
        return Correction(labels=labels, classes=owners, **said)


def find_pairs(pictures: str | os.PathLike[str], masks: str | os.PathLike[str]) -> list[Pair]:
    """Pictures of a folder and the masks of the same name in another one (or the same one).

    Pictures are what a folder run takes: files, folders of DICOM slices (that of `pictures` itself, too) and OME-Zarr.
    Suffixes do not count, nor do endings of masks such as ``_mask``, ``-labels`` or ``_seg``.

    Raises
    ------
    ImageFileError
        If a folder is missing, no name fits, several masks fit one picture, or several pictures fit masks.
    """
    known: dict[str, list[Path]] = {}
    for file in _pictures(Path(pictures)):
        known.setdefault(_stem(file), []).append(file)
    found: dict[str, Path] = {}
    for file in _masks(Path(masks)):
        name = _picture_of(file, known)
        if name is None or all(map(file.samefile, known[name])):
            continue
        if len(known[name]) > 1:
            raise ImageFileError(
                f"{' and '.join(map(str, known[name]))} have one name, so that nobody knows which is the picture of "
                f"{file}. Keep one of them in the folder, and name masks as {name}_mask.tif."
            )
        if name in found:
            raise ImageFileError(
                f"Both {found[name]} and {file} seem to be masks of {known[name][0].name}. Keep one in the folder."
            )
        found[name] = file
    if not found:
        raise ImageFileError(
            f"No masks in {masks} belong to pictures in {pictures}. Name them alike, as slide7.tif and slide7.png or "
            "slide7_mask.tif."
        )
    return [Pair(picture=known[name][0], masks=file) for name, file in sorted(found.items())]


def unpaired(pictures: str | os.PathLike[str], masks: str | os.PathLike[str], pairs: Sequence[Pair]) -> list[str]:
    """Sentences about the files of two folders that :func:`find_pairs` left out, one about each kind."""
    used = {file.resolve() for pair in pairs for file in (pair.picture, pair.masks)}
    alone = [file for file in _pictures(Path(pictures)) if file.resolve() not in used]
    lost = [file for file in _masks(Path(masks)) if file.resolve() not in used]
    if Path(pictures).resolve() == Path(masks).resolve():  # only the ending tells then
        lost = [file for file in lost if _is_geojson(file) or _stem(file).endswith(_ENDINGS)]
        alone = [file for file in alone if file not in lost]
    said = []
    if alone:
        said.append(f"{_named(alone, 'picture has', 'pictures have')} no masks: {_listed(alone)}.")
    if lost:
        said.append(f"{_named(lost, 'file of masks belongs', 'files of masks belong')} to no picture: {_listed(lost)}.")
    return said


def _named(files: Sequence[Path], one: str, several: str) -> str:
    return f"{len(files)} {one if len(files) == 1 else several}"


def _listed(files: Sequence[Path], most: int = 5) -> str:
    more = f" and {len(files) - most} more" if len(files) > most else ""
    return ", ".join(file.name for file in files[:most]) + more


def read_masks(
    path: str | os.PathLike[str], image: Image, classes: tuple[ClassSpec, ...] = ()
) -> tuple[NDArray[Any], dict[int, int]]:
    """Masks of a picture, from a label image or GeoJSON.

    Parameters
    ----------
    path
        The file.
    image
        The picture, on whose grid they have to lie.
    classes
        Where the names of QuPath's classes are known.

    Returns
    -------
    labels
        Integers ``image.label_shape``.
    owners
        Class value of each object; empty if all have class 1.

    Raises
    ------
    ImageError
        If the masks do not lie on the picture, or do not tell which of several classes an object is of.
    ImageFileError
        If the file cannot be read.
    """
    file = Path(path)
    if _is_geojson(file):
        return labels_of_geojson(file, image, classes)
    if len(classes) > 1:
        raise ImageError(
            f"{file} numbers objects, and does not say which are {' and which '.join(c.name for c in classes)}. "
            "Give GeoJSON of QuPath with the name of a class for each, or teach a model of areas."
        )
    return _read_numbers(file, image), {}


def has_one_value(file: Path, labels: NDArray[Any]) -> bool:
    """Whether a label image says where objects are, but not which; polygons always do."""
    return not _is_geojson(file) and len(np.unique(labels[labels > 0])) == 1


def patches(labels: NDArray[Any], dims: int) -> NDArray[np.int32]:
    """Connected patches, in each frame of so many dimensions, numbered over all of them."""
    from skimage.measure import label

    out, highest = np.zeros(labels.shape, np.int32), 0
    for index in np.ndindex(labels.shape[: labels.ndim - dims]):
        found = label(labels[index] > 0)  # type: ignore[no-untyped-call]
        out[index] = np.where(found > 0, found + highest, 0)
        highest += int(found.max(initial=0))
    return out


def _is_geojson(file: Path) -> bool:
    return file.suffix.lower() in GEOJSON


def _read_numbers(file: Path, image: Image) -> NDArray[Any]:
    """A label image, on the grid of the picture."""
    read = _with_axes_of(image, read_image(file))
    if is_segmentation(file) and image.label_axes == "ZYX":
        read = on_grid(read, image.geometry, image.label_shape)
    if sorted(read.axes) != sorted(image.label_axes) or sorted(read.array.shape) != sorted(image.label_shape):
        raise _unfit(file, read, image)
    stored = [read.axes.index(a) for a in image.label_axes]
    labels = np.asarray(read.array[...]).transpose(stored)
    is_in_one_world = _are_in_one_world(read.geometry, image.geometry)
    labels, place = _turned(labels, read.geometry, image.geometry) if is_in_one_world else (labels, image.geometry)
    if labels.shape != image.label_shape:
        raise _unfit(file, read, image)
    if is_in_one_world:
        _check_place(file, place, image)
    if labels.dtype.kind == "f":
        return whole_numbers(labels, str(file))
    return labels.astype(np.int32) if labels.dtype.kind == "b" else labels


def _with_axes_of(image: Image, read: Image) -> Image:
    """Masks whose pages are slices if those of the picture are, or else times: many programs do not tell them apart."""
    axes = read.axes.translate(str.maketrans("TZ", "ZT"))
    if set(axes) != set(image.label_axes) or set(axes) == set(read.axes):
        return read
    return replace(read, axes=axes, geometry=geo.unknown(len(image.geometry.spacing)))


def _are_in_one_world(own: Geometry, other: Geometry) -> bool:
    """Whether the places of two files can be compared: a pixel size alone is none."""
    is_same_world = own.is_physical and other.is_physical and own.is_anatomical == other.is_anatomical
    return is_same_world and (own.is_placed or other.is_placed)


def _turned(labels: NDArray[Any], own: Geometry, other: Geometry) -> tuple[NDArray[Any], Geometry]:
    """Labels whose axes go where those of another place do, and where they lie then."""
    turn = Turn.onto(own, other)
    return turn.seen(labels), turn.place(own, labels.shape[-len(own.spacing) :])


def _check_place(file: Path, place: Geometry, image: Image) -> None:
    apart = geo.apart(place, image.geometry, [image.size(axis) for axis in place.axes])
    if apart > geo.SAME_PLACE * min(image.geometry.spacing):
        raise ImageError(
            f"{file} and {image.name} lie in different places: corners are up to {apart:.4g} {image.geometry.unit} "
            "apart. Give masks of the same scan; if they are, bring them onto the grid of the picture first."
        )


def _unfit(file: Path, read: Image, image: Image) -> ImageError:
    return ImageError(
        f"{file} has shape {tuple(read.array.shape)} ({read.axes}), but {image.name} has {image.label_shape} "
        f"({image.label_axes}). Masks need one number for each pixel of their picture."
    )


def read_areas(path: str | os.PathLike[str], image: Image, classes: tuple[ClassSpec, ...] = ()) -> NDArray[Any]:
    """Class values of a picture's pixels, otherwise like :func:`read_masks`.

    A polygon has the value of its class; a mask of one value, as 255, is that of the only class.
    """
    return _of_only_class(_read_values(Path(path), image, classes), classes)


def _read_values(file: Path, image: Image, classes: tuple[ClassSpec, ...]) -> NDArray[Any]:
    """A picture's areas with the values that stand in the file."""
    if not _is_geojson(file):
        return _read_numbers(file, image)
    labels, owners = labels_of_geojson(file, image, classes)
    values = [0, *(owners.get(number, 1) for number in range(1, int(labels.max(initial=0)) + 1))]
    areas: NDArray[Any] = np.array(values, np.int32)[labels]
    return areas


def _of_only_class(areas: NDArray[Any], classes: tuple[ClassSpec, ...]) -> NDArray[Any]:
    is_one = len(classes) == 1 and len(np.unique(areas[areas != 0])) == 1
    return (areas != 0).astype(np.int32) if is_one else areas


def labels_of_geojson(
    path: str | os.PathLike[str], image: Image, classes: tuple[ClassSpec, ...] = ()
) -> tuple[NDArray[np.int32], dict[int, int]]:
    """Objects of QuPath's polygons: each feature becomes an object; those that come later lie on top.

    A pixel belongs to a polygon if its center lies inside. In a stack each polygon lies in the slice that it names.
    Classes are told by their names; one that is not among `classes` is refused, never guessed, and so is a polygon
    without a class where there are several.

    Raises
    ------
    ImageFileError
        If the file is no GeoJSON of polygons.
    ImageError
        If a polygon lies in no slice of the picture, or a class is not known.
    """
    values = {spec.name.casefold(): spec.value for spec in classes}
    labels, owners = np.zeros(image.label_shape, np.int32), {}
    for number, feature in enumerate(_features(Path(path)), 1):
        frame = labels[_slice_of(feature, image, Path(path))]
        for rings in _polygons(feature, Path(path)):
            _draw(frame, rings, number)
        name = _class_of(feature)
        if values and name:
            if name.casefold() not in values:
                raise ImageError(f"{path} has the class {name!r}; known are {', '.join(values)}. Rename it in QuPath.")
            owners[number] = values[name.casefold()]
        elif len(values) > 1:
            raise ImageError(f"{path} has a polygon without a class; known are {', '.join(values)}. Set it in QuPath.")
    return labels, {i: value for i, value in owners.items() if value != 1}


def _class_of(feature: dict[str, Any]) -> str:
    """Name of the class, as QuPath or a plain word states it; empty if nothing does."""
    stated = _mapping(feature.get("properties")).get("classification")
    name = stated if isinstance(stated, str) else _mapping(stated).get("name")
    return "" if name is None else str(name)


def _mapping(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _slice_of(feature: dict[str, Any], image: Image, path: Path) -> tuple[int, ...]:
    plane = _mapping(_mapping(feature.get("geometry")).get("plane"))
    try:
        index = tuple(int(plane.get(a.lower()) or 0) for a in image.label_axes[:-2])
    except (TypeError, ValueError, OverflowError) as error:
        raise ImageError(
            f"{path} has a polygon in the plane {str(plane)[:80]}, but slices are told by whole numbers from 0 on. "
            "Export it from QuPath again."
        ) from error
    if not all(0 <= i < n for i, n in zip(index, image.label_shape, strict=False)):
        raise ImageError(f"{path} has a polygon in slice {index}, but {image.name} has {image.label_shape[:-2]}.")
    return index


def _features(path: Path) -> list[dict[str, Any]]:
    try:
        if path.stat().st_size > _LARGEST:
            raise ImageFileError(f"{path} is larger than {_LARGEST // 2**20} MB. Export fewer objects at a time.")
        content = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ImageFileError(f"{path} cannot be read: {error.strerror or error}.") from error
    except (ValueError, RecursionError) as error:
        raise ImageFileError(f"{path} is no GeoJSON: {error}. Export it from QuPath again.") from error
    features = content.get("features") if isinstance(content, dict) else content
    if not isinstance(features, list) or not all(isinstance(f, dict) for f in features):
        raise ImageFileError(f"{path} is no GeoJSON of features. Export it from QuPath again.")
    return features


def _polygons(feature: dict[str, Any], path: Path) -> Iterator[list[NDArray[np.float64]]]:
    """Rings ``(n, 2)`` as x, y of each polygon: the outer one, then its holes."""
    shape = feature.get("geometry") or {}
    if not isinstance(shape, dict):
        raise ImageFileError(f"{path} has a geometry that is a {type(shape).__name__}. Export it from QuPath again.")
    kind = shape.get("type")
    if kind not in ("Polygon", "MultiPolygon"):
        return  # lines and points have no inside
    try:
        for polygon in [shape["coordinates"]] if kind == "Polygon" else shape["coordinates"]:
            rings = [np.asarray(ring, np.float64)[:, :2] for ring in polygon]
            if not all(ring.shape[1:] == (2,) and np.isfinite(ring).all() for ring in rings):
                raise ValueError("a corner is no two numbers")
            yield rings
    except (KeyError, TypeError, ValueError, IndexError, OverflowError) as error:
        raise ImageFileError(f"{path} has a polygon that cannot be read: {error}.") from error


def _draw(labels: NDArray[np.int32], rings: list[NDArray[np.float64]], value: int) -> None:
    from skimage.draw import polygon

    inside = np.zeros(labels.shape, bool)
    for ring in rings:  # even-odd: a hole takes away what the outer ring gave; corners of pixels are whole numbers
        y, x = ring[:, 1] - 0.5, ring[:, 0] - 0.5
        rows, columns = polygon(y, x, labels.shape)  # type: ignore[no-untyped-call]
        inside[rows, columns] ^= True
    labels[inside] = value


def _pictures(folder: Path) -> list[Path]:
    """What lies in a folder and is a picture to a folder run, or the folder itself if it holds the slices of one."""
    _files(folder)
    return sorted(path for path in pictures_in(folder) if folder in (path, path.parent))


def _masks(folder: Path) -> list[Path]:
    drawn = [file for file in _files(folder) if _is_geojson(file)]
    return sorted([*drawn, *(path for path in _pictures(folder) if path != folder)])


def _files(folder: Path) -> list[Path]:
    try:
        return [file for file in folder.iterdir() if file.is_file() and not file.name.startswith(".")]
    except OSError as error:
        raise ImageFileError(f"{folder} cannot be opened: {error.strerror or error}. Give a folder.") from error


def _stem(file: Path) -> str:
    if file.is_dir():
        return (zarr_stem(file) if is_zarr(file) else file.absolute().name).lower()
    return file.name.lower().removesuffix(".gz").rpartition(".")[0].removesuffix(".ome")


def _picture_of(masks: Path, known: Container[str]) -> str | None:
    """Name of the picture that masks belong to."""
    stem = _stem(masks)
    names = [stem.removesuffix(ending) for ending in _ENDINGS if stem.endswith(ending)] + [stem]
    return next((name for name in names if name in known), None)
