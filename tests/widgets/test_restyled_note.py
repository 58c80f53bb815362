"""What was found in a restyled picture says so, wherever it goes and however the layer is called."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import napari.layers
import numpy as np
import pytest
from qtpy.QtWidgets import QApplication

from napari_unetstyle.core import as_image, segment, write_image, write_labels
from napari_unetstyle.core.imaging.restyled import restyled_note
from napari_unetstyle.core.segmentation.output import label_info
from napari_unetstyle.widgets.label_layers import METADATA
from napari_unetstyle.widgets.layers import STYLE, image_from_layer
from napari_unetstyle.widgets.saving import as_shown
from tests.widgets.fake_core import WAIT, blobs

MADE = {STYLE: {"picture": "slide7", "styles": ["slide9"], "method": "any", "strength": 0.5}}
NOTE = "Of a restyled picture (method any, strength 50%), not of one as it was taken."


def test_labels_table_and_copied_text_say_so(make_dock: Any, qtbot: Any, run: Any, tmp_path: Path) -> None:
    dock = make_dock()
    results = dock.segment.results
    made = dock.viewer.add_image(blobs(), name="slide7 · in the style of slide9", metadata=MADE)
    made.name = "a picture"
    dock.segment.picture.choose(made)
    run(dock)
    assert NOTE in as_shown(results.output).notes
    assert NOTE in results.box.notes.text()
    assert NOTE in results.output.layer.metadata[METADATA]["notes"]
    results.box.table.setChecked(True)
    qtbot.waitUntil(lambda: results._measurements.is_current(results.output), timeout=WAIT * 1000)
    assert NOTE in results._table.title.text()
    assert set(results.output.layer.features["restyled"]) == {"yes"}
    results.save("table", tmp_path / "a.csv", results.output)
    qtbot.waitUntil(lambda: "Saved" in results.box.said.text(), timeout=WAIT * 1000)
    with (tmp_path / "a.csv").open() as file:
        assert {row["restyled"] for row in csv.DictReader(file)} == {"yes"}
    results.copy("python")
    assert QApplication.clipboard().text().startswith(f"# {NOTE}\n")


def test_of_a_picture_as_it_was_taken_nothing_is_said(make_windowless_dock: Any, run: Any) -> None:
    dock = make_windowless_dock()
    dock.viewer.add_image(blobs(), name="slide7")
    run(dock)
    output = dock.segment.results.output
    assert not output.result.notes
    assert "restyled" not in output.layer.features
    dock.segment.results.copy("python")
    assert "#" not in QApplication.clipboard().text().splitlines()[0]


def test_a_file_of_labels_says_so_and_names_no_picture(tmp_path: Path) -> None:
    layer = napari.layers.Image(blobs(), name="slide7", metadata=MADE)
    result = segment(image_from_layer(layer), "nuclei")
    for file in ("a.tif", "a.ome.tif", "a.nii.gz", "a.nrrd", "a.zarr"):
        write_labels(tmp_path / file, result)
        kept = label_info(tmp_path / file)
        assert NOTE in kept["notes"], file
        assert "slide" not in str(kept)


@pytest.mark.parametrize("name", ["a.tif", "a.ome.tif", "a.nii.gz"])
def test_a_file_that_was_renamed_is_known_for_a_restyled_picture(
    make_windowless_dock: Any, run: Any, tmp_path: Path, name: str
) -> None:
    volume = name.endswith(".gz")
    pixels = blobs()[np.newaxis] if volume else blobs()
    about = {"restyled": {"method": "any", "strength": 0.5, "inverted": False}}
    write_image(tmp_path / name, as_image(pixels, axes="ZYX" if volume else "YX"), about)
    assert NOTE in segment(tmp_path / name, "nuclei").notes
    dock = make_windowless_dock()
    plugin = None if name == "a.tif" else "napari-unetstyle"  # napari's own reader keeps nothing of what a file says
    (layer,) = dock.viewer.open(tmp_path / name, plugin=plugin)
    dock.segment.picture.choose(layer)
    run(dock)
    assert NOTE in dock.segment.results.output.result.notes
    assert "restyled, not as it was taken" in dock.segment.picture.info.text()


@pytest.mark.parametrize("made", [{}, {"method": 3, "strength": 0.5}, {"method": "any", "strength": "all"}])
def test_what_a_file_says_of_how_it_was_made_need_not_be_ours(made: dict[str, Any]) -> None:
    assert restyled_note(made) == "Of a restyled picture, not of one as it was taken."
