"""Scans and labels opened, drawn, copied, moved about and closed at random: no mask is saved in a wrong place."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from napari.components import ViewerModel
from napari.layers import Labels, Layer, _layer_actions

from napari_unetstyle.core import read_image
from napari_unetstyle.core.errors import UnetstyleError
from napari_unetstyle.core.imaging.geometry import Geometry
from napari_unetstyle.core.imaging.image import Image
from napari_unetstyle.core.segmentation.output import write_labels
from napari_unetstyle.widgets.label_layers import add_labels
from napari_unetstyle.widgets.opening import layer_data
from napari_unetstyle.widgets.placement import Placement
from napari_unetstyle.widgets.readers import read_volumes
from napari_unetstyle.widgets.same_patient import watch
from napari_unetstyle.widgets.writers import write_volume
from tests.core.geometry_for_tests import rotation
from tests.core.test_output import result_of

SHAPE = (5, 6, 7)
SPOTS = {1: (0, 1, 5), 2: (3, 0, 2), 3: (4, 5, 6)}  # no mirror image of one another
UPRIGHT = Geometry(spacing=(3, 1, 0.7), unit="mm", origin=(-6, -10, 4), is_anatomical=True)
PATIENTS = (
    UPRIGHT,
    replace(UPRIGHT, direction=rotation((1, 2, 3), 0.3)),
    replace(UPRIGHT, spacing=(3, 1, 1), origin=(-6, -2.5, -3)),  # its middle is that of its mirror images
    replace(UPRIGHT, origin=(30, -10, 4)),
)


def marks() -> Any:
    array = np.zeros(SHAPE, np.uint8)
    for value, spot in SPOTS.items():
        array[spot] = value
    return array


def in_patient(place: Geometry, array: Any) -> Any:
    """Where the marks of an array lie, by value."""
    spots = np.array([np.argwhere(np.asarray(array) == value).mean(axis=0) for value in SPOTS])
    return spots @ np.array(place.affine)[:3, :3].T + np.array(place.affine)[:3, 3]


@dataclass
class Person:
    """Does one thing after another, and knows where each layer belongs."""

    rng: np.random.Generator
    folder: Path
    viewer: ViewerModel
    places: dict[Any, Geometry] = field(default_factory=dict)
    """Where each layer that is open lies in the patient."""
    known: list[Geometry] = field(default_factory=list)

    def step(self) -> Labels | None:
        """One thing; labels if new ones were made of a picture."""
        tasks = [self.open, self.open_twin, self.draw, self.segment, self.open_mask, self.close, self.copy]
        tasks += [self.put_back, self.draw, self.open_twin, self.sort]
        return tasks[self.rng.integers(len(tasks))]()

    @property
    def may_doubt(self) -> bool:
        """Whether two scans lie at one place of the canvas and at two of the patient."""
        scans = self.open_ones(labels=False)
        ends = np.array([(0, 0, 0), SHAPE, (SHAPE[0], 0, 0)])
        seen = [np.array([layer.data_to_world(end) for end in ends]) for layer in scans]
        return any(
            np.allclose(seen[i], seen[j]) and not np.allclose(self.places[one].affine, self.places[other].affine)
            for (i, one), (j, other) in combinations(enumerate(scans), 2)
        )

    def open(self) -> None:
        flip = tuple(bool(one) for one in self.rng.integers(0, 2, 3))
        self._open(PATIENTS[self.rng.integers(len(PATIENTS))].turned(SHAPE, (0, 1, 2), flip))

    def open_twin(self) -> None:
        """A scan in the same box of the canvas as one before, with its axes the other way or not slanted."""
        if not self.known:
            return
        old = self._any(self.known)
        ways = np.array(old.direction) @ np.diag(self.rng.choice([-1, 1], 3)), np.eye(3)
        direction = ways[self.rng.integers(2)]
        self._open(replace(old, direction=direction, origin=tuple(direction @ np.array(old.direction).T @ old.origin)))

    def _open(self, place: Geometry) -> None:
        pixels = self.rng.integers(0, 255, SHAPE, np.uint8)
        data, arguments, _ = layer_data(Image(array=pixels, axes="ZYX", geometry=place, name="scan"))
        self.places[self.viewer.add_image(data, **arguments)] = place
        self.known.append(place)

    def open_mask(self) -> None:
        """Labels from a file."""
        if not self.known:
            return
        place = self._any(self.known)
        path = self.folder / "mask.nii.gz"
        write_labels(path, marks(), axes="ZYX", geometry=place, output="areas")
        labels = Layer.create(*read_volumes(str(path))[0])
        assert isinstance(labels, Labels)
        self.places[self.viewer.add_layer(labels)] = place

    def draw(self) -> Labels | None:
        """On one picture, by napari's button."""
        if not (pictures := self.open_ones(labels=False)):
            return None
        picture = self._any(pictures)
        self.viewer.layers.selection.active = picture
        self.viewer._new_labels()
        labels = self.viewer.layers[-1]
        labels.data[...] = marks()
        self.places[labels] = self.places[picture]
        return labels

    def segment(self) -> Labels | None:
        if not (pictures := self.open_ones(labels=False)):
            return None
        picture = self._any(pictures)
        labels = add_labels(self.viewer, result_of(marks(), axes="ZYX"), Placement.of(picture, "ZYX"), "found")
        self.places[labels] = self.places[picture]
        return labels

    def close(self) -> None:
        if self.viewer.layers:
            self.viewer.layers.remove(self._any(list(self.viewer.layers)))

    def copy(self) -> None:
        if not self.viewer.layers:
            return
        layer, before = self._any(list(self.viewer.layers)), set(self.viewer.layers)
        self.viewer.layers.selection = {layer}
        _layer_actions._duplicate_layer(self.viewer.layers)
        (twin,) = set(self.viewer.layers) - before
        self.places[twin] = self.places[layer]

    def put_back(self) -> None:
        """As Alt and a click on napari's button for the transform do."""
        if self.viewer.layers:
            self._any(list(self.viewer.layers))._reset_affine()

    def sort(self) -> None:
        if self.viewer.layers:
            self.viewer.layers.move(int(self.rng.integers(len(self.viewer.layers))), 0)

    def check(self, labels: Labels) -> bool:
        """Whether labels can be saved; if so, where they belong."""
        path = self.folder / "saved.nii.gz"
        try:
            write_volume(str(path), *labels.as_layer_data_tuple()[:2])
        except UnetstyleError:
            return False
        image = read_image(path)
        if not image.geometry.is_anatomical:
            return False
        place = self.places[labels]
        np.testing.assert_allclose(in_patient(image.geometry, image.array), in_patient(place, marks()), atol=1e-3)
        return True

    def open_ones(self, *, labels: bool) -> list[Any]:
        return [layer for layer in self.viewer.layers if isinstance(layer, Labels) == labels]

    def _any(self, some: list[Any]) -> Any:
        return some[self.rng.integers(len(some))]


def test_no_mask_is_saved_in_a_wrong_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, repeats: Callable[[int], int]
) -> None:
    """What was just made can be saved; what cannot be told is refused, never guessed."""
    for seed in range(repeats(2)):
        viewer = ViewerModel()
        watch(viewer)
        monkeypatch.setattr("napari.current_viewer", lambda viewer=viewer: viewer)
        person = Person(np.random.default_rng(seed), tmp_path, viewer)
        person.open()
        for _ in range(16):
            made = person.step()
            for labels in [made] if made is not None else person.open_ones(labels=True):
                assert person.check(labels) or labels is not made or person.may_doubt, f"seed {seed}"
