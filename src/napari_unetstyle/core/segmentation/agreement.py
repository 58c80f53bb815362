"""Two models on one picture: how far what they find agrees. Neither of the two counts as the truth."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from napari_unetstyle.core.imaging.image import Image
from napari_unetstyle.core.metrics import iter_evaluate
from napari_unetstyle.core.models.comparable import common_output
from napari_unetstyle.core.models.model import Model
from napari_unetstyle.core.models.store import ModelStore
from napari_unetstyle.core.progress import Progress, Steps, run, share
from napari_unetstyle.core.segmentation.options import SegmentOptions, make_options
from napari_unetstyle.core.segmentation.result import SegmentResult
from napari_unetstyle.core.segmentation.segment import iter_segment, open_fitting

_RUN = 0.45  # of the whole job


@dataclass(frozen=True, kw_only=True)
class Agreement:
    """How far two results of one picture agree.

    Attributes
    ----------
    output
        ``"objects"`` or ``"areas"``.
    dice
        Dice of everything that is not background.
    classes
        Dice of each class by its name, for areas of models that know the same classes; else empty.
    pixels
        That each of the two found, background apart.
    objects
        That each of the two found; None for areas.
    alike
        Objects that both found (IoU above 0.5); None for areas.
    """

    output: Literal["objects", "areas"]
    dice: float
    classes: dict[str, float]
    pixels: tuple[int, int]
    objects: tuple[int, int] | None = None
    alike: int | None = None

    @property
    def only(self) -> tuple[int, int] | None:
        """Objects that one found and the other did not, or with quite another outline; None for areas."""
        if self.objects is None or self.alike is None:
            return None
        return self.objects[0] - self.alike, self.objects[1] - self.alike


def compare_models(
    image: Any,
    first: Model | str | Path,
    second: Model | str | Path,
    *,
    axes: str | None = None,
    spacing: tuple[float, ...] | None = None,
    level: int | None = None,
    store: ModelStore | None = None,
    on_progress: Callable[[Progress], None] | None = None,
    **options: Any,
) -> Agreement:
    """Run two models on one picture and compare what they find.

    Parameters
    ----------
    image, axes, spacing, store, on_progress
        As in :func:`~napari_unetstyle.core.segment`.
    first, second
        Names in the store, model folders, or loaded models.
    level
        As there; None: the one that fits the models, the finer one where they fit different ones.
    **options
        See :class:`~napari_unetstyle.core.SegmentOptions`, for both.

    Raises
    ------
    OptionError
        If they are the same model, or one is of pictures and the other of volumes.
    """
    shelf = store or ModelStore()
    one, other = (model if isinstance(model, Model) else shelf.load(model) for model in (first, second))
    where: dict[str, Any] = {"axes": axes, "spacing": spacing, "level": level}
    picture, chosen = open_fitting(image, [one.spec, other.spec], make_options(**options), **where)
    return run(iter_compare_models(picture, one, other, chosen), on_progress)


def iter_compare_models(image: Image, first: Model, second: Model, options: SegmentOptions) -> Steps[Agreement]:
    """Like :func:`compare_models`, as a job."""
    pair = first, second
    options = options.changed(output=options.output or common_output(pair[0].spec, pair[1].spec))
    results = []
    for i, model in enumerate(pair):
        steps = iter_segment(image, model, options)
        results.append((yield from share(steps, i * _RUN, (i + 1) * _RUN)))
    return (yield from share(iter_agreement(results[0], results[1]), 2 * _RUN, 1.0))


def iter_agreement(first: SegmentResult, second: SegmentResult) -> Steps[Agreement]:
    """Compare two results of one picture, as a job."""
    scores = yield from share(iter_evaluate(first.labels, second.labels, output="objects"), 0.0, 0.5)
    pixels = int(first.objects["area"].sum()), int(second.objects["area"].sum())
    if first.output == "objects":
        return Agreement(
            output="objects",
            dice=scores["dice"],
            classes={},
            pixels=pixels,
            objects=(scores["objects_predicted"], scores["objects_true"]),
            alike=scores["objects_matched"],
        )
    classes = {}
    if [c.name for c in first.classes] == [c.name for c in second.classes]:  # else a value means something else
        rows = yield from share(iter_evaluate(first.labels, second.labels, output="areas"), 0.5, 1.0)
        classes = {c.name: rows["classes"][c.value]["dice"] for c in first.classes if c.value in rows["classes"]}
    return Agreement(output="areas", dice=scores["dice"], classes=classes, pixels=pixels)
