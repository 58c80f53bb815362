from __future__ import annotations

import hashlib
import pathlib
import re
import types

import pytest
import torch
import torchvision

from napari_unetstyle.core.errors import ModelFileError, OptionError, OutputError
from napari_unetstyle.core.networks.features import TAPS, Features, fetch, pretrained, random_features


@pytest.fixture(scope="module")
def vgg():
    """torchvision's network without its last layers' size: 31 instead of 528 MB, the same names and shapes below."""
    from torchvision.models import VGG
    from torchvision.models.vgg import cfgs, make_layers

    torch.manual_seed(3)
    network = VGG(make_layers(cfgs["D"]), init_weights=False)
    network.classifier = torch.nn.Sequential(torch.nn.Linear(512 * 49, 4))
    return network.eval()


@pytest.fixture(scope="module", params=[True, False], ids=["zip", "legacy"])
def file(vgg, tmp_path_factory, request):
    path = tmp_path_factory.mktemp("vgg") / "vgg16-397923af.pth"
    torch.save(vgg.state_dict(), path, _use_new_zipfile_serialization=request.param)
    return path


def test_a_file_of_torchvision_gives_torchvision_features(vgg, file):
    picture = torch.rand(1, 3, 40, 52)
    found = pretrained(file)(picture)
    mean, std = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])
    normalized = (picture - mean.view(3, 1, 1)) / std.view(3, 1, 1)
    with torch.no_grad():
        for name, place in TAPS.items():
            torch.testing.assert_close(found[name], vgg.features[: place + 1](normalized))


def test_only_what_is_used_is_kept(file):
    assert sum(weight.numel() for weight in pretrained(file).parameters()) == 7_635_264


def test_a_file_that_is_not_vgg16_is_refused_in_words(vgg, tmp_path):
    state = vgg.state_dict()
    path = tmp_path / "other.pth"
    for name, tensor in (("features.5.weight", torch.zeros(3, 3)), ("features.0.bias", torch.full((64,), torch.nan))):
        torch.save(state | {name: tensor}, path)
        with pytest.raises(ModelFileError, match=name):
            pretrained(path)
    torch.save({}, path)
    with pytest.raises(ModelFileError, match=r"not torchvision's VGG16.*got nothing"):
        pretrained(path)
    torch.save([1, 2], path)
    with pytest.raises(ModelFileError, match="a list"):
        pretrained(path)


def test_no_code_runs_from_a_file(tmp_path):
    path = tmp_path / "evil.pth"
    touched = tmp_path / "touched"

    class Evil:
        def __reduce__(self):
            return pathlib.Path.touch, (touched,)

    torch.save({"features.0.weight": Evil()}, path)
    with pytest.raises(ModelFileError, match="nothing but tensors"):
        pretrained(path)
    assert not touched.exists()


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 no archive", b"no weights at all"])
def test_a_damaged_file_is_refused_in_words(tmp_path, content):
    path = tmp_path / "damaged.pth"
    path.write_bytes(content)
    with pytest.raises(ModelFileError, match="cannot be read as weights"):
        pretrained(path)


def test_a_missing_file_is_refused_in_words(tmp_path):
    with pytest.raises(ModelFileError, match="There is no file"):
        pretrained(tmp_path / "missing.pth")


@pytest.fixture
def source(vgg, tmp_path, monkeypatch):
    """torchvision's address, which here is a file on this disk, under a name that ends in its hash."""
    torch.save(vgg.state_dict(), tmp_path / "whole.pth")
    digest = hashlib.sha256((tmp_path / "whole.pth").read_bytes()).hexdigest()
    named = (tmp_path / "whole.pth").rename(tmp_path / f"vgg16-{digest[:8]}.pth")
    monkeypatch.setattr(torchvision.models, "VGG16_Weights", weights_at(named.as_uri()))
    return named


def weights_at(url):
    return types.SimpleNamespace(IMAGENET1K_V1=types.SimpleNamespace(url=url))


def test_the_address_is_that_of_torchvision_and_ends_in_a_hash():
    assert re.fullmatch(r"https://.*/vgg16-[0-9a-f]{8}\.pth", torchvision.models.VGG16_Weights.IMAGENET1K_V1.url)


def test_what_is_fetched_is_checked_and_only_what_is_used_is_kept(source, tmp_path):
    kept = fetch(tmp_path / "new" / "vgg.pth")
    assert [path.name for path in kept.parent.iterdir()] == ["vgg.pth"]
    assert kept.stat().st_size < 4.1 * 7_635_264
    wanted = pretrained(source).state_dict()
    assert all(torch.equal(wanted[name], tensor) for name, tensor in pretrained(kept).state_dict().items())
    with pytest.raises(OutputError, match="nothing is replaced"):
        fetch(kept)


def test_what_was_changed_on_the_way_or_does_not_come_leaves_nothing(source, tmp_path, monkeypatch):
    data = bytearray(source.read_bytes())
    data[len(data) // 2] ^= 1
    source.write_bytes(data)
    gone = weights_at((tmp_path / "vgg16-00000000.pth").as_uri())
    for weights in (torchvision.models.VGG16_Weights, gone):
        monkeypatch.setattr(torchvision.models, "VGG16_Weights", weights)
        with pytest.raises(ModelFileError, match=r"could not be fetched .*random weights need no file"):
            fetch(tmp_path / "new" / "vgg.pth")
        assert list((tmp_path / "new").iterdir()) == []


def test_random_weights_follow_the_seed():
    one, same, other = (random_features(seed).state_dict()["features.10.weight"] for seed in (1, 1, 2))
    assert torch.equal(one, same)
    assert not torch.equal(one, other)


@pytest.mark.parametrize("pooling", ["max", "average"])
def test_random_layers_are_all_of_one_scale(pooling):
    found = random_features(0, pooling)(torch.rand(1, 3, 64, 64))
    for feature in found.values():
        assert 0.2 < feature.square().mean().sqrt() < 5


def test_average_pooling_differs_below_the_first_pooling_only():
    picture = torch.rand(1, 3, 32, 32)
    network, smooth = Features("max"), Features("average")
    smooth.load_state_dict(network.state_dict())
    sharp, soft = network(picture), smooth(picture)
    assert torch.equal(sharp["relu1_2"], soft["relu1_2"])
    assert not torch.equal(sharp["relu2_2"], soft["relu2_2"])


def test_unknown_pooling_is_refused_in_words():
    with pytest.raises(OptionError, match="'median'"):
        Features("median")
