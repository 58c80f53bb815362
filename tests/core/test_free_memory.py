from __future__ import annotations

import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import psutil
import pytest
import torch

from napari_unetstyle.core.errors import OptionError
from napari_unetstyle.core.free_memory import free_memory, give_back, is_out_of_memory


def group(folder: Path, limit: str, used: int, cached: int) -> Path:
    (folder / "memory.max").write_text(f"{limit}\n")
    (folder / "memory.current").write_text(f"{used}\n")
    (folder / "memory.stat").write_text(f"anon 5\nactive_file {cached}\ninactive_file 0\n")
    return folder


def test_free_is_what_the_system_says_and_no_more_than_a_container_leaves(tmp_path: Path) -> None:
    assert free_memory(tmp_path) == pytest.approx(psutil.virtual_memory().available, rel=0.2)
    assert free_memory(group(tmp_path, "1000", 700, 50)) == 350
    assert free_memory(group(tmp_path, "1000", 2000, 0)) == 0
    assert free_memory(group(tmp_path, "max", 700, 50)) > 10**6


def from_torch() -> BaseException:
    with pytest.raises(RuntimeError) as caught:
        torch.empty(10**15)
    return caught.value


@pytest.mark.parametrize(
    "error",
    [
        MemoryError(),
        from_torch(),
        RuntimeError(
            "[enforce fail at alloc_cpu.cpp:80] DefaultCPUAllocator: not enough memory: you tried to allocate 8 bytes."
        ),
        torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB"),
        RuntimeError("MPS backend out of memory (MPS allocated: 9 GB)"),
        RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling cublasCreate"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_missing_memory_is_known(error: BaseException) -> None:
    assert is_out_of_memory(error)


@pytest.mark.parametrize(
    "error",
    [
        RuntimeError("mat1 and mat2 shapes cannot be multiplied"),
        RuntimeError("the column 'memory' is out of range"),
        OptionError("Option name='CUDA out of memory' is not allowed"),
        OSError(28, "No space left on device"),
        KeyError("out of memory"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_other_errors_are_not(error: BaseException) -> None:
    assert not is_out_of_memory(error)


def used() -> int:
    return int(psutil.Process().memory_info().rss)


@pytest.mark.skipif(sys.platform != "linux", reason="only the C library of Linux keeps so much")
def test_what_is_free_in_this_process_is_given_back() -> None:
    def scatter() -> object:
        np.ones(2**24, np.uint8)  # from now on arrays up to this size are not given back one by one
        arrays = [np.ones(2**20, np.uint8) for _ in range(200)]
        return arrays[-1]  # and this one lies at the end

    give_back()
    before = used()
    with ThreadPoolExecutor(1) as pool:
        last = pool.submit(scatter).result()
    give_back()
    assert used() - before < 2**26, last
