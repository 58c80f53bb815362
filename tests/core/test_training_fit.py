from __future__ import annotations

import itertools
import json

import numpy as np
import pytest
import torch

from napari_unetstyle.core.device import has_bfloat16, resolve
from napari_unetstyle.core.errors import ModelFileError, OptionError
from napari_unetstyle.core.progress import run
from napari_unetstyle.core.training import fit as module
from napari_unetstyle.core.training.finetune import fine_tune
from napari_unetstyle.core.training.fit import Fit, advance, fit, rate
from napari_unetstyle.core.training.floors import norms
from napari_unetstyle.core.training.losses import class_loss
from napari_unetstyle.core.training.options import FitOptions
from tests.core.networks_for_tests import random_unet
from tests.core.teaching_for_tests import QUICK, fresh_store, small_picture

TINY = {"channels": 1, "widths": (3, 4), "out": 2}


def draw(rng: np.random.Generator):
    image = rng.normal(size=(2, 1, 16, 16)).astype(np.float32)
    return torch.from_numpy(image), torch.from_numpy((image[:, 0] > 0.5).astype(np.int64))


def loss(network, batch):
    images, classes = batch
    return class_loss(network(images), classes)


def weights(network):
    return torch.cat([p.detach().flatten() for p in network.parameters()])


def trained(seed=0, **options):
    return run(fit(random_unet(**TINY), draw, loss, FitOptions(seed=seed, **options)))


def test_it_learns():
    state = trained(steps=80, learning_rate=2e-2)
    start, after = (
        loss(network.train(), draw(np.random.default_rng(99))) for network in (random_unet(**TINY), state.average)
    )
    assert after < 0.7 * start
    assert state.step == 80


def test_the_seed_decides_everything():
    first, second, other = trained(steps=6), trained(steps=6), trained(steps=6, seed=1)
    assert torch.equal(weights(first.average), weights(second.average))
    assert not torch.equal(weights(first.average), weights(other.average))


@pytest.mark.parametrize("stop", [1, 4])
def test_a_resumed_training_equals_an_uninterrupted_one_bit_for_bit(tmp_path, stop):
    whole = trained(steps=9)
    options = FitOptions(steps=9, folder=tmp_path)
    steps = fit(random_unet(**TINY), draw, loss, options)
    for _ in itertools.islice(steps, stop):
        pass
    steps.close()
    resumed = run(fit(random_unet(**TINY, seed=5), draw, loss, options))
    assert resumed.step == 9
    assert resumed.loss == whole.loss
    for name in ("network", "average"):
        assert torch.equal(weights(getattr(resumed, name)), weights(getattr(whole, name)))


@pytest.mark.parametrize("stop", [20, 56, 58, 63])
def test_a_resumed_training_goes_back_to_the_same_weights_after_bad_steps(tmp_path, stop):
    bad = set(range(55, 58))
    whole = run(fit(random_unet(**TINY), at_steps(draw), unless(bad), FitOptions(steps=66)))
    options = FitOptions(steps=66, folder=tmp_path)
    steps = fit(random_unet(**TINY), at_steps(draw), unless(bad), options)
    for _ in itertools.islice(steps, stop):
        pass
    steps.close()
    resumed = run(fit(random_unet(**TINY, seed=5), at_steps(draw, stop), unless(bad), options))
    assert (resumed.step, resumed.setbacks) == (whole.step, whole.setbacks) == (66, 1)
    assert resumed.loss == whole.loss
    for name in ("network", "average"):
        assert torch.equal(weights(getattr(resumed, name)), weights(getattr(whole, name)))


def at_steps(draw, start=0):
    """Batches that know which step they are of."""
    numbers = itertools.count(start)
    return lambda rng: (next(numbers), draw(rng))


def unless(bad):
    """A loss that is NaN at some steps."""
    return lambda network, batch: loss(network, batch[1]) * (float("nan") if batch[0] in bad else 1.0)


def test_the_weights_to_go_back_to_are_not_changed_by_the_steps_that_follow():
    bad = set(range(55, 58)) | set(range(62, 65))
    state = run(fit(random_unet(**TINY), at_steps(draw), unless(bad), FitOptions(steps=500)))
    good = trained_for(50, of=500)
    assert (state.step, state.setbacks) == (65, 2)
    assert torch.equal(weights(state.network), weights(good.network))
    for one, other in zip(state.optimizer.state.values(), good.optimizer.state.values(), strict=True):
        assert torch.equal(one["exp_avg"], other["exp_avg"])


def test_a_checkpoint_before_the_first_good_step_is_plain_json(tmp_path):
    from safetensors import safe_open

    options = FitOptions(steps=5, folder=tmp_path)
    steps = fit(random_unet(**TINY), draw, poisoned(0), options)
    next(steps)
    steps.close()
    with safe_open(str(tmp_path / "training.safetensors"), "pt") as file:
        assert json.loads(file.metadata()["state"], parse_constant=pytest.fail)["loss"] is None
    again = Fit.of(random_unet(**TINY), options)
    assert again.load(tmp_path)
    assert np.isnan(again.loss)
    assert again.step == 1


def test_a_checkpoint_without_weights_to_go_back_to_can_be_gone_on_with(tmp_path):
    from safetensors import safe_open
    from safetensors.torch import load_file, save_file

    trained(steps=3, folder=tmp_path)
    path = tmp_path / "training.safetensors"
    with safe_open(str(path), "pt") as file:
        about = file.metadata()
    old = {name: tensor for name, tensor in load_file(path).items() if not name.startswith("safe.")}
    save_file(old, path, about)
    options = FitOptions(steps=500, folder=tmp_path)
    state = run(fit(random_unet(**TINY), draw, poisoned(0), options))
    assert (state.step, state.setbacks) == (9, 2)
    assert torch.equal(weights(state.network), weights(trained(steps=3).network))


def test_a_finished_training_is_not_trained_again(tmp_path):
    first = trained(steps=3, folder=tmp_path)
    again = trained(steps=3, folder=tmp_path)
    assert again.step == 3
    assert torch.equal(weights(first.average), weights(again.average))


def test_a_loss_that_is_not_finite_is_skipped():
    calls = itertools.count()

    def sometimes_nan(network, batch):
        return loss(network, batch) * (float("nan") if next(calls) in (1, 3) else 1.0)

    state = run(fit(random_unet(**TINY), draw, sometimes_nan, FitOptions(steps=5)))
    assert state.skipped == 2
    assert state.step == 5
    assert weights(state.network).isfinite().all()
    assert np.isfinite(state.loss)


def poisoned(after):
    """A loss that is NaN from the call `after` on."""
    calls = itertools.count()
    return lambda network, batch: loss(network, batch) * (float("nan") if next(calls) >= after else 1.0)


def test_three_bad_steps_in_a_row_go_back_to_good_weights_and_half_the_rate_and_then_the_training_ends():
    state = run(fit(random_unet(**TINY), draw, poisoned(60), FitOptions(steps=500)))
    assert (state.step, state.skipped, state.setbacks) == (66, 6, 2)
    assert state.optimizer.param_groups[0]["lr"] == pytest.approx(rate(65 / 500, FitOptions(steps=500)) / 2)
    assert torch.equal(weights(state.network), weights(trained_for(50, of=500).network))


def trained_for(count, of):
    """A training cut off after `count` steps."""
    options = FitOptions(steps=of)
    state = Fit.of(random_unet(**TINY), options)
    for _ in itertools.islice(advance(state, draw, loss, options), count):
        pass
    return state


def test_no_checkpoint_ever_holds_a_number_that_is_not_finite(tmp_path):
    from safetensors.torch import load_file

    options = FitOptions(steps=9, folder=tmp_path)
    steps = fit(network := random_unet(**TINY), draw, loss, options)
    next(steps)
    with torch.no_grad():
        next(network.parameters()).fill_(float("inf"))
    steps.close()
    kept = load_file(tmp_path / "training.safetensors")
    assert all(tensor.isfinite().all() for tensor in kept.values())


def test_what_happens_between_two_steps_takes_no_training_time():
    now = [0.0]

    def clock():
        now[0] += 6.0
        return now[0]

    options = FitOptions(minutes=1.0)
    state = Fit.of(random_unet(**TINY), options)
    for _ in advance(state, draw, loss, options, clock):
        now[0] += 1000.0  # a pause
    assert (state.step, state.seconds) == (10, 60.0)


def test_frozen_parameters_stay_and_the_checkpoint_is_complete(tmp_path):
    network = random_unet(**TINY)
    network.encoder.requires_grad_(False)
    before = network.encoder[0][0].conv.weight.clone()
    state = run(fit(network, draw, loss, FitOptions(steps=3, folder=tmp_path)))
    assert torch.equal(state.network.encoder[0][0].conv.weight, before)
    again = run(fit(random_unet(**TINY, seed=3), draw, loss, FitOptions(steps=3, folder=tmp_path)))
    assert torch.equal(weights(again.network), weights(state.network))


def test_the_log_holds_losses_rate_score_and_gradients(tmp_path, monkeypatch):
    """As of a hundred steps, of which every tenth is noted."""
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    store, folder = fresh_store(tmp_path / "models"), tmp_path / "work"
    assert module._EVERY == (10, 100)
    monkeypatch.setattr(module, "_EVERY", (2, 16))
    taught = fine_tune([small_picture()], "tiny", store=store, folder=folder, **QUICK | {"steps": 16})
    log = EventAccumulator(str(folder / "log")).Reload()
    tags = log.Tags()
    assert {"loss", "loss/entropy", "loss/dice", "rate", "score"} <= set(tags["scalars"])
    read = {name: log.Scalars(name) for name in tags["scalars"]}
    assert [event.step for event in read["loss"]] == list(range(2, 17, 2))
    assert all(np.isfinite(event.value) for events in read.values() for event in events)
    assert max(event.value for event in read["rate"]) <= QUICK["learning_rate"] * 1.001
    assert read["score"][-1].step == 16
    assert all(0 <= event.value <= 1 for event in read["score"])
    (head,) = log.Histograms("gradient/head.weight")
    weight = taught.model.network.head.weight
    assert (head.step, head.histogram_value.num) == (16, weight.numel())


def test_on_a_cpu_nothing_is_computed_in_half_the_precision():
    seen = []

    def watched(network, batch):
        seen.append((torch.is_autocast_enabled("cpu"), network(batch[0]).dtype))
        return loss(network, batch)

    plain = trained(steps=3)
    state = run(fit(random_unet(**TINY), draw, watched, FitOptions(steps=3)))
    assert set(seen) == {(False, torch.float32)}
    assert torch.equal(weights(state.network), weights(plain.network))


def test_a_training_in_bfloat16_is_resumed_bit_for_bit_without_a_scaler(tmp_path, monkeypatch):
    """On a CPU in place of a GPU: weights, moments and losses stay float32, so that the checkpoint is complete."""
    seen = []

    def watched(network, batch):
        images, classes = batch
        logits = network(images)
        value = class_loss(logits, classes)
        seen.append((logits.dtype, value.dtype))
        return value

    plain = trained(steps=9)
    monkeypatch.setattr(module, "_precision", lambda _: torch.autocast("cpu", torch.bfloat16))
    whole = run(fit(random_unet(**TINY), draw, watched, FitOptions(steps=9)))
    options = FitOptions(steps=9, folder=tmp_path)
    steps = fit(random_unet(**TINY), draw, watched, options)
    for _ in itertools.islice(steps, 4):
        pass
    steps.close()
    resumed = run(fit(random_unet(**TINY, seed=5), draw, watched, options))
    assert set(seen) == {(torch.bfloat16, torch.float32)}
    assert {p.dtype for p in whole.network.parameters()} == {torch.float32}
    assert torch.equal(weights(resumed.network), weights(whole.network))
    assert not torch.equal(weights(whole.network), weights(plain.network))
    assert torch.allclose(weights(whole.network), weights(plain.network), atol=0.02)


@pytest.mark.gpu
def test_on_a_gpu_it_learns_as_well_in_bfloat16(tmp_path):
    device = resolve("auto")
    if device.type != "cuda" or not has_bfloat16(device):
        pytest.skip("needs a GPU of CUDA with bfloat16")
    seen = []

    def watched(network, batch):
        images, classes = (part.to(device) for part in batch)
        logits = network(images)
        seen.append(logits.dtype)
        return class_loss(logits, classes)

    options = FitOptions(steps=80, learning_rate=2e-2, folder=tmp_path)
    state = run(fit(random_unet(**TINY).to(device), draw, watched, options))
    assert set(seen) == {torch.bfloat16}
    assert state.loss < 0.9 * trained(steps=1).loss
    assert {p.dtype for p in state.network.parameters()} == {torch.float32}
    assert Fit.of(random_unet(**TINY).to(device), options).load(tmp_path)


def test_gradients_are_clipped_to_the_largest_norm():
    def norms_of(clip):
        state, found = Fit.of(random_unet(**TINY), options := FitOptions(steps=4, clip=clip)), []
        for _ in advance(state, draw, loss, options):
            gradients = [p.grad.flatten() for p in state.network.parameters()]
            found.append(float(torch.cat(gradients).norm()))
        return found

    free, clipped = norms_of(1e9), norms_of(1e-3)
    assert min(free) > 1e-2
    assert clipped == pytest.approx([1e-3] * 4, rel=1e-2)


def test_a_budget_of_minutes_follows_the_clock(tmp_path):
    ticks = itertools.count(step=6.0)
    options = FitOptions(minutes=1.0, folder=tmp_path)
    shares = [p.fraction for p in fit(random_unet(**TINY), draw, loss, options, clock=lambda: next(ticks))]
    assert shares == sorted(shares)
    assert shares[-1] == 1
    assert len(shares) == 10


def test_progress_tells_the_loss():
    (first, *_) = list(fit(random_unet(**TINY), draw, loss, FitOptions(steps=2)))
    assert first.fraction == 0.5
    assert "loss" in first.message


def test_the_rate_rises_then_falls():
    options = FitOptions(steps=1, learning_rate=1.0, warmup=0.1)
    rates = [rate(done, options) for done in np.linspace(0, 1, 101)]
    top = int(np.argmax(rates))
    assert top == 10
    assert rates[:11] == sorted(rates[:11])
    assert rates[10:] == sorted(rates[10:], reverse=True)
    assert rates[-1] == pytest.approx(0.01)


def test_a_schedule_of_steps_falls_to_a_tenth_every_fifty_epochs():
    options = FitOptions(steps=240, learning_rate=1.0, warmup=0, schedule="step", epoch=2)
    rates = rates_of(options, lambda state: None)
    assert rates == pytest.approx([1.0] * 100 + [0.1] * 100 + [0.01] * 40)


def test_a_plateau_is_three_measurements_in_a_row_that_are_no_better():
    scores = iter([0.5, 0.6, 0.6, 0.55, 0.7, 0.7, 0.1, 0.2, 0.3, 0.4, 0.5, 0.8])
    options = FitOptions(steps=12, learning_rate=1.0, warmup=0, schedule="plateau")
    rates = rates_of(options, lambda state: state.measured(next(scores)))
    assert rates == pytest.approx([1.0] * 8 + [0.1] * 3 + [0.01])


def rates_of(options, after_each):
    """Rates of all steps, with something done after each."""
    state, rates = Fit.of(random_unet(**TINY), options), []
    for _ in advance(state, draw, loss, options):
        rates.append(state.optimizer.param_groups[0]["lr"])
        after_each(state)
    return rates


def test_where_a_plateau_was_seen_is_remembered(tmp_path):
    options = FitOptions(steps=3, folder=tmp_path)
    first = Fit.of(random_unet(**TINY), options)
    for score in (0.5, 0.4, 0.4, 0.4, 0.3):
        first.measured(score)
    first.save(tmp_path)
    second = Fit.of(random_unet(**TINY), options)
    assert second.load(tmp_path)
    assert (second.stale, second.cuts) == (4, 1)


def test_however_short_the_training_the_rate_rises_in_the_first_steps():
    options = FitOptions(steps=10, learning_rate=1e-2, least_warmup=20)
    rates = rates_of(options, lambda state: None)
    assert rates == pytest.approx([(i + 1) / 20 * rate(i / 10, options) for i in range(10)])
    careful, careless = (trained(steps=10, learning_rate=1e-2, least_warmup=steps) for steps in (20, 0))
    assert moved(careful.network) < 0.5 * moved(careless.network)


def moved(network):
    return (weights(network) - weights(random_unet(**TINY))).norm()


def test_the_average_follows_slowly_and_the_floors_are_kept():
    state = trained(steps=4)
    assert not torch.equal(weights(state.average), weights(state.network))
    assert len(list(norms(state.average))) == 6
    assert not any(p.requires_grad for p in state.average.parameters())


@pytest.mark.parametrize("given", [{}, {"steps": 3, "minutes": 1.0}])
def test_steps_or_minutes(given):
    with pytest.raises(OptionError, match="either steps or minutes"):
        FitOptions(**given)


def test_a_checkpoint_of_another_network_or_a_damaged_one_is_refused(tmp_path):
    trained(steps=2, folder=tmp_path)
    wider = random_unet(channels=1, widths=(4, 5), out=2)
    with pytest.raises(ModelFileError, match="not a checkpoint of this training"):
        run(fit(wider, draw, loss, FitOptions(steps=3, folder=tmp_path)))
    file = tmp_path / "training.safetensors"
    file.write_bytes(file.read_bytes()[:500])
    with pytest.raises(ModelFileError):
        trained(steps=3, folder=tmp_path)


def test_the_checkpoint_is_one_file_without_code(tmp_path):
    from safetensors import safe_open

    trained(steps=2, folder=tmp_path)
    with safe_open(str(tmp_path / "training.safetensors"), "pt") as file:
        assert json.loads(file.metadata()["state"])["step"] == 2
    assert not list(tmp_path.glob(".partial*"))
