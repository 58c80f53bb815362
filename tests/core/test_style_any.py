"""One network for any style: what it makes of a style, and what comes of a picture."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from napari_unetstyle.core import Progress, StyleOptions, as_image, iter_stylize, run, stylize
from napari_unetstyle.core.errors import ImageError, OptionError, StyleFileError
from napari_unetstyle.core.networks.any_style_net import AnyStyleNet, TowardStyle
from napari_unetstyle.core.networks.spec import AnyStyleSpec, StyleNetSpec
from napari_unetstyle.core.style import any_style, fast
from napari_unetstyle.core.style.any_style import bundled, read, seen, write
from napari_unetstyle.core.style.kept_style import KeptStyle, read_style, write_style
from napari_unetstyle.core.style.perceptual import StyleProgress
from napari_unetstyle.core.style.reference import Reference
from napari_unetstyle.core.style.span import Span

TINY = AnyStyleSpec(body=StyleNetSpec(width=4, blocks=1), look_widths=(4, 6), code=5)
MOST_BYTES = 3 * 10**6


def picture(seed: int = 0, shape: tuple[int, ...] = (40, 50, 3)) -> np.ndarray:
    """Dark spots on something bright, uint8."""
    rng = np.random.default_rng(seed)
    return np.where(rng.random(shape[:2]) < 0.2, 60, 210)[(..., *[None] * (len(shape) - 2))].astype(np.uint8) + (
        rng.integers(0, 30, shape).astype(np.uint8)
    )


def network(spec: AnyStyleSpec = TINY) -> AnyStyleNet:
    """One that does something."""
    made = AnyStyleNet(spec).eval()
    torch.nn.init.normal_(made.body.last.weight, std=0.05, generator=torch.Generator().manual_seed(1))
    return made


# The network


def test_a_new_network_changes_nothing_and_has_the_same_weights_each_time() -> None:
    one, other = AnyStyleNet(TINY, 3), AnyStyleNet(TINY, 3)
    assert all(torch.equal(a, b) for a, b in zip(one.state_dict().values(), other.state_dict().values(), strict=True))
    x = torch.rand(1, 3, 17, 22)
    assert torch.equal(one(x, one.look(torch.rand(1, 3, 30, 20))), x)


def test_what_looks_alike_already_is_left_as_it_is_and_what_does_not_is_changed() -> None:
    made, x = network(), torch.rand(1, 3, 24, 33)
    assert torch.equal(made(x, made.look(x)), x)
    styles = [made(x, made.look(torch.rand(1, 3, 40, 40) * k)) for k in (1, 0.3)]
    assert not torch.allclose(styles[1], x, atol=1e-3)
    assert not torch.allclose(*styles, atol=1e-3)
    assert torch.equal(TowardStyle(made, made.look(x))(x), x)


def test_it_can_be_traced_and_scripted_once_its_statistics_are_kept() -> None:
    made, x, y = network(), torch.rand(1, 3, 20, 30), torch.rand(1, 3, 25, 19)
    kept = TowardStyle(made, made.look(torch.rand(1, 3, 20, 20) ** 3).detach()).frozen(x)
    with torch.no_grad():
        for other in (torch.jit.trace(kept, x), torch.jit.script(kept)):
            assert torch.allclose(other(y), kept(y), atol=1e-5)


@pytest.mark.slow
def test_it_can_be_exported_with_its_style_and_with_its_statistics() -> None:
    made, x, y = network(), torch.rand(1, 3, 20, 30), torch.rand(1, 3, 25, 19)
    toward = TowardStyle(made, made.look(torch.rand(1, 3, 20, 20) ** 3).detach())
    sides = {2: torch.export.Dim.AUTO, 3: torch.export.Dim.AUTO}
    for one in (toward, toward.frozen(x)):
        other = torch.export.export(one, (x,), dynamic_shapes=(sides,)).module()
        with torch.no_grad():
            assert torch.allclose(other(y), one(y), atol=1e-5)


def test_all_of_it_learns_but_what_the_last_normalization_does_without() -> None:
    made = network()
    made(torch.rand(1, 3, 24, 24), made.look(torch.rand(1, 3, 24, 24) ** 2)).square().mean().backward()
    idle = {name for name, parameter in made.named_parameters() if parameter.grad is None}
    assert idle == {"body.fine.norm.weight", "body.fine.norm.bias"}


def test_statistics_and_look_of_pictures_are_kept() -> None:
    made, wanted = network(), network().look(torch.rand(1, 3, 30, 30) ** 3)
    one, other = torch.rand(1, 3, 40, 50), 0.3 * torch.rand(1, 3, 40, 50)
    with torch.no_grad():
        kept = TowardStyle(made, wanted).frozen(one)
        assert torch.allclose(kept(one), made(one, wanted), atol=1e-5)
        assert not torch.allclose(kept(other), made(other, wanted), atol=1e-3)
        assert torch.allclose(made.look(torch.cat([one, one])), made.look(one), atol=1e-5)


# Its file


def test_what_is_written_is_read(tmp_path: Path) -> None:
    maker = network()
    write(maker, tmp_path / "a.safetensors", {"license": "CC0"})
    again = read(tmp_path / "a.safetensors")
    assert again.spec == TINY
    for name, tensor in maker.state_dict().items():
        assert torch.allclose(again.state_dict()[name], tensor, atol=1e-3)


def test_damaged_files_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.safetensors"
    write(network(), path, {})
    whole = path.read_bytes()
    for data in (b"", whole[: len(whole) // 2], b"PK" + whole):
        path.write_bytes(data)
        with pytest.raises(StyleFileError, match="Install the package again"):
            read(path)
    with pytest.raises(StyleFileError):
        read(tmp_path / "none")
    about = {"network": TINY.model_dump_json()}
    path.write_bytes(whole)
    tensors = load_file(path)
    for wrong in ({"steer.weight": torch.full_like(tensors["steer.weight"], torch.nan)}, {"more": torch.zeros(1)}):
        save_file(tensors | wrong, path, about)
        with pytest.raises(StyleFileError):
            read(path)


def test_the_bundled_one_is_small_and_says_what_it_was_made_of() -> None:
    from safetensors import safe_open

    path = Path(any_style.__file__).parent / "bundled" / any_style.FILE
    assert path.stat().st_size < MOST_BYTES
    with safe_open(str(path), "pt") as file:
        about = file.metadata()
    assert "CC0" in about["license"]
    assert "any_style.py" in about["recipe"]
    assert bundled() is bundled()


# Applied


@pytest.mark.parametrize("shape", [(40, 50, 3), (21, 33), (1, 1, 3)])
def test_color_gray_and_sizes(shape: tuple[int, ...]) -> None:
    styled = stylize(picture(shape=shape), picture(1), "any").image
    assert styled.axes == "YXC"
    assert styled.array.shape == (*shape[:2], 3)
    assert styled.array.dtype == np.uint8


def test_it_changes_what_the_photometric_method_makes_within_what_the_style_has() -> None:
    style = picture(1) // np.array([1, 2, 1], np.uint8)
    made, start = (stylize(picture(), style, method).image.array.astype(int) for method in ("any", "automatic"))
    assert 0.5 < np.abs(made - start).mean() < 60
    low, high = np.percentile(style.reshape(-1, 3), (1, 99), axis=0)
    assert (made.reshape(-1, 3).min(0) >= low - 1).all()
    assert (made.reshape(-1, 3).max(0) <= high + 1).all()
    assert np.array_equal(made, stylize(picture(), style, "any").image.array)


def test_strength_0_is_the_identity_and_a_half_lies_between() -> None:
    zero, half, whole = (stylize(picture(), picture(1), "any", strength=s).image.array for s in (0, 0.5, 1))
    assert np.array_equal(zero, picture())
    assert np.abs((picture().astype(float) + whole) / 2 - half).max() <= 1


def test_of_several_styles_the_mean_is_taken() -> None:
    looks = [np.moveaxis(picture(seed), -1, 0).astype(np.float32) / (255 * seed) for seed in (1, 3)]
    span = Span.of(Reference.mixed([Reference.of_unit(look) for look in looks]), 3)
    one, other, both = (seen(chosen, span) for chosen in (looks[:1], looks[1:], looks))
    assert np.allclose(both, (one + other) / 2, atol=1e-5)
    assert not np.allclose(one, other)
    assert stylize(picture(), [picture(1), picture(2)], "any").image.array.shape == (40, 50, 3)


@pytest.mark.parametrize("style", [picture(1), np.repeat(picture(1)[..., :1], 3, axis=2), picture(1)[..., 0]])
def test_a_kept_style_gives_the_pixels_that_its_picture_gives(style: np.ndarray, tmp_path: Path) -> None:
    kept = KeptStyle.of("ours", [as_image(style)], thumbnail=False)
    read_again = read_style(write_style(kept, tmp_path / "ours.style.json"))
    wanted = stylize(picture(), style, "any").image.array
    for one in (kept, read_again, tmp_path / "ours.style.json"):
        np.testing.assert_array_equal(stylize(picture(), one, "any").image.array, wanted)
    mixed = [stylize(picture(), [one, picture(2)], "any").image.array for one in (style, kept)]
    assert np.abs(mixed[0].astype(int) - mixed[1]).mean() < 3


def test_the_texture_of_another_network_is_kept_and_not_taken_for_ours() -> None:
    kept = KeptStyle.of("ours", [as_image(picture(1))])
    other = KeptStyle.model_validate(
        {**kept.model_dump(), "texture": {"network": "0123456789abcdef", "look": [0.5] * 7}}
    )
    assert other.textured.texture is None
    assert KeptStyle.model_validate_json(other.model_dump_json()) == other
    with pytest.raises(OptionError, match="without a texture that this version can make"):
        stylize(picture(), other, "any")
    assert stylize(picture(), other).image.array.std() > 5


def test_a_volume_is_done_slice_by_slice() -> None:
    volume = picture(0, (40, 50))[None] // np.array([1, 2, 3], np.uint8)[:, None, None]
    said: list[Progress] = []
    steps = iter_stylize(as_image(volume, axes="ZYX"), [picture(1, (30, 30))], StyleOptions(method="any"))
    styled = run(steps, said.append).image
    assert styled.axes == "ZYX"
    assert [step.fraction for step in said] == pytest.approx([1 / 3, 2 / 3, 1], abs=1e-3)
    assert all(isinstance(step, StyleProgress) for step in said)


def test_what_is_not_possible_is_said(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    kept = KeptStyle.of("plain", [as_image(picture(1))], texture=False)
    for plain in (kept, kept.reference):
        with pytest.raises(OptionError, match=r"'plain' holds statistics only.*Give the picture"):
            stylize(picture(), plain, "any")
    with pytest.raises(ImageError, match="channels"):
        stylize(as_image(np.zeros((40, 50, 2)) + np.arange(50)[:, None], axes="YXC"), picture(1), "any")
    monkeypatch.setattr(fast, "free_memory", lambda: 10**4)
    with pytest.raises(ImageError, match=r"needs about 0\.\d GB"):
        stylize(picture(), picture(1), "any")
