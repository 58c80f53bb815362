from __future__ import annotations

import threading
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_unetstyle.core.side_by_side import side_by_side


@settings(max_examples=20, deadline=None)
@given(waits=st.lists(st.integers(0, 3), max_size=12), count=st.integers(1, 4))
def test_results_come_in_order_whoever_is_first(waits: list[int], count: int) -> None:
    def work(numbered: tuple[int, int]) -> int:
        time.sleep(numbered[1] / 1000)
        return numbered[0]

    assert list(side_by_side(work, enumerate(waits), count)) == list(range(len(waits)))


def test_they_are_worked_on_at_once() -> None:
    """Each waits for the other, so one after the other would never end."""
    meeting = threading.Barrier(2, timeout=30)
    assert list(side_by_side(lambda _: meeting.wait() >= 0, range(4), 2)) == [True] * 4


def test_what_is_closed_early_begins_nothing_more() -> None:
    begun = []
    results = side_by_side(begun.append, range(100), 2)
    next(results)
    results.close()
    assert len(begun) <= 4


def test_an_error_comes_out_and_ends_it() -> None:
    begun = []

    def work(number: int) -> None:
        begun.append(number)
        if number == 3:
            raise ValueError("three")

    with pytest.raises(ValueError, match="three"):
        list(side_by_side(work, range(100), 2))
    assert max(begun) <= 6
