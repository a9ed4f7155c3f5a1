"""A box with a GPU, where there is none."""

from __future__ import annotations

import sys

import pytest
from fake_gpu import FakeCuda, FakeTensorRT

from engines.tensorrt import memory


@pytest.fixture
def cuda(monkeypatch: pytest.MonkeyPatch) -> FakeCuda:
    """A box with a GPU of compute capability 8.9."""
    fake = FakeCuda()
    monkeypatch.setattr(memory, "cuda_runtime", lambda: fake)
    return fake


@pytest.fixture
def trt(monkeypatch: pytest.MonkeyPatch, cuda: FakeCuda) -> FakeTensorRT:
    """… on which TensorRT-RTX is installed."""
    fake = FakeTensorRT(cuda)
    monkeypatch.setitem(sys.modules, "tensorrt_rtx", fake)
    return fake
