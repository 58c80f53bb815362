from __future__ import annotations

import dataclasses
import shutil

import numpy as np
import pytest
import tifffile
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_unetstyle.core import device
from napari_unetstyle.core.errors import DeviceError, ImageError, OptionError
from napari_unetstyle.core.imaging.image import as_image
from napari_unetstyle.core.inference import probability
from napari_unetstyle.core.inference.statistics import choose_regions, fold
from napari_unetstyle.core.models.model import Model
from napari_unetstyle.core.progress import run
from napari_unetstyle.core.segmentation import fitting
from napari_unetstyle.core.segmentation.deciding import refine, relabeled
from napari_unetstyle.core.segmentation.fitting import iter_fit
from napari_unetstyle.core.segmentation.options import SegmentOptions
from napari_unetstyle.core.segmentation.scale import is_clear_to
from napari_unetstyle.core.segmentation.segment import _margin, iter_preview, iter_segment, segment
from tests.core.networks_for_tests import random_unet, tiny_model


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return tiny_model(tmp_path_factory.mktemp("models"))


@pytest.fixture(scope="module")
def picture():
    return blobs((150, 190))


def blobs(shape, seed=0):
    from scipy.ndimage import gaussian_filter

    rng = np.random.default_rng(seed)
    smooth = gaussian_filter(rng.random(shape), 4)
    smooth = (smooth - smooth.min()) / max(np.ptp(smooth), 1e-9)
    return (200 * smooth**2 + rng.integers(0, 20, shape)).astype(np.uint8)


@pytest.fixture(scope="module")
def whole(picture, model):
    return segment(picture, model)


@pytest.mark.parametrize("threads", [1, 2, 3])
def test_as_many_threads_as_there_are_give_the_same_bytes(picture, model, whole, threads):
    usual = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        result = segment(picture, model)
    finally:
        torch.set_num_threads(usual)
    assert np.array_equal(result.probability_bytes, whole.probability_bytes)
    assert np.array_equal(result.labels, whole.labels)


def test_the_tiny_model_says_something(whole):
    assert whole.count > 10
    assert 0.01 < (whole.labels > 0).mean() < 0.99


@settings(max_examples=15)
@given(tile=st.integers(16, 300))
def test_the_strip_size_never_changes_a_label(tile, picture, model, whole):
    np.testing.assert_array_equal(segment(picture, model, tile=tile).labels, whole.labels)


@settings(max_examples=15)
@given(data=st.data())
def test_a_box_has_the_probabilities_of_the_whole(data, picture, model, whole):
    y0, x0 = data.draw(st.integers(0, 149)), data.draw(st.integers(0, 189))
    box = ((y0, data.draw(st.integers(y0 + 1, 150))), (x0, data.draw(st.integers(x0 + 1, 190))))
    part = segment(picture, model, box=box)
    inside = (slice(None), slice(*box[0]), slice(*box[1]))
    difference = part.probability_bytes[inside].astype(int) - whole.probability_bytes[inside]
    assert np.abs(difference).max() <= 1  # rounding, where the network gave almost exactly half a step
    assert (difference != 0).mean() < 0.01
    outside = np.ones(picture.shape, bool)
    outside[inside[1:]] = False
    assert not part.labels[outside].any()


def test_a_polygon_is_segmented_inside_only(picture, model, whole):
    part = segment(picture, model, polygon=((10, 10), (140, 10), (140, 120)))
    assert part.count > 0
    assert not part.labels[:9].any()
    assert not part.labels[20:60, 100:].any()
    inside = part.probability_bytes[0, 100:130, 15:40].astype(int) - whole.probability_bytes[0, 100:130, 15:40]
    assert np.abs(inside).max() <= 1


def test_arrays_and_types_of_torch_are_taken(picture, model):
    plain = {"box": ((5, 90), (10, 100)), "polygon": ((5, 5), (80, 20), (30, 90)), "device": "cpu"}
    other = {"box": np.array(plain["box"]), "polygon": np.array(plain["polygon"]), "device": torch.device("cpu")}
    expected, found = segment(picture, model, **plain), segment(torch.from_numpy(picture), model, **other)
    np.testing.assert_array_equal(found.labels, expected.labels)
    assert found.provenance["options"] == expected.provenance["options"]
    assert SegmentOptions(frames=np.array([[0], [2]])).frames == ((0,), (2,))
    with pytest.raises(ImageError, match="grad"):
        segment(torch.zeros((5, 6), requires_grad=True), model)


def test_what_is_stated_of_an_image_holds(picture, model, whole):
    image = as_image(np.stack([picture, picture]), axes="TYX", spacing=(1, 1), unit="mm")
    stated = segment(image, model, axes="CYX", spacing=(0.5, 0.25), channel=1)
    np.testing.assert_array_equal(
        stated.labels, segment(np.stack([picture, picture]), model, axes="CYX", channel=1).labels
    )
    assert (stated.label_axes, stated.geometry.spacing, stated.geometry.unit) == ("YX", (0.5, 0.25), "um")
    assert "area_um2" in segment(as_image(picture), model, spacing=(0.5, 0.5)).objects
    for wrong in ({"axes": "YX"}, {"spacing": (1, 1, 1)}, {"spacing": (0, 1)}):
        with pytest.raises(ImageError):
            segment(image, model, **wrong)


def test_a_series_is_of_dicom(picture, model, tmp_path):
    tifffile.imwrite(tmp_path / "x.tif", picture)
    for image in (picture, as_image(picture), tmp_path / "x.tif"):
        with pytest.raises(OptionError, match="DICOM"):
            segment(image, model, series=1)


def test_lazy_equals_eager(picture, model, whole):
    dask = pytest.importorskip("dask.array")
    np.testing.assert_array_equal(segment(dask.from_array(picture, chunks=(64, 50)), model).labels, whole.labels)
    zarr = pytest.importorskip("zarr")
    np.testing.assert_array_equal(segment(zarr.array(picture, chunks=(64, 50)), model).labels, whole.labels)


@pytest.mark.parametrize(
    "change",
    [
        lambda p: p.astype(np.uint16),
        lambda p: p.astype(np.float64),
        lambda p: p.astype(">i4"),
        lambda p: np.asfortranarray(p),
        lambda p: p[::-1][::-1],
        lambda p: np.repeat(np.repeat(p, 2, 0), 2, 1)[::2, ::2],
    ],
    ids=["uint16", "float64", "big-endian", "fortran", "negative strides", "non-contiguous"],
)
def test_type_and_layout_do_not_matter(change, picture, model, whole):
    np.testing.assert_array_equal(segment(change(picture), model).labels, whole.labels)


def test_brightness_and_contrast_do_not_matter(picture, model, whole):
    changed = segment(picture.astype(np.float32) * 7 + 1000, model)
    assert (changed.labels > 0).mean() == pytest.approx((whole.labels > 0).mean(), abs=1e-3)


def test_gray_is_repeated_and_opacity_ignored(picture, model, whole):
    color = np.repeat(picture[..., None], 4, axis=-1)
    color[..., 3] = np.random.default_rng(0).integers(0, 255, picture.shape)
    np.testing.assert_array_equal(segment(color, model).labels, whole.labels)


def test_one_channel_is_taken_from_many(picture, model, whole):
    stack = np.stack([picture[::-1], picture])
    np.testing.assert_array_equal(segment(stack, model, axes="CYX", channel=1).labels, whole.labels)


def test_flip_averaging_commutes_with_flips_and_the_half_turn(model):
    square = blobs((96, 128), seed=3)  # whole pooling windows, so that mirrored windows are the same windows
    expected = segment(square, model, flip=True).probability_bytes.astype(int)
    for axes in (0, 1, (0, 1)):  # upside down, mirrored, and turned by half
        found = segment(np.flip(square, axes), model, flip=True).probability_bytes
        assert np.abs(np.flip(expected, np.add(axes, 1)) - found).max() <= 1


def test_scaling_to_the_models_object_size_keeps_the_pictures_grid(picture, model):
    result = segment(picture, model, object_diameter=60)
    assert result.labels.shape == picture.shape
    assert any("scaled" in note for note in result.notes)


def test_large_results_lie_on_disk_and_are_the_same(picture, model, whole):
    on_disk = segment(picture, model, memory=1000)
    assert type(on_disk.labels) is not np.ndarray
    np.testing.assert_array_equal(on_disk.labels, whole.labels)
    np.testing.assert_array_equal(on_disk.probability_bytes, whole.probability_bytes)


def test_a_stack_goes_slice_by_slice(picture, model, whole):
    stack = np.stack([picture, picture, picture])
    result = segment(stack, model, axes="TYX")
    assert result.labels.shape == stack.shape
    assert result.label_axes == "TYX"
    np.testing.assert_array_equal(result.labels[0] > 0, result.labels[2] > 0)
    assert result.objects["label"].tolist() == list(range(1, result.count + 1))
    assert sorted(set(result.objects["frame_t"])) == [0, 1, 2]
    one = segment(stack, model, axes="TYX", frames=((1,),))
    assert not one.labels[[0, 2]].any()
    np.testing.assert_array_equal(one.labels[1] > 0, result.labels[1] > 0)


def test_each_frame_can_have_its_own_statistics(picture, model, whole):
    stack = np.stack([picture, blobs(picture.shape, seed=5)])
    each = segment(stack, model, axes="ZYX", statistics="frame")
    np.testing.assert_array_equal(each.labels[0], whole.labels)


def test_non_finite_pixels_are_background_and_do_not_spread(picture, model):
    holed = picture.astype(np.float32)
    holed[40:50, 60:80] = np.nan
    holed[100, 100] = np.inf
    result = segment(holed, model)
    assert not result.labels[40:50, 60:80].any()
    assert result.labels[100, 100] == 0
    assert np.isfinite(result.probabilities).all()
    assert any("201 pixels" in note for note in result.notes)
    far = segment(picture, model)
    assert (result.labels[:20] > 0).mean() == pytest.approx((far.labels[:20] > 0).mean(), abs=0.1)


def test_refine_equals_a_run_with_those_options(picture, model, whole):
    again = segment(picture, model, threshold=0.6, min_pixels=12)
    refined = refine(whole, threshold=0.6, min_pixels=12)
    np.testing.assert_array_equal(refined.labels, again.labels)
    assert refined.options == again.options


def test_resolved_options_reproduce_the_run(picture, model, whole):
    again = segment(picture, model, **whole.options.stated())
    np.testing.assert_array_equal(again.labels, whole.labels)
    assert again.options == whole.options


def test_areas_are_class_values(picture, model):
    result = segment(picture, model, output="areas")
    assert result.labels.dtype == np.uint8
    assert set(np.unique(result.labels)) <= {0, 1}
    assert result.objects["class_name"].tolist() == ["nucleus"]


def test_provenance_tells_what_was_done_but_not_who_it_was(model, picture):
    image = as_image(picture, name="DOE^JOHN 1970")
    result = run(iter_segment(image, model, SegmentOptions(min_pixels=3)))
    assert result.provenance["model"]["name"] == "tiny"
    assert result.provenance["options"]["min_pixels"] == 3
    assert "DOE" not in repr(result.provenance)
    assert "not a medical device" in result.provenance["intended_use"]


def test_a_model_that_is_deleted_while_it_segments_still_does(picture, tmp_path):
    short_lived = tiny_model(tmp_path)
    name = Model(short_lived.spec, short_lived.folder).sha256
    steps = iter_segment(np.tile(picture, (4, 4)), short_lived, SegmentOptions(tile=64))
    while next(steps).message != "Segmenting":
        pass
    shutil.rmtree(short_lived.folder)
    result = run(steps)
    assert result.labels.any()
    assert name in str(result.provenance)


def test_it_can_be_cancelled_after_any_step(picture, model):
    steps = iter_segment(np.tile(picture, (4, 4)), model, SegmentOptions(tile=64))
    first = next(steps)
    assert first.total >= first.step
    next(steps)
    steps.close()


def test_a_large_picture_is_looked_at_in_steps_between_which_a_run_can_be_stopped(model):
    from dask import array

    bands, read = 30, []
    lazy = array.from_array(blobs((64 * bands, 150)), chunks=(64, 150))
    seen = lazy.map_blocks(lambda block: (read.append(1), block)[1], dtype=lazy.dtype, meta=np.empty((0, 0), np.uint8))
    steps = iter_segment(as_image(seen, axes="YX"), model, SegmentOptions())
    counts, fractions = [], []
    for progress in steps:
        counts.append(len(read))
        fractions.append(progress.fraction)
        if len(read) >= bands:
            break
    steps.close()
    assert max(np.diff(counts)) <= 2  # bands of the picture in one step
    assert fractions == sorted(fractions)


@pytest.mark.parametrize("shape", [(8, 8), (64, 64), (60, 300), (66, 65)])
def test_a_picture_of_one_value_has_nothing_in_it_whatever_its_size(model, shape):
    """The padding at its borders alone can look like something to a network."""
    result = segment(np.full(shape, 100, np.uint8), model)
    assert not result.labels.any()
    assert (result.probability_bytes[0] == 255).all()
    assert any("one value" in note for note in result.notes)


def test_a_picture_of_one_value_and_none_says_where_there_is_none(model):
    array = np.full((40, 50), 0.5, np.float32)
    array[3, 4] = np.nan
    result = segment(array, model)
    assert not result.labels.any()
    assert any(note.startswith("1 pixels are NaN or Inf") for note in result.notes)


def test_a_frame_of_one_value_has_nothing_in_it(picture, model):
    stack = np.stack([picture, np.full_like(picture, 80)])
    result = segment(stack, model, axes="TYX", statistics="frame")
    assert np.array_equal(result.labels[0] > 0, segment(picture, model).labels > 0)
    assert not result.labels[1].any()


def test_progress_goes_forward_to_the_end(picture, model):
    seen = []
    segment(picture, model, tile=32, on_progress=lambda p: seen.append(p.fraction))
    assert seen == sorted(seen)
    assert seen[-1] == pytest.approx(1)
    assert len(seen) > 5


@pytest.mark.parametrize(
    ("image", "options", "error", "words"),
    [
        (np.zeros((0, 5)), {}, ImageError, "empty"),
        (np.zeros((5, 5), complex), {}, ImageError, "real numbers"),
        (np.array([[None, 1]]), {}, ImageError, "real numbers"),
        (np.full((9, 9), np.nan), {}, ImageError, "no finite pixel"),
        ([[1, 2], [3]], {}, ImageError, "equally long"),
        (["a", "picture"], {}, ImageError, "real numbers"),
        (np.zeros((5, 6)), {"axes": ["Y", "X"]}, ImageError, "as one text"),
        (np.zeros((5, 6)), {"spacing": 0.5}, ImageError, "one number for each axis"),
        (np.zeros((5, 6)), {"spacing": ("a", "b")}, ImageError, "one number for each axis"),
        (np.zeros((5, 6)), {"device": None}, DeviceError, "None"),
        (np.zeros((5, 6)), {"frames": ()}, OptionError, "at least one"),
        (np.zeros((5, 6)), {"frames": (0, 1)}, OptionError, "at least one"),
        (np.zeros((5, 6)), {"object_diameter": "12"}, OptionError, "object_diameter='12'"),
        (np.zeros((5, 6)), {"threshold": "a"}, OptionError, "threshold='a'"),
        (np.zeros((5, 6)), {"tile": "a"}, OptionError, "tile='a'"),
        (np.zeros((5, 6)), {"min_pixels": "3"}, OptionError, "min_pixels='3'"),
        (np.zeros((5, 6)), {"min_size": 3}, OptionError, "min_size=3"),
        (np.zeros((5, 6)), {"memory": "1 GB"}, OptionError, "memory='1 GB'"),
        (np.zeros((5, 6, 7)), {}, ImageError, "axes="),
        (np.zeros((5, 6, 7)), {"axes": "YX"}, ImageError, "name 2 axes"),
        (np.zeros((5, 6, 7)), {"axes": "QYX"}, ImageError, "not allowed"),
        (np.zeros((2, 6, 7)), {"axes": "CYX"}, ImageError, "2 channels"),
        (np.zeros((2, 6, 7)), {"axes": "CYX", "channel": 5}, ImageError, "0, 1"),
        (np.zeros((6, 7)), {"spacing": (0.0, 1.0)}, ImageError, "positive"),
        (np.zeros((6, 7)), {"treshold": 0.4}, OptionError, "no option"),
        (np.zeros((6, 7)), {"threshold": 4}, OptionError, "(0, 1)"),
        (np.zeros((6, 7)), {"box": ((9, 12), (0, 3))}, OptionError, "outside the picture"),
        (np.zeros((6, 7)), {"box": (0, 10, 0, 10)}, OptionError, "whole numbers"),
        (np.zeros((6, 7)), {"box": ((0, 3), (0.0, 3.5))}, OptionError, "whole numbers"),
        (np.zeros((6, 7)), {"box": ((0, 3), (0, np.nan))}, OptionError, "whole numbers"),
        (np.zeros((6, 7)), {"box": ((0, 3, 4), (0, 3, 4))}, OptionError, "whole numbers"),
        (np.zeros((6, 7)), {"box": ((0, 1), (0, 3), (0, 3))}, OptionError, "3 ranges"),
        (np.zeros((6, 7)), {"polygon": ((0, 0), (np.nan, 3), (3, 3))}, OptionError, "finite numbers"),
        (np.zeros((6, 7)), {"polygon": ((0, 0), (np.inf, 3), (3, 3))}, OptionError, "finite numbers"),
        (np.zeros((6, 7)), {"polygon": (0, 0, 5, 3)}, OptionError, "finite numbers"),
        (np.zeros((6, 7)), {"frames": ((3,),)}, OptionError, "no frame"),
        (np.zeros((6, 7)), {"device": "cuda:77"}, DeviceError, "not available"),
    ],
)
def test_bad_input_gets_a_sentence(image, options, error, words, model):
    with pytest.raises(error, match=words.replace("(", r"\(").replace(")", r"\)")):
        segment(image, model, **options)


def test_running_out_of_memory_takes_smaller_strips_and_gives_the_same(picture, model, whole, monkeypatch):
    monkeypatch.setattr(probability, "Stream", tight(16, 1000))
    messages = []
    result = segment(picture, model, on_progress=lambda progress: messages.append(progress.message))
    np.testing.assert_array_equal(result.labels, whole.labels)
    assert probability.SHORT in messages
    assert result.notes.count(probability.SHORT) == 1
    assert probability.SHORT not in whole.notes


def test_a_step_down_gives_the_same_logits(monkeypatch):
    network = fold(random_unet(), torch.randn(1, 2, 64, 64, generator=torch.Generator().manual_seed(1)))
    x = torch.randn(1, 2, 90, 70, generator=torch.Generator().manual_seed(2))
    box, out = (slice(0, 90), slice(0, 70)), np.zeros((3, 90, 70), np.float32)
    with torch.inference_mode():
        expected = network(x)[0].numpy()
    engine = probability.Engine(device=torch.device("cpu"), tile=64)
    monkeypatch.setattr(probability, "to_bytes", lambda logits, *, seeds: logits[0].numpy())  # as they are
    monkeypatch.setattr(probability, "Stream", tight(8, 62))
    run(probability.iter_probabilities(network, Pixels(x[0].numpy()), out, box, engine, seeds=False))
    assert engine.said == [probability.SHORT]
    np.testing.assert_allclose(out, expected, atol=1e-5, rtol=1e-5)


def tight(rows, columns):
    """A stream with the memory for so many pixels only."""

    class Tight(probability.Stream):
        def push(self, pixels, turn, *, last):
            if pixels.shape[2] > rows or pixels.shape[3] > columns:
                raise RuntimeError("DefaultCPUAllocator: not enough memory: you tried to allocate 1 bytes")
            return super().push(pixels, turn, last=last)

    return Tight


class Pixels:
    def __init__(self, array):
        self.array, self.shape = array, array.shape[1:]

    def read(self, *slices):
        return self.array[(slice(None), *slices)]


def test_looking_goes_on_region_by_region_where_memory_is_short(model, monkeypatch):
    picture = blobs((600, 500))  # too large to be looked at as a whole
    usual = segment(picture, model, object_diameter=20)

    def short(*_):
        raise RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 1 bytes")

    monkeypatch.setattr(probability, "fold_and_answer", short)
    result = segment(picture, model, object_diameter=20)
    assert result.notes.count(probability.SHORT) == 1
    difference = np.abs(result.probability_bytes.astype(int) - usual.probability_bytes)
    assert difference.max() <= 1
    assert np.count_nonzero(difference) <= 1e-3 * difference.size
    monkeypatch.setattr(probability, "fold_in_turn", short)
    with pytest.raises(DeviceError, match=r"to look at .* pixels"):
        segment(picture, model)


@pytest.mark.parametrize("output", ["objects", "areas"])
def test_deciding_goes_on_in_lower_bands_where_memory_is_short(output, picture, model, monkeypatch):
    from napari_unetstyle.core.segmentation import objects, postprocessing

    usual = segment(picture, model, object_diameter=20, output=output)

    def short(rows):
        def only(background, threshold):
            if len(background) > rows:
                raise MemoryError
            return background <= 255 - np.ceil(threshold * 255 - 1e-6)

        for module in (objects, postprocessing):
            monkeypatch.setattr(module, "foreground", only)

    short(40)
    result = segment(picture, model, object_diameter=20, output=output)
    np.testing.assert_array_equal(result.labels, usual.labels)
    assert result.notes.count(probability.SHORT) == 1
    short(3)
    with pytest.raises(DeviceError, match="memory to find"):
        segment(picture, model, object_diameter=20, output=output)


def test_other_errors_are_not_taken_for_missing_memory(picture, model, monkeypatch):
    class Broken(probability.Stream):
        def push(self, rows, turn, *, last):
            raise RuntimeError("mat1 and mat2 shapes cannot be multiplied")

    monkeypatch.setattr(probability, "Stream", Broken)
    with pytest.raises(RuntimeError, match="mat1"):
        segment(picture, model)


@settings(max_examples=20)
@given(shape=st.tuples(st.integers(1, 40), st.integers(1, 40)))
def test_any_size_works(shape, model):
    result = segment(blobs(shape), model)
    assert result.labels.shape == shape


def test_a_preview_shows_what_the_run_gives(picture, model, whole):
    fitted = run(iter_fit(as_image(picture), model, SegmentOptions()))
    box = (slice(30, 110), slice(50, 160))
    seen = run(iter_preview(fitted, (), box))
    expected = whole.labels[box]
    assert ((seen > 0) != (expected > 0)).mean() < 1e-3
    pairs = {(a, b) for a, b in zip(seen.ravel().tolist(), expected.ravel().tolist(), strict=True) if a and b}
    inside = set(np.unique(expected[10:-10, 10:-10]).tolist()) - {0}
    for label in inside:  # each object of the run is one object of the preview, and the other way round
        mates = {a for a, b in pairs if b == label}
        assert len(mates) == 1
        assert {b for a, b in pairs if a in mates} == {label}


def test_mixed_precision_changes_next_to_nothing(picture, model, whole, monkeypatch):
    monkeypatch.setattr(device, "has_bfloat16", lambda _: True)
    result = segment(picture, model, amp=True)
    assert result.provenance["precision"] == "bfloat16"
    difference = np.abs(result.probability_bytes.astype(int) - whole.probability_bytes)
    assert difference.mean() < 3
    assert segment(picture, model).provenance["precision"] == "float32"  # nobody measured it for this model


def test_mixed_precision_is_used_unasked_where_it_was_measured_to_be_harmless(picture, model, monkeypatch):
    monkeypatch.setattr(device, "has_bfloat16", lambda _: True)
    for ppm, precision in ((20.0, "bfloat16"), (2000.0, "float32")):
        measured = dataclasses.replace(model, spec=model.spec.model_copy(update={"amp_changed_ppm": ppm}))
        assert segment(picture, measured).provenance["precision"] == precision


def test_a_device_without_bfloat16_says_so(picture, model, monkeypatch):
    monkeypatch.setattr(device, "has_bfloat16", lambda _: False)
    result = segment(picture, model, amp=True)
    assert result.provenance["precision"] == "float32"
    (note,) = [note for note in result.notes if "full precision" in note]
    assert "bfloat16" in note  # a GPU without it may have float16


def test_a_size_the_model_does_not_know_is_found_out_and_said(picture, model):
    spec = model.spec
    narrow = spec.input.model_copy(update={"object_diameter": 8.0, "object_diameters": (7.0, 9.0)})
    changed = dataclasses.replace(model, spec=spec.model_copy(update={"input": narrow}))
    result = segment(picture, changed)
    diameter = result.options.object_diameter
    assert diameter is not None
    assert result.provenance["scale"] == pytest.approx(7 / diameter)
    assert any(f"{diameter:g} pixels wide" in note for note in result.notes)
    assert result.labels.shape == picture.shape
    again = segment(picture, changed, **result.options.stated())
    np.testing.assert_array_equal(again.labels, result.labels)


def test_the_size_of_objects_is_looked_for_wherever_the_picture_was_looked_at(model):
    """In two regions of sparse cytology there was nothing, so it looked from afar and took cells for nuclei."""
    fitted = run(iter_fit(as_image(blobs((600, 600))), model, SegmentOptions()))
    assert len(fitted.groups[()].answers) == len(choose_regions([fitted.prepared(())], model.spec.input.region)) > 2


def test_an_empty_picture_has_no_typical_size(model):
    result = segment(np.zeros((90, 80), np.uint8), model)
    assert result.provenance["scale"] == 1


def test_nothing_is_left_out_for_its_size_unless_a_size_is_given(picture, model, whole):
    assert whole.options.min_pixels == 0
    assert segment(picture, model, min_pixels=30).count < whole.count
    assert segment(picture, model, output="areas").options.min_pixels == 0


def test_a_picture_is_scaled_no_further_than_to_the_nearest_size_that_the_model_knows(picture, model):
    sizes = {8: 1.25, 9.2: 1.0, 10: 1.0, 33: 1.0, 50: 1.0, 54: 1.0, 60: 50 / 60, 100: 0.5}
    spec = model.spec.input.model_copy(update={"object_diameter": 20.0, "object_diameters": (10.0, 50.0)})
    changed = dataclasses.replace(model, spec=model.spec.model_copy(update={"input": spec}))
    for diameter, scale in sizes.items():
        assert segment(picture, changed, object_diameter=diameter).provenance["scale"] == pytest.approx(scale)


def of_sizes(model, **sizes):
    spec = model.spec.model_copy(update={"input": model.spec.input.model_copy(update=sizes)})
    return dataclasses.replace(model, spec=spec)


def answers(surely, perhaps, size=100):
    """Logits with so many pixels that are surely, and perhaps, foreground; the third channel is the seed map."""
    logits = torch.zeros(1, 3, 1, size)
    logits[:, 1] = -9
    logits[..., :surely][:, 1] = 9
    logits[..., surely : surely + perhaps][:, 1] = -1
    return logits


def test_a_picture_is_clear_if_few_pixels_are_doubtful_for_what_is_seen_and_that_is_bright(model):
    bright = torch.zeros(1, 3, 1, 100)
    bright[..., :50] = 1
    for surely, perhaps, is_clear in ((40, 0, True), (40, 10, True), (40, 12, False), (4, 10, False)):
        assert is_clear_to(answers(surely, perhaps), bright, model.spec) == is_clear
        assert not is_clear_to(answers(surely, perhaps), 1 - bright, model.spec)
    for surely in (0, 100):  # nothing seen is not understood, and all is nothing
        assert not is_clear_to(answers(surely, 0), bright, model.spec)


@pytest.mark.parametrize("is_clear", [True, False])
@pytest.mark.parametrize("stated", [None, 30, 90])
def test_a_clear_picture_of_large_objects_is_left_as_it_is(picture, model, monkeypatch, stated, is_clear):
    monkeypatch.setattr(fitting, "is_clear_to", lambda *_: is_clear)
    largest = 8.0 if stated else 1.5  # it finds specks
    changed = of_sizes(model, object_diameter=largest, object_diameters=(1.0, largest), clear_diameter=60.0)
    result = segment(picture, changed, object_diameter=stated)
    diameter = result.options.object_diameter
    assert diameter > largest
    assert stated in (None, diameter)
    wanted = min(1.0, 60 / diameter) if is_clear else largest / diameter
    assert result.provenance["scale"] == pytest.approx(wanted)
    assert any("was scaled" in note for note in result.notes) == (wanted < 1)
    again = segment(picture, changed, **result.options.stated())
    np.testing.assert_array_equal(again.probability_bytes, result.probability_bytes)
    np.testing.assert_array_equal(again.labels, result.labels)


def test_what_a_middle_has_to_rise_by_grows_with_the_objects(picture, model):
    changed = of_sizes(model, object_diameters=(10.0, 40.0))
    for diameter, times in ((5, 0.5), (10, 0.5), (20, 1.0), (30, 1.5), (80, 2.0)):
        result = segment(picture, changed, object_diameter=diameter)
        assert result.seed_rise == pytest.approx(times * model.spec.seed_rise)
    assert segment(picture, of_sizes(model, object_diameter=None)).seed_rise == model.spec.seed_rise


def test_a_stack_counts_its_slices(picture, model):
    stack = np.stack([picture, picture])
    seen = [p.done for p in iter_segment(as_image(stack, axes="ZYX"), model) if p.message == "Segmenting"]
    assert list(dict.fromkeys(seen)) == ["1/2", "2/2"]


def test_changed_labels_are_numbered_and_measured_anew(whole):
    result = whole
    same = relabeled(result, result.labels * 7)
    np.testing.assert_array_equal(same.labels, result.labels)
    for name, values in result.objects.items():
        np.testing.assert_array_equal(same.objects[name], values)
    painted = result.labels.copy()
    painted[:5, :5] = 10**6
    fixed = relabeled(result, painted, {10**6: 1})
    assert fixed.labels[0, 0] == 1
    assert fixed.objects["area"][0] == 25
    assert fixed.count == len(np.unique(painted)) - 1


def test_frames_are_taken_once_and_in_order_however_they_were_named(picture, model):
    stack = np.stack([picture, picture[::-1]])
    plain = segment(stack, model, axes="TYX", frames=((0,), (1,)))
    odd = segment(stack, model, axes="TYX", frames=((1,), (0,), (1,)))
    np.testing.assert_array_equal(odd.labels, plain.labels)
    assert odd.count == plain.count == len(np.unique(plain.labels)) - 1


def test_an_id_that_was_painted_in_two_frames_is_two_objects(picture, model):
    result = segment(np.stack([picture, picture]), model, axes="TYX")
    painted = result.labels.copy()
    first = painted[0].max()
    painted[1][painted[1] == painted[1][painted[1] > 0][0]] = 1
    fixed = relabeled(result, painted)
    assert fixed.count == result.count
    assert fixed.labels[0].max() == first
    assert fixed.labels[1][fixed.labels[1] > 0].min() == first + 1
    assert np.array_equal(fixed.labels > 0, painted > 0)


def test_a_part_looks_as_far_around_as_its_objects_reach(picture, model):
    near = run(iter_fit(as_image(picture), model, SegmentOptions(object_diameter=20)))
    far = run(iter_fit(as_image(picture), model, SegmentOptions(object_diameter=200)))
    assert _margin(near) == 40 + 5 + 20
    assert _margin(far) == 4 * (40 + 5) + 200  # scaled to the largest that the model knows


def test_holes_are_not_told_from_a_part(picture, model):
    fitted = run(iter_fit(as_image(picture), model, SegmentOptions(output="areas", fill_holes=True)))
    plain = run(iter_fit(as_image(picture), model, SegmentOptions(output="areas", fill_holes=False)))
    box = (slice(30, 110), slice(50, 160))
    np.testing.assert_array_equal(run(iter_preview(fitted, (), box)), run(iter_preview(plain, (), box)))
