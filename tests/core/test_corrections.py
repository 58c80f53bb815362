"""What is learned from is what a person said, whole objects with a ring, and nothing that was guessed."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from scipy import ndimage

from napari_unetstyle.core.annotation.corrections import Correction, corrected, learned, touched_objects
from napari_unetstyle.core.annotation.known import UNKNOWN
from napari_unetstyle.core.errors import ImageError, OptionError
from napari_unetstyle.core.imaging.image import as_image

SHAPE = (24, 30)


def picture(axes="YX", shape=SHAPE):
    return as_image(np.zeros(shape, np.uint8), axes=axes)


def blobs(seed, shape=SHAPE):
    return ndimage.label(ndimage.gaussian_filter(np.random.default_rng(seed).normal(size=shape), 2) > 0.05)[0]


masks = arrays.arrays(bool, SHAPE)
seeds = st.integers(0, 10_000)
numbers = st.frozensets(st.integers(1, 6), max_size=3)


@given(seeds, numbers, masks, masks, st.integers(0, 5))
def test_all_that_was_said_is_learned_and_the_rest_is_not(seed, touched, painted, accepted, ring):
    labels = blobs(seed)
    said = Correction(image=picture(), labels=labels, touched=touched, painted=painted, accepted=accepted)
    (classes, objects), valid = learned(said, ring)
    core = np.isin(labels, sorted(touched))
    assert np.array_equal(objects, labels)
    assert np.array_equal(classes, labels > 0)
    assert valid[core | painted | accepted].all()
    guessed = valid & ~(core | painted | accepted)
    assert not labels[guessed].any()  # the ring has background only
    if core.any():
        distance = ndimage.distance_transform_edt(~core)
        assert np.array_equal(guessed, (distance <= ring) & (labels == 0) & ~(core | painted | accepted))
    else:
        assert not guessed.any()


@given(seeds, numbers, masks)
def test_more_said_is_never_less_learned(seed, touched, accepted):
    labels = blobs(seed)
    few = Correction(image=picture(), labels=labels, touched=touched)
    more = Correction(image=picture(), labels=labels, touched=touched | {2}, accepted=accepted)
    assert not (learned(few)[1] & ~learned(more)[1]).any()


def test_all_counts_if_the_rest_is_right():
    said = Correction(image=picture(), labels=blobs(0), rest_is_right=True)
    assert learned(said)[1].all()
    assert not said.is_empty


def test_nothing_is_learned_from_nothing():
    said = Correction(image=picture(), labels=blobs(0))
    assert said.is_empty
    assert not learned(said)[1].any()


def test_erased_places_are_background():
    before = blobs(3)
    after = np.where(before == 1, 0, before)
    targets, valid = learned(corrected(picture(), before, after))
    assert np.array_equal(valid, before == 1)
    assert not targets[:, valid].any()


def test_who_is_trimmed_counts_and_who_is_run_over_does_not():
    before = np.zeros(SHAPE, int)
    before[2:8, 2:8], before[2:8, 12:18], before[12:20, 2:8] = 1, 2, 3
    after = before.copy()
    after[2:4, 2:8] = 0  # 1 is trimmed
    after[4:6, 10:14] = 7  # a new one runs over 2
    after[12:20, 2:8] = 0  # 3 is erased
    assert touched_objects(before, after) == {1, 7}


@given(seeds, seeds)
def test_painting_is_where_labels_differ(one, other):
    before, after = blobs(one), blobs(other)
    said = corrected(picture(), before, after, touched=frozenset({1}))
    assert np.array_equal(said.painted, before != after)
    assert set(np.unique(after[before != after])) - {0} | {1} <= set(said.touched)


def test_areas_count_where_they_were_painted_only():
    before = np.ones(SHAPE, np.uint8)
    after = before.copy()
    after[5:9, 5:9] = 2
    targets, valid = learned(corrected(picture(), before, after, output="areas"))
    assert np.array_equal(valid, after == 2)
    assert np.array_equal(targets[0], after)
    assert (targets[1] == UNKNOWN).all()


def test_objects_have_classes():
    labels = blobs(5)
    classes, _ = learned(Correction(image=picture(), labels=labels, classes={2: 3}))[0]
    assert set(np.unique(classes[labels == 2])) == {3}
    assert set(np.unique(classes[(labels != 2) & (labels > 0)])) == {1}


@pytest.mark.parametrize(("axes", "dims", "touched_frames"), [("ZYX", None, 3), ("ZYX", 2, 1), ("TYX", None, 1)])
def test_rings_stay_in_the_frame_of_the_object(axes, dims, touched_frames):
    labels = np.zeros((5, 20, 20), int)
    labels[2, 8:12, 8:12] = 1
    said = Correction(image=picture(axes, labels.shape), labels=labels, touched=frozenset({1}), dims=dims)
    assert learned(said, ring=1)[1].any(axis=(1, 2)).sum() == touched_frames


@pytest.mark.parametrize(
    "wrong",
    [
        {"image": np.zeros(SHAPE)},
        {"labels": [[0]]},
        {"labels": np.zeros((3, 3), int)},
        {"labels": np.zeros(SHAPE)},
        {"labels": np.full(SHAPE, -1)},
        {"labels": np.full(SHAPE, 2**31)},
        {"painted": np.zeros((3, 3), bool)},
        {"accepted": np.zeros(SHAPE, int)},
    ],
)
def test_what_does_not_fit_the_picture_is_refused(wrong):
    with pytest.raises(ImageError):
        Correction(**{"image": picture(), "labels": np.zeros(SHAPE, int), **wrong})


def test_dimensions_have_to_suit_the_picture():
    with pytest.raises(OptionError):
        Correction(image=picture(), labels=blobs(0), dims=3)
