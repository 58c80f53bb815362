"""What a taught model says that it has seen."""

from __future__ import annotations

from collections.abc import Sequence

from napari_unetstyle.core.models.spec import Kind, ModelSpec
from napari_unetstyle.core.style.distance import kind_of, look_of_picture
from napari_unetstyle.core.training.patches import Example

_MOST = 30  # kinds; of a person's own the oldest go


def seen_by(spec: ModelSpec, lessons: Sequence[Example], *, is_new: bool) -> tuple[Kind, ...]:
    """The kinds that the parent `spec` has seen, and the pictures of the lessons as one more.

    A parent that does not say what it has seen has a child that does not either: it would call everything else foreign.
    """
    if not is_new and not spec.seen:
        return ()
    own = kind_of([look_of_picture(lesson.image, spec.input.region) for lesson in lessons])
    before = () if is_new else spec.seen
    named, earlier = [k for k in before if k.name], [k for k in before if not k.name]
    return (*named, *earlier[-(_MOST - len(named)) :], own)
