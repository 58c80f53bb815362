"""Whatever the pixels are and mean: labels of the right shape and finite probabilities, or one of our sentences."""

from __future__ import annotations

import io
import struct
from pathlib import Path
from typing import Any

import dask.array as da
import nibabel
import numpy as np
import pytest
import tifffile
import zarr
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from napari_unetstyle.core import Geometry, Image, SegmentResult, read_image, segment
from napari_unetstyle.core.errors import ImageError, UnetstyleError
from napari_unetstyle.core.imaging.image import as_image
from napari_unetstyle.core.models.model import Model
from napari_unetstyle.core.segmentation.memory import predict_memory
from tests.core.geometry_for_tests import rotation
from tests.core.networks_for_tests import tiny_model, tiny_volume_model
from tests.core.zarr_for_tests import described, write_picture

AXES = ("YX", "ZYX", "TYX", "CYX", "YXC", "ZYXC", "TCYX", "CZYX", "TZYX", "TCZYX", "XY", "YXZ")
TYPES = ("?", "u1", "i1", ">u2", "i2", "u4", ">u4", "<i4", ">i4", "u8", "i8", "f2", "f4", ">f4", "f8", ">f8")
STORED = ("u1", "i1", "u2", ">i2", "u4", "i4", "u8", "f4", ">f4", "f8")
SIDES = {"T": st.integers(1, 2), "C": st.integers(1, 5), "Z": st.integers(1, 4)}
SIDE = st.one_of(st.integers(1, 3), st.integers(4, 26))
FILLS = ("noise", "nan", "+inf", "-inf", "constant", "zero", "huge", "tiny", "all nan", "one nan")
KINDS = ("array", "negative strides", "not contiguous", "fortran", "read-only", "memmap", "dask", "zarr", "masked")
SIZE = st.floats(0.05, 20)
WRONG_SIZE = st.sampled_from((-1.0, 0.0, np.nan, np.inf, 1e-30, 1e30))
PLACES = ("straight", "left-handed", "turned", "sheared", "singular", "nan", "far away")
NOWHERE = ("sheared", "singular", "nan")
SLOPES = (0.0, np.nan, np.inf, 1.0, 2.0, -0.5, 1e-30, 1e30)
IN_NIFTI = np.diag([1.0, -1.0, -1.0, 1.0])  # its world ZYX, which goes up, front and right
BACKWARD = np.eye(4)[[2, 1, 0, 3]]
HALVES = [([2.0, 0.5, 0.25], [0.0] * 3), ([2.0, 1.0, 0.5], [0.0, 0.25, 0.125])]


def filled(shape: tuple[int, ...], fill: str, seed: int) -> NDArray[np.float64]:
    random = np.random.default_rng(seed)
    noise = random.random(shape) * 200
    if fill in ("nan", "+inf", "-inf"):
        return np.where(random.random(shape) < 0.05, float(fill), noise)
    if fill == "one nan" and noise.size:
        noise.flat[seed % noise.size] = np.nan
    other = {"constant": 7.0, "zero": 0.0, "all nan": np.nan}
    return np.full(shape, other[fill]) if fill in other else noise * {"huge": 1e36, "tiny": 1e-36}.get(fill, 1.0)


def held(array: NDArray[Any], kind: str, folder: Path) -> Any:
    """The same values in another container or layout."""
    if kind == "negative strides":
        return np.ascontiguousarray(array[::-1])[::-1]
    if kind == "not contiguous":
        return np.repeat(array, 2, -1)[..., ::2]
    if kind == "fortran":
        return np.asfortranarray(array)
    if kind == "read-only":
        array = array.copy()
        array.setflags(write=False)
    if kind == "memmap" and array.size:
        np.save(folder / "x.npy", array)
        return np.load(folder / "x.npy", mmap_mode="r")
    if kind == "dask" and array.size:
        return da.from_array(array, chunks=7)
    if kind == "zarr" and array.size and array.dtype.kind != "c":
        return zarr.array(array)
    return np.ma.masked_array(array, np.abs(array) > 100) if kind == "masked" else array


def placed(place: str, spacing: tuple[float, ...], seed: int) -> NDArray[np.float64]:
    """An affine matrix from an index to the world, both ZYX."""
    random = np.random.default_rng(seed)
    affine = np.diag([*spacing, 1.0])
    affine[:3, 3] = random.uniform(-400, 400, 3) * (1e6 if place == "far away" else 1)
    if place == "turned":
        affine[:3, :3] = rotation(tuple(random.normal(size=3)), random.uniform(-3, 3)) @ affine[:3, :3]
    elif place == "left-handed":
        affine[:, seed % 3] *= -1
    elif place == "sheared":
        affine[0, 1] += 0.2 * spacing[1]
    elif place in ("singular", "nan"):
        affine[:, seed % 3] = 0 if place == "singular" else np.nan
    return affine


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Model]:
    folder = tmp_path_factory.mktemp("models")
    return {
        "flat": tiny_model(folder / "flat"),
        "deep": tiny_volume_model(folder / "deep"),
        "sized": tiny_volume_model(folder / "sized", spacing=(10.0,) * 3, unit="um"),
    }


@st.composite
def cases(draw: Any) -> dict[str, Any]:
    """What is segmented, and by which model; at most one thing about an array is plainly wrong."""
    how = draw(st.sampled_from(("array", "array", "placed", "NIfTI", "levels")))
    axes = draw(st.sampled_from(AXES)) if how == "array" else "ZYX"
    trouble = draw(st.sampled_from(("none",) * 5 + ("empty", "size", "complex"))) if how == "array" else "none"
    shape = [draw(SIDES.get(axis, SIDE)) for axis in axes]
    sizes = [draw(SIZE) for axis in axes if axis in "ZYX"]
    if trouble == "empty":
        shape[draw(st.integers(0, len(shape) - 1))] = 0
    if trouble == "size":
        sizes[draw(st.integers(0, len(sizes) - 1))] = draw(WRONG_SIZE)
    return {
        "how": how,
        "axes": axes,
        "shape": tuple(shape) if how == "array" else tuple(max(2, n) for n in shape),
        "dtype": "c8" if trouble == "complex" else draw(st.sampled_from(TYPES if how == "array" else STORED)),
        "fill": draw(st.sampled_from(FILLS)),
        "spacing": tuple(sizes) if trouble == "size" or how != "array" or draw(st.booleans()) else None,
        "model": draw(st.sampled_from(("flat", "deep", "sized") if "Z" in axes else ("flat", "flat", "flat", "deep"))),
        "kind": draw(st.sampled_from(KINDS)) if how == "array" else "array",
        "suffix": draw(st.sampled_from((".tif", ".zarr"))) if how == "levels" else "",
        "place": draw(st.sampled_from(PLACES)) if how in ("placed", "NIfTI") else "",
        "slope": draw(st.sampled_from(SLOPES)) if how == "NIfTI" else 1.0,
        "seed": draw(st.integers(0, 999)),
    }


# What came of it: our sentence, or labels in the right place -------------------------------------------------------


def check(case: dict[str, Any], models: dict[str, Model], folder: Path) -> str:
    """Run one case; what came of it."""
    with np.errstate(all="ignore"):
        array = filled(case["shape"], case["fill"], case["seed"]).astype(case["dtype"])
    run = {"array": of_array, "placed": of_placed, "NIfTI": of_nifti, "levels": of_levels}[case["how"]]
    try:
        result, shape = run(case, array, models[case["model"]], folder)
    except UnetstyleError as error:
        said = str(error).strip()
        assert said.endswith("."), said
        assert len(said.split()) > 3, said
        return "refused"
    assert result.labels.shape == shape
    assert result.labels.dtype.kind in "iu"
    assert np.isfinite(result.probabilities).all()
    for column in result.objects.values():
        assert column.dtype.kind not in "fc" or np.isfinite(column).all()
    return "labels"


Outcome = tuple[SegmentResult, tuple[int, ...]]


def of_array(case: dict[str, Any], array: NDArray[Any], model: Model, folder: Path) -> Outcome:
    """Labels are those of the same values in an array of the usual kind; what is masked has no value."""
    stated: dict[str, Any] = {"axes": case["axes"], "spacing": case["spacing"]}
    with np.errstate(all="ignore"):
        picture = held(array, case["kind"], folder)
    result = segment(picture, model, **stated)
    assert not np.ma.is_masked(picture)
    if case["seed"] % 4 == 0:
        plain = segment(array.astype(array.dtype.newbyteorder("=")), model, **stated)
        np.testing.assert_array_equal(result.labels, plain.labels)
    lengths = dict(zip(case["axes"], case["shape"], strict=True))
    return result, tuple(lengths[axis] for axis in "TZYX" if axis in lengths)


def of_placed(case: dict[str, Any], array: NDArray[Any], model: Model, folder: Path) -> Outcome:
    affine = placed(case["place"], case["spacing"], case["seed"])
    geometry = Geometry.from_affine(affine, "mm", is_anatomical=True)
    assert case["place"] not in NOWHERE
    result = segment(Image(array=array, axes="ZYX", geometry=geometry), model)
    np.testing.assert_allclose(result.geometry.affine, affine, rtol=1e-6)
    return result, array.shape


def of_nifti(case: dict[str, Any], array: NDArray[Any], model: Model, folder: Path) -> Outcome:
    """Values and place are those that nibabel reads; a scale of 0 or NaN is none."""
    path, order = folder / "x.nii", ">" if case["seed"] % 2 else "<"
    file = nibabel.Nifti1Image(array.T, None, nibabel.Nifti1Header(endianness=order), dtype=array.dtype)
    file.header.set_sform(BACKWARD @ IN_NIFTI @ placed(case["place"], case["spacing"], case["seed"]) @ BACKWARD, 1)
    stream = io.BytesIO()
    file.to_file_map({"image": nibabel.FileHolder(fileobj=stream)})
    data = bytearray(stream.getvalue())
    data[112:120] = struct.pack(f"{order}ff", case["slope"], 3.0)
    path.write_bytes(data)
    image, known = read_image(path), nibabel.load(path)
    assert case["place"] not in NOWHERE
    with np.errstate(all="ignore"):
        values = known.get_fdata().T.astype("f8" if image.array.dtype.kind in "iu" else image.array.dtype)
    np.testing.assert_allclose(np.asarray(image.array), values, rtol=1e-6)
    result = segment(path, model)
    np.testing.assert_allclose(result.geometry.affine, IN_NIFTI @ BACKWARD @ known.affine @ BACKWARD, rtol=1e-9)
    return result, array.shape


def of_levels(case: dict[str, Any], array: NDArray[Any], model: Model, folder: Path) -> Outcome:
    """Two levels: labels lie on one of them, and cover what it covers."""
    path = folder / f"x{case['suffix']}"
    if path.suffix == ".tif" and array.dtype == np.uint64:  # which OME does not know
        array = array.astype(np.uint32)
    coarse = array[:, : array.shape[1] // 2 * 2 : 2, : array.shape[2] // 2 * 2 : 2]
    if path.suffix == ".zarr":
        write_picture(path, [array, coarse], described("zyx", HALVES))
    else:
        with tifffile.TiffWriter(path, ome=True) as file:
            said = {"axes": "ZYX", "PhysicalSizeX": 0.25, "PhysicalSizeY": 0.5, "PhysicalSizeZ": 2.0}
            file.write(array, subifds=1, tile=(16, 16), metadata=said, photometric="minisblack")
            file.write(coarse, subfiletype=1, tile=(16, 16), photometric="minisblack")
    result = segment(path, model)
    ratio = result.geometry.spacing[2] / 0.25
    np.testing.assert_allclose(result.geometry.spacing, (2, 0.5 * ratio, 0.25 * ratio))
    np.testing.assert_allclose(result.geometry.to_world([0, -0.5, -0.5]), (0, -0.25, -0.125), atol=1e-9)
    return result, (array if ratio == 1 else coarse).shape


@pytest.mark.filterwarnings("ignore")
def test_the_semantic_matrix(models: dict[str, Model], tmp_path: Any, repeats: Any) -> None:
    came: dict[str, list[str]] = {}

    @settings(
        max_examples=10 * repeats(12),
        deadline=None,
        suppress_health_check=list(HealthCheck),
        phases=[Phase.explicit, Phase.reuse, Phase.generate],
    )
    @given(case=cases())
    def run(case: dict[str, Any]) -> None:
        came.setdefault(case["how"], []).append(check(case, models, tmp_path))

    run()
    assert all("labels" in some or len(some) < 20 for some in came.values())


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("fill", FILLS)
def test_every_filling_is_segmented_or_refused(fill: str, models: dict[str, Model], tmp_path: Any) -> None:
    plain = {"how": "array", "axes": "YX", "shape": (20, 24), "dtype": "f4", "fill": fill, "kind": "array", "seed": 3}
    assert check({**plain, "spacing": None, "model": "flat"}, models, tmp_path) == (
        "refused" if fill == "all nan" else "labels"
    )


def test_what_is_masked_has_no_value(models: dict[str, Model]) -> None:
    array = np.random.default_rng(0).random((20, 24))
    with pytest.raises(ImageError, match=r"hides 10 of its 480 values\. .*filled"):
        segment(np.ma.masked_where(np.arange(480).reshape(20, 24) < 10, array), models["flat"])
    with pytest.raises(ImageError, match="masked arrays in a dask array"):
        segment(da.from_array(np.ma.masked_array(array), chunks=9), models["flat"])
    all_seen = segment(np.ma.masked_array(array), models["flat"])
    np.testing.assert_array_equal(all_seen.labels, segment(array, models["flat"]).labels)


@pytest.mark.parametrize("model", ["deep", "sized"])
@pytest.mark.parametrize(("axes", "shape"), [("YX", (20, 24)), ("TYX", (2, 20, 24)), ("YXC", (20, 24, 3))])
@pytest.mark.parametrize("spacing", [None, (10.0, 10.0)])
def test_a_model_of_volumes_refuses_a_picture_in_words(
    model: str, axes: str, shape: tuple[int, ...], spacing: Any, models: dict[str, Model]
) -> None:
    with pytest.raises(ImageError, match=f"A volume is needed, but axes {axes} have no Z"):
        segment(np.zeros(shape, "u1"), models[model], axes=axes, spacing=spacing)
    with pytest.raises(ImageError, match="A volume is needed"):
        predict_memory(as_image(np.zeros(shape, "u1"), axes=axes, spacing=spacing), models[model])
