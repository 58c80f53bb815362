"""Which model came from which: a taught one from the one it was taught to."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from napari_unetstyle.core.models.folder import MANIFEST
from napari_unetstyle.core.models.model import reference
from napari_unetstyle.core.models.spec import ModelSpec


@dataclass(frozen=True)
class Descendant:
    """A model and its place among the others.

    Attributes
    ----------
    spec
        What it is.
    parent
        The model it came from; None where it came from none, or that one is not there.
    depth
        How many models stand above it.
    """

    spec: ModelSpec
    parent: ModelSpec | None
    depth: int


def by_descent(specs: Sequence[ModelSpec]) -> list[Descendant]:
    """Models as a forest, told in rows: each one is followed by those that came from it.

    Parameters
    ----------
    specs
        Of models that are there; those that came from the same one stay in this order.
    """
    parents = _parents(specs)
    children: dict[str | None, list[ModelSpec]] = {}
    for spec in specs:
        above = parents[reference(spec)]
        children.setdefault(None if above is None else reference(above), []).append(spec)

    def rows(above: ModelSpec | None, depth: int) -> Iterator[Descendant]:
        for spec in children.get(None if above is None else reference(above), ()):
            yield Descendant(spec, above, depth)
            yield from rows(spec, depth + 1)

    return list(rows(None, 0))


def _parents(specs: Sequence[ModelSpec]) -> dict[str, ModelSpec | None]:
    named = {reference(spec): spec for spec in specs}
    sealed = {seal: spec for spec in specs for seal in _seals(spec)}
    parents = {reference(spec): _parent(spec, named, sealed) for spec in specs}
    for name in named:
        if _is_above_itself(name, parents):  # files that somebody wrote by hand
            parents[name] = None
    return parents


def _parent(spec: ModelSpec, named: dict[str, ModelSpec], sealed: dict[str, ModelSpec]) -> ModelSpec | None:
    """By its seal, as a model that was imported may be called otherwise here, and another may have its name."""
    if spec.parent is None:
        return None
    seal = spec.provenance.get("parent_seal")
    return named.get(spec.parent) if seal is None else sealed.get(seal)


def _seals(spec: ModelSpec) -> list[str]:
    """What a model is known by: its seal, and the one it had before it was renamed."""
    seals = (spec.files.get(MANIFEST), spec.provenance.get("imported_seal"))
    return [seal for seal in seals if seal]


def _is_above_itself(name: str, parents: dict[str, ModelSpec | None]) -> bool:
    seen: set[str] = set()
    above = parents[name]
    while above is not None and reference(above) not in seen:
        if reference(above) == name:
            return True
        seen.add(reference(above))
        above = parents[reference(above)]
    return False
