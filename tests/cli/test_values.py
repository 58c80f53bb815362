"""What people type for places and sizes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from napari_unetstyle.cli.values import parse_box, parse_channel, parse_frames, parse_polygon, parse_spacing
from napari_unetstyle.core.errors import OptionError

numbers = st.floats(-1e6, 1e6)
points = st.lists(st.tuples(numbers, numbers), min_size=3).map(tuple)
ranges = st.lists(st.tuples(st.integers(), st.integers()), min_size=2, max_size=3).map(tuple)


def typed(rows: tuple[tuple[Any, ...], ...]) -> str:
    """As the dock's "Copy as command line" writes it."""
    return ";".join(",".join(map(repr, row)) for row in rows)


@given(points)
def test_polygon(rows: Any) -> None:
    assert parse_polygon(typed(rows)) == rows


@given(ranges)
def test_box_and_frames(rows: Any) -> None:
    assert parse_box(typed(rows)) == parse_frames(typed(rows)) == rows


@pytest.mark.parametrize(
    ("parse", "text", "value"),
    [
        (parse_spacing, "0.5", (0.5, 0.5)),
        (parse_spacing, "0.5, 0.25", (0.5, 0.25)),
        (parse_spacing, "2,0.5,0.5", (2.0, 0.5, 0.5)),
        (parse_channel, "1", 1),
        (parse_channel, "DAPI", "DAPI"),
        *[(parse_channel, name, name) for name in ("²", "१", "1²", "-1", "", "9" * 5000)],
        (parse_frames, "0;4", ((0,), (4,))),
        (parse_frames, "", None),
        (parse_box, "1,2;3,4;", ((1, 2), (3, 4))),
        *[(parse, None, None) for parse in (parse_spacing, parse_channel, parse_frames, parse_box, parse_polygon)],
    ],
)
def test_examples(parse: Callable[[Any], Any], text: str | None, value: Any) -> None:
    assert parse(text) == value


@pytest.mark.parametrize("parse", [parse_spacing, parse_frames, parse_box, parse_polygon])
@pytest.mark.parametrize("text", ["x", "1,", "1;;2", "1,x;2,3", "1.2.3", "1|2", "__import__('os')"])
def test_anything_else_is_refused_in_words(parse: Callable[[Any], Any], text: str) -> None:
    with pytest.raises(OptionError, match="not allowed: give"):
        parse(text)


def test_a_spacing_of_several_rows_is_refused() -> None:
    with pytest.raises(OptionError, match="--spacing"):
        parse_spacing("1,2;3,4")
