"""What a run gives back."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from napari_unetstyle.core.imaging.geometry import Geometry
from napari_unetstyle.core.models.spec import ClassSpec
from napari_unetstyle.core.segmentation.options import SegmentOptions
from napari_unetstyle.core.style.distance import Distance

Table = dict[str, NDArray[Any]]


@dataclass(frozen=True, kw_only=True, eq=False)
class SegmentResult:
    """Labels of a picture and everything needed to make them again.

    Attributes
    ----------
    labels
        Object ids (int32, from 1, in raster order of each object's first pixel) or class values (uint8), on
        the picture's grid; 0 is background. Lies on disk when large.
    label_axes
        What the axes of `labels` are, e.g. ``"YX"`` or ``"TYX"``.
    geometry
        Pixel size of the picture.
    classes
        The model's classes.
    output
        ``"objects"`` or ``"areas"``.
    objects
        One row per object (or per class, for areas): columns ``label``, ``class``, ``class_name``,
        ``centroid_y``, ``centroid_x``, ``area`` (pixels), … of equal length; of areas in a volume ``surface_mm2``, too.
    probability_bytes
        uint8 ``(channels, *labels.shape)``, ``round(255 p)``: background, the classes, then the seed map if
        the model separates objects. The labels follow from these bytes alone.
    seed_rise
        Depth by which the middle of an object rises above what separates it from others, in pixels of the network.
    zoom
        Pixels of the network per pixel of the picture.
    frames
        Indices along the leading label axes that were segmented.
    options
        As resolved: given to `segment` with the same picture and model they give the same labels.
    provenance
        Picture, model (name, version, sha256), options, device, seconds, version of this package.
    notes
        Sentences that a person should read.
    temperature
        Of the model, see :class:`~napari_unetstyle.core.models.spec.ModelSpec`; None if nobody fitted it.
    distance
        How unlike the pictures of its training the picture was to the model; None where the model does not say.
    """

    labels: NDArray[Any]
    label_axes: str
    geometry: Geometry
    classes: tuple[ClassSpec, ...]
    output: Literal["objects", "areas"]
    objects: Table
    probability_bytes: NDArray[np.uint8]
    seed_rise: float
    zoom: float
    frames: tuple[tuple[int, ...], ...]
    options: SegmentOptions
    provenance: dict[str, Any]
    notes: tuple[str, ...] = ()
    temperature: float | None = None
    distance: Distance | None = None

    @property
    def probabilities(self) -> NDArray[np.float32]:
        """Probabilities in [0, 1], float32 ``(channels, *labels.shape)``; in steps of 1/255."""
        return self.probability_bytes.astype(np.float32) / np.float32(255)

    @property
    def count(self) -> int:
        """Number of objects (of rows in `objects`)."""
        return len(self.objects["label"])

    @property
    def owners(self) -> dict[int, int]:
        """Class value of each object, by its id, where it is not 1; empty for areas, and where no object is known."""
        if self.output == "areas" or not self.objects:
            return {}
        rows = zip(self.objects["label"].tolist(), self.objects["class"].tolist(), strict=True)
        return {number: value for number, value in rows if value != 1}

    def class_values(self) -> NDArray[Any]:
        """Class value of each pixel, 0 for background."""
        return self.labels if self.output == "areas" else classes_of_objects(self.labels, self.owners)

    def changed(self, **changes: Any) -> SegmentResult:
        """A copy with some fields replaced."""
        return dataclasses.replace(self, **changes)


def classes_of_objects(labels: NDArray[Any], owners: Mapping[int, int]) -> NDArray[np.int32]:
    """Class value of each pixel of objects, 0 for background; those without an owner have class 1."""
    classes = (labels > 0).astype(np.int32)
    for value in set(owners.values()) - {1}:
        classes[np.isin(labels, [number for number, owner in owners.items() if owner == value and number > 0])] = value
    return classes
