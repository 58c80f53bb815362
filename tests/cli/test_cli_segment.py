"""The command ``segment``: the same labels as in Python, and exit codes and messages that help."""

from __future__ import annotations

import csv
import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile

from napari_unetstyle.cli.folder_report import echo_text_summary
from napari_unetstyle.cli.values import parse_polygon
from napari_unetstyle.core import SegmentOptions, free_memory, read_image, segment
from napari_unetstyle.core.models.model import Model
from napari_unetstyle.core.segmentation.folder_report import FolderReport, PictureStatus
from napari_unetstyle.core.segmentation.segment import inside, scope
from tests.cli.cli_for_tests import Shell
from tests.core.slides_for_tests import stained, write_mrxs


def test_labels_are_those_of_python(shell: Shell, slides: Path, tmp_path: Path, tiny: Model) -> None:
    done = shell(
        "segment", slides / "a.tif", slides / "b.tif", "-o", tmp_path / "out", "-m", "tiny", "--objects", "--csv"
    )
    assert done.code == 0
    expected = {name: segment(slides / name, tiny, output="objects") for name in ("a.tif", "b.tif")}
    for name, result in expected.items():
        np.testing.assert_array_equal(tifffile.imread(tmp_path / "out" / name), result.labels)
        assert re.search(rf"{name}: {result.count} objects, .* s -> ", done.out)
    with (tmp_path / "out" / "objects.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == sum(result.count for result in expected.values())
    assert done.out.splitlines()[-1] == f"2 done. Table: {tmp_path / 'out' / 'objects.csv'}"


def test_a_folder_with_a_slide_of_mirax(shell: Shell, tmp_path: Path, tiny: Model) -> None:
    """The folder beside the slide, which belongs to it, holds no pictures."""
    pytest.importorskip("openslide")
    (tmp_path / "scans").mkdir()
    path = write_mrxs(tmp_path / "scans" / "slide.mrxs", stained((128, 192)), missing={(0, 0)}, mpp=(0.5, 0.5))
    done = shell("segment", tmp_path / "scans", "-o", tmp_path / "out", "-m", "tiny", "--object-diameter", "60")
    assert done.code == 0, done.err
    written = read_image(tmp_path / "out" / "slide.tif")
    np.testing.assert_array_equal(written.array, segment(path, tiny, object_diameter=60).labels)
    assert written.geometry.spacing == pytest.approx((1.0, 1.0))
    assert "level 1" in done.err
    assert done.out.splitlines()[-1] == "1 done."


@pytest.mark.parametrize(
    ("words", "options"),
    [
        (["--threshold", "0.4", "--min-pixels", "9"], {"threshold": 0.4, "min_pixels": 9}),
        (["--areas"], {"output": "areas"}),
        (["--areas", "--keep-largest", "--fill-holes"], {"output": "areas", "keep_largest": True, "fill_holes": True}),
        (
            ["--areas", "--min-size", "9 um2", "--spacing", "0.5"],
            {"output": "areas", "min_size": "9 um2", "spacing": (0.5, 0.5)},
        ),
        (["--box", "5,40;10,60"], {"box": ((5, 40), (10, 60))}),
        (["--polygon", "5,5;50.5,10;30,60"], {"polygon": ((5.0, 5.0), (50.5, 10.0), (30.0, 60.0))}),
        (["--object-diameter", "60"], {"object_diameter": 60.0}),
        (["--flip", "--device", "cpu"], {"flip": True, "device": "cpu"}),
        (["--tile", "32", "--memory", "1"], {"tile": 32}),
        (["--no-amp"], {"amp": False}),
        (["--no-skip-glass"], {"skip_glass": False}),
    ],
)
def test_options_are_those_of_python(
    words: list[str], options: dict[str, Any], shell: Shell, slides: Path, tmp_path: Path, tiny: Model
) -> None:
    done = shell("segment", slides / "a.tif", "-o", tmp_path, "--model", "tiny", *words)
    assert done.code == 0, done.err
    np.testing.assert_array_equal(
        tifffile.imread(tmp_path / "a.tif"), segment(slides / "a.tif", tiny, **options).labels
    )


def test_a_stack_with_axes_channel_frames_and_pixel_size(
    shell: Shell, slides: Path, tmp_path: Path, tiny: Model
) -> None:
    a, b = (tifffile.imread(slides / name) for name in ("a.tif", "b.tif"))
    stack = np.stack([[a, b], [b, a], [a, a]])
    tifffile.imwrite(tmp_path / "stack.tif", stack, photometric="minisblack")
    words = ["segment", tmp_path / "stack.tif", "-o", tmp_path / "out", "-m", "tiny"]
    done = shell(*words)
    assert done.code == 2
    assert "axes='TZYX' for times" in done.err
    more = ["--axes", "tcyx", "--channel", "1", "--frames", "0;2", "--spacing", "0.5", "--statistics", "frame"]
    assert shell(*words, *more).code == 0
    options = {"channel": 1, "frames": ((0,), (2,)), "statistics": "frame"}
    expected = segment(stack, tiny, axes="TCYX", spacing=(0.5, 0.5), **options)
    np.testing.assert_array_equal(tifffile.imread(tmp_path / "out" / "stack.tif"), expected.labels)


def test_polygon_from_qupath(shell: Shell, slides: Path, tmp_path: Path, tiny: Model) -> None:
    ring = [[5, 5], [60, 10], [30, 50], [5, 5]]
    feature = {"type": "Feature", "geometry": {"type": "Polygon", "coordinates": [ring]}, "properties": {}}
    expected = segment(slides / "a.tif", tiny, polygon=((4.5, 4.5), (9.5, 59.5), (49.5, 29.5))).labels
    shapes = [feature, feature["geometry"], [feature], {"type": "FeatureCollection", "features": [feature]}]
    for i, content in enumerate(shapes):
        (tmp_path / "shape.geojson").write_text(json.dumps(content))
        words = ["segment", slides / "a.tif", "-o", tmp_path / f"out{i}", "-m", "tiny"]
        assert shell(*words, "--polygon", tmp_path / "shape.geojson").code == 0
        np.testing.assert_array_equal(tifffile.imread(tmp_path / f"out{i}" / "a.tif"), expected)


def test_the_outline_of_an_object_brings_its_own_pixels(shell: Shell, slides: Path, tmp_path: Path) -> None:
    words = ["segment", slides / "a.tif", "-m", "tiny"]
    assert shell(*words, "-o", tmp_path / "out", "--geojson").code == 0
    labels = tifffile.imread(tmp_path / "out" / "a.tif")
    features = json.loads((tmp_path / "out" / "a.geojson").read_text())["features"]
    simple = [f for f in features if f["geometry"]["type"] == "Polygon" and len(f["geometry"]["coordinates"]) == 1]
    assert simple
    for feature in simple:
        (tmp_path / "one.geojson").write_text(json.dumps(feature))
        options = SegmentOptions(polygon=parse_polygon(str(tmp_path / "one.geojson")))
        box = scope(options, labels.shape)
        own = np.zeros(labels.shape, bool)
        own[box] = inside(options.polygon or (), box)
        np.testing.assert_array_equal(own, labels == feature["properties"]["measurements"]["label"])


def test_what_is_written_on_request(shell: Shell, slides: Path, tmp_path: Path) -> None:
    words = ["--rois", "--geojson", "--probabilities", "--measure"]
    assert shell("segment", slides, "-o", tmp_path / "out", "-m", "tiny", *words).code == 0
    each = ("{}.tif", "{}_rois.zip", "{}.geojson", "{}_probabilities.tif")
    visible = {path.name for path in (tmp_path / "out").iterdir() if path.is_file()}
    assert visible == {"objects.csv", *(kind.format(stem) for kind in each for stem in "ab")}
    assert "solidity" in (tmp_path / "out" / "objects.csv").read_text().splitlines()[0]


# Exit codes --------------------------------------------------------------------------------------------------------


def test_some_failed(shell: Shell, slides: Path, tmp_path: Path) -> None:
    (slides / "b.tif").write_bytes((slides / "b.tif").read_bytes()[:300])
    done = shell("segment", slides, slides / "gone.tif", "-o", tmp_path / "out", "-m", "tiny")
    assert done.code == 1
    assert "1 done, 2 failed." in done.out
    assert "2 of 3 pictures failed:" in done.err
    assert re.search(r"b\.tif: .*truncated.*", done.err)
    assert re.search(r"gone\.tif: There is no file", done.err)
    assert (tmp_path / "out" / "a.tif").exists()


def test_again_is_skipped_unless_forced(shell: Shell, slides: Path, tmp_path: Path) -> None:
    words = ["segment", slides, "-o", tmp_path / "out", "-m", "tiny"]
    shell(*words)
    assert "0 done, 2 skipped" in shell(*words).out
    assert "2 done." in shell(*words, "--force").out


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["{slides}/nowhere.tif"], "There is no file"),
        (["{slides}/*.png"], "no picture in"),
        (["{text}"], "not a picture"),
        (["{empty}"], "is empty"),
        (["{complex}"], "complex64"),
        (["{nan}"], "no finite pixel"),
        (["{four}"], "4 channels|5 channels"),
        (["{slides}/a.tif", "--model", "unknown"], "no model 'unknown'. Installed: .*tiny"),
        (["{slides}/a.tif", "--model", "{slides}"], "not a model folder"),
        (["{slides}/a.tif", "--objects", "--areas"], "exclude each other"),
        (["{slides}/a.tif", "--threshold", "1.5"], "threshold=1.5"),
        (["{slides}/a.tif", "--threshold", "nan"], "threshold=nan"),
        (["{slides}/a.tif", "--statistics", "odd"], "statistics='odd'"),
        (["{slides}/a.tif", "--channel", "3"], "no channel"),
        (["{slides}/a.tif", "--axes", "YXC"], "name 3 axes"),
        (["{slides}/a.tif", "--spacing", "x"], "--spacing 'x' is not allowed"),
        (["{slides}/a.tif", "--spacing", "0"], "Pixel size"),
        (["{slides}/a.tif", "--box", "5"], "--box '5' is not allowed"),
        (["{slides}/a.tif", "--box", "0,9;900,999"], "outside the picture"),
        (["{slides}/a.tif", "--polygon", "1,2;3"], "--polygon '1,2;3' is not allowed"),
        (["{slides}/a.tif", "--polygon", "none.geojson"], "cannot be read"),
        (["{slides}/a.tif", "--frames", "a"], "--frames 'a' is not allowed"),
        (["{slides}/a.tif", "--frames", "7"], "no frame"),
        (["{slides}/a.tif", "--device", "cuda:7"], "not available"),
        (["{slides}/a.tif", "--device", "abacus"], "not available"),
        (["{slides}/a.tif", "--stains", "odd"], "not known|RGB"),
        (["{slides}/a.tif", "--tile", "3"], "tile"),
        ([], "Missing argument"),
    ],
)
def test_bad_input_is_a_sentence_and_code_2(
    words: list[str], sentence: str, shell: Shell, slides: Path, tmp_path: Path
) -> None:
    (tmp_path / "text.tif").write_text("hello")
    (tmp_path / "empty.png").touch()
    tifffile.imwrite(tmp_path / "complex.tif", np.ones((9, 9), np.complex64))
    tifffile.imwrite(tmp_path / "nan.tif", np.full((40, 40), np.nan, np.float32))
    tifffile.imwrite(tmp_path / "four.tif", np.zeros((5, 40, 40), np.uint8), metadata={"axes": "CYX"})
    places = {name: tmp_path / f"{name}.tif" for name in ("text", "complex", "nan", "four")}
    filled = [word.format(slides=slides, empty=tmp_path / "empty.png", **places) for word in words]
    done = shell("segment", *filled, "-o", tmp_path / "out", *([] if "--model" in words else ["--model", "tiny"]))
    assert done.code == 2
    assert re.search(sentence, " ".join(done.err.replace("│", " ").split())), done.err
    assert "Traceback" not in done.err
    assert not list((tmp_path / "out").rglob("*.tif"))


@pytest.mark.parametrize(
    "content", ["", "[1]", '{"type": "Feature"}', '{"type": "Point", "coordinates": [1, 2]}', "{}"]
)
def test_a_shape_that_is_none(content: str, shell: Shell, slides: Path, tmp_path: Path) -> None:
    (tmp_path / "x.geojson").write_text(content)
    done = shell("segment", slides, "-o", tmp_path / "out", "-m", "tiny", "--polygon", tmp_path / "x.geojson")
    assert done.code == 2
    assert "polygon" in done.err


def test_no_output_over_pictures(shell: Shell, slides: Path) -> None:
    before = (slides / "a.tif").read_bytes()
    done = shell("segment", slides / "a.tif", "-o", slides, "-m", "tiny")
    assert done.code == 2
    assert "would replace a picture" in done.err
    assert (slides / "a.tif").read_bytes() == before


def test_stopped_by_the_keyboard(shell: Shell, slides: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from napari_unetstyle.core.segmentation import folder_job

    def interrupted(*_: Any, **__: Any) -> Any:
        raise KeyboardInterrupt

    monkeypatch.setattr(folder_job, "iter_segment", interrupted)
    done = shell("segment", slides, "-o", tmp_path / "out", "-m", "tiny")
    assert done.code == 130
    assert "goes on from there" in done.err


# For machines ------------------------------------------------------------------------------------------------------


def test_much_memory_is_said_before_it_begins_and_again_only_where_it_is_more(
    shell: Shell, slides: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tifffile.imwrite(slides / "c.tif", np.tile(tifffile.imread(slides / "b.tif"), (2, 2)))
    words = ["segment", slides, "-m", "tiny", "-o"]
    assert "of memory" not in shell(*words, tmp_path / "plenty").err
    monkeypatch.setattr(free_memory, "free_memory", lambda: 15 * 10**7)
    done = shell(*words, tmp_path / "out")
    found = re.findall(r"(.*): Needs about 0\.\d GB of memory; 0\.1 GB are free\.", done.err)
    assert found[0] == "a.tif"
    assert "b.tif" not in found  # as large as the first
    assert "of memory" not in done.out
    assert "of memory" not in shell(*words, tmp_path / "json", "--json").err


def test_json(shell: Shell, slides: Path, tmp_path: Path) -> None:
    (slides / "c.tif").write_text("x")
    done = shell("segment", slides, "-o", tmp_path / "out", "-m", "tiny", "--csv", "--json")
    *pictures, summary = map(json.loads, done.out.splitlines())
    assert done.code == 1
    assert [(p["name"], p["state"]) for p in pictures] == [("a.tif", "done"), ("b.tif", "done"), ("c.tif", "failed")]
    assert all(Path(p["labels"]).exists() for p in pictures[:2])
    assert "not a picture" in pictures[2]["error"]
    assert summary["summary"] == {"done": 2, "skipped": 0, "failed": 1}
    assert Path(summary["table"]).exists()
    assert "not a picture" in done.err


def test_json_says_nothing_else_when_it_cannot_start(shell: Shell, slides: Path, tmp_path: Path) -> None:
    done = shell("segment", slides, "-o", tmp_path / "out", "-m", "unknown", "--json")
    assert (done.code, done.out) == (2, "")


# Help --------------------------------------------------------------------------------------------------------------


def test_help_teaches_by_example(shell: Shell) -> None:
    for words in ([], ["segment"], ["evaluate"], ["models"]):
        done = shell(*words, "--help")
        assert done.code == 0
        assert "Examples" in done.out
    for words in ([], ["segment"]):
        assert "research use only, not a medical device" in shell(*words, "--help").out.lower()


def test_version(shell: Shell) -> None:
    from napari_unetstyle import __version__

    assert __version__ in shell("--version").out


@pytest.mark.parametrize("words", [["--help"], ["segment", "--help"], ["--version"], ["models", "list"]])
def test_help_comes_without_heavy_imports(words: list[str]) -> None:
    code = """
import sys
from napari_unetstyle.cli.main import main
sys.argv[0] = "napari-unetstyle"
try:
    main()
except SystemExit:
    pass
print("loaded:", *sorted({"torch", "skimage", "scipy", "napari", "tifffile", "zarr"} & set(sys.modules)))
"""
    done = subprocess.run([sys.executable, "-c", code, *words], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "loaded:"


def test_a_note_says_which_pictures_it_is_about(capsys: pytest.CaptureFixture[str]) -> None:
    notes = [("all", "some"), ("all", "some"), ("all", "one"), ()]
    states = ["done", "skipped", "done", "failed"]
    pictures = tuple(
        PictureStatus(path=Path(name), name=name, labels=Path(name), state=state, notes=said)
        for name, state, said in zip("abcd", states, notes, strict=True)
    )
    echo_text_summary(FolderReport(pictures=pictures))
    said = capsys.readouterr().err
    assert "Note: all\nNote on a and 1 more: some\nNote on c: one\n" in said
