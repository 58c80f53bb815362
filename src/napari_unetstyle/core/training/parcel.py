"""What a teaching needs, as plain files in a folder, for another process to take up. No code runs from them."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_unetstyle.core.annotation.corrections import Correction
from napari_unetstyle.core.files import atomic_path, atomic_write
from napari_unetstyle.core.imaging.geometry import Geometry
from napari_unetstyle.core.imaging.image import Image
from napari_unetstyle.core.segmentation.options import SegmentOptions
from napari_unetstyle.core.style.reference import Reference
from napari_unetstyle.core.training.options import FineTuneOptions

_FILE = "teach.json"
_ARRAYS = ("labels", "painted", "accepted")


@dataclass(frozen=True, kw_only=True, eq=False)
class Parcel:
    """A teaching that has not begun.

    Attributes
    ----------
    corrections
        What is learned from.
    parent
        Folder of the model to start from; None teaches a new one.
    classes
        Names of the classes of a new one.
    options
        How to teach.
    store
        Folder of the models.
    """

    corrections: Sequence[Correction]
    parent: Path | None
    classes: tuple[str, ...]
    options: FineTuneOptions
    store: Path

    def write(self, folder: Path) -> None:
        """Put everything into `folder`; a lazy picture is read."""
        said = [_written(one, folder, i) for i, one in enumerate(self.corrections)]
        place = None if self.options.folder is None else str(self.options.folder)
        options = dataclasses.asdict(self.options) | {
            "segment": self.options.segment.stated(),
            "styles": [style.stated() for style in self.options.styles],
            "folder": place,
        }
        content = {
            "parent": None if self.parent is None else str(self.parent),
            "classes": list(self.classes),
            "options": options,
            "store": str(self.store),
            "corrections": said,
        }
        atomic_write(folder / _FILE, json.dumps(content))

    @classmethod
    def read(cls, folder: Path) -> Parcel:
        """What was put into `folder`."""
        content = json.loads((folder / _FILE).read_text(encoding="utf-8"))
        options = content["options"]
        place = None if options["folder"] is None else Path(options["folder"])
        return cls(
            corrections=[_read(one, folder, i) for i, one in enumerate(content["corrections"])],
            parent=None if content["parent"] is None else Path(content["parent"]),
            classes=tuple(content["classes"]),
            options=FineTuneOptions(**options | _read_options(options) | {"folder": place}),
            store=Path(content["store"]),
        )


def _written(correction: Correction, folder: Path, index: int) -> dict[str, Any]:
    image = correction.image
    _save(folder, f"{index}-pixels", np.asarray(image.array[...]))
    for name in _ARRAYS:
        array = getattr(correction, name)
        if array is not None:
            _save(folder, f"{index}-{name}", array)
    return {
        "axes": image.axes,
        "geometry": dataclasses.asdict(image.geometry),
        "channel_names": list(image.channel_names),
        "name": image.name,
        "output": correction.output,
        "touched": sorted(correction.touched),
        "rest_is_right": correction.rest_is_right,
        "classes": list(correction.classes.items()),
        "dims": correction.dims,
        "known": correction.known,
    }


def _read(said: dict[str, Any], folder: Path, index: int) -> Correction:
    place = said["geometry"]
    geometry = Geometry(
        spacing=tuple(place["spacing"]),
        unit=place["unit"],
        origin=tuple(place["origin"]),
        direction=tuple(tuple(row) for row in place["direction"]),
        is_anatomical=place["is_anatomical"],
    )
    image = Image(
        array=_load(folder, f"{index}-pixels"),
        axes=said["axes"],
        geometry=geometry,
        channel_names=tuple(said["channel_names"]),
        name=said["name"],
    )
    arrays = {n: _load(folder, f"{index}-{n}") for n in _ARRAYS if (folder / f"{index}-{n}.npy").exists()}
    return Correction(
        image=image,
        output=said["output"],
        touched=frozenset(said["touched"]),
        rest_is_right=said["rest_is_right"],
        classes=dict(said["classes"]),
        dims=said["dims"],
        known=said["known"],
        **arrays,
    )


def _read_options(options: dict[str, Any]) -> dict[str, Any]:
    styles = tuple(Reference.of_stated(style) for style in options["styles"])
    return {
        "segment": _segment(options["segment"]),
        "styles": styles,
        "add_classes": tuple(options["add_classes"]),
    }


def _segment(stated: dict[str, Any]) -> SegmentOptions:
    return SegmentOptions(**{name: _tuples(value) for name, value in stated.items()})


def _tuples(value: Any) -> Any:
    return tuple(map(_tuples, value)) if isinstance(value, list) else value


def _save(folder: Path, name: str, array: NDArray[Any]) -> None:
    with atomic_path(folder / f"{name}.npy", array.nbytes) as temporary:
        np.save(temporary, np.asarray(array), allow_pickle=False)


def _load(folder: Path, name: str) -> NDArray[Any]:
    loaded: NDArray[Any] = np.load(folder / f"{name}.npy", mmap_mode="r", allow_pickle=False)
    return loaded
