"""A disk that is full or read-only at any write of a teaching: old files whole, words that help, and it can go on."""

from __future__ import annotations

import errno
import tempfile

import pytest
import torch

from napari_unetstyle.core import ModelStore
from napari_unetstyle.core.errors import OutputError
from napari_unetstyle.core.models.aside import forget, save_aside, take_in, write_to
from napari_unetstyle.core.progress import run
from napari_unetstyle.core.training.apart import iter_taught_apart
from napari_unetstyle.core.training.finetune import fine_tune
from napari_unetstyle.core.training.fit import Fit, _open_log
from napari_unetstyle.core.training.options import FineTuneOptions, FitOptions
from napari_unetstyle.core.training.parcel import Parcel
from tests.core.disk_for_tests import ERRORS as DISK
from tests.core.disk_for_tests import LOG_MAY_END, Disk, needs_proc, told
from tests.core.networks_for_tests import random_unet
from tests.core.teaching_for_tests import (
    QUICK,
    checkpoints_at_every_step,
    contents,
    fresh_store,
    small_memory,
    small_picture,
)

ERRORS = pytest.mark.parametrize("error", [errno.ENOSPC, errno.EROFS, pytest.param(errno.EIO, marks=pytest.mark.long)])
pytestmark = needs_proc


def each_write(disk, action, check, most=400):
    """Do it with a disk that is full after 0, 1, 2, … writes until it succeeds; return how many there are."""
    for count in range(most):
        with disk.full_after(count):
            problem = told(action, OutputError)
        if problem is None:
            return count
        assert disk.refused
        assert DISK[disk.error] in problem
        assert disk.root in problem
        check()
    raise AssertionError("it never succeeds")


@ERRORS
def test_a_model_that_cannot_be_written_leaves_the_others_whole_and_can_be_written_again(tmp_path, monkeypatch, error):
    store = fresh_store(tmp_path)
    spec = store.load("tiny").spec.model_copy(update={"name": "new"})
    network, memory = random_unet(channels=3, out=3), [small_memory(), small_memory(picture="own")]
    disk = Disk(tmp_path, monkeypatch, error)
    before = contents(tmp_path)

    def check():
        assert contents(tmp_path) == before
        assert store.problems() == {}
        if error != errno.EROFS:
            assert not list(tmp_path.glob(".*"))

    count = each_write(disk, lambda: forget(store, save_aside(store, spec, network, memory=memory)), check)
    assert count > 20
    count = each_write(disk, lambda: store.save(spec, network, memory=memory), check)
    assert torch.equal(store.load("new").network.head.weight, network.head.weight.half().float())
    assert count > 20


@ERRORS
def test_a_taught_model_that_cannot_be_kept_is_kept_once_there_is_space(tmp_path, monkeypatch, error):
    store = fresh_store(tmp_path / "models")
    spec = store.load("tiny").spec.model_copy(update={"name": "new"})
    network = random_unet(channels=3, out=3)
    aside, other = (
        save_aside(store, spec, network, memory=[small_memory(), small_memory(picture="own")]) for _ in range(2)
    )
    disk = Disk(tmp_path, monkeypatch, error)
    before = contents(store.root)

    def check():
        assert contents(store.root) == before
        assert not (tmp_path / "elsewhere").exists()

    better = spec.model_copy(update={"foreground_threshold": 0.4})
    assert each_write(disk, lambda: take_in(store, aside, better), check) > 3
    assert store.load("new@1").spec.foreground_threshold == 0.4
    assert store.load("new@1").network is not None
    before = contents(store.root)
    assert each_write(disk, lambda: write_to(store, other, better, tmp_path / "elsewhere"), check) > 20
    assert ModelStore(tmp_path).load(tmp_path / "elsewhere").network is not None


@ERRORS
def test_a_checkpoint_that_cannot_be_written_leaves_the_one_before(tmp_path, monkeypatch, error):
    options = FitOptions(steps=3)
    state = Fit.of(random_unet(), options)
    state.measured(0.5)
    state.save(tmp_path, "key")
    before = contents(tmp_path)
    state.step, state.highest = 2, 0.7
    disk = Disk(tmp_path, monkeypatch, error)

    def check():
        assert contents(tmp_path) == before
        again = Fit.of(random_unet(seed=4), options)
        assert again.load(tmp_path, "key")
        assert (again.step, again.highest) == (0, 0.5)

    with pytest.raises(OutputError, match=r"Could not write \d+ bytes to .*training.safetensors"), disk.full_after(0):
        state.save(tmp_path, "key")
    assert each_write(disk, lambda: state.save(tmp_path, "key"), check) > 3
    assert Fit.of(random_unet(), options).load(tmp_path, "key")


@ERRORS
def test_a_parcel_that_cannot_be_written_says_what_it_needs(tmp_path, monkeypatch, error):
    disk = Disk(tmp_path, monkeypatch, error)
    options = FineTuneOptions(folder=tmp_path / "work", **QUICK)
    parcel = Parcel(corrections=[small_picture()], parent=None, classes=("a",), options=options, store=tmp_path)
    with pytest.raises(OutputError, match=r"Could not write 27648 bytes to .*0-pixels.npy"), disk.full_after(0):
        parcel.write(tmp_path / "there")
    assert each_write(disk, lambda: parcel.write(tmp_path / "there"), lambda: None) > 10
    assert Parcel.read(tmp_path / "there").options == options


def test_without_a_temporary_folder_nothing_is_taught_apart(tmp_path, monkeypatch):
    store = fresh_store(tmp_path / "models")
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "none"))
    with pytest.raises(OutputError, match="Free some space, or name another folder"):
        run(iter_taught_apart([small_picture()], store.load("tiny"), FineTuneOptions(**QUICK), store=store))


@LOG_MAY_END
def test_a_teaching_on_a_full_disk_ends_with_a_sentence_and_goes_on_when_there_is_space(tmp_path, monkeypatch, repeats):
    options = QUICK | {"steps": 3}
    store = fresh_store(tmp_path / "models")
    expected = fine_tune([small_picture()], "tiny", store=store, **options)
    _ = expected.model.network
    expected.forget(store)
    before = contents(store.root)
    disk = Disk(tmp_path, monkeypatch, errno.ENOSPC)
    resumed = []

    def teach():
        with checkpoints_at_every_step():
            resumed.append(fine_tune([small_picture()], "tiny", store=store, folder=tmp_path / "work", **options))

    for count in range(2, 10**6, 3 if repeats(1) > 1 else 20):
        with disk.full_after(count):
            problem = told(teach, OutputError)
        if problem is None:
            break
        assert disk.refused
        assert "No space left on device" in problem
        assert str(tmp_path) in problem
        assert contents(store.root) == before
        assert not list(store.root.glob(".*"))
    assert count > 20
    assert resumed[0].comparison == expected.comparison
    assert torch.equal(resumed[0].model.network.head.weight, expected.model.network.head.weight)


def test_a_log_that_cannot_be_written_does_not_end_the_training(tmp_path, monkeypatch):
    class Refusing:
        def add_scalar(self, *_):
            raise OSError(errno.ENOSPC, "No space left on device")

        close = add_scalar

    monkeypatch.setattr("napari_unetstyle.core.training.fit._open_log", lambda _: Refusing())
    store = fresh_store(tmp_path / "models")
    taught = fine_tune([small_picture()], "tiny", store=store, folder=tmp_path / "work", **QUICK | {"steps": 11})
    assert "11 steps" in taught.model.spec.provenance["recipe"]
    (tmp_path / "file").write_text("")
    monkeypatch.undo()
    assert _open_log(tmp_path / "file") is None
