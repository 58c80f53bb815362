"""What a teaching is to come to, as a person chose it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from napari_unetstyle.core.errors import OptionError
from napari_unetstyle.core.files import plain_name
from napari_unetstyle.core.models.classes import class_specs
from napari_unetstyle.core.models.model import reference
from napari_unetstyle.widgets.summary import model_title

if TYPE_CHECKING:
    from collections.abc import Sequence

    from napari_unetstyle.core.models.spec import ClassSpec, ModelSpec
    from napari_unetstyle.widgets.corrected_layer import CorrectedLayer
    from napari_unetstyle.widgets.learns_from import Lesson


@dataclass(frozen=True, kw_only=True)
class Goal:
    """What a teaching is to come to.

    Attributes
    ----------
    title
        What the model is called in a sentence.
    classes
        All that it is to know.
    output
        Whether it finds objects or areas.
    dims
        Along how many axes an object extends.
    parent
        The model that is improved, ``nuclei@2``; None for a new one.
    added
        Those of the classes that it does not know yet.
    name
        What a new one is called; else as usual.
    has_memory
        Whether what it may forget can be told.
    problem
        Why it cannot be taught yet; empty if it can.
    """

    title: str
    classes: tuple[ClassSpec, ...]
    output: Literal["objects", "areas"]
    dims: int = 2
    parent: str | None = None
    added: tuple[ClassSpec, ...] = ()
    name: str | None = None
    has_memory: bool = True
    problem: str = ""

    @classmethod
    def improved(cls, spec: ModelSpec, added: Sequence[str] | None = None) -> Goal:
        """A model that is there, or that model plus classes of these names."""
        problem, classes = "", spec.classes
        try:
            classes = class_specs(added or [], spec.classes)
        except OptionError as error:
            problem = "What is the new class called?" if added == [""] else str(error)
        return cls(
            title=model_title(spec),
            classes=classes,
            output="areas" if spec.separation is None else "objects",
            dims=spec.network.spatial_dims,
            parent=reference(spec),
            added=classes[len(spec.classes) :],
            has_memory=any(name.startswith("memory-") for name in spec.files),
            problem=problem,
        )

    @classmethod
    def new(cls, name: str, classes: Sequence[str], output: Literal["objects", "areas"], taken: Sequence[str]) -> Goal:
        """A model from nothing; `taken` are the names of those that are there."""
        problem, specs = "", ()
        try:
            specs = class_specs(classes) if any(one.strip() for one in classes) else ()
        except OptionError as error:
            problem = str(error)
        plain = plain_name(name, plain_name(specs[0].name, "model") if specs else "model")
        if plain in taken:
            problem = f"There is a model {plain} already. Give the new one another name."
        if not specs:
            problem = problem or "What is to be found? Name it, or several things with commas."
        return cls(title="the new model", classes=specs, output=output, name=plain, problem=problem)

    def misfit(self, lessons: Sequence[Lesson], corrected: CorrectedLayer | None = None) -> str:
        """Why a model cannot learn from some pictures; empty if it can. `corrected`: the labels turned to."""
        known = {one.name for one in self.classes}
        instead = "Choose the model that made it, or untick it." if self.parent else "Untick it."
        for lesson in lessons:
            strange = [name for name in lesson.classes if name not in known]
            if strange:
                return f"{lesson.name} shows {_listed(strange)}, which {self.title} does not know. {instead}"
            if self.parent is None and lesson.output != self.output:
                return f"{lesson.name} has {lesson.output}, and {self.title} is to find {self.output}. {instead}"
        if self.added and not any(one.name in lesson.classes for one in self.added for lesson in lessons):
            paint = f"Paint {self.added[-1].name} where it is, and call an area right in which you painted all of it."
            return self.unpaintable(corrected) or paint
        return ""

    def unpaintable(self, corrected: CorrectedLayer | None) -> str:
        """Why the class that is added cannot be painted in the labels that were turned to; empty if it can."""
        if not self.added:
            return ""
        added = self.added[-1].name
        known = [one.name for one in self.classes[: -len(self.added)]]
        if corrected is None or [one.name for one in corrected.header.classes] != known:
            return f"To paint {added}, select labels that {self.title} made, or segment a picture with it."
        if corrected.header.output != self.output:
            return (
                f"These labels are {corrected.header.output}, and {self.title} finds {self.output}. To paint {added}, "
                f"segment the picture again for {self.output}."
            )
        return ""


def _listed(names: list[str]) -> str:
    return " and ".join(filter(None, (", ".join(names[:-1]), names[-1])))
