"""A network for each style: what it is, how it is trained, kept and applied."""

from __future__ import annotations

import contextlib
import dataclasses
import itertools
import json
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import ValidationError
from safetensors.numpy import save

from napari_unetstyle.core import (
    FastStyleOptions,
    KeptStyle,
    Progress,
    StyleBank,
    StyleOptions,
    as_image,
    iter_stylize,
    iter_train_fast,
    run,
    stylize,
)
from napari_unetstyle.core.errors import ImageError, MissingExtraError, OptionError, StyleFileError, UnetstyleError
from napari_unetstyle.core.networks.spec import StyleNetSpec
from napari_unetstyle.core.networks.style_net import StyleNet
from napari_unetstyle.core.style import fast
from napari_unetstyle.core.style.given import look_of
from napari_unetstyle.core.style.kept_style import read_style
from napari_unetstyle.core.style.network import StyleNetwork, packed
from napari_unetstyle.core.style.perceptual import StyleProgress
from napari_unetstyle.core.style.span import Span
from napari_unetstyle.core.training import fast_style

TINY = StyleNetSpec(in_channels=3, width=4, blocks=1)


def stirred(spec: StyleNetSpec = TINY) -> StyleNet:
    """A network that does something."""
    network = StyleNet(spec).eval()
    torch.nn.init.normal_(network.last.weight, std=0.05, generator=torch.Generator().manual_seed(1))
    return network


# The network


@pytest.mark.parametrize("spec", [StyleNetSpec(), StyleNetSpec(in_channels=1), TINY])
def test_a_new_network_changes_nothing(spec: StyleNetSpec) -> None:
    network = StyleNet(spec)
    assert {name: tuple(tensor.shape) for name, tensor in network.state_dict().items()} == spec.shapes
    for shape in ((32, 40), (1, 1), (17, 3), (33, 31)):
        x = torch.rand(2, spec.in_channels, *shape)
        assert torch.equal(network(x), x)


def test_the_same_seed_gives_the_same_weights() -> None:
    one, same, other = (StyleNet(TINY, seed).state_dict() for seed in (1, 1, 2))
    assert all(torch.equal(one[name], same[name]) for name in one)
    assert not torch.equal(one["first.conv.weight"], other["first.conv.weight"])


def test_nothing_moves_and_borders_are_as_the_rest() -> None:
    network = stirred()
    with torch.no_grad():
        flat = network(torch.full((1, 3, 29, 35), 0.5))
    assert float(flat.std(dim=(2, 3)).max()) < 0.02


def test_the_network_can_be_scripted() -> None:
    network = stirred()
    with torch.no_grad():
        made = torch.jit.script(network)
        for picture in (torch.rand(1, 3, 20, 30), torch.rand(1, 3, 25, 19)):
            assert torch.allclose(made(picture), network(picture), atol=1e-5)


@pytest.mark.slow
def test_the_network_can_be_exported() -> None:
    network, x, y = stirred(), torch.rand(1, 3, 20, 30), torch.rand(1, 3, 25, 19)
    sides = {2: torch.export.Dim.AUTO, 3: torch.export.Dim.AUTO}
    made = torch.export.export(network, (x,), dynamic_shapes=(sides,)).module()
    with torch.no_grad():
        assert torch.allclose(made(x), network(x), atol=1e-5)
        assert torch.allclose(made(y), network(y), atol=1e-5)


@pytest.mark.parametrize(
    "wrong", [{"width": 10**6}, {"width": 3}, {"blocks": 99}, {"in_channels": 2}, {"code": "x"}, {"kind": "unet"}]
)
def test_a_specification_has_bounds(wrong: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        StyleNetSpec(**wrong)


# Kept in the bank


@pytest.fixture
def bank(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> StyleBank:
    monkeypatch.setenv("NAPARI_UNETSTYLE_MODELS", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    return StyleBank()


def picture(seed: int = 0, shape: tuple[int, ...] = (40, 50, 3)) -> np.ndarray:
    return (np.random.default_rng(seed).random(shape) ** (seed + 1) * 255).astype(np.uint8)


def trained(name: str = "ours", seed: int = 1, spec: StyleNetSpec = TINY) -> KeptStyle:
    """A style with a network, which nobody has trained."""
    shape = (40, 50, 3) if spec.in_channels == 3 else (40, 50)
    network = StyleNetwork.of(spec, stirred(spec))
    return KeptStyle.of(name, [as_image(picture(seed, shape))]).model_copy(update={"network": network})


def test_it_is_kept_and_handed_on_as_one_file(bank: StyleBank, tmp_path: Path) -> None:
    style = bank.add(trained())
    assert [path.name for path in bank.root.glob("[!.]*")] == ["ours.style.safetensors"]
    found = bank.load("ours")
    assert found.network is not None
    assert found.network.spec == TINY
    assert all(np.array_equal(found.network.weights[name], array) for name, array in style.network.weights.items())
    plain, shown = bank.export("ours", tmp_path), bank.export("ours", tmp_path / "shown", thumbnail=True)
    assert plain.name == "ours.style.safetensors"
    assert read_style(plain).picture is None
    assert read_style(shown).picture is not None
    with pytest.raises(OptionError, match="already"):
        bank.import_(plain)
    taken = bank.import_(plain, "theirs")
    assert np.array_equal(stylize(picture(), taken, "fast").image.array, stylize(picture(), "ours", "fast").image.array)
    bank.remove("ours")
    assert "ours" not in bank
    assert "theirs" in bank
    assert not bank.problems()


def test_a_network_never_comes_from_json(tmp_path: Path) -> None:
    content = json.loads(trained().model_dump_json())
    assert "network" not in content
    path = tmp_path / "bad.json"
    path.write_text(json.dumps({**content, "network": {"spec": {}, "weights": {}}}))
    with pytest.raises(StyleFileError, match=r"bad\.json"):
        read_style(path)


def told(kept: KeptStyle, **more: str) -> dict[str, str]:
    return {"style": kept.model_dump_json(), "network": kept.network.spec.model_dump_json(), **more}


def changed(style: KeptStyle, name: str, array: np.ndarray) -> bytes:
    return save({**style.network.weights, name: array}, told(style))


HUGE = json.dumps({"in_channels": 3, "width": 64000, "blocks": 8})
DAMAGES = {
    "cut": lambda s: packed(s.model_dump_json(), s.network)[:-7],
    "short": lambda s: packed(s.model_dump_json(), s.network)[:9],
    "header": lambda s: b"\xff\xff\xff\x00\0\0\0\0" + packed(s.model_dump_json(), s.network)[8:],
    "zeros": lambda s: bytes(1000),
    "silent": lambda s: save(s.network.weights),
    "no network": lambda s: save(s.network.weights, {"style": s.model_dump_json()}),
    "no style": lambda s: save(s.network.weights, told(s, style="{}")),
    "deep": lambda s: save(s.network.weights, told(s, style="[" * 100_000)),
    "name": lambda s: save(s.network.weights, told(s, style=s.model_dump_json().replace('"ours"', '"../x"'))),
    "huge": lambda s: save(s.network.weights, told(s, network=HUGE)),
    "other": lambda s: save(s.network.weights, told(s, network='{"width": 8}')),
    "more": lambda s: changed(s, "extra", np.zeros(3, np.float32)),
    "missing": lambda s: save({k: v for k, v in s.network.weights.items() if k != "last.bias"}, told(s)),
    "shape": lambda s: changed(s, "last.bias", np.zeros((1, 3), np.float32)),
    "type": lambda s: changed(s, "last.bias", np.zeros(3, np.float64)),
    "nan": lambda s: changed(s, "last.bias", np.array([0, np.nan, 0], np.float32)),
    "inf": lambda s: changed(s, "last.bias", np.array([0, np.inf, 0], np.float32)),
    "large": lambda s: changed(s, "last.bias", np.zeros(2**22 + 1, np.float32)),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_files_that_are_no_styles_are_refused_in_words(damage: str, bank: StyleBank) -> None:
    path = bank.root / "ours.style.safetensors"
    path.parent.mkdir()
    path.write_bytes(DAMAGES[damage](trained()))
    with pytest.raises(StyleFileError, match=r"ours\.style\.safetensors is no style"):
        read_style(path)
    assert list(bank.problems()) == [path]
    assert "he-light" in bank  # nor does it stop the others
    with pytest.raises(StyleFileError):
        bank.load("ours")


def test_a_network_that_does_not_fit_its_style_is_refused(tmp_path: Path) -> None:
    gray = StyleNetSpec(in_channels=1, width=4, blocks=1)
    style = trained(spec=gray)
    path = tmp_path / "wrong"
    path.write_bytes(packed(style.model_dump_json(), trained().network))
    with pytest.raises(StyleFileError, match="3 channels for 1"):
        read_style(path)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(place=st.integers(0, 2500), value=st.integers(0, 255))
def test_no_byte_makes_reading_fail_otherwise(place: int, value: int, tmp_path: Path) -> None:
    data = bytearray(packed(trained().model_dump_json(), trained().network))
    data[place] = value
    path = tmp_path / "touched"
    path.write_bytes(data)
    with contextlib.suppress(StyleFileError):
        read_style(path)


# Applied


def test_color_gray_and_sizes(bank: StyleBank) -> None:
    bank.add(trained())
    for shape, axes in (((40, 50, 3), "YXC"), ((21, 33), "YXC"), ((1, 1, 3), "YXC")):
        styled = stylize(picture(shape=shape), "ours", "fast").image
        assert styled.axes == axes
        assert styled.array.shape[:2] == shape[:2]
        assert styled.array.dtype == np.uint8


def test_it_changes_what_the_photometric_method_makes(bank: StyleBank) -> None:
    style = trained()
    fast, start = (stylize(picture(), style, method).image.array.astype(int) for method in ("fast", "automatic"))
    assert 1 < np.abs(fast - start).mean() < 60
    new = style.model_copy(update={"network": StyleNetwork.of(TINY, StyleNet(TINY))})
    assert np.abs(stylize(picture(), new, "fast").image.array - start).max() <= 8  # cut to the style's gamut
    low, high = np.percentile(picture(1).reshape(-1, 3), (1, 99), axis=0)
    assert (fast.reshape(-1, 3).min(0) >= low - 1).all()
    assert (fast.reshape(-1, 3).max(0) <= high + 1).all()


def test_strength_0_is_the_identity_and_a_half_lies_between() -> None:
    zero, half, whole = (stylize(picture(), trained(), "fast", strength=s).image.array for s in (0, 0.5, 1))
    assert np.array_equal(zero, picture())
    assert np.abs((picture().astype(float) + whole) / 2 - half).max() <= 1


def test_a_volume_is_done_slice_by_slice_and_a_dark_slice_stays_darker() -> None:
    style = trained(spec=StyleNetSpec(in_channels=1, width=4, blocks=1))
    volume = picture(0, (3, 30, 34))
    volume[2] //= 4
    seen: list[Progress] = []
    options = StyleOptions(method="fast")
    styled = run(iter_stylize(as_image(volume, axes="ZYX"), [style], options), seen.append).image.array
    assert [step.fraction for step in seen] == pytest.approx([1 / 3, 2 / 3, 1], abs=1e-3)
    alone = stylize(volume[2], style, "fast").image.array
    assert styled[2].mean() < alone.mean() - 5


def test_statistics_of_pictures_are_kept_and_those_of_one_give_what_it_gives() -> None:
    network, one, other = stirred(), torch.rand(1, 3, 40, 50), 0.3 * torch.rand(1, 3, 40, 50)
    with torch.no_grad():
        kept = network.frozen(one)
        assert torch.allclose(kept(one), network(one), atol=1e-5)
        assert not torch.allclose(kept(other), network(other), atol=1e-2)
        assert torch.allclose(kept(torch.cat([other, one]))[:1], kept(other), atol=1e-5)
    assert isinstance(network.first.norm, torch.nn.GroupNorm)  # it itself stays as it was


def test_weights_that_overflow_give_pixels_of_the_style() -> None:
    style = trained()
    assert style.network is not None
    weights = style.network.weights | {"last.weight": np.full((3, 2, 1, 1), 3e38, np.float32)}
    wild = style.model_copy(update={"network": StyleNetwork(TINY, weights)})
    with np.errstate(all="raise"):
        assert stylize(picture(), wild, "fast").image.array.shape == (40, 50, 3)


def test_what_is_not_possible_is_said(bank: StyleBank, monkeypatch: pytest.MonkeyPatch) -> None:
    for style in ("he-light", picture(1), KeptStyle.of("plain", [as_image(picture(1))])):
        with pytest.raises(OptionError, match=r"no network.* --train-fast"):
            stylize(picture(), style, "fast")
        with pytest.raises(OptionError, match="no network"):
            stylize(picture(), style, "fast", strength=0)
    with pytest.raises(OptionError, match="takes one style"):
        stylize(picture(), [trained(), trained()], "fast")
    with pytest.raises(OptionError, match="statistics only"):
        stylize(picture(), trained(), "gatys")
    for method in ("automatic", "histogram", "moments"):
        assert stylize(picture(), trained(), method).image.array.shape == (40, 50, 3)
    monkeypatch.setattr(fast, "free_memory", lambda: 10**4)
    with pytest.raises(ImageError, match=r"needs about 0\.\d GB"):
        stylize(picture(), trained(), "fast")


# Trained


def stripes(shape: tuple[int, ...] = (64, 72)) -> np.ndarray:
    """Purple stripes on a pink ground."""
    wave = (np.sin(np.arange(shape[1]) * 1.2) > 0.5)[None, :, None] * np.ones((shape[0], 1, 1))
    return (235 - wave * (150, 190, 60) - (0, 40, 20) * np.ones((*shape, 1))).clip(0, 255).astype(np.uint8)


def spots(seed: int = 0) -> np.ndarray:
    """Gray discs."""
    dice, canvas = np.random.default_rng(seed), np.full((64, 64), 30, np.uint8)
    rows, columns = np.ogrid[:64, :64]
    for y, x in dice.uniform(8, 56, (6, 2)):
        canvas[(rows - y) ** 2 + (columns - x) ** 2 < 40] = 200
    return canvas


QUICK = FastStyleOptions(minutes=None, steps=3, crop=48, batch=1, preview_every=2, device="cpu")


def learned(options: FastStyleOptions = QUICK, style: np.ndarray | None = None, seen: Any = None) -> KeptStyle:
    look = as_image(stripes() if style is None else style)
    return run(iter_train_fast("mine", [as_image(spots()), as_image(spots(1))], [look], options), seen)


def test_the_style_comes_nearer_and_is_seen_coming() -> None:
    seen: list[StyleProgress] = []
    options = dataclasses.replace(QUICK, steps=12, crop=64, content_weight=0, learning_rate=0.01)
    style = run(iter_train_fast("mine", [as_image(spots())], [as_image(stripes())], options), seen.append)
    assert seen[-1].style_loss < 0.9 * seen[0].style_loss
    assert [step.preview is not None for step in seen] == [i % 2 == 0 for i in range(1, 13)]
    assert seen[-1].preview is not None
    assert seen[-1].preview.shape == (3, 64, 64)
    assert seen[-1].fraction == 1
    fast, start = (stylize(spots(2), style, method).image.array.astype(int) for method in ("fast", "automatic"))
    assert np.abs(fast - start).mean() > 1


def test_the_same_seed_gives_the_same_weights_trained() -> None:
    one, same, other = (learned(dataclasses.replace(QUICK, seed=seed)) for seed in (1, 1, 2))
    weights = [style.network.weights for style in (one, same, other) if style.network is not None]
    assert all(np.array_equal(weights[0][name], weights[1][name]) for name in weights[0])
    assert not np.array_equal(weights[0]["first.conv.weight"], weights[2]["first.conv.weight"])
    assert weights[0]["last.weight"].any()


def test_gray_styles_volumes_and_several_pictures() -> None:
    volume = as_image(np.stack([spots(0), spots(1)]), axes="ZYX")
    style = run(iter_train_fast("gray", [volume], [as_image(stripes()[..., 1])], dataclasses.replace(QUICK, steps=1)))
    assert style.network is not None
    assert style.network.spec.in_channels == 1
    assert style.reference.channels == 1
    assert style.thumbnail is None
    assert stylize(stripes(), style, "fast").image.array.shape == (64, 72, 3)
    both = [as_image(stripes()[..., 1]), as_image(stripes())]  # gray and colored ones together are gray
    style = run(iter_train_fast("both", [volume], both, dataclasses.replace(QUICK, steps=1)))
    assert style.network is not None
    assert style.network.spec.in_channels == style.reference.channels == 1


def taught(**given: Any) -> fast_style._Teacher:
    """A teacher of stripes, who shows spots."""
    look, options = as_image(stripes((32, 36))), dataclasses.replace(QUICK, **given)
    style = KeptStyle.of("mine", [look], texture=False)
    crops = fast_style.Crops.of([as_image(spots())], style, Span.of(style.reference, 3), 32)
    return fast_style._Teacher.of(crops, [look_of(look)], options, torch.device("cpu"))


def test_a_gradient_is_clipped_and_one_that_is_no_number_is_left_out() -> None:
    network, dice = stirred(), np.random.default_rng(0)
    teacher, optimizer = taught(content_weight=1e12), torch.optim.SGD(network.parameters(), lr=1.0)
    before = torch.nn.utils.parameters_to_vector(network.parameters()).detach()
    teacher.lesson(network, optimizer, dice)
    after = torch.nn.utils.parameters_to_vector(network.parameters()).detach()
    assert float((after - before).norm()) == pytest.approx(1, rel=1e-3)
    torch.nn.init.constant_(network.last.bias, torch.nan)
    before = {name: tensor.clone() for name, tensor in network.state_dict().items() if name != "last.bias"}
    assert not np.isfinite(teacher.lesson(network, optimizer, dice)[0])
    assert all(torch.equal(network.state_dict()[name], tensor) for name, tensor in before.items())


def test_the_rate_falls_to_a_tenth_when_the_loss_has_not_for_four_times_25_steps(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    rates: list[float] = []
    monkeypatch.setattr(fast_style, "_opened", lambda folder: SimpleNamespace(close=list, add_image=lambda *_: None))
    monkeypatch.setattr(fast_style, "_note", lambda log, step, rate, **_: rates.append(rate))
    monkeypatch.setattr(fast_style._Teacher, "lesson", lambda *_: (1.0, 1.0))
    monkeypatch.setattr(fast_style._Teacher, "preview", lambda *_: np.zeros((1, 4, 4), np.float32))
    learned(dataclasses.replace(QUICK, steps=330, log=tmp_path))
    assert rates == pytest.approx([5e-3] * 124 + [5e-4] * 100 + [5e-5] * 100 + [1e-5] * 6)


def test_the_log_has_losses_rate_and_previews(tmp_path: Path) -> None:
    events = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    learned(dataclasses.replace(QUICK, log=tmp_path / "log"))
    log = events.EventAccumulator(str(tmp_path / "log"))
    log.Reload()
    assert {name: len(log.Scalars(name)) for name in log.Tags()["scalars"]} == {"loss": 3, "style": 3, "rate": 3}
    assert [(shown.step, shown.width, shown.height) for shown in log.Images("preview")] == [(2, 64, 64), (3, 64, 64)]


def test_it_can_be_stopped_and_leaves_nothing(bank: StyleBank, tmp_path: Path) -> None:
    steps = iter_train_fast("mine", [as_image(spots())], [as_image(stripes())], QUICK)
    next(steps)
    steps.close()
    with pytest.raises(StopIteration):
        next(steps)
    assert list(tmp_path.iterdir()) == []


def test_minutes_end(monkeypatch: pytest.MonkeyPatch) -> None:
    ticks = itertools.count(0, 20)
    clock = SimpleNamespace(monotonic=lambda: next(ticks))
    monkeypatch.setattr(fast_style, "time", clock)
    seen: list[Progress] = []
    learned(dataclasses.replace(QUICK, minutes=1.0, steps=None), seen=seen.append)
    assert len(seen) == 3
    assert seen[-1].fraction == 1


def test_what_cannot_be_trained_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    small = as_image(spots()[:10])
    for pictures, styles, words in (
        ([], [as_image(stripes())], "at least one picture to learn"),
        ([as_image(spots())], [], "at least one picture"),
        ([small], [as_image(stripes())], "at least 16"),
        ([as_image(spots())], [small], "at least 16"),
        ([as_image(spots())], [as_image(np.full((40, 40), 3, np.uint8))], "same value"),
    ):
        with pytest.raises(UnetstyleError, match=words):
            run(iter_train_fast("mine", pictures, styles, QUICK))
    with pytest.raises(OptionError, match="small letters"):
        run(iter_train_fast("../mine", [as_image(spots())], [as_image(stripes())], QUICK))
    for wrong in ({"steps": 3}, {"minutes": 0}, {"crop": 8}, {"learning_rate": 0}, {"style_weight": 0}):
        with pytest.raises(OptionError):
            FastStyleOptions(**wrong)
    with monkeypatch.context() as scarce:
        scarce.setattr(fast_style, "free_memory", lambda: 10)
        with pytest.raises(ImageError, match="pictures need"):
            learned()
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    with pytest.raises(MissingExtraError, match=r"\[tensorboard\]"):
        learned(dataclasses.replace(QUICK, log=tmp_path / "log"))
