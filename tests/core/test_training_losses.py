from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from napari_unetstyle.core.annotation.known import UNKNOWN
from napari_unetstyle.core.training.losses import class_loss, seed_loss


def logits_and_classes(seed=0, channels=3, size=8):
    generator = torch.Generator().manual_seed(seed)
    logits = torch.randn(2, channels, size, size, generator=generator, requires_grad=True)
    return logits, torch.randint(0, channels, (2, size, size), generator=generator)


@given(seed=st.integers(0, 1000))
def test_unknown_pixels_give_no_gradient_and_do_not_change_the_loss(seed):
    logits, classes = logits_and_classes(seed)
    classes[:, 2:6, 3:7] = UNKNOWN
    loss = class_loss(logits, classes)
    loss.backward()
    assert not logits.grad[:, :, 2:6, 3:7].any()
    assert logits.grad.any()
    changed = logits.detach().clone()
    changed[:, :, 2:6, 3:7] = 9 * torch.randn(2, 3, 4, 4)
    assert torch.allclose(class_loss(changed, classes), loss)


@given(seed=st.integers(0, 1000))
def test_unknown_objects_give_the_seed_map_no_gradient(seed):
    generator = torch.Generator().manual_seed(seed)
    logits = torch.randn(2, 2, 6, 6, generator=generator, requires_grad=True)
    target = torch.rand(2, 2, 6, 6, generator=generator)
    target[0, :, :3] = float("nan")
    loss = seed_loss(logits, target)
    loss.backward()
    assert loss.isfinite()
    assert not logits.grad[0, :, :3].any()
    assert logits.grad.isfinite().all()
    assert logits.grad[1].all()


def test_nothing_known_is_no_loss():
    logits, classes = logits_and_classes()
    for loss in (class_loss(logits, torch.full_like(classes, UNKNOWN)), seed_loss(logits, logits.detach() * torch.nan)):
        assert loss == 0
        loss.backward()
    assert not logits.grad.any()


def test_the_right_answer_costs_least():
    _, classes = logits_and_classes()
    right = 20 * torch.nn.functional.one_hot(classes, 3).movedim(-1, 1).float()
    assert class_loss(right, classes) < 1e-3
    assert class_loss(-right, classes) > 5


def test_false_positives_on_an_empty_patch_cost_more_than_their_cross_entropy():
    classes = torch.zeros(1, 64, 64, dtype=torch.long)
    clean = torch.zeros(1, 2, 64, 64)
    clean[:, 0] = 10
    wrong = clean.clone()
    wrong[:, :, 20:28, 20:28] = wrong[:, :, 20:28, 20:28].flip(1)
    entropy = torch.nn.functional.cross_entropy(wrong, classes)
    assert class_loss(clean, classes) < 0.03
    assert class_loss(wrong, classes) > entropy + 0.5


def test_seeds_weigh_more_inside_objects():
    target = torch.zeros(1, 1, 4, 4)
    target[..., 0] = 1
    missed = torch.full((1, 1, 4, 4), -4.0)
    invented = torch.where(target > 0, 4.0, -4.0)
    invented[..., 1] = 4.0
    assert seed_loss(missed, target) > seed_loss(invented, target)


def test_volumes_are_allowed():
    logits = torch.randn(1, 2, 4, 5, 6)
    assert class_loss(logits, torch.ones(1, 4, 5, 6, dtype=torch.long)).isfinite()
    assert seed_loss(logits, torch.rand(1, 2, 4, 5, 6)) > 0


@pytest.mark.parametrize("channels", [2, 5])
def test_any_number_of_classes(channels):
    logits, classes = logits_and_classes(channels=channels)
    assert class_loss(logits, classes).isfinite()


def test_emphasis_makes_its_pixels_count_more():
    target, logits = torch.zeros(1, 2, 6, 6), torch.full((1, 2, 6, 6), -5.0)
    logits[:, :, 2, 2] = 3.0
    there, elsewhere = torch.zeros(1, 1, 6, 6), torch.zeros(1, 1, 6, 6)
    there[..., 2, 2], elsewhere[..., 4, 4] = 8.0, 8.0
    assert seed_loss(logits, target, there) > 2 * seed_loss(logits, target) > 2 * seed_loss(logits, target, elsewhere)
