"""napari.yaml is valid, everything it names exists, and what is installed is what is in the repository."""

from __future__ import annotations

import importlib.metadata
import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from npe2 import PluginManifest
from npe2.manifest.utils import import_python_name

import napari_unetstyle

ROOT = Path(__file__).parents[1]
MANIFEST = ROOT / "napari.yaml"


@pytest.fixture(scope="module")
def manifest() -> PluginManifest:
    return PluginManifest.from_file(MANIFEST)


@pytest.fixture(scope="module")
def contributions() -> dict[str, Any]:
    return yaml.safe_load(MANIFEST.read_text())["contributions"]


def test_manifest_is_valid(manifest: PluginManifest) -> None:
    assert manifest.name == importlib.metadata.metadata("napari-unetstyle")["Name"]
    assert manifest.display_name == manifest.name  # otherwise napari opens the same widget twice
    manifest.validate_imports()


def test_only_known_keys(contributions: dict[str, Any]) -> None:
    """npe2 drops misspelled keys in silence."""
    from npe2.manifest.contributions import ContributionPoints

    assert set(contributions) <= set(ContributionPoints.model_fields)


def test_every_command_exists(manifest: PluginManifest, contributions: dict[str, Any]) -> None:
    declared = {command["id"] for command in contributions["commands"]}
    named = re.findall(r"command: *['\"]?([\w.-]+)", MANIFEST.read_text())
    assert declared
    assert set(named) <= declared
    for command in manifest.contributions.commands or []:
        assert command.python_name
        assert callable(import_python_name(command.python_name))


def test_menus_are_ones_that_napari_has(contributions: dict[str, Any]) -> None:
    from napari._app_model.constants import MenuId  # napari ignores others in silence

    own = {submenu["id"] for submenu in contributions.get("submenus", [])}
    assert set(contributions.get("menus", {})) <= {menu.value for menu in MenuId.contributables()} | own


def test_main_dock_is_the_first_widget(manifest: PluginManifest) -> None:
    """`napari -w napari-unetstyle` opens the first one."""
    first = (manifest.contributions.widgets or [])[0]
    (command,) = [c for c in manifest.contributions.commands or [] if c.id == first.command]
    assert (command.python_name or "").startswith("napari_unetstyle.widgets.main_dock:")


def test_installed_manifest_is_this_one() -> None:
    distribution = importlib.metadata.distribution("napari-unetstyle")
    (entry,) = distribution.entry_points.select(group="napari.manifest")
    folder, _, name = entry.value.partition(":")
    installed = Path(str(distribution.locate_file(folder))) / name
    assert installed.read_bytes() == MANIFEST.read_bytes(), "napari.yaml changed: run pip install -e . again"


def test_version_is_the_packages() -> None:
    assert importlib.metadata.version("napari-unetstyle") == napari_unetstyle.__version__
