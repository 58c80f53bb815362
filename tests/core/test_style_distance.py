"""How foreign a picture is to a model."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

from napari_unetstyle.core import ModelStore, as_image, domain_distance, segment
from napari_unetstyle.core.errors import ImageError
from napari_unetstyle.core.models.model import Model
from napari_unetstyle.core.models.spec import Kind
from napari_unetstyle.core.style.distance import FOREIGN, Distance, kind_of, look_of, look_of_picture
from napari_unetstyle.core.training.patches import Example
from napari_unetstyle.core.training.seen import seen_by
from tests.core.networks_for_tests import tiny_model


def blobs(seed: int, count: int = 40, side: int = 128, *, is_bright: bool = True) -> NDArray[np.uint8]:
    rng = np.random.default_rng(seed)
    field = np.zeros((side, side))
    field[tuple(rng.integers(0, side, (2, count)))] = 1
    light = gaussian_filter(field, 3) + 0.002 * rng.random((side, side))
    light = (light / light.max() * 200 + 10).astype(np.uint8)
    return (light if is_bright else 255 - light)[np.newaxis]


KIND = kind_of([look_of_picture(blobs(seed)) for seed in range(20)], "blobs")


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Model:
    return tiny_model(tmp_path_factory.mktemp("models"))


def model_of(tiny: Model, *kinds: Kind) -> Model:
    return Model.in_memory(tiny.spec.model_copy(update={"seen": kinds}), tiny.network)


def distance(pixels: NDArray[np.generic], tiny: Model) -> float:
    found = Distance.of(look_of_picture(pixels), model_of(tiny, KIND).spec)
    assert found is not None
    return found.value


def test_pictures_of_the_same_kind_are_not_foreign(tiny: Model) -> None:
    assert max(distance(blobs(seed), tiny) for seed in range(100, 160)) < FOREIGN


def test_an_inverted_picture_is_foreign_and_it_is_said_why(tiny: Model) -> None:
    found = Distance.of(look_of_picture(blobs(3, is_bright=False)), model_of(tiny, KIND).spec)
    assert found is not None
    assert found.is_foreign
    assert "other way round" in found.words
    assert found.words.startswith("Unlike what tiny has seen: ")


def test_noise_and_color_are_foreign(tiny: Model) -> None:
    rng = np.random.default_rng(0)
    assert distance(rng.integers(0, 255, (1, 128, 128), np.uint8), tiny) >= FOREIGN
    colored = np.concatenate([blobs(3), blobs(3) // 8, blobs(3) // 8])
    assert distance(colored, tiny) >= FOREIGN
    assert distance(np.repeat(blobs(3), 3, axis=0), tiny) == distance(blobs(3), tiny)


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 50), st.floats(1e-3, 1e3), st.floats(-100, 100))
def test_gain_and_offset_make_no_difference(seed: int, gain: float, offset: float) -> None:
    """A network that normalizes each picture does not see them either."""
    pixels = blobs(seed).astype(np.float64)
    assert np.allclose(look_of_picture(pixels), look_of_picture(pixels * gain + offset), atol=0.02)


@pytest.mark.parametrize("pixels", [np.zeros((1, 40, 40)), np.full((3, 20, 20), np.nan), np.ones((1, 1, 1))])
def test_any_picture_has_a_look_of_finite_numbers(pixels: NDArray[np.generic]) -> None:
    assert np.isfinite(look_of([pixels])).all()


def test_a_volume_has_a_look() -> None:
    volume = np.random.default_rng(0).random((1, 12, 30, 40))
    assert look_of_picture(volume).shape == (17,)


def test_the_nearest_kind_counts(tiny: Model) -> None:
    dark = kind_of([look_of_picture(blobs(seed, is_bright=False)) for seed in range(20)])
    both = model_of(tiny, KIND, dark)
    for is_bright in (True, False):
        found = Distance.of(look_of_picture(blobs(77, is_bright=is_bright)), both.spec)
        assert found is not None
        assert not found.is_foreign


def test_segmenting_says_it_with_the_same_number(tiny: Model) -> None:
    model, picture = model_of(tiny, KIND), as_image(blobs(3, is_bright=False)[0])
    result = segment(picture, model, device="cpu")
    alone = domain_distance(picture, model)
    assert alone == result.distance
    assert alone is not None
    assert alone.words in result.notes
    assert result.provenance["distance"] == alone.value
    near = segment(as_image(blobs(3)[0]), model, device="cpu")
    assert near.distance is not None
    assert not [note for note in near.notes if "Unlike" in note]


def test_it_is_found_in_the_room_of_styles_too() -> None:
    from napari_unetstyle import core
    from napari_unetstyle.core import style

    assert style.domain_distance is core.domain_distance
    with pytest.raises(AttributeError, match="no attribute 'domain_distanc'"):
        style.domain_distanc  # noqa: B018


def test_where_a_model_does_not_say_what_it_has_seen_nothing_is_claimed(tiny: Model) -> None:
    result = segment(as_image(blobs(3)[0]), tiny, device="cpu")
    assert result.distance is None
    assert domain_distance(as_image(blobs(3)[0]), tiny) is None


def test_a_picture_that_does_not_fit_is_refused_in_words() -> None:
    with pytest.raises(ImageError, match="channels"):
        domain_distance(np.zeros((5, 40, 40)), "nuclei", axes="CYX")


def test_bundled_models_know_the_pictures_that_they_carry() -> None:
    store, found = ModelStore(), []
    for name in ("nuclei", "axon-myelin", "hippocampus"):
        model = store.load(name)
        found += [Distance.of(look_of_picture(memory.pixels), model.spec) for memory in model.memory]
    assert len(found) > 30
    assert np.mean([one is None or one.is_foreign for one in found]) < 0.05


def test_a_taught_model_knows_what_it_was_taught(tiny: Model) -> None:
    spec = model_of(tiny, KIND).spec
    lesson = Example((blobs(5, is_bright=False) / 255).astype(np.float32), np.zeros((2, 128, 128), np.int32))
    child = spec.model_copy(update={"seen": seen_by(spec, [lesson], is_new=False)})
    look = look_of_picture(blobs(6, is_bright=False))
    before, after = Distance.of(look, spec), Distance.of(look, child)
    assert before is not None
    assert after is not None
    assert before.is_foreign
    assert not after.is_foreign
    assert seen_by(tiny.spec, [lesson], is_new=False) == ()
    assert len(seen_by(tiny.spec, [lesson], is_new=True)) == 1


def test_many_teachings_do_not_make_a_model_grow_without_end(tiny: Model) -> None:
    spec = model_of(tiny, KIND).spec
    lesson = Example((blobs(5) / 255).astype(np.float32), np.zeros((2, 128, 128), np.int32))
    for _ in range(40):
        spec = spec.model_copy(update={"seen": seen_by(spec, [lesson], is_new=False)})
    assert len(spec.seen) <= 31
    assert spec.seen[0].name == "blobs"
