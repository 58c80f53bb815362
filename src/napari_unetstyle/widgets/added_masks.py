"""Pictures with masks that were made elsewhere, taken in to be learned from."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from napari_unetstyle.core.annotation.masks import (
    Pair,
    find_pairs,
    has_one_value,
    patches,
    read_areas,
    read_masks,
    unpaired,
)
from napari_unetstyle.core.annotation.project import Project
from napari_unetstyle.core.errors import UnetstyleError
from napari_unetstyle.core.imaging.files import read_image
from napari_unetstyle.core.progress import Progress, Steps

if TYPE_CHECKING:
    from napari_unetstyle.widgets.goal import Goal


@dataclass(frozen=True, kw_only=True)
class Added:
    """What came of it.

    Attributes
    ----------
    new, known
        How many pictures were taken in, and how many had been before.
    apart
        In how many the masks were one value, so that each patch was taken for an object.
    problems
        Why others were not taken in.
    """

    new: int = 0
    known: int = 0
    apart: int = 0
    problems: tuple[str, ...] = ()

    @property
    def sentence(self) -> str:
        """For a person."""
        parts = [f"{self.new} picture{'' if self.new == 1 else 's'} with masks added."] if self.new else []
        parts += [f"{self.known} had been added before."] if self.known else []
        parts += [f"In {self.apart} of them each patch of the mask counts as one object."] if self.apart else []
        return "\n".join([" ".join(parts), *self.problems]).strip()


def iter_add(pictures: Path, masks: Path, project: Project, goal: Goal | None) -> Steps[Added]:
    """Take in the pictures of a folder that have masks in another one, or in the same.

    Parameters
    ----------
    pictures, masks
        The folders.
    project
        Where the masks are kept; the pictures stay where they are.
    goal
        What will learn from them: whether masks are objects or areas, and the names of its classes.

    Raises
    ------
    ImageFileError
        If no masks belong to the pictures.
    """
    pairs = find_pairs(pictures, masks)
    output = "objects" if goal is None else goal.output
    headers = (entry.header for entry in project.entries())
    before = {(header.picture.path, header.layer) for header in headers if header.output == output}
    found = {"new": 0, "known": 0, "apart": 0}
    problems = []
    for i, pair in enumerate(pairs):
        yield Progress(i, len(pairs), pair.picture.name, (i + 1, len(pairs)))
        if (str(pair.picture.absolute()), _layer(pair)) in before:
            found["known"] += 1
            continue
        try:
            found["apart"] += _add(pair, project, goal)
            found["new"] += 1
        except UnetstyleError as error:
            problems.append(str(error))
    return Added(**found, problems=(*problems, *unpaired(pictures, masks, pairs)))


def _add(pair: Pair, project: Project, goal: Goal | None) -> bool:
    """Take one in; whether its masks were taken apart."""
    image = read_image(pair.picture)
    path, layer = pair.picture.absolute(), _layer(pair)
    if goal is not None and goal.output == "areas":
        areas = read_areas(pair.masks, image, goal.classes)
        project.add(image, areas, path, layer=layer, known=goal.classes, output="areas")
        return False
    classes = () if goal is None else goal.classes
    labels, owners = read_masks(pair.masks, image, classes)
    is_one = has_one_value(pair.masks, labels)
    if is_one:
        labels = patches(labels, 2 if goal is None else min(goal.dims, labels.ndim))
    several = classes if len(classes) > 1 else ()
    project.add(image, labels, path, layer=layer, classes=owners, known=several, output="objects")
    return is_one


def _layer(pair: Pair) -> str:
    return f"{pair.picture.name.partition('.')[0]} masks"
