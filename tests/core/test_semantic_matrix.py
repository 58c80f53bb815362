"""Whatever the pixels are and mean: labels of the right shape and finite probabilities, or one of our sentences."""

from __future__ import annotations

from typing import Any

import dask.array as da
import numpy as np
import pytest
import zarr
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from napari_unetstyle.core import segment
from napari_unetstyle.core.errors import ImageError, UnetstyleError
from napari_unetstyle.core.imaging.image import as_image
from napari_unetstyle.core.models.model import Model
from napari_unetstyle.core.segmentation.memory import predict_memory
from tests.core.networks_for_tests import tiny_model, tiny_volume_model

AXES = ("YX", "ZYX", "TYX", "CYX", "YXC", "ZYXC", "TCYX", "CZYX", "TZYX", "TCZYX", "XY", "YXZ")
TYPES = ("?", "u1", "i1", ">u2", "i2", "<i4", ">i4", "u8", "i8", "f2", "f4", ">f4", "f8", ">f8", "c8", "c16")
SIDES = {"T": st.integers(1, 2), "C": st.integers(1, 5), "Z": st.integers(0, 4)}
SIDE = st.one_of(st.integers(0, 3), st.integers(4, 26))
FILLS = ("noise", "nan", "+inf", "-inf", "constant", "zero", "huge", "tiny", "all nan", "one nan")
KINDS = ("array", "negative strides", "not contiguous", "fortran", "read-only", "memmap", "dask", "zarr", "masked")
SPACINGS = st.one_of(st.none(), st.sampled_from((-1.0, 0.0, np.nan, np.inf, 1e-30, 1e30)), st.floats(0.05, 20))


def filled(shape: tuple[int, ...], fill: str, seed: int) -> NDArray[np.float64]:
    random = np.random.default_rng(seed)
    noise = random.random(shape) * 200
    if fill in ("nan", "+inf", "-inf"):
        return np.where(random.random(shape) < 0.05, float(fill), noise)
    if fill == "one nan" and noise.size:
        noise.flat[seed % noise.size] = np.nan
    other = {"constant": 7.0, "zero": 0.0, "all nan": np.nan}
    return np.full(shape, other[fill]) if fill in other else noise * {"huge": 1e36, "tiny": 1e-36}.get(fill, 1.0)


def held(array: NDArray[Any], kind: str, folder: Any) -> Any:
    """The same values in another container or layout."""
    if kind == "negative strides":
        return np.ascontiguousarray(array[::-1])[::-1]
    if kind == "not contiguous":
        return np.repeat(array, 2, -1)[..., ::2]
    if kind == "fortran":
        return np.asfortranarray(array)
    if kind == "read-only":
        array.setflags(write=False)
    if kind == "memmap" and array.size:
        np.save(folder / "x.npy", array)
        return np.load(folder / "x.npy", mmap_mode="r")
    if kind == "dask" and array.size:
        return da.from_array(array, chunks=7)
    if kind == "zarr" and array.size and array.dtype.kind != "c":
        return zarr.array(array)
    return np.ma.masked_array(array, np.abs(array) > 100) if kind == "masked" else array


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
    axes = draw(st.sampled_from(AXES))
    spacing = draw(SPACINGS)
    return {
        "axes": axes,
        "shape": tuple(draw(SIDES.get(axis, SIDE)) for axis in axes),
        "dtype": draw(st.sampled_from(TYPES)),
        "fill": draw(st.sampled_from(FILLS)),
        "kind": draw(st.sampled_from(KINDS)),
        "spacing": None if spacing is None else (spacing,) * sum(axis in "ZYX" for axis in axes),
        "model": draw(st.sampled_from(("flat", "deep", "sized"))),
        "seed": draw(st.integers(0, 999)),
    }


def check(case: dict[str, Any], models: dict[str, Model], folder: Any) -> str:
    """Run one case; what came of it."""
    axes, shape = case["axes"], case["shape"]
    with np.errstate(all="ignore"):
        array = filled(shape, case["fill"], case["seed"]).astype(case["dtype"])
        picture = held(array, case["kind"], folder)
    try:
        result = segment(picture, models[case["model"]], axes=axes, spacing=case["spacing"])
    except UnetstyleError as error:
        said = str(error).strip()
        assert said.endswith("."), said
        assert len(said.split()) > 3, said
        return "refused"
    lengths = dict(zip(axes, shape, strict=True))
    assert result.labels.shape == tuple(lengths[axis] for axis in "TZYX" if axis in axes)
    assert result.labels.dtype.kind in "iu"
    assert np.isfinite(result.probabilities).all()
    for column in result.objects.values():
        assert column.dtype.kind not in "fc" or np.isfinite(column).all()
    return "labels"


@pytest.mark.filterwarnings("ignore")
def test_the_semantic_matrix(models: dict[str, Model], tmp_path: Any, repeats: Any) -> None:
    came = []

    @settings(
        max_examples=repeats(12),
        deadline=None,
        suppress_health_check=list(HealthCheck),
        phases=[Phase.explicit, Phase.reuse, Phase.generate],
    )
    @given(case=cases())
    def run(case: dict[str, Any]) -> None:
        came.append(check(case, models, tmp_path))

    run()
    assert "labels" in came or len(came) < 20


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("fill", FILLS)
def test_every_filling_is_segmented_or_refused(fill: str, models: dict[str, Model], tmp_path: Any) -> None:
    plain = {"axes": "YX", "shape": (20, 24), "dtype": "f4", "fill": fill, "kind": "array", "model": "flat", "seed": 3}
    assert check({**plain, "spacing": None}, models, tmp_path) == ("refused" if fill == "all nan" else "labels")


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
