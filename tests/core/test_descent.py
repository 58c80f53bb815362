"""Which model came from which."""

from __future__ import annotations

from pathlib import Path

from napari_unetstyle.core.models.descent import by_descent
from napari_unetstyle.core.models.spec import ModelSpec
from napari_unetstyle.core.models.store import ModelStore
from tests.core.networks_for_tests import random_unet, tiny_model

SPEC = {
    "network": {"in_channels": 1, "widths": (4, 6)},
    "input": {"channels": "gray"},
    "classes": [{"value": 1, "name": "nucleus", "color": "#e41a1c"}],
    "card": {"purpose": "tests", "summary": "blobs", "training_data": "none", "license": "MIT"},
}


def model(reference: str, parent: str | None = None, seal: str = "", **provenance: str) -> ModelSpec:
    name, _, version = reference.partition("@")
    files = {"model.json": seal * 64} if seal else {}
    content = {**SPEC, "name": name, "version": int(version), "parent": parent, "provenance": provenance}
    return ModelSpec.model_validate({**content, "files": files})


def rows(*specs: ModelSpec) -> list[str]:
    return [f"{'  ' * row.depth}{row.spec.name} {row.spec.version}" for row in by_descent(specs)]


def test_each_is_followed_by_those_that_came_from_it() -> None:
    specs = [
        model("axons@1"),
        model("mine@1", "nuclei@1"),
        model("mine@2", "mine@1"),
        model("mine@3", "mine@1"),
        model("mine@4", "mine@2"),
        model("nuclei@1"),
    ]
    assert rows(*specs) == ["axons 1", "nuclei 1", "  mine 1", "    mine 2", "      mine 4", "    mine 3"]
    assert [row.parent.name if row.parent else None for row in by_descent(specs)][:3] == [None, None, "nuclei"]


def test_one_whose_origin_is_not_there_stands_at_the_top() -> None:
    assert rows(model("mine@2", "mine@1"), model("nuclei@1")) == ["mine 2", "nuclei 1"]
    assert rows() == []


def test_another_model_of_the_same_name_is_not_its_origin() -> None:
    taught = model("mine@1", "nuclei@1", parent_seal="a" * 64)
    assert rows(taught, model("nuclei@1", seal="b")) == ["mine 1", "nuclei 1"]
    assert rows(taught, model("nuclei@1", seal="a")) == ["nuclei 1", "  mine 1"]


def test_no_model_is_lost_or_named_twice_where_files_tell_of_a_circle() -> None:
    assert rows(model("a@1", "b@1"), model("b@1", "a@1"), model("c@1", "a@1"), model("d@1", "d@1")) == [
        "a 1",
        "  b 1",
        "  c 1",
        "d 1",
    ]


def test_an_origin_that_was_imported_under_another_name_is_found(tmp_path: Path) -> None:
    source = tiny_model(tmp_path / "elsewhere", name="cells")
    here = ModelStore(tmp_path / "here", bundled=tmp_path / "none")
    here.import_(source.folder, name="cells-of-theirs")
    taught = source.spec.model_copy(
        update={
            "name": "mine",
            "parent": "cells@1",
            "provenance": {"parent_seal": source.spec.files["model.json"]},
            "files": {},
        }
    )
    here.save(taught, random_unet(channels=3))
    assert rows(*here.list()) == ["cells-of-theirs 1", "  mine 1"]
