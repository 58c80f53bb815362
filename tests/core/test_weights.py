from __future__ import annotations

import pytest
import torch
from safetensors.torch import load_file, save_file

from napari_unetstyle.core.errors import ModelFileError
from napari_unetstyle.core.models.weights import load_weights, save_weights
from tests.core.networks_for_tests import random_unet


def test_weights_come_back_in_half_precision(tmp_path):
    network = random_unet()
    save_weights(network, tmp_path / "weights.safetensors")
    other = random_unet(seed=1)
    load_weights(other, tmp_path / "weights.safetensors")
    for name, value in network.state_dict().items():
        torch.testing.assert_close(other.state_dict()[name], value, atol=1e-3, rtol=1e-3)
    assert (tmp_path / "weights.safetensors").stat().st_size < 2.2 * sum(
        v.numel() for v in other.state_dict().values()
    ) + 8000


def test_full_precision_comes_back_exactly(tmp_path):
    network, other = random_unet(), random_unet(seed=1)
    save_weights(network, tmp_path / "w.safetensors", half=False)
    load_weights(other, tmp_path / "w.safetensors")
    assert all(torch.equal(v, other.state_dict()[n]) for n, v in network.state_dict().items())


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_numbers_that_are_none_are_neither_written_nor_read(tmp_path, bad):
    network = random_unet()
    with torch.no_grad():
        network.head.bias[0] = bad
    with pytest.raises(ModelFileError, match="NaN or Inf"):
        save_weights(network, tmp_path / "w.safetensors")
    assert not list(tmp_path.iterdir())
    save_file({n: v.contiguous() for n, v in network.state_dict().items()}, tmp_path / "w.safetensors")
    with pytest.raises(ModelFileError, match=r"head\.bias"):
        load_weights(random_unet(), tmp_path / "w.safetensors")


def test_weights_of_another_network_are_refused(tmp_path):
    save_weights(random_unet(widths=(4, 6, 10)), tmp_path / "w.safetensors")
    with pytest.raises(ModelFileError, match="does not fit"):
        load_weights(random_unet(), tmp_path / "w.safetensors")


@pytest.mark.parametrize("change", ["missing", "extra"])
def test_every_tensor_must_be_there_and_no_other(tmp_path, change):
    path = tmp_path / "w.safetensors"
    save_weights(random_unet(), path)
    tensors = load_file(path)
    if change == "missing":
        del tensors["head.bias"]
    else:
        tensors["stowaway"] = torch.zeros(1)
    save_file(tensors, path)
    with pytest.raises(ModelFileError, match="1 tensors differ"):
        load_weights(random_unet(), path)


@pytest.mark.parametrize("content", [b"", b"\x80\x04N.", b"\xff" * 100])
def test_what_is_no_safetensors_file_is_refused(tmp_path, content):
    (tmp_path / "w.safetensors").write_bytes(content)
    with pytest.raises(ModelFileError, match="Import the model again"):
        load_weights(random_unet(), tmp_path / "w.safetensors")
