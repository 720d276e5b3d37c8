"""Why Triton's kernels cannot be used, in one line with what to do; every case is pretended."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Iterator
from types import SimpleNamespace

import pytest
import torch
from torch._subclasses import FakeTensorMode

from tests.backends.scenes import some_cameras, some_gaussians
from veduta.core import Gaussians, UnsupportedError
from veduta.kernels import gpu
from veduta.render import Backend, report, resolve
from veduta.render.cuda import Cuda

triton = pytest.importorskip("triton")


@pytest.fixture(autouse=True)
def afresh() -> Iterator[None]:
    """What was found out is forgotten, before and after."""
    gpu.forget()
    yield
    gpu.forget()


@pytest.fixture
def compiling(monkeypatch: pytest.MonkeyPatch) -> None:
    """As if Triton compiled kernels, whatever it does here."""
    monkeypatch.setattr(triton, "jit", triton.JITFunction)


@pytest.fixture
def card(monkeypatch: pytest.MonkeyPatch, compiling: None) -> Callable[[tuple[int, int]], None]:
    """Pretends a GPU of a compute capability."""

    def pretend(capability: tuple[int, int]) -> None:
        monkeypatch.setattr(torch.version, "cuda", "12.8")
        monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
        monkeypatch.setattr(torch.cuda, "get_device_capability", lambda: capability)
        monkeypatch.setattr(torch.cuda, "get_device_name", lambda: "Pretended 9000")
        monkeypatch.setattr(torch.cuda, "get_device_properties", lambda _: SimpleNamespace(total_memory=8 * 2**30))

    return pretend


def fail(message: str) -> Callable[[], None]:
    def initialise() -> None:
        raise RuntimeError(message)

    return initialise


def test_without_triton(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    assert not gpu.available()
    assert "pip install 'veduta[cuda]'" in gpu.reason()
    with pytest.raises(UnsupportedError, match="pip install"):
        Cuda()


def test_torch_for_the_cpu_only(monkeypatch: pytest.MonkeyPatch, compiling: None) -> None:
    monkeypatch.setattr(torch.version, "cuda", None)
    assert not gpu.available()
    assert "CUDA build of torch" in gpu.reason()


@pytest.mark.parametrize(
    ("told", "expected"),
    [
        ("Found no NVIDIA driver on your system. Please check ...", "no NVIDIA GPU or no driver"),
        ("The NVIDIA driver on your system is too old (found version 11040).\nMore", "update the driver"),
        ("CUDA driver initialization failed, you might not have a CUDA gpu.", "update the driver"),
        ("No CUDA GPUs are available", "no NVIDIA GPU"),
    ],
)
def test_no_card_or_the_wrong_driver(
    monkeypatch: pytest.MonkeyPatch, compiling: None, told: str, expected: str
) -> None:
    monkeypatch.setattr(torch.version, "cuda", "12.8")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.cuda, "init", fail(told))
    assert not gpu.available()
    assert expected in gpu.reason()
    assert "\n" not in gpu.reason()


def test_a_card_that_is_too_old(card: Callable[[tuple[int, int]], None]) -> None:
    card((6, 1))
    assert not gpu.available()
    assert "6.1" in gpu.reason()
    assert "7.0" in gpu.reason()


def test_a_card_that_will_do(card: Callable[[tuple[int, int]], None]) -> None:
    card((7, 0))
    assert gpu.available()
    assert gpu.device_type() == "cuda"
    assert not gpu.interpreted()
    assert "Pretended 9000, 8 GiB" in gpu.reason()
    entry = next(found for found in report() if found.name == "cuda")
    assert entry.usable
    assert entry.why == gpu.reason()
    assert isinstance(Cuda(), Backend)


def test_tensors_on_the_wrong_device_are_refused(card: Callable[[tuple[int, int]], None]) -> None:
    card((9, 0))
    gaussians = some_gaussians(2, sh_degree=0, size=0.1, seed=0)
    with pytest.raises(UnsupportedError, match=r"got .*float32 on cpu"):
        Cuda().rasterize(gaussians, some_cameras(1, width=8, height=8))


def on_gpu() -> Gaussians:
    """Gaussians that say they are on a GPU."""
    with FakeTensorMode():
        return some_gaussians(2, sh_degree=0, size=0.1, seed=0).map(lambda t: torch.empty_like(t, device="cuda"))


def test_auto_takes_cuda_for_tensors_on_a_gpu(card: Callable[[tuple[int, int]], None]) -> None:
    card((8, 6))
    assert resolve("auto", on_gpu()).name == "cuda"


def test_auto_never_falls_back_to_the_slow_way_on_a_gpu(card: Callable[[tuple[int, int]], None]) -> None:
    card((6, 0))
    with pytest.raises(UnsupportedError, match=r"6\.0"):
        resolve("auto", on_gpu())


def test_auto_draws_float64_with_the_reference() -> None:
    gaussians = some_gaussians(2, sh_degree=0, size=0.1, seed=0).to(torch.float64)
    assert resolve("auto", gaussians).name == "reference"
