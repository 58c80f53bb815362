"""Places of volumes: the 48 ways in which axes can lie, turned and moved at random."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
from hypothesis import strategies as st
from numpy.typing import NDArray

from napari_unetstyle.core.imaging.geometry import Geometry

AXIS_ORIENTATIONS = [
    np.eye(3)[list(order)] * signs
    for order in itertools.permutations(range(3))
    for signs in itertools.product((1, -1), repeat=3)
]


def rotation(axis: tuple[float, ...], angle: float) -> NDArray[np.float64]:
    """Rotation by `angle` (radians) about `axis`, by Rodrigues' formula."""
    z, y, x = np.array(axis) / np.linalg.norm(axis)
    cross = np.array([[0, -x, y], [x, 0, -z], [-y, z, 0]])
    return np.eye(3) + np.sin(angle) * cross + (1 - np.cos(angle)) * cross @ cross


def placed(number: int) -> Geometry:
    """An anatomical geometry in mm of the orientation of this number; every other one is turned by any angle."""
    random = np.random.default_rng(number)
    tilt = rotation(tuple(random.normal(size=3)), random.uniform(-3, 3) if number % 2 else 0.0)
    return Geometry(
        spacing=tuple(random.uniform(0.05, 8, 3).tolist()),
        unit="mm",
        origin=tuple(random.uniform(-400, 400, 3).tolist()),
        direction=tilt @ AXIS_ORIENTATIONS[number],
        is_anatomical=True,
    )


@st.composite
def geometries(draw: Any, orientation: Any = None) -> Geometry:
    """An anatomical geometry in mm: any orientation of the axes, then turned by any angle, anywhere."""
    numbers = st.tuples(*[st.floats(-1, 1)] * 3)
    axis = draw(numbers.filter(lambda v: np.linalg.norm(v) > 0.1))
    angle = draw(st.one_of(st.just(0.0), st.floats(-3, 3)))
    spacing = st.floats(0.05, 8)
    base = draw(st.sampled_from(AXIS_ORIENTATIONS)) if orientation is None else orientation
    return Geometry(
        spacing=draw(st.tuples(spacing, spacing, spacing)),
        unit="mm",
        origin=draw(st.tuples(*[st.floats(-400, 400)] * 3)),
        direction=rotation(axis, angle) @ base,
        is_anatomical=True,
    )
