"""A class is added to a model, of areas or of objects: what it knew stays, and the new class is learned."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
from scipy import ndimage

from napari_unetstyle.core import ModelStore, as_image, fine_tune, segment
from napari_unetstyle.core.annotation.corrections import Correction
from napari_unetstyle.core.annotation.known import UNKNOWN, as_given, as_of, classes_known, is_known
from napari_unetstyle.core.errors import OptionError
from napari_unetstyle.core.models.memory import Memory
from napari_unetstyle.core.models.model import Model
from napari_unetstyle.core.models.spec import Postprocessing
from napari_unetstyle.core.networks.spec import NetworkSpec
from napari_unetstyle.core.progress import run
from napari_unetstyle.core.segmentation.options import SegmentOptions
from napari_unetstyle.core.training import added_classes
from napari_unetstyle.core.training.added_classes import before_added, iter_taught_alone, widened, with_classes
from napari_unetstyle.core.training.drawing import Drawing
from napari_unetstyle.core.training.lessons import lesson, sayings
from napari_unetstyle.core.training.losses import class_loss, seed_loss
from napari_unetstyle.core.training.patches import Example, unit_range
from napari_unetstyle.core.training.places import hold_out
from napari_unetstyle.core.training.scores import Comparison, Counts, Scores
from tests.core.networks_for_tests import random_unet, tiny_model
from tests.core.training_for_tests import discs

AREAS = None
QUICK = {"minutes": None, "steps": 2, "learning_rate": 1e-3}


def objects_of(seed, shape=(96, 112)):
    """A number for each object, from 6 on for those of the class that comes later, which touch no earlier ones."""
    ids = discs(shape, channels=1, count=10, seed=seed).labels[1]
    return np.where((ids > 5) & ndimage.binary_dilation((ids > 0) & (ids <= 5), iterations=2), 0, ids)


def scene(seed, *, shape=(96, 112)):
    """Bright discs (class 1) and, half as bright, others of the class that comes later (2): pixels and class values."""
    ids = objects_of(seed, shape)
    classes = np.where(ids > 5, 2, ids > 0).astype(np.uint8)
    noise = np.random.default_rng(seed).integers(0, 15, shape)
    pixels = (np.choose(classes, (20, 200, 110)) + noise).astype(np.uint8)
    return pixels, classes


def picture(seed, *, separation=None, **said):
    pixels, classes = scene(seed)
    about = {"output": "areas", "labels": classes}
    if separation is not None:
        about = {"output": "objects", "labels": objects_of(seed), "classes": dict.fromkeys(range(6, 11), 2)}
    return Correction(image=as_image(pixels), **(about | {"rest_is_right": True} | said))


def old(seed, role, *, separation=None):
    """A picture from when nobody knew of the rings, which lie in it as background."""
    pixels, classes = scene(seed)
    objects = np.full(classes.shape, UNKNOWN) if separation is None else np.where(classes == 1, objects_of(seed), 0)
    return Memory(pixels[np.newaxis], np.stack([classes == 1, objects]).astype(np.int32), role)


@pytest.fixture
def separation():
    """Of the models of a test: of areas, unless it says otherwise."""
    return AREAS


EITHER = pytest.mark.parametrize("separation", [AREAS, "depth"], ids=["areas", "objects"])


@pytest.fixture
def plain(tmp_path, separation):
    """A model that carries no pictures."""
    return tiny_model(tmp_path, separation=separation, channels="gray")


def hinges(separation=None, thresholds=(-1.0, 0.0, 0.5, 1.0, 1.7, 2.4)):
    """A network that nobody taught: its features are how far a pixel is above some levels, discs above the fifth."""
    count = len(thresholds)
    spec = NetworkSpec(in_channels=1, widths=(count, 4))
    network = random_unet(channels=1, widths=spec.widths, out=2 + (separation is not None))
    with torch.no_grad():
        for block, given in ((network.encoder[0], 1), (network.decoder[0], 2 * count)):
            for layer, taken in ((block[0], min(given, count)), (block[1], count)):
                layer.conv.weight.zero_()
                for i in range(count):
                    layer.conv.weight[i, i % taken, 1, 1] = 1
                layer.norm.weight.fill_(1)
                layer.norm.bias.fill_(3)  # all of it passes
        network.encoder[0][0].norm.bias.copy_(-torch.tensor(thresholds))
        network.head.weight.zero_()
        network.head.weight[1, 4] = 6
        network.head.bias[:2] = torch.tensor([0.0, -24.0])
        if separation is not None:  # deep in discs, not at all in rings
            network.head.weight[2, 4] = 3
            network.head.bias[2] = -14
    return spec, network


@pytest.fixture
def knowing(plain, tmp_path, separation):
    """A model that finds discs, with old pictures."""
    network_spec, network = hinges(separation)
    spec = plain.spec.model_copy(update={"name": "knows", "network": network_spec, "files": {}})
    store = ModelStore(tmp_path)
    roles = {10: "learn", 11: "check", 12: "check"}
    store.save(spec, network, memory=[old(seed, role, separation=separation) for seed, role in roles.items()])
    return store.load("knows"), store


def test_a_label_says_nothing_of_classes_that_came_later():
    classes, objects = as_of(np.array([[0, 1, 2, UNKNOWN], [0, 7, 8, UNKNOWN]]), 2)
    assert classes.tolist() == [-3, 1, 2, UNKNOWN]
    assert objects.tolist() == [UNKNOWN, 7, 8, UNKNOWN]
    assert is_known(classes, 1).tolist() == [True, True, True, False]
    assert is_known(classes, 3).tolist() == [False, True, True, False]
    later = as_of(np.stack([classes, objects]), 3)
    assert later.tolist() == [classes.tolist(), objects.tolist()]  # a still later class changes nothing
    assert as_given(classes).tolist() == [0, 1, 2, UNKNOWN]
    assert (classes_known(classes, 3), classes_known(np.array([0, 1, UNKNOWN]), 3)) == (2, 3)


@EITHER
def test_channels_that_were_there_are_the_same_bits_and_the_new_one_never_wins(plain, separation):
    wide, has_seeds = widened(plain.network, plain.spec, 2), separation is not None
    assert wide.head.out_channels == with_classes(plain.spec, ["ring", "speck"]).out_channels == 4 + has_seeds
    kept = [0, 1, *([4] if has_seeds else [])]  # the seed map stays the last
    for name, tensor in plain.network.state_dict().items():
        same = wide.state_dict()[name]
        assert torch.equal(same[kept] if name.startswith("head.") else same, tensor)
    x = torch.randn(2, 1, 40, 48)
    before, after = plain.network.eval()(x), wide.eval()(x)
    assert torch.allclose(before, after[:, kept], atol=1e-5)
    before, after = before[:, :2].softmax(1), after[:, :4].softmax(1)
    assert torch.equal(before.argmax(1), after.argmax(1))
    assert (before - after[:, :2]).abs().max() < 0.02
    assert plain.network.head.out_channels == 2 + has_seeds


@EITHER
def test_the_answers_are_the_same_before_anything_was_learned(knowing):
    model, _ = knowing
    wide = Model.in_memory(with_classes(model.spec, ["ring"]), widened(model.network, model.spec, 1))
    pixels, _ = scene(5)
    one, other = segment(pixels, model), segment(pixels, wide)
    assert one.labels.max() == other.labels.max() > 0
    assert (one.labels != other.labels).mean() < 0.002
    assert not (other.class_values() == 2).any()


@EITHER
def test_new_channels_learn_alone_and_all_else_stays_bit_for_bit(knowing, separation, monkeypatch):
    monkeypatch.setattr(added_classes, "_BATCHES", 1)
    monkeypatch.setattr(added_classes, "_STEPS", 2)
    model, _ = knowing
    spec = with_classes(model.spec, ["ring"])
    wide = widened(model.network, model.spec, 1)
    before = copy.deepcopy(wide.state_dict())
    said = sayings([picture(2, separation=separation)], spec)
    drawing = Drawing(spec=spec, lessons=[lesson(one, spec, SegmentOptions()) for one in said])
    run(iter_taught_alone(wide, 1, drawing, seed=0))
    for name, tensor in wide.state_dict().items():
        changed = {i for i in range(len(tensor)) if not torch.equal(tensor[i], before[name][i])}
        assert changed == ({2} if name.startswith("head.") else set()), name


def test_the_new_class_is_described_with_the_next_value_and_a_free_color(plain):
    spec = with_classes(plain.spec, ["ring", "speck"])
    assert [(c.value, c.name) for c in spec.classes] == [(1, "nucleus"), (2, "ring"), (3, "speck")]
    assert len({c.color for c in spec.classes}) == 3
    assert "ring, speck" in spec.card.summary


@pytest.mark.parametrize("names", [["Nucleus"], [" "], ["ring", "ring"], ["background"], ["ri\x1bng"]])
def test_a_name_that_is_there_already_is_refused(plain, names):
    with pytest.raises(OptionError, match="cannot be called"):
        with_classes(plain.spec, names)


def test_layers_that_cannot_learn_it_are_refused(tmp_path, plain):
    with pytest.raises(OptionError, match="learned by the last layers"):
        fine_tune([picture(0)], plain, store=ModelStore(tmp_path), **QUICK, add_classes=("ring",), learn="encoder")


def test_a_class_that_nothing_is_labeled_with_is_refused(tmp_path, plain):
    without = picture(0, labels=(scene(0)[1] == 1).astype(np.uint8))
    with pytest.raises(OptionError, match=r"Nothing in the pictures is labeled ring \(value 2\)"):
        fine_tune([without], plain, store=ModelStore(tmp_path), **QUICK, add_classes=("ring",))


def test_background_of_earlier_days_may_be_a_later_class_but_no_earlier_one():
    logits = torch.randn(1, 4, 6, 6, requires_grad=True)  # background, two classes, one that came later
    earlier = torch.full((1, 6, 6), -3)
    class_loss(logits, earlier).backward()
    assert (logits.grad[:, 1:3] > 0).all()
    assert (logits.grad[:, [0, 3]] < 0).all()
    moved = logits.detach().clone()
    moved[:, [0, 3]] = moved[:, [3, 0]]  # which of the two it is costs nothing
    assert torch.allclose(class_loss(moved, earlier), class_loss(logits, earlier))
    assert class_loss(logits, torch.zeros(1, 6, 6, dtype=torch.long)) > class_loss(logits, earlier)


@EITHER
def test_nothing_is_said_of_objects_where_an_old_picture_may_show_the_new_class(knowing, separation):
    model, _ = knowing
    spec = with_classes(model.spec, ["ring"])
    memory = before_added(old(10, "learn", separation=separation), 1)
    example = Example(unit_range(memory.pixels), memory.targets)
    batch = Drawing(spec=spec, lessons=[example])(np.random.default_rng(0))
    assert (batch.classes == -2).any()
    assert (batch.classes == 1).any()
    if separation is None:
        assert batch.seeds is None
        return
    unsaid = (batch.classes < 0)[:, None]
    assert torch.equal(batch.seeds.isnan(), unsaid)
    assert batch.seeds[~unsaid].max() > 0.2
    seeds = torch.zeros(batch.seeds.shape, requires_grad=True)
    seed_loss(seeds, batch.seeds).backward()
    assert not seeds.grad[unsaid].any()
    assert seeds.grad[~unsaid].any()


@pytest.mark.long
@EITHER
def test_the_new_class_is_learned_and_the_old_one_is_guarded(knowing, separation):
    model, store = knowing
    lessons = [picture(seed, separation=separation) for seed in (2, 3)]
    candidate = fine_tune(lessons, model, store=store, **QUICK, add_classes=("ring",))
    comparison, spec = candidate.comparison, candidate.model.spec
    assert [c.name for c in spec.classes] == ["nucleus", "ring"]
    assert comparison.child.on_added["ring"] > 0.6
    assert comparison.child.on_places > comparison.parent.on_places - 0.01
    assert comparison.child.on_old > comparison.parent.on_old - 0.01
    assert comparison.verdict == "better", comparison.sentence()
    assert comparison.sentence().startswith("Better: ring ")
    assert Comparison.from_json(comparison.to_json()) == comparison
    kept = candidate.keep(store)
    assert any(row.data.startswith("ring on held-out places") for row in kept.card.measured)
    remembered = [m for m in kept.memory if not m.picture]
    assert len(remembered) == 3
    assert all((m.targets[0] != 0).all() and (m.targets[0] == -2).any() for m in remembered)
    assert any((m.targets[0] == 2).any() for m in kept.memory if m.picture)
    pixels, classes = scene(20)
    found = segment(pixels, kept).class_values()
    assert 2 * ((found == 2) & (classes == 2)).sum() / ((found == 2).sum() + (classes == 2).sum()) > 0.6
    pixels, classes = scene(10)  # an old picture, in which nobody had labeled the rings
    assert (segment(pixels, kept).class_values()[classes == 2] == 2).mean() > 0.6
    more = [picture(4, separation=separation)]
    again = fine_tune(more, kept, store=store, **QUICK)  # a plain teaching goes on with it
    assert again.comparison.parent.on_old is not None


def counts(*dice):
    return tuple(Counts(1000, 1000 if d is not None else 0, round(1000 * (d or 0))) for d in dice)


@pytest.mark.parametrize(
    ("old_one", "new_one", "on_old", "verdict"),
    [
        (0.8, 0.5, 0.9, "better"),
        (0.795, 0.5, 0.9, "better"),
        (0.78, 0.5, 0.9, "not better"),
        (0.9, 0.05, 0.9, "not better"),
        (0.9, 0.5, 0.88, "forgets"),
        (0.9, None, 0.9, "unchecked"),
    ],
)
def test_it_takes_over_if_the_new_class_is_found_and_the_others_stay(old_one, new_one, on_old, verdict):
    parent = Scores((counts(0.8),) * 3, ((0.9,),))
    child = Scores((counts(old_one, new_one),) * 3, ((on_old,),), added=("ring",))
    comparison = Comparison(parent, child)
    assert comparison.verdict == verdict
    assert "ring" in comparison.sentence()
    assert comparison.child.on_places == pytest.approx(old_one)


@EITHER
def test_what_was_said_before_the_class_was_there_does_not_say_that_there_is_none(plain, separation):
    labels = (scene(0)[1] == 1) * (1 if separation is None else objects_of(0))
    earlier = picture(0, separation=separation, labels=labels, rest_is_right=True, known=1)
    spec = with_classes(plain.spec, ["ring"])
    (said,) = sayings([earlier], spec)
    assert set(np.unique(said.targets[0])) == {-2, 1}
    assert (said.targets[1][labels == 0] == UNKNOWN).all()
    (said,) = sayings([earlier], plain.spec)
    assert set(np.unique(said.targets[0])) == {0, 1}


def test_places_of_a_rare_class_are_held_out_but_never_the_only_one(plain):
    spec = with_classes(plain.spec, ["ring"])
    labels = np.zeros((96, 112), np.uint8)
    labels[2:6, 2:6] = labels[90:94, 100:110] = 2
    said = sayings([picture(0, labels=labels)], spec)
    for seed in range(5):
        learned, places = hold_out(said, np.random.default_rng(seed))
        assert sum((said[p.said].targets[0][p.box] == 2).any() for p in places) == 1
    labels[90:94, 100:110] = 0
    said = sayings([picture(0, labels=labels)], spec)
    for seed in range(5):
        learned, places = hold_out(said, np.random.default_rng(seed))
        assert (learned[0].targets[0][learned[0].valid] == 2).any()


@EITHER
def test_an_old_picture_is_of_a_time_with_fewer_classes(separation):
    before = old(0, "check", separation=separation)
    memory = before_added(before, 1)
    assert set(np.unique(memory.targets[0])) == {-2, 1}
    is_old = before.targets[0] == 1
    assert np.array_equal(memory.targets[:, is_old], before.targets[:, is_old])
    assert (memory.targets[1][~is_old] == UNKNOWN).all()


def test_of_what_was_measured_only_the_small_holes_of_objects_do_not_depend_on_the_class(plain):
    usual = Postprocessing(keep_largest=True, fill_holes=True, min_size="9 px2", fill_small_holes=True)
    spec = with_classes(plain.spec.model_copy(update={"postprocessing": usual}), ["rings"])
    assert spec.postprocessing == Postprocessing(fill_small_holes=True)
