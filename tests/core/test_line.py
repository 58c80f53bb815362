"""Strips that go through a network side by side."""

from __future__ import annotations

import threading
import time

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from napari_unetstyle.core.inference.line import in_order
from napari_unetstyle.core.inference.statistics import fold
from napari_unetstyle.core.inference.streaming import Stream
from tests.core.networks_for_tests import random_unet


@given(
    size=st.tuples(st.integers(1, 90), st.integers(1, 40)),
    height=st.integers(1, 30),
    count=st.integers(2, 4),
    depth=st.integers(1, 3),
)
def test_every_bit_is_as_if_one_strip_came_after_the_other(size, height, count, depth):
    network = fold(random_unet(widths=(3, 4, 5, 6)[: depth + 1]), torch.randn(1, 2, 64, 64))
    x = torch.randn(1, 2, *size, generator=torch.Generator().manual_seed(size[0]))
    strips = [slice(start, start + height) for start in range(0, size[0], height)]
    found = []
    for at_once in (1, count):
        stream, rows = Stream(network), []

        def work(strip, turn, stream=stream, rows=rows):
            for logits in stream.push(x[:, :, strip], turn, last=strip is strips[-1]):
                rows.append(logits)

        assert len(list(in_order(strips, work, at_once))) == len(strips)
        found.append(torch.cat(rows, 2))
    assert torch.equal(*found)
    with torch.inference_mode():
        torch.testing.assert_close(found[1], network(x), atol=1e-5, rtol=0)


def test_strips_are_at_different_stations_at_the_same_time():
    meeting = threading.Barrier(2, timeout=30)

    def work(number, turn):
        with turn("first"):
            if number == 1:
                meeting.wait()
        with turn("second"):
            if number == 0:
                meeting.wait()

    assert len(list(in_order(range(2), work, 2))) == 2


def test_no_strip_overtakes_another():
    seen = {"first": [], "second": []}

    def work(number, turn):
        for name, known in seen.items():
            with turn(name):
                time.sleep(0.002 * (number % 3 == 0))
                known.append(number)

    list(in_order(range(12), work, 4))
    assert seen == {"first": list(range(12)), "second": list(range(12))}


@pytest.mark.parametrize("failing", [0, 1, 5])
def test_the_error_of_a_strip_is_what_comes_out(failing):
    """Not that of one which had to end because of it, although that may come first."""

    def work(number, turn):
        with turn("first"):
            if number == failing:
                raise MemoryError("no room")
        with turn("second"):
            time.sleep(0.005)

    with pytest.raises(MemoryError, match="no room"):
        list(in_order(range(8), work, 3))


def test_whoever_closes_it_waits_for_no_more_than_a_station():
    reached = []

    def work(number, turn):
        for station in range(2 if number == 0 else 10**6):
            with turn(station if number == 0 else (number, station)):
                reached.append(number)

    strips = in_order(range(2), work, 2)
    next(strips)
    strips.close()
    assert reached.count(1) < 10**6


def test_pytorch_keeps_the_threads_it_had():
    usual, inside = torch.get_num_threads(), []
    torch.set_num_threads(2)
    try:
        list(in_order(range(4), lambda *_: inside.append(torch.get_num_threads()), 2))
        later: list[int] = []
        thread = threading.Thread(target=lambda: later.append(torch.get_num_threads()))
        thread.start()
        thread.join()
        assert inside == [1] * 4
        assert (torch.get_num_threads(), later) == (2, [2])
    finally:
        torch.set_num_threads(usual)
