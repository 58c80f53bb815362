"""What a click or a drag in the picture means to the labels: one function for each tool of the row *Fix*."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from napari_unetstyle.core.annotation import edits
from napari_unetstyle.core.annotation.edits import Edit, Point
from napari_unetstyle.core.errors import OptionError

if TYPE_CHECKING:
    from napari_unetstyle.core.annotation.corrections import Mask
    from napari_unetstyle.widgets.corrected_layer import CorrectedLayer

OUTSIDE = "This place is outside the picture."
CLICKED = 3  # pixels of the picture that the mouse may move in a click


def delete(target: CorrectedLayer, points: list[Point]) -> None:
    """Erase an object in all slices, or a connected area."""
    index, labels, point = _frame(target, points[0])
    if target.header.output == "areas":
        _apply(target, index, edits.relabel(labels, point, 0))
    else:
        _apply(target, (), edits.delete(target.labels, points[0]))


def change_class(target: CorrectedLayer, points: list[Point]) -> None:
    """Make a connected area one of the class that the brush paints, or an object one of the class in hand."""
    index, labels, point = _frame(target, points[0])
    names = {one.value: one.name for one in target.classes}
    if target.header.output == "objects":
        _change_object(target, edits.object_at(labels, point), names)
        return
    value = int(target.layer.selected_label)
    if value not in names:
        known = ", ".join(f"{number} {name}" for number, name in names.items())
        raise OptionError(f"The brush paints {value}, which is no class here. Choose a label of these: {known}.")
    if edits.object_at(labels, point) == value:
        raise OptionError(f"This is {names[value]} already. Choose the label of another class, then click.")
    _apply(target, index, edits.relabel(labels, point, value))


def _change_object(target: CorrectedLayer, number: int, names: dict[int, str]) -> None:
    classes = target.object_classes
    if classes.of(number) == classes.hand:
        raise OptionError(f"This is {names[classes.hand]} already. Choose another class above, then click.")
    new = classes.new_number()
    classes.give(new, classes.hand)
    _apply(target, (), Edit(places=np.nonzero(target.labels == number), value=new, touched=frozenset({new})))


def merge(target: CorrectedLayer, points: list[Point]) -> None:
    """Make one object of two."""
    _apply(target, (), edits.merge(target.labels, *points))


def split(target: CorrectedLayer, points: list[Point]) -> None:
    """Part an object between two places."""
    index, labels, first = _frame(target, points[0])
    other, _, second = _frame(target, points[1])
    if other != index:
        raise OptionError("Click both places in the same slice.")
    edit = edits.split(labels, first, second, target.image.geometry.spacing[-labels.ndim :])
    _apply(target, index, _new_everywhere(target, labels, edit))


def cut(target: CorrectedLayer, points: list[Point]) -> None:
    """Part an object along a line."""
    index, labels, _ = _frame(target, next((p for p in points if _is_in(target, p)), points[0]))
    path = [point[len(index) :] for point in points]
    _apply(target, index, _new_everywhere(target, labels, edits.cut(labels, path)))


def add(target: CorrectedLayer, points: list[Point]) -> None:
    """Outline a missed object."""
    index, labels, point = _frame(target, points[0])
    if target.result is None:
        raise OptionError("What the model saw is not known any more. Segment the picture again, or paint the object.")
    foreground = 255 - target.result().probability_bytes[(0, *index)]
    _apply(target, index, _new_everywhere(target, labels, edits.add(foreground, labels, point)))


def between(target: CorrectedLayer) -> None:
    """Fill the slices between two that have the selected label."""
    frame, value = target.frame, int(target.layer.selected_label)
    _apply(target, frame[:-1], edits.between(target.labels[frame[:-1]], value, frame[-1]))


def accept(target: CorrectedLayer, points: list[Point]) -> None:
    """Call a box or a slice right."""
    target.accept(*_box(target, points))


def empty(target: CorrectedLayer, points: list[Point]) -> None:
    """Erase what is in a box or a slice, and call that right."""
    index, region = _box(target, points)
    edit = edits.nothing(target.labels[index], region)
    _apply(target, index, edit)
    target.accept(index, region, has_stroke=bool(len(edit.places[0])))


def _frame(target: CorrectedLayer, point: Point) -> tuple[tuple[int, ...], NDArray[Any], Point]:
    """The picture or volume that an object lies in: its index, its labels, and the place in it."""
    leading = len(point) - target.header.dims
    if not _is_in(target, point):
        raise OptionError(OUTSIDE)
    return point[:leading], target.labels[point[:leading]], point[leading:]


def _is_in(target: CorrectedLayer, point: Point) -> bool:
    return all(0 <= p < n for p, n in zip(point, target.header.shape, strict=True))


def _apply(target: CorrectedLayer, index: tuple[int, ...], edit: Edit) -> None:
    """Write an edit of one frame."""
    places = tuple(np.full(len(edit.places[0]), i) for i in index)
    target.edit((*places, *edit.places), edit.value, edit.touched)


def _new_everywhere(target: CorrectedLayer, labels: NDArray[Any], edit: Edit) -> Edit:
    """The edit with a number for its new object that is free in all frames; a part keeps the class of the whole."""
    classes = target.object_classes
    new, whole = classes.new_number(), int(labels[tuple(axis[0] for axis in edit.places)])
    classes.give(new, classes.of(whole) if whole else classes.hand)
    touched = (edit.touched - {edit.value}) | {new}
    return Edit(places=edit.places, value=new, touched=touched)


def _box(target: CorrectedLayer, points: list[Point]) -> tuple[tuple[int, ...], Mask]:
    """The box between two corners in a slice; the whole slice if they are the same."""
    if any(not 0 <= p < n for p, n in zip(points[0][:-2], target.header.shape, strict=False)):
        raise OptionError(OUTSIDE)
    (y0, x0), (y1, x1) = points[0][-2:], points[-1][-2:]
    region = np.zeros(target.header.shape[-2:], bool)
    if max(abs(y1 - y0), abs(x1 - x0)) <= CLICKED:
        region[:] = True
    else:
        (top, bottom), (left, right) = sorted((y0, y1)), sorted((x0, x1))
        region[max(top, 0) : max(bottom + 1, 0), max(left, 0) : max(right + 1, 0)] = True
    return points[0][:-2], region
