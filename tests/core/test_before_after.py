"""What a card says of a taught model beside the one it came from."""

from __future__ import annotations

from napari_unetstyle.core.models.before_after import BeforeAfter, before_and_after, measurements, others
from napari_unetstyle.core.models.spec import Measurement

PLACES = BeforeAfter(what="places", before=0.71, after=0.86, count=3)
OLD = BeforeAfter(what="old", before=0.93, after=0.929, count=4)


def test_what_is_written_is_read() -> None:
    assert before_and_after(measurements([PLACES, OLD])) == [PLACES, OLD]
    new = BeforeAfter(what="looks", before=None, after=0.5, count=1)
    assert before_and_after(measurements([new])) == [new]
    assert before_and_after(()) == []


def test_the_words_in_files_stay() -> None:
    """Cards of models that were taught earlier are read, too."""
    assert [row.data for row in measurements([PLACES])] == [
        "held-out places of the corrected pictures, parent",
        "held-out places of the corrected pictures, this model",
    ]


def test_other_rows_of_a_card_are_left_to_others() -> None:
    row = Measurement(data="test slides", metric="Dice", value=0.9)
    assert others([row, *measurements([PLACES])]) == [row]
    assert before_and_after([row]) == []
