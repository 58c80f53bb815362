from __future__ import annotations

import pytest

from napari_unetstyle.core.progress import Progress, run, share


def job(steps=4, closed=None):
    try:
        for i in range(steps):
            yield Progress(i + 1, steps, "working")
        return "result"
    finally:
        if closed is not None:
            closed.append(True)


def test_run_returns_the_result_and_reports_each_step():
    seen = []
    assert run(job(), seen.append) == "result"
    assert [p.step for p in seen] == [1, 2, 3, 4]


def test_an_error_in_the_report_closes_the_job():
    closed = []

    def report(progress):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(job(closed=closed), report)
    assert closed == [True]


def test_a_share_is_a_part_of_the_whole_and_keeps_the_result():
    def whole():
        first = yield from share(job(), 0.0, 0.25)
        second = yield from share(job(), 0.25, 1.0)
        return first + second

    seen = []
    assert run(whole(), seen.append) == "resultresult"
    fractions = [p.fraction for p in seen]
    assert fractions == sorted(fractions)
    assert fractions[3] == pytest.approx(0.25)
    assert fractions[-1] == 1


def test_what_a_person_counts_is_the_outermost_that_can_be_counted():
    def slices():
        for i in range(2):
            yield from share(job(2), i / 2, (i + 1) / 2, (i + 1, 2))
        yield Progress(1, 1, "writing")

    def pictures():
        yield from share(slices(), 0, 0.5, (1, 3))
        yield from share(job(1), 0.5, 1)

    assert [p.done for p in slices()] == ["1/2", "1/2", "2/2", "2/2", "100%"]
    assert [p.done for p in share(slices(), 0, 0.5)] == ["1/2", "1/2", "2/2", "2/2", "50%"]
    assert [p.done for p in pictures()] == ["1/3"] * 5 + ["100%"]


def test_closing_the_whole_closes_the_part():
    closed = []
    steps = share(job(closed=closed), 0, 1)
    next(steps)
    steps.close()
    assert closed == [True]
