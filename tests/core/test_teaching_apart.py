from __future__ import annotations

import os
import signal
import time

import numpy as np
import psutil
import pytest
import torch

from napari_unetstyle.core import ModelStore, Reference, as_image, run
from napari_unetstyle.core.annotation.corrections import Correction
from napari_unetstyle.core.errors import OptionError, TeachingError
from napari_unetstyle.core.imaging.geometry import Geometry
from napari_unetstyle.core.imaging.image import Image
from napari_unetstyle.core.segmentation.options import SegmentOptions
from napari_unetstyle.core.training.apart import iter_taught_apart
from napari_unetstyle.core.training.finetune import fine_tune
from napari_unetstyle.core.training.options import FineTuneOptions
from napari_unetstyle.core.training.parcel import Parcel
from napari_unetstyle.core.training.train_progress import TrainProgress
from tests.core.networks_for_tests import tiny_model
from tests.core.training_for_tests import discs

QUICK = {"minutes": None, "steps": 4, "learning_rate": 2e-2}


def picture(**said):
    example = discs((96, 112), count=8)
    pixels = np.moveaxis((255 * example.image).astype(np.uint8), 0, -1)
    return Correction(image=as_image(pixels, axes="YXC"), labels=example.labels[1], **(said or {"rest_is_right": True}))


def children():
    return [c for c in psutil.Process().children(recursive=True) if "training.apart" in " ".join(c.cmdline())]


@pytest.fixture
def one_thread(monkeypatch):
    """Here and there: other threads add up in another order."""
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.mark.parametrize("styles", [0, pytest.param(2, marks=pytest.mark.long)])
def test_it_gives_the_same_bits_as_in_this_process(styles, tmp_path, one_thread):
    parent, store = tiny_model(tmp_path), ModelStore(tmp_path)
    looks = tuple(Reference.of_unit(1 - 0.5 * discs((60, 70), seed=i).image, f"dark {i}") for i in range(styles))
    seen, shown = [], {}

    def look(progress):
        seen.append(progress)
        if getattr(progress, "so_far", None) is not None and progress.step not in shown:
            shown[progress.step] = progress.so_far()  # does not change what comes out

    options = FineTuneOptions(**QUICK, styles=looks)
    apart = run(iter_taught_apart([picture()], parent, options, store=store), look)
    here = fine_tune([picture()], parent, store=store, **QUICK, styles=looks)
    for one, other in zip(apart.model.network.parameters(), here.model.network.parameters(), strict=True):
        assert torch.equal(one, other)
    assert apart.comparison == here.comparison
    assert apart.places == here.places
    assert apart.notes == here.notes
    assert any(isinstance(p, TrainProgress) and p.score is not None for p in seen)
    assert len(shown) == QUICK["steps"]
    first, *_, last = shown.values()
    assert not torch.equal(next(first.network.parameters()), next(last.network.parameters()))
    kept = apart.keep(store)
    assert kept.spec.parent == "tiny@1"
    assert kept.card.measured
    assert not children()
    assert not list(tmp_path.glob(".partial-*/*"))[1:]  # the other candidate


def test_what_goes_wrong_there_is_said_here(tmp_path):
    parent, store = tiny_model(tmp_path), ModelStore(tmp_path)
    with pytest.raises(OptionError, match="nothing to learn from"):
        run(iter_taught_apart([picture(touched=frozenset())], parent, FineTuneOptions(**QUICK), store=store))
    assert not children()


def test_closing_ends_the_process_and_leaves_nothing_behind(tmp_path):
    parent, store = tiny_model(tmp_path), ModelStore(tmp_path)
    steps = iter_taught_apart([picture()], parent, FineTuneOptions(minutes=5), store=store)
    while not isinstance(next(steps), TrainProgress):
        pass
    assert len(children()) == 1
    steps.close()
    assert not children()
    assert sorted(p.name for p in tmp_path.iterdir()) == ["tiny@1"]


@pytest.mark.long
def test_stop_compares_what_there_is(tmp_path):
    parent, store = tiny_model(tmp_path), ModelStore(tmp_path)
    wanted = []
    steps = iter_taught_apart(
        [picture()], parent, FineTuneOptions(minutes=5), store=store, should_stop=lambda: bool(wanted)
    )
    candidate = run(steps, lambda p: wanted.append(1) if isinstance(p, TrainProgress) else None)
    assert candidate.comparison.child.places


def test_not_asking_is_a_pause(tmp_path):
    parent, store = tiny_model(tmp_path), ModelStore(tmp_path)
    steps = iter_taught_apart([picture()], parent, FineTuneOptions(minutes=5), store=store)
    first = next(p for p in steps if isinstance(p, TrainProgress))
    (child,) = children()
    time.sleep(0.3)
    before = child.cpu_times()
    time.sleep(0.5)
    assert child.cpu_times().user - before.user < 0.2
    assert next(steps).step >= first.step
    steps.close()


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="kills a process as POSIX does")
def test_a_crash_there_is_a_sentence_here_and_the_models_are_whole(tmp_path):
    parent, store = tiny_model(tmp_path), ModelStore(tmp_path)
    steps = iter_taught_apart([picture()], parent, FineTuneOptions(minutes=5), store=store)
    while not isinstance(next(steps), TrainProgress):
        pass
    os.kill(children()[0].pid, signal.SIGKILL)
    with pytest.raises(TeachingError, match="ended unexpectedly"):
        run(steps)
    assert "tiny" in [spec.name for spec in store.list()]
    assert store.problems() == {}


def test_a_parcel_comes_out_as_it_went_in(tmp_path):
    geometry = Geometry(spacing=(3.0, 0.5, 0.25), unit="mm", origin=(1, 2, 3), is_anatomical=True)
    rng = np.random.default_rng(0)
    shape = (4, 5, 6)
    image = Image(array=rng.random((2, *shape)), axes="CZYX", geometry=geometry, channel_names=("a", "b"), name="scan")
    given = Correction(
        image=image,
        labels=rng.integers(0, 9, shape).astype(np.uint16),
        touched=frozenset({3, 5}),
        painted=rng.random(shape) > 0.5,
        classes={3: 2},
        dims=2,
        known=2,
    )
    segment = SegmentOptions(channel="b", box=((0, 4), (1, 5)))
    options = FineTuneOptions(minutes=3.0, name="x", segment=segment, add_classes=("c", "d"))
    Parcel(corrections=[given], parent=None, classes=("a", "b"), options=options, store=tmp_path).write(tmp_path)
    got = Parcel.read(tmp_path)
    assert (got.options, got.classes, got.parent, got.store) == (options, ("a", "b"), None, tmp_path)
    (one,) = got.corrections
    for name in ("labels", "painted"):
        np.testing.assert_array_equal(getattr(one, name), getattr(given, name))
    np.testing.assert_array_equal(np.asarray(one.image.array), image.array)
    assert (one.image.axes, one.image.geometry, one.image.channel_names) == ("CZYX", geometry, ("a", "b"))
    assert (one.touched, one.classes, one.dims, one.accepted, one.known) == ({3, 5}, {3: 2}, 2, None, 2)
