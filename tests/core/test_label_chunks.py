from __future__ import annotations

import numpy as np
import pytest
import zarr

from napari_unetstyle.core.imaging import label_chunks
from napari_unetstyle.core.imaging.label_chunks import LabelChunks

CASES = [
    ((50, 37), (16, 16)),
    ((11, 20, 17), (4, 8, 8)),
    ((3, 40, 20), (1, 16, 16)),
    ((3, 9, 10, 11), (1, 4, 8, 8)),
    ((1, 5), (1, 5)),
]


@pytest.mark.parametrize(("shape", "chunks"), CASES, ids=str)
@pytest.mark.parametrize("held", [0, 2**25])
def test_frames_and_boxes_are_those_of_an_array(shape, chunks, held, tmp_path, monkeypatch):
    monkeypatch.setattr(label_chunks, "_HELD", held)
    rng, array = np.random.default_rng(0), np.zeros(shape, np.int32)
    stored = zarr.create_array(tmp_path / "x", shape=shape, dtype=np.uint32, chunks=chunks, fill_value=0)
    labels = LabelChunks(stored, np.dtype(np.int32))
    for _ in range(20):
        frame = tuple(int(rng.integers(n)) for n in shape[: rng.integers(len(shape) - 1)])
        low = [int(rng.integers(n)) for n in shape[len(frame) :]]
        box = tuple(slice(a, int(rng.integers(a, n)) + 1) for a, n in zip(low, shape[len(frame) :], strict=True))
        key = box[: rng.integers(1, len(box) + 1)]
        values = rng.integers(0, 2**31, array[frame][key].shape)
        labels[frame][key] = values
        array[frame][key] = values
        np.testing.assert_array_equal(labels[frame][key], array[frame][key])
    np.testing.assert_array_equal(np.asarray(labels), array)
    np.testing.assert_array_equal(labels.flushed()[...], array)


def test_what_could_not_be_read_is_not_written_over(tmp_path):
    """After a failure in the middle the row is read anew."""
    stored = zarr.create_array(tmp_path / "x", shape=(8, 8), dtype=np.uint8, chunks=(4, 4), fill_value=0)
    labels = LabelChunks(stored, np.dtype(np.uint8))
    labels[:4], labels[4:] = 1, 2

    class Failing:
        shape, chunks, dtype, reads = stored.shape, stored.chunks, stored.dtype, 0

        def __getitem__(self, key):
            self.reads += 1
            if self.reads == 2:
                raise MemoryError
            return stored[key]

        def __setitem__(self, key, value):
            stored[key] = value

    labels._held.stored = Failing()
    with pytest.raises(MemoryError):
        labels[:1] = 3
    labels[:1] = 3
    labels.flushed()
    assert stored[...].tolist() == [[3] * 8, *[[1] * 8] * 3, *[[2] * 8] * 4]
