"""Records that were written whole are found again, whatever was lost around them."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from napari_unetstyle.core.annotation.records import Kind, Record, scan

records = st.lists(
    st.builds(
        Record,
        kind=st.sampled_from(Kind),
        number=st.integers(0, 2**40),
        time=st.floats(0, 2e9),
        payload=st.binary(max_size=60),
    ),
    max_size=5,
)


def joined(some):
    return b"".join(record.to_bytes() for record in some)


@given(records)
def test_there_and_back(some):
    found = scan(joined(some))
    assert list(found.records) == some
    assert (found.end, found.damaged, found.torn) == (len(joined(some)), 0, 0)


@given(records, st.integers(0, 10_000))
def test_a_torn_tail_takes_only_the_record_that_was_being_written(some, cut):
    data = joined(some)
    cut %= len(data) + 1
    found = scan(data[:cut])
    whole = next(n for n in range(len(some), -1, -1) if len(joined(some[:n])) <= cut)
    assert list(found.records) == some[:whole]
    assert found.torn == cut - found.end
    assert not found.damaged


@given(records, st.integers(0, 10_000), st.integers(0, 7))
def test_a_flipped_bit_takes_only_its_own_record(some, at, bit):
    data = bytearray(joined(some))
    if not data:
        return
    at %= len(data)
    data[at] ^= 1 << bit
    hurt = next(n for n in range(len(some)) if at < len(joined(some[: n + 1])))
    found = scan(bytes(data))
    assert list(found.records) == some[:hurt] + some[hurt + 1 :]
    assert found.damaged + found.torn == len(some[hurt].to_bytes())


@given(st.binary(max_size=300))
def test_junk_is_no_record(data):
    assert scan(data).records == ()
