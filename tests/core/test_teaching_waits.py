"""A teaching waits where the disk refuses a write, says what it needs, and goes on to the same bits."""

from __future__ import annotations

import contextlib
import errno
import io
import os
import re
import threading
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from napari_unetstyle.core.errors import OutputError
from napari_unetstyle.core.progress import run, share
from napari_unetstyle.core.training import apart
from napari_unetstyle.core.training.finetune import fine_tune, iter_fine_tune
from napari_unetstyle.core.training.options import FineTuneOptions
from napari_unetstyle.core.training.refused import Refused, iter_written
from napari_unetstyle.core.training.train_progress import TrainProgress
from tests.core.disk_for_tests import LOG_MAY_END, Disk, needs_proc
from tests.core.teaching_for_tests import QUICK, checkpoints_at_every_step, contents, fresh_store, small_picture

SHORT = QUICK | {"steps": 3}


def refusals(*errors):
    """A write that fails so often, and then says that it is done."""
    left = list(errors)

    def write():
        if left:
            raise left.pop(0)
        return "done"

    return write


def test_a_write_is_tried_again_where_somebody_waits_and_is_an_error_where_nobody_does():
    one, other = OutputError("no room"), OutputError("still no room")
    seen = []

    def wait(progress):
        seen.append(progress.error)
        progress.again.set()

    assert run(share(iter_written(refusals(one, other)), 0.2, 0.4), wait) == "done"  # also as a part of a longer job
    assert seen == [one, other]
    with pytest.raises(OutputError, match=r"^no room"):
        run(iter_written(refusals(one)))
    assert run(iter_written(refusals())) == "done"


@LOG_MAY_END
@needs_proc
def test_a_teaching_that_waits_for_space_comes_to_the_same_bits(tmp_path, monkeypatch):
    store = fresh_store(tmp_path / "models")
    expected = fine_tune([small_picture()], "tiny", store=store, **SHORT)
    weights = {name: value.clone() for name, value in expected.model.network.state_dict().items()}
    expected.forget(store)
    before = contents(store.root)
    disk, rng = Disk(tmp_path, monkeypatch, errno.ENOSPC), np.random.default_rng(0)
    waited = []

    def wait(progress):
        if isinstance(progress, Refused):
            waited.append(str(progress.error))
            assert contents(store.root) == before
            progress.again.set()
            disk.left = int(rng.integers(5, 120))  # somebody removes a little, and too little

    options = FineTuneOptions(folder=tmp_path / "work", **SHORT)
    with checkpoints_at_every_step(), disk.full_after(9):
        candidate = run(iter_fine_tune([small_picture()], "tiny", options, store=store), wait)
    assert len(waited) > 2
    assert all(re.search(r"Could not write (more than )?\d+ bytes to ", words) for words in waited), waited
    assert all(str(tmp_path) in words and "No space left" in words for words in waited)
    assert candidate.comparison == expected.comparison
    assert all(torch.equal(value, weights[name]) for name, value in candidate.model.network.state_dict().items())


@LOG_MAY_END
@needs_proc
def test_who_stops_it_while_it_waits_gets_the_best_so_far(tmp_path, monkeypatch):
    store = fresh_store(tmp_path / "models")
    disk, stopped = Disk(tmp_path / "work", monkeypatch, errno.ENOSPC), []

    def stop(progress):
        if isinstance(progress, Refused):
            stopped.append(progress)

    options = FineTuneOptions(folder=tmp_path / "work", **QUICK | {"steps": 10**6})
    steps = iter_fine_tune([small_picture()], "tiny", options, store=store, should_stop=lambda: bool(stopped))
    with checkpoints_at_every_step(), disk.full_after(30):
        candidate = run(steps, stop)
    assert len(stopped) >= 1
    assert candidate.comparison.child.places
    assert candidate.model.network is not None


@pytest.mark.parametrize("tries", [1, 3])
def test_across_a_pipe_it_is_tried_as_often_as_somebody_wants(tmp_path, monkeypatch, tries):
    errors = [OutputError(f"no room {i}") for i in range(3)]

    def steps(*_):
        yield TrainProgress(0, 1)
        return (yield from iter_written(refusals(*errors)))

    monkeypatch.setattr(apart, "_steps", steps)
    monkeypatch.setattr(apart, "_hand_over", lambda value, _, answer, __: answer(folder=value))
    monkeypatch.setattr(apart.Parcel, "read", lambda _: None)
    (asked, asking), (answered, answers) = os.pipe(), os.pipe()
    with contextlib.ExitStack() as stack:
        ends = [stack.enter_context(os.fdopen(end, mode)) for end, mode in ((asking, "w"), (answered, "r"))]
        child = SimpleNamespace(stdin=ends[0], stdout=ends[1])
        theirs = [stack.enter_context(os.fdopen(end, mode)) for end, mode in ((asked, "r"), (answers, "w"))]
        thread = threading.Thread(target=apart.serve, args=(tmp_path, *theirs))
        thread.start()
        waited = []

        def wait(progress):
            if isinstance(progress, Refused):
                waited.append(str(progress.error))
                if len(waited) < tries or tries == len(errors):
                    progress.again.set()

        job = apart._iter_asked(child, lambda: False, io.BytesIO())
        if tries == len(errors):
            assert run(job, wait) == {"folder": "done"}
        else:
            with pytest.raises(OutputError, match="no room 0"):
                run(job, wait)
        assert waited == [f"no room {i}" for i in range(tries)]
        thread.join(5)
        assert not thread.is_alive()


def test_a_teaching_in_a_process_of_its_own_waits_too(tmp_path, monkeypatch, repeats):
    if repeats(1) == 1:
        pytest.skip("takes long: only with --long")
    resource = pytest.importorskip("resource")
    if not hasattr(resource, "prlimit"):
        pytest.skip("nobody can limit the files of another process here")
    from tests.core.test_teaching_apart import children

    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    store = fresh_store(tmp_path)
    before, highest = contents(tmp_path), resource.getrlimit(resource.RLIMIT_FSIZE)[1]
    waited, limited = [], []

    def limit(size):
        resource.prlimit(children()[0].pid, resource.RLIMIT_FSIZE, (size, highest))

    def wait(progress):
        if isinstance(progress, Refused):
            waited.append(str(progress.error))
            assert contents(tmp_path) == before
            progress.again.set()
            if len(waited) > 1:
                limit(highest)
        elif not limited and children():
            limited.append(limit(100))

    steps = apart.iter_taught_apart([small_picture()], store.load("tiny"), FineTuneOptions(**SHORT), store=store)
    try:
        taught = run(steps, wait)
        here = fine_tune([small_picture()], "tiny", store=store, **SHORT)
    finally:
        torch.set_num_threads(threads)
    assert len(waited) == 2
    assert all(re.search(rf"Could not write \d+ bytes to {tmp_path}.*weights", words) for words in waited)
    assert taught.comparison == here.comparison
    for one, other in zip(taught.model.network.parameters(), here.model.network.parameters(), strict=True):
        assert torch.equal(one, other)
