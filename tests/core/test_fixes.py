from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from napari_unetstyle.core import as_image
from napari_unetstyle.core.annotation.corrections import Correction, corrected
from napari_unetstyle.core.annotation.fixes import fixed_places, with_fixes

SHAPE = (9, 11)
labels = arrays(np.int32, SHAPE, elements=st.integers(0, 5))


def image():
    return as_image(np.zeros(SHAPE, np.uint8))


@given(before=labels, after=labels, new=labels, accepted=arrays(bool, SHAPE), right=st.booleans())
def test_every_fix_is_kept_pixel_for_pixel(before, after, new, accepted, right):
    correction = corrected(image(), before, after, accepted=accepted, rest_is_right=right)
    found = with_fixes(correction, new)
    places = fixed_places(correction)
    assert ((found > 0) == (after > 0))[places].all()
    pairs = set(zip(after[places].tolist(), found[places].tolist(), strict=True))
    assert len(pairs) == len({a for a, _ in pairs}) == len({b for _, b in pairs})  # one number for each object
    assert not np.isin(found[~places], found[places][found[places] > 0]).any()  # and it is that object's only
    outside = ~places & (found > 0)
    assert (found == new)[outside].all()
    assert new.dtype == found.dtype


@given(before=labels, after=labels, new=labels, accepted=arrays(bool, SHAPE))
def test_areas_keep_their_classes(before, after, new, accepted):
    correction = corrected(image(), before, after, accepted=accepted, output="areas")
    found = with_fixes(correction, new)
    places = (before != after) | accepted
    np.testing.assert_array_equal(found, np.where(places, after, new))


def test_no_rim_of_a_new_object_stays_around_a_fixed_one():
    fixed, new = np.zeros(SHAPE, np.int32), np.zeros(SHAPE, np.int32)
    fixed[2:6, 2:6] = 3
    new[1:7, 1:7] = 1  # the same object, a pixel larger all around
    new[7:9, 0:9] = 2
    correction = Correction(image=image(), labels=fixed, touched=frozenset({3}))
    found = with_fixes(correction, new)
    assert set(np.unique(found)) == {0, 2, 3}
    np.testing.assert_array_equal(found == 3, fixed == 3)
    np.testing.assert_array_equal(found == 2, new == 2)


def test_nothing_fixed_changes_nothing():
    new = np.arange(99, dtype=np.int32).reshape(SHAPE)
    np.testing.assert_array_equal(with_fixes(Correction(image=image(), labels=np.zeros(SHAPE, int)), new), new)
