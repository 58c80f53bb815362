from __future__ import annotations

import dataclasses
import itertools
import tracemalloc

import numpy as np
import pytest
import torch

from napari_unetstyle.core import ModelStore, as_image, segment
from napari_unetstyle.core.annotation.corrections import Correction
from napari_unetstyle.core.errors import ImageError, OptionError
from napari_unetstyle.core.files import sha256_of
from napari_unetstyle.core.models.memory import Memory
from napari_unetstyle.core.progress import run
from napari_unetstyle.core.segmentation import fitting
from napari_unetstyle.core.segmentation.options import SegmentOptions
from napari_unetstyle.core.training import fresh
from napari_unetstyle.core.training import places as places_module
from napari_unetstyle.core.training.calibration import BOUNDS
from napari_unetstyle.core.training.comparison import iter_scores
from napari_unetstyle.core.training.finetune import fine_tune, iter_fine_tune, teach_new
from napari_unetstyle.core.training.fresh import fresh_spec, with_size
from napari_unetstyle.core.training.lessons import iter_clear, label_diameter, lesson, sayings, sized
from napari_unetstyle.core.training.options import FineTuneOptions
from napari_unetstyle.core.training.places import hold_out
from napari_unetstyle.core.training.scores import Comparison
from napari_unetstyle.core.training.train_progress import TrainProgress
from tests.core.networks_for_tests import tiny_model
from tests.core.training_for_tests import discs

QUICK = {"minutes": None, "steps": 40, "learning_rate": 2e-2}


def picture(seed=0, shape=(128, 160), **said):
    """A picture of discs that a person called right, unless told otherwise."""
    example = discs(shape, count=14, seed=seed)
    pixels = np.moveaxis((255 * example.image).astype(np.uint8), 0, -1)
    return Correction(image=as_image(pixels, axes="YXC"), labels=example.labels[1], **(said or {"rest_is_right": True}))


def small(seed=0):
    """One that is just large enough to hold places out."""
    return picture(seed, shape=(96, 112))


def old(seed, role, *, inverted=False):
    example = discs((96, 96), count=8, seed=seed)
    pixels = (255 * example.image).astype(np.uint8)
    return Memory(255 - pixels if inverted else pixels, example.labels, role)


@pytest.fixture
def store(tmp_path):
    tiny_model(tmp_path)
    return ModelStore(tmp_path)


def weights(network):
    return torch.cat([p.detach().flatten() for p in network.parameters()])


@pytest.fixture(scope="module")
def taught(tmp_path_factory):
    """What two pictures make of the tiny model, with its network; its store; and what the parent's files were."""
    root = tmp_path_factory.mktemp("taught")
    parent, store = tiny_model(root), ModelStore(root)
    before = {path: sha256_of(path) for path in parent.folder.iterdir()}
    candidate = fine_tune([small(0), small(1)], parent, store=store, **QUICK)
    return candidate, candidate.model.network, store, before


def test_a_taught_model_is_better_on_places_it_was_not_taught_with_and_the_parent_is_as_it_was(taught):
    candidate, _, store, before = taught
    comparison = candidate.comparison
    assert len(candidate.places) >= 3
    assert not any("in one picture" in note for note in candidate.notes)
    assert comparison.child.on_places > comparison.parent.on_places + 0.1
    assert comparison.verdict == "better"
    assert [spec.name for spec in store.list() if spec.name == "tiny-mine"] == []
    kept = candidate.keep(store)
    assert (kept.spec.name, kept.spec.version, kept.spec.parent) == ("tiny-mine", 1, "tiny@1")
    assert store.load("tiny-mine").spec == kept.spec
    assert {path: sha256_of(path) for path in store.folder("tiny").iterdir()} == before
    assert not list(store.root.glob(".partial-*"))
    assert kept.card.measured
    assert BOUNDS[0] <= comparison.child.temperature <= BOUNDS[1]  # how sure it may be
    assert kept.spec.temperature == comparison.child.temperature
    assert Comparison.from_json(comparison.to_json()) == comparison


def test_the_next_one_is_the_next_version_and_names_never_change_meaning(store):
    alone = fine_tune([small(0)], "tiny", store=store, **QUICK | {"steps": 2})
    assert any("in one picture" in note for note in alone.notes) == bool(alone.places)
    first = alone.keep(store)
    second = fine_tune([small(1)], first, store=store, **QUICK | {"steps": 2}).keep(store)
    assert (second.spec.name, second.spec.version, second.spec.parent) == ("tiny-mine", 2, "tiny-mine@1")
    assert store.load("tiny-mine@1").spec == first.spec
    assert torch.equal(weights(store.load("tiny-mine@1").network), weights(first.network))


def test_a_taught_model_has_the_license_of_its_parent(store):
    tiny = store.load("tiny")
    store.save(
        tiny.spec.model_copy(update={"name": "shared-alike", "temperature": 17.0}),
        tiny.network,
        license_text="Share alike.\n",
    )
    kept = fine_tune([small(0)], "shared-alike", store=store, **QUICK | {"steps": 1}).keep(store)
    assert kept.license_text == "Share alike.\n"
    assert kept.spec.temperature != 17  # nor is it as sure as its parent was
    assert store.load("tiny").license_text == ""


def test_two_that_are_kept_at_the_same_time_are_both_kept(store):
    one, two = (fine_tune([small(0)], "tiny", store=store, **QUICK | {"steps": s}) for s in (1, 2))
    assert {one.keep(store).spec.version, two.keep(ModelStore(store.root)).spec.version} == {1, 2}


def test_same_seed_and_steps_give_the_same_bits(store):
    options = QUICK | {"steps": 2}
    one, two, other = (
        fine_tune([small(0)], "tiny", store=store, **options, seed=seed).model.network for seed in (3, 3, 4)
    )
    assert torch.equal(weights(one), weights(two))
    assert not torch.equal(weights(one), weights(other))


def test_what_is_held_out_is_not_learned_from(store):
    """Wrong labels inside the held-out places, and nowhere else, give the same weights."""
    right = picture(0)
    few = {**QUICK, "steps": 1}  # more, and the best of several is chosen by the places
    candidate = fine_tune([right], "tiny", store=store, **few)
    wrong = right.labels.copy()
    for place in candidate.places:
        inner = tuple(slice(s.start + 4, s.stop - 4) for s in place.box)
        wrong[inner] = wrong[inner][:, ::-1]  # the same objects reach into the place, which decides what is left out
    assert (wrong != right.labels).any()
    again = Correction(image=right.image, labels=wrong, rest_is_right=True)
    other = fine_tune([again], "tiny", store=store, **few)
    assert [p.box for p in other.places] == [p.box for p in candidate.places]
    assert torch.equal(weights(candidate.model.network), weights(other.model.network))
    assert candidate.comparison.parent.on_places != other.comparison.parent.on_places


def test_old_pictures_are_replayed_and_a_model_that_forgets_does_not_take_over(taught, store):
    candidate, network, *_ = taught
    memory = [old(9, "learn"), old(10, "check"), old(11, "check")]
    spec = candidate.model.spec.model_copy(update={"name": "knows", "version": 1, "parent": None})
    store.save(spec, network, memory=memory)
    knows = store.load("knows")
    assert [m.role for m in knows.memory] == ["check", "check", "learn"]

    right = small(2)
    swapped = Correction(image=right.image, labels=(right.labels == 0).astype(np.int32), rest_is_right=True)
    bad = fine_tune([swapped], knows, store=store, **QUICK | {"steps": 24, "learning_rate": 5e-2}, replay=0.0)
    assert bad.comparison.parent.on_old - bad.comparison.child.on_old > 0.01
    assert bad.comparison.verdict == "forgets"
    assert not bad.comparison.takes_over
    assert "would forget" in bad.comparison.sentence()

    good = fine_tune([right], knows, store=store, **QUICK | {"steps": 16, "learning_rate": 5e-3})
    assert good.comparison.child.on_old > good.comparison.parent.on_old - 0.01
    assert [m.role for m in good.keep(store).memory if not m.picture] == ["check", "check", "learn"]


def test_too_little_to_check_says_so_and_takes_over_only_when_a_person_says_so(store):
    few = picture(0, touched=frozenset({1, 2}))
    candidate = fine_tune([few], "tiny", store=store, **QUICK | {"steps": 2})
    assert candidate.places == ()
    assert candidate.comparison.verdict == "unchecked"
    assert not candidate.comparison.takes_over
    assert "3 more areas called right" in candidate.comparison.sentence()
    candidate.forget(store)
    assert not list(store.root.glob(".partial-*"))


def test_nothing_said_is_nothing_to_learn_from(store):
    with pytest.raises(OptionError, match="nothing to learn from"):
        fine_tune([picture(0, touched=frozenset())], "tiny", store=store, **QUICK)


def test_unknown_classes_are_refused_before_anything_starts(store):
    three = picture(0, rest_is_right=True, classes={1: 3})
    with pytest.raises(OptionError, match="class 3, but 'tiny' knows 1 nucleus"):
        fine_tune([three], "tiny", store=store, **QUICK)


def test_stop_keeps_the_best_so_far_and_compares_it(store):
    calls = itertools.count(1)
    steps = iter_fine_tune(
        [picture(0)],
        "tiny",
        FineTuneOptions(minutes=None, steps=1000),
        store=store,
        should_stop=lambda: next(calls) >= 3,
    )
    progress = []
    while True:
        try:
            progress.append(next(steps))
        except StopIteration as end:
            candidate = end.value
            break
    assert sum(isinstance(p, TrainProgress) and p.loss == p.loss for p in progress) < 60
    assert "3 steps" in candidate.model.spec.provenance["recipe"]
    assert candidate.comparison.child.on_places is not None
    fractions = [p.fraction for p in progress]
    assert fractions == sorted(fractions)


@pytest.mark.long
def test_progress_has_the_score(store):
    options = FineTuneOptions(**QUICK | {"steps": 16})
    steps = iter_fine_tune([picture(0, shape=(96, 112))], "tiny", options, store=store)
    seen = []
    run(steps, seen.append)
    scores = [p.score for p in seen if isinstance(p, TrainProgress)]
    assert len(set(scores)) > 2


def test_measuring_says_what_is_measured_and_on_how_many_pictures(store):
    model = store.load("tiny")
    said = sayings([picture(0, shape=(96, 112))], model.spec)
    _, places = hold_out(said, np.random.default_rng(0))
    seen = []
    run(iter_scores(model, said, places, [old(1, "check"), old(2, "check")], SegmentOptions()), seen.append)
    assert list(dict.fromkeys(p.message for p in seen)) == [f"Measuring tiny on {i} of 3 pictures" for i in (1, 2, 3)]
    fractions = [p.fraction for p in seen]
    assert fractions == sorted(fractions)


def test_closing_leaves_nothing_behind(store):
    steps = iter_fine_tune([picture(0)], "tiny", FineTuneOptions(**QUICK), store=store)
    next(steps)
    next(steps)
    steps.close()
    assert sorted(p.name for p in store.root.iterdir()) == ["tiny@1"]


@pytest.mark.parametrize(("learn", "frozen"), [("decoder", "encoder"), ("encoder", "decoder")])
def test_frozen_layers_stay_as_they_were(store, learn, frozen):
    parent = store.load("tiny")
    child = fine_tune([small(0)], parent, store=store, **QUICK | {"steps": 3}, learn=learn).model.network
    same = weights(getattr(child, frozen)) - weights(getattr(parent.network, frozen))
    other = weights(getattr(child, learn)) - weights(getattr(parent.network, learn))
    assert same.abs().max() == 0
    assert other.abs().max() > 0


@pytest.mark.long
def test_patience_ends_a_teaching_that_gets_no_better(store):
    options = FineTuneOptions(minutes=None, steps=80, learning_rate=1e-9, patience=2, schedule="plateau")
    candidate = run(iter_fine_tune([picture(0, shape=(96, 112))], "tiny", options, store=store))
    recipe = candidate.model.spec.provenance["recipe"]
    assert "taught, 30 steps" in recipe  # measured each tenth one; the first measurement is the best
    assert "schedule plateau" in recipe


@pytest.mark.parametrize(
    "bad",
    [
        {"steps": 3},
        {"minutes": None},
        {"replay": 1.0},
        {"learn": "head"},
        {"schedule": "linear"},
        {"patience": 0},
        {"mirror": "XY"},
    ],
)
def test_options_that_make_no_sense_are_refused(bad):
    with pytest.raises(OptionError):
        FineTuneOptions(**bad)


def volume(seed):
    """A volume of two classes with thick slices: bright balls, and in the upper half of the picture brighter ones."""
    example = discs((18, 40, 44), channels=1, count=6, seed=seed)
    ids = example.labels[1]
    classes = np.where(ids > 3, 2, ids > 0).astype(np.uint8)
    pixels = 20 + 90 * classes + np.random.default_rng(seed).integers(0, 9, classes.shape)
    image = as_image(pixels.astype(np.int16), axes="ZYX", spacing=(3.0, 1.0, 1.0), unit="mm", name=f"scan {seed}")
    return Correction(image=image, labels=classes, output="areas", rest_is_right=True)


@pytest.fixture
def thin(monkeypatch):
    """New models of a width that learns in seconds."""
    monkeypatch.setattr(fresh, "WIDTHS", (8, 16, 32))


@pytest.mark.long
def test_a_new_model_of_objects_is_taught_from_nothing(store, thin):
    candidate = teach_new([picture(0), picture(1)], ["disc"], "discs", store=store, **QUICK)
    assert candidate.parent is None
    assert candidate.comparison.verdict == "new"
    assert candidate.comparison.child.on_places > 0.3
    spec = candidate.keep(store).spec
    assert (spec.name, spec.version, spec.parent, spec.separation) == ("discs", 1, None, "depth")
    assert spec.input.channels == "rgb"
    assert 10 < spec.input.object_diameter < 16
    assert (store.load("discs").network.encoder[0][0].norm.variance_floor > 0).any()


@pytest.mark.long
def test_a_new_model_of_areas_in_volumes_is_taught_from_nothing(store, thin):
    candidate = teach_new(
        [volume(0), volume(1)], ["dim", "bright"], "balls", store=store, minutes=None, steps=15, learning_rate=1e-2
    )
    spec = candidate.model.spec
    assert spec.network.spatial_dims == 3
    assert spec.network.level_strides[0] == (1, 2, 2)
    assert spec.input.spacing == (3.0, 1.0, 1.0)
    assert [c.name for c in spec.classes] == ["dim", "bright"]
    assert spec.separation is None
    assert candidate.comparison.child.on_places > 0.3


def test_a_new_model_needs_pictures_of_one_kind_and_enough_classes(store):
    with pytest.raises(ImageError, match="Teach with pictures of one kind"):
        teach_new([picture(0), volume(0)], ["disc"], "x", store=store, steps=1, minutes=None)
    with pytest.raises(OptionError, match="class 2"):
        teach_new([volume(0)], ["dim"], "x", store=store, steps=1, minutes=None)
    with pytest.raises(OptionError, match="names of its classes"):
        teach_new([volume(0)], [], "x", store=store, steps=1, minutes=None)
    with pytest.raises(OptionError, match="would stay random"):
        teach_new([picture(0)], ["disc"], "x", store=store, steps=1, minutes=None, learn="decoder")


@pytest.mark.parametrize(("shape", "axes"), [((7, 7), "YX"), ((2, 7, 5), "ZYX")])
def test_a_new_model_needs_pictures_that_a_network_can_halve(store, shape, axes):
    def lesson(shape):
        image = as_image(np.arange(np.prod(shape), dtype=np.uint8).reshape(shape), axes=axes)
        return Correction(image=image, labels=np.ones(shape, np.uint8), output="areas", rest_is_right=True)

    with pytest.raises(ImageError, match=r"7( x 7| x 5) pixels large, and a new model needs 8 or more"):
        teach_new([lesson(shape)] * 2, ["disc"], "x", store=store, steps=1, minutes=None)
    spec = fresh_spec([lesson((*shape[:-1], 8))], "x", ["disc"])
    assert spec.network.strides == ((*(1 for _ in shape[:-1]), 2),)


def test_a_place_is_held_out_of_all_corrections_of_its_picture():
    """The labels before and after an earlier teaching are two corrections of one picture."""
    one, other = picture(0), picture(1)
    labels = np.where(one.labels == 1, 0, one.labels)
    again = Correction(image=as_image(np.array(one.image.array), axes="YXC"), labels=labels, rest_is_right=True)
    said = sayings([one, again, other], fresh_spec([one], "discs", ["disc"]))
    learned_from, places = hold_out(said, np.random.default_rng(0))
    assert {place.said for place in places} & {0, 1}
    for place in places:
        for kept in (k for k in learned_from if k.picture == said[place.said].picture):
            assert not kept.valid[place.box].any()


def test_of_a_picture_that_was_corrected_on_many_days_most_is_learned_from():
    days = [picture(0) for _ in range(20)]
    days = [dataclasses.replace(one, labels=np.where(one.labels == i, 0, one.labels)) for i, one in enumerate(days)]
    spec = fresh_spec(days, "discs", ["disc"])
    learned_from, places = hold_out(sayings(days, spec), np.random.default_rng(0))
    assert len(places) == len(hold_out(sayings(days[:1], spec), np.random.default_rng(0))[1])
    assert all(one.valid.mean() > 0.5 for one in learned_from)


def stack(frames, shape=(128, 160), **said):
    """Slices that are nearly alike, labeled alike."""
    example = discs(shape, channels=1, count=14)
    noise = np.random.default_rng(0).integers(0, 3, (frames, *shape))
    pixels = (200 * example.image[0] + noise).astype(np.uint8)
    labels = np.repeat(example.labels[1][np.newaxis], frames, axis=0)
    return Correction(image=as_image(pixels, axes="ZYX"), labels=labels, dims=2, **(said or {"rest_is_right": True}))


def test_what_is_held_out_of_a_slice_is_learned_from_in_no_other():
    one = stack(8)
    said = sayings([one], fresh_spec([picture()], "discs", ["disc"]))
    learned_from, places = hold_out(said, np.random.default_rng(0))
    held = {tuple((side.start, side.stop) for side in place.box) for place in places}
    assert not any(kept.valid[place.box].any() for kept in learned_from for place in places)
    assert len(places) == 8 * len(held)
    candidates = 8 * len(places_of(said[:1]))
    assert len(places) == pytest.approx(candidates / 4, abs=4)
    assert len(learned_from) == 8
    assert np.mean([kept.valid.mean() for kept in learned_from]) > 0.5


def places_of(said):
    return list(itertools.chain(*places_module._columns(said)))


def test_slices_that_were_corrected_on_different_days_are_of_one_stack():
    accepted = np.zeros((2, 8, 128, 160), bool)
    accepted[0, :4] = accepted[1, 4:] = True
    days = [stack(8, accepted=mask) for mask in accepted]
    said = sayings(days, fresh_spec([picture()], "discs", ["disc"]))
    learned_from, places = hold_out(said, np.random.default_rng(0))
    assert len(said) == 8
    assert places
    assert not any(kept.valid[place.box].any() for kept in learned_from for place in places)


def test_of_a_stack_that_was_judged_in_one_place_all_is_learned():
    accepted = np.zeros((20, 128, 160), bool)
    accepted[:, 10:40, 10:40] = True
    said = sayings([stack(20, accepted=accepted)], fresh_spec([picture()], "discs", ["disc"]))
    learned_from, places = hold_out(said, np.random.default_rng(0))
    assert places == []
    assert len(learned_from) == 20


def test_a_class_that_is_in_one_place_of_a_stack_only_is_learned():
    labels = np.zeros((8, 96, 96), np.uint8)
    labels[:, 60:90, 60:90] = 1
    labels[3:6, 4:20, 4:20] = 2
    pixels = np.random.default_rng(0).integers(0, 255, labels.shape).astype(np.uint8)
    given = Correction(image=as_image(pixels, axes="ZYX"), labels=labels, output="areas", dims=2, rest_is_right=True)
    plain = dataclasses.replace(given, image=as_image(pixels[0]), labels=labels[4], dims=2)
    said = sayings([given], fresh_spec([plain], "two", ["one", "other"]))
    for seed in range(4):
        learned_from, places = hold_out(said, np.random.default_rng(seed))
        assert places
        assert any((one.targets[0][one.valid] == 2).any() for one in learned_from)


def squares():
    """Small squares, and a large one that is right of the middle: nobody judged it."""
    labels = np.zeros((160, 320), np.int32)
    for number in range(16):
        y, x = 8 + 40 * (number // 4), 8 + 40 * (number % 4)
        labels[y : y + 12, x : x + 12] = number + 1
    labels[10:150, 170:310] = 99
    accepted = np.zeros(labels.shape, bool)
    accepted[:, :160] = True
    pixels = (20 + 200 * (labels > 0)).astype(np.uint8)
    return Correction(image=as_image(np.stack([pixels] * 3, -1), axes="YXC"), labels=labels, accepted=accepted)


def test_labels_that_nobody_judged_do_not_set_the_scale(store):
    size = pytest.approx(12 * 2 / np.sqrt(np.pi), abs=0.1)
    one = squares()
    assert fresh_spec([one], "squares", ["square"]).input.object_diameter == size
    (said,) = sayings([one], store.load("tiny").spec)
    assert sized(SegmentOptions(), said, store.load("tiny").spec).object_diameter == size
    assert sized(SegmentOptions(object_diameter=50), said, store.load("tiny").spec).object_diameter == 50
    nothing = dataclasses.replace(said, valid=said.valid & (said.targets[1] == 0))
    assert sized(SegmentOptions(), nothing, store.load("tiny").spec).object_diameter is None


@pytest.mark.parametrize("is_clear", [True, False])
def test_a_lesson_has_the_scale_at_which_a_run_sees_the_picture(store, monkeypatch, is_clear):
    monkeypatch.setattr(fitting, "is_clear_to", lambda *_: is_clear)
    model, one, options = store.load("tiny"), squares(), SegmentOptions()
    sizes = {"object_diameter": 5.0, "object_diameters": (4.0, 6.0), "clear_diameter": 50.0}
    spec = model.spec.model_copy(update={"input": model.spec.input.model_copy(update=sizes)})
    (said,) = sayings([one], spec)
    clear = run(iter_clear([said], dataclasses.replace(model, spec=spec), options))
    assert clear == ({said.picture} if is_clear else set())
    seen = lesson(said, spec, options, clear).image
    diameter = sized(options, said, spec).object_diameter
    result = segment(one.image, dataclasses.replace(model, spec=spec), object_diameter=diameter)
    assert result.provenance["scale"] == pytest.approx(1.0 if is_clear else 6 / diameter)
    assert seen.shape[1] == pytest.approx(160 * result.provenance["scale"], abs=1)
    assert run(iter_clear([said], model, options)) == set()  # what does not depend on it is not looked at


def test_objects_of_any_number_make_the_same_lesson(store):
    spec, one = store.load("tiny").spec, squares()
    many = dataclasses.replace(one, labels=np.where(one.labels > 0, one.labels + 16777216 + 50_000_000, 0))
    lessons = [lesson(sayings([given], spec)[0], spec, SegmentOptions()) for given in (one, many)]
    np.testing.assert_array_equal(lessons[0].labels, lessons[1].labels)
    assert lessons[0].labels[1].max() == 17
    tracemalloc.start()
    assert label_diameter(many.labels, one.accepted) == label_diameter(one.labels, one.accepted)
    assert tracemalloc.get_traced_memory()[1] < 2**23
    tracemalloc.stop()


def test_what_is_held_out_does_not_set_the_size_of_a_new_model():
    one = dataclasses.replace(squares(), accepted=None, rest_is_right=True)
    spec = fresh_spec([one], "squares", ["square"])
    assert spec.input.object_diameter > 100
    (said,) = sayings([one], spec)
    left = said.without(np.pad(np.ones((160, 80), bool), ((0, 0), (240, 0))))
    size = with_size(spec, [left]).input
    assert size.object_diameter == pytest.approx(13.5, abs=0.1)
    assert size.object_diameters[0] < size.object_diameter < size.object_diameters[1]
    nothing = dataclasses.replace(left, valid=left.valid & (left.targets[1] == 0))
    assert with_size(spec, [nothing]) == spec


def test_what_is_said_twice_counts_once():
    one, other = picture(0), picture(1)
    said = sayings([one, other, one, picture(0)], fresh_spec([one], "discs", ["disc"]))
    assert [s.correction for s in said] == [one, other]


def test_of_one_object_that_is_everywhere_all_is_learned(store):
    everywhere = dataclasses.replace(picture(0), labels=np.ones((128, 160), np.int32))
    candidate = fine_tune([everywhere], "tiny", store=store, **(QUICK | {"steps": 1}))
    assert candidate.comparison.verdict == "unchecked"
