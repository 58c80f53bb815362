"""What napari.yaml promises, through npe2: every pattern of the reader opens, every suffix of the writer comes back."""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import npe2
import numpy as np
import pydicom
import pytest
import SimpleITK as sitk
import tifffile
from napari.components import ViewerModel
from napari.layers import Image as ImageLayer
from napari.layers import Labels
from npe2 import PluginManager, PluginManifest

from napari_unetstyle.core import read_image, write_labels
from napari_unetstyle.core.colors import rgb
from napari_unetstyle.core.errors import ImageFileError, OutputError
from napari_unetstyle.core.imaging import tiff
from napari_unetstyle.core.imaging.geometry import Geometry
from napari_unetstyle.core.models.store import ModelStore
from napari_unetstyle.widgets import readers
from napari_unetstyle.widgets.statements import known_statement
from tests.core import dicom_for_tests as made
from tests.core.networks_for_tests import tiny_model
from tests.core.slides_for_tests import shrunk, stained, write_mrxs, write_ndpi, write_svs
from tests.core.test_output import CLASSES

MANIFEST = Path(readers.__file__).parents[3] / "napari.yaml"
OURS = PluginManifest.from_file(MANIFEST)
PATTERNS = [pattern for reader in OURS.contributions.readers or [] for pattern in reader.filename_patterns]
SUFFIXES = [suffix for writer in OURS.contributions.writers or [] for suffix in writer.filename_extensions]
PLACE = Geometry(spacing=(2.5, 0.75, 0.5), unit="mm", origin=(7, 8, 9), is_anatomical=True)
PIXELS = np.random.default_rng(0).integers(0, 900, (5, 12, 14)).astype(np.int16)
UNITS = {"um": "micrometer", "mm": "millimeter"}


@pytest.fixture(autouse=True)
def manager(npe2pm: PluginManager) -> Iterator[PluginManager]:
    """npe2 that knows napari's own reader and writer and ours, as they stand here."""
    with contextlib.ExitStack() as stack:
        stack.enter_context(npe2pm.tmp_plugin(package="napari"))  # type: ignore[attr-defined]
        stack.enter_context(npe2pm.tmp_plugin(manifest=OURS))  # type: ignore[attr-defined]
        yield npe2pm


def read(path: Path) -> list[Any]:
    return npe2.read([str(path)], stack=False, plugin_name=OURS.name)


def layer_of(path: Path) -> Any:
    ((data, arguments, kind),) = read(path)
    return {"image": ImageLayer, "labels": Labels}[kind](data, **arguments)


def volume(path: Path) -> Path:
    return write_labels(path, PIXELS, axes="ZYX", geometry=PLACE)


def with_header(path: Path) -> Path:
    image = sitk.GetImageFromArray(PIXELS)
    image.SetSpacing(PLACE.spacing[::-1])
    sitk.WriteImage(image, str(path))
    return path


def dicom(path: Path) -> Path:
    (file,) = made.write_volume(path.parent / "series", PIXELS[:1], PLACE).iterdir()
    return Path(shutil.copy(file, path))


def micrographs(path: Path) -> Path:
    return write_labels(path, PIXELS, axes="ZYX", geometry=Geometry(spacing=(2.5, 0.75, 0.5), unit="um"))


def zarr(path: Path) -> Path:
    return micrographs(path)


def mrxs(path: Path) -> Path:
    pytest.importorskip("openslide")
    return write_mrxs(path, stained((256, 320)))


def levels() -> list[np.ndarray]:
    finest = stained((302, 351))
    return [finest, shrunk(finest, 2), shrunk(finest, 8)]


FREE = ["[!.]" * n for n in range(1, 17)]  # names without a dot
Made = tuple[Callable[[Path], Path], tuple[float, ...], str]
VOLUME, SLICE, STACK = (2.5, 0.75, 0.5), (0.75, 0.5), (2.5, 0.75, 0.5)
SIZES: dict[str, Made] = {
    **dict.fromkeys(("*.nii", "*.nii.gz", "*.nrrd", "*.mha"), (volume, VOLUME, "mm")),
    **dict.fromkeys(("*.nhdr", "*.mhd"), (with_header, VOLUME, "mm")),
    **dict.fromkeys(("*.dcm", "*.dicom", "*.ima", *FREE), (dicom, SLICE, "mm")),
    **dict.fromkeys(("*.ome.tif", "*.ome.tiff", "*.zarr"), (micrographs, STACK, "um")),
    "*.svs": (lambda path: write_svs(path, levels()), (0.5, 0.5), "um"),
    "*.ndpi": (lambda path: write_ndpi(path, levels()), (0.5, 0.5), "um"),
    "*.mrxs": (mrxs, (0.5, 0.25), "um"),
}


@pytest.mark.parametrize("pattern", [p for p in PATTERNS if p != "*.unetmodel.zip" and p not in FREE[1:-1]])
def test_every_pattern_of_the_reader_opens_with_its_pixel_size(
    pattern: str, tmp_path: Path, manager: PluginManager
) -> None:
    make, spacing, unit = SIZES[pattern]
    path = make(tmp_path / pattern.replace("[!.]", "I").replace("*", "One"))
    assert OURS.name in {reader.plugin_name for reader in manager.iter_compatible_readers([str(path)])}
    layer = layer_of(path)
    np.testing.assert_allclose(layer.scale[-len(spacing) :], spacing, rtol=1e-6)
    assert [str(one) for one in layer.units[-len(spacing) :]] == [UNITS[unit]] * len(spacing)
    np.testing.assert_array_equal(np.asarray(layer.data[0] if layer.multiscale else layer.data), read_image(path).array)


def test_no_pattern_is_left_out() -> None:
    assert set(PATTERNS) == {*SIZES, "*.unetmodel.zip"}


def test_a_shared_model_is_installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NAPARI_UNETSTYLE_MODELS", str(tmp_path / "own"))
    tiny_model(tmp_path / "theirs")
    assert read(ModelStore(tmp_path / "theirs").share("tiny", tmp_path)) == [(None,)]


# TIFF --------------------------------------------------------------------------------------------------------------


def test_an_ome_tiff_in_levels_opens_in_all_of_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    finest = np.random.default_rng(0).integers(0, 255, (256, 192), np.uint8)
    metadata = {"axes": "YX", "PhysicalSizeX": 0.5, "PhysicalSizeY": 0.25}
    with tifffile.TiffWriter(tmp_path / "x.ome.tif", ome=True) as writer:
        writer.write(finest, subifds=1, tile=(64, 64), compression="zlib", metadata=metadata)
        writer.write(finest[::2, ::2], subfiletype=1, tile=(64, 64), compression="zlib")
    monkeypatch.setattr(tiff, "LARGE", 1000)
    layer = layer_of(tmp_path / "x.ome.tif")
    assert (layer.multiscale, [one.shape for one in layer.data]) == (True, [(256, 192), (128, 96)])
    assert (tuple(layer.scale), [str(unit) for unit in layer.units]) == ((0.25, 0.5), ["micrometer"] * 2)
    monkeypatch.setattr(tiff, "LARGE", 1000)
    ((arrays, _, _),) = read(tmp_path / "x.ome.tif")
    assert {type(one) for one in arrays} == {tiff.TiffBlocks}
    np.testing.assert_array_equal(arrays[1][3:90:2, 5], finest[6:180:4, 10])


def test_labels_of_this_program_open_as_labels_with_their_classes(tmp_path: Path) -> None:
    place = Geometry(spacing=(0.5, 0.25), unit="um")
    path = write_labels(tmp_path / "x.ome.tif", np.eye(9, dtype=int), geometry=place, classes=CLASSES, output="areas")
    layer = layer_of(path)
    assert isinstance(layer, Labels)
    np.testing.assert_allclose(layer.colormap.map(1), [1, 0x80 / 255, 0, 1], atol=0.01)


@pytest.mark.parametrize(
    ("options", "shape"),
    [
        ({"metadata": None, "photometric": "minisblack"}, (7, 9, 14)),  # pages of which nothing says what they are
        ({"photometric": "separated"}, (9, 14, 4)),
    ],
)
def test_a_tiff_that_napari_can_only_number_is_left_to_it(options: Any, shape: Any, tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "x.ome.tif", np.zeros(shape, np.uint8), ome=False, **options)
    with pytest.raises(ValueError, match="refused the file"):
        read(tmp_path / "x.ome.tif")
    (((data, *_), *_), reader) = npe2.io_utils.read_get_reader(str(tmp_path / "x.ome.tif"))
    assert (np.asarray(data).shape, reader.plugin_name) == (shape, "napari")


def test_a_stack_of_tiffs_and_what_is_no_tiff_are_left_to_napari(tmp_path: Path) -> None:
    for name in ("a.tif", "b.tif"):
        tifffile.imwrite(tmp_path / name, np.zeros((9, 14), np.uint8))
    assert readers.get_reader([str(tmp_path / name) for name in ("a.tif", "b.tif")]) is None
    (tmp_path / "c.tif").write_bytes(b"no TIFF")
    assert readers.get_reader(str(tmp_path / "c.tif")) is None


def test_a_truncated_tiff_is_refused_before_it_is_shown(tmp_path: Path) -> None:
    path = micrographs(tmp_path / "x.ome.tif")
    path.write_bytes(path.read_bytes()[:-300])
    with pytest.raises(ImageFileError, match="truncated"):
        read(path)


def test_the_dock_says_that_napari_shows_a_part_of_a_cut_tiff(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    heard: list[str] = []
    monkeypatch.setattr("napari.utils.notifications.show_warning", heard.append)
    path = tmp_path / "x.tif"
    tifffile.imwrite(path, np.random.default_rng(0).integers(0, 255, (10, 64, 80), np.uint8), compression="zlib")
    (whole,) = ViewerModel().open(path)
    assert known_statement(whole).axes == "ZYX"
    path.write_bytes(path.read_bytes()[:-20000])
    (layer,) = ViewerModel().open(path)
    for _ in range(2):
        known_statement(layer)
    assert layer.data.shape == (64, 80)
    (said,) = heard
    assert "may show only a part" in said


# DICOM without a suffix ----------------------------------------------------------------------------------------------


def test_names_without_suffix_are_looked_at_and_no_other_file_is_claimed(
    tmp_path: Path, manager: PluginManager
) -> None:
    """A reader of everything would make napari ask which one to take, and scripts fail, for every file there is."""
    for name in ("I", "IM000001", "LICENSE", "MR_0000000000016"):
        assert [reader.plugin_name for reader in manager.iter_compatible_readers([name])] == [OURS.name]
        (tmp_path / name).write_bytes(b"text " * 50)
        assert readers.get_reader(str(tmp_path / name)) is None
    for name in ("x.tif", "x.png", "x.csv", "a.b", "brain.v2", "x.h5", ".hidden"):
        assert OURS.name not in {reader.plugin_name for reader in manager.iter_compatible_readers([name])}


# Labels ------------------------------------------------------------------------------------------------------------


def saved(layer: Labels, path: Path, monkeypatch: pytest.MonkeyPatch, *others: Any) -> Path:
    model = ViewerModel()
    for other in (*others, layer):
        model.add_layer(other)
    monkeypatch.setattr("napari.current_viewer", lambda: model)
    assert npe2.write(str(path), [layer.as_layer_data_tuple()], plugin_name=OURS.name) == [str(path)]
    return path


@pytest.mark.parametrize("suffix", [s for s in SUFFIXES if s != ".dcm"])
@pytest.mark.parametrize("unit", ["um", "mm"])
def test_every_suffix_of_the_writer_comes_back(
    suffix: str, unit: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ids, pixel size and unit; ids that TIFF cannot hold are refused."""
    is_tiff = ".tif" in suffix
    ids = np.zeros((4, 9, 14), np.int64)
    ids[0, 0, 0], ids[3, 8, 13] = (2**32 - 1 if is_tiff else 2**32 + 1), 2
    layer = Labels(ids, name="cells", scale=(2.5, 0.75, 0.5), units=(UNITS[unit],) * 3)
    path = saved(layer, tmp_path / f"x{suffix}", monkeypatch)
    if suffix in (".tif", ".tiff"):  # which napari's own reader opens
        path = path.rename(tmp_path / "x.ome.tif")
    again = layer_of(path)
    np.testing.assert_array_equal(np.asarray(again.data), ids)
    factor = 1 if is_tiff or suffix == ".zarr" or unit == "mm" else 1e-3  # volumes are in millimeters
    np.testing.assert_allclose(again.scale, np.multiply((2.5, 0.75, 0.5), factor), rtol=1e-6)
    assert [str(one) for one in again.units] == [UNITS[unit if factor == 1 else "mm"]] * 3
    if is_tiff:
        before = path.read_bytes()
        layer.data = np.where(ids == 2, 2**32 + 1, ids)
        with pytest.raises(OutputError, match="label ids"):
            saved(layer, path, monkeypatch)
        assert path.read_bytes() == before


def test_dicom_seg_is_written_on_the_open_series(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("highdicom")
    series = layer_of(made.write_volume(tmp_path / "series", PIXELS, PLACE))
    layer = Labels((PIXELS > 800).astype(int), scale=series.scale, translate=series.translate, units=series.units)
    path = saved(layer, tmp_path / "x.dcm", monkeypatch, series)
    assert pydicom.dcmread(path).Modality == "SEG"


def test_dicom_seg_opens_as_labels_on_the_place_of_its_series(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("highdicom")
    series = layer_of(made.write_volume(tmp_path / "series", PIXELS, PLACE))
    ids = np.zeros(PIXELS.shape, int)
    ids[2, 3:5, 1], ids[4, 0, 6:] = 1, 2
    source = tmp_path / "series"
    write_labels(tmp_path / "x.dcm", ids, axes="ZYX", geometry=PLACE, classes=CLASSES, output="areas", source=source)
    again = layer_of(tmp_path / "x.dcm")
    assert isinstance(again, Labels)
    np.testing.assert_array_equal(again.data, ids[2:])
    np.testing.assert_allclose(again.data_to_world((0, 0, 0)), series.data_to_world((2, 0, 0)))
    assert (again.units, again.axis_labels) == (series.units, series.axis_labels)
    assert np.allclose(again.get_color(1), np.append(np.array(rgb(CLASSES[0].color)) / 255, 1), atol=0.01)
    heard = readers.read_dicom([str(tmp_path / "x.dcm"), *map(str, source.iterdir())])
    assert [kind for _, _, kind in heard] == ["image", "labels"]


def test_ome_in_the_name_is_ome_in_the_file_and_plain_napari_saves_it_so(tmp_path: Path) -> None:
    layer = Labels(np.eye(9, dtype=int), scale=(0.5, 0.25), units=("micrometer",) * 2)
    npe2.write(str(tmp_path / "x.ome.tif"), [layer.as_layer_data_tuple()])  # the longest suffix wins
    with tifffile.TiffFile(tmp_path / "x.ome.tif") as opened:
        assert opened.is_ome
    assert read_image(tmp_path / "x.ome.tif").geometry == Geometry(spacing=(0.5, 0.25), unit="um")


@pytest.mark.parametrize(
    ("suffix", "said"), [(".zarr", "OME-Zarr cannot hold"), (".tif", "TIFF cannot hold"), (".nrrd", "")]
)
def test_napari_says_what_the_format_cannot_hold(
    suffix: str, said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    heard: list[str] = []
    monkeypatch.setattr("napari.utils.notifications.show_warning", heard.append)
    place = Geometry(spacing=(3, 1, 1), unit="mm", direction=np.diag([1, 1, -1]), is_anatomical=True)
    layer = layer_of(write_labels(tmp_path / "from.nrrd", np.eye(9, dtype=int)[None], axes="ZYX", geometry=place))
    labels = Labels(np.asarray(layer.data, int), scale=layer.scale, translate=layer.translate, units=layer.units)
    saved(labels, tmp_path / f"x{suffix}", monkeypatch, layer)
    assert len(heard) == bool(said)
    assert said in "".join(heard)
