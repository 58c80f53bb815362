from __future__ import annotations

import numpy as np
import pytest

from napari_unetstyle.core import ModelStore
from napari_unetstyle.core.errors import ModelFileError
from napari_unetstyle.core.models.aside import save_aside, take_in
from napari_unetstyle.core.models.memory import Memory
from tests.core.networks_for_tests import random_unet, tiny_model, tiny_volume_model


def carrying(root, model, *memory):
    store = ModelStore(root)
    store.save(model.spec.model_copy(update={"name": "carrier"}), model.network, memory=memory)
    return store.load("carrier")


def some(shape, role, dtype=np.uint8, seed=0):
    rng = np.random.default_rng(seed)
    labels = rng.integers(-1, 900_000, (2, *shape[1:])).astype(np.int32)
    return Memory((rng.random(shape) * 200).astype(dtype), labels, role)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
@pytest.mark.parametrize("shape", [(3, 20, 30), (1, 20, 30), (1, 5, 20, 30)])
def test_pictures_come_back_as_they_were(tmp_path, shape, dtype):
    model = (tiny_model if len(shape) == 3 else tiny_volume_model)(tmp_path)
    given = [some(shape, "learn", dtype), some(shape, "learn", dtype, seed=1), some(shape, "check", dtype, seed=2)]
    got = carrying(tmp_path, model, *given).memory
    assert [m.role for m in got] == ["check", "learn", "learn"]
    for want, have in zip([given[2], given[0], given[1]], got, strict=True):
        assert have.pixels.dtype == dtype
        np.testing.assert_array_equal(have.pixels, want.pixels)
        np.testing.assert_array_equal(have.targets, want.targets)


def test_a_model_that_carries_none_has_none(tmp_path):
    assert tiny_model(tmp_path).memory == ()


def test_pictures_travel_with_the_model_and_an_edited_one_is_refused(tmp_path):
    model = carrying(tmp_path / "a", tiny_model(tmp_path / "a"), some((3, 20, 30), "learn"))
    there = ModelStore(tmp_path / "b")
    there.import_(model.folder)
    copy = there.load("carrier")
    assert len(copy.memory) == 1
    (copy.folder / "memory-learn-01.tif").write_bytes(b"no picture")
    with pytest.raises(ModelFileError, match="damaged or was edited"):
        _ = there.load("carrier").network
    with pytest.raises(ModelFileError, match="cannot be read"):
        _ = copy.memory


def test_pictures_that_do_not_fit_are_refused(tmp_path):
    wrong = Memory(np.zeros((3, 20, 30), np.uint8), np.zeros((2, 20, 31), np.int32), "learn")
    with pytest.raises(ModelFileError, match=r"needed are \(C, \*spatial\)"):
        _ = carrying(tmp_path, tiny_model(tmp_path), wrong).memory


def test_a_model_aside_is_in_no_list_until_it_is_taken_in(tmp_path):
    store = ModelStore(tmp_path)
    spec = tiny_model(tmp_path).spec.model_copy(update={"name": "new"})
    aside = save_aside(store, spec, random_unet(channels=3, out=3))
    assert "new" not in [s.name for s in store.list()]
    taken = take_in(store, aside, spec.model_copy(update={"foreground_threshold": 0.4}))
    assert store.load("new").spec == taken.spec
    assert taken.spec.foreground_threshold == 0.4
