from __future__ import annotations

import pytest
import torch

from napari_unetstyle.core import device
from napari_unetstyle.core.errors import DeviceError


def test_the_cpu_is_always_there():
    assert device.resolve("cpu") == torch.device("cpu")
    assert device.available()[-1] == "cpu"


def test_auto_takes_the_first_available():
    assert str(device.resolve("auto")).startswith(device.available()[0].split(":")[0])


@pytest.mark.parametrize("name", ["cuda:99", "tpu", "", "cuda:x", "cuda:²", "cuda:" + "9" * 5000])
def test_an_absent_device_is_refused_with_the_ones_there_are(name):
    with pytest.raises(DeviceError, match=r"available: .*cpu"):
        device.resolve(name)


def test_cuda_is_found_when_the_machine_says_so(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    assert device.resolve("auto") == torch.device("cuda")
    assert device.resolve("cuda:1") == torch.device("cuda:1")
    assert device.available()[:2] == ["cuda", "cuda:1"]
