"""Where is computed, and what a person is told who asked for a GPU that is not to be had."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from veduta.core import InputError, UnsupportedError
from veduta.kernels import gpu
from veduta.render import devices
from veduta.render.devices import choose_device, driver_version, memory_full

OFF = {
    "torch of the CPU": "torch 2.13.0+cpu has no CUDA: install a CUDA build of torch (pytorch.org, Get Started)",
    "old driver": "the NVIDIA driver does not fit torch's CUDA 13.0: update the driver (found version 11040)",
    "old GPU": "Tesla P100 has compute capability 6.0, Triton needs 7.0 (Volta) or later",
    "no Triton": "Triton is not installed: pip install 'veduta[cuda]'",
}


@pytest.fixture(params=OFF)
def reason(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """A machine without a usable GPU."""
    monkeypatch.setattr(gpu, "_attempt", lambda: ("", OFF[request.param]))
    return OFF[request.param]


@pytest.fixture
def card(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine with one."""
    monkeypatch.setattr(gpu, "_attempt", lambda: ("cuda", "Triton 3 on a card"))
    monkeypatch.setattr(torch.cuda, "current_device", lambda: 0)


def test_without_a_gpu_the_cpu_computes(reason: str) -> None:
    for backend in ("auto", "cpu", "cuda", "reference"):
        assert choose_device("auto", backend=backend) == torch.device("cpu")
        assert choose_device("cpu", backend=backend) == torch.device("cpu")


def test_a_gpu_asked_for_in_vain_is_told_in_a_line(reason: str) -> None:
    with pytest.raises(UnsupportedError) as raised:
        choose_device("cuda")
    assert raised.value.line() == f"device 'cuda': no GPU can be used: got {reason}"
    assert raised.value.hint is not None
    assert "veduta doctor" in raised.value.hint


def test_a_gpu_is_taken_where_the_backend_computes_there(card: None) -> None:
    there = torch.device("cuda", 0)
    assert choose_device() == there
    assert choose_device("auto", backend="cuda") == there
    assert choose_device("cuda", backend="reference") == there
    assert choose_device("auto", backend="reference") == torch.device("cpu")
    assert choose_device("auto", backend="cpu") == torch.device("cpu")
    assert choose_device(torch.device("cuda", 1), backend="cpu") == torch.device("cuda", 1)


def test_what_cannot_be_is_refused(card: None) -> None:
    with pytest.raises(InputError, match="no such device"):
        choose_device("gpu")
    with pytest.raises(InputError, match="computes on the CPU only"):
        choose_device("cuda", backend="cpu")


def test_memory_that_is_full_without_numbers() -> None:
    assert memory_full(torch.OutOfMemoryError("no"), hint="h").line() == "device 'cuda': the GPU's memory is full"


def test_the_driver_tells_its_version(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(devices, "_DRIVER_VERSION", tmp_path / "version")
    assert driver_version() is None
    text = "NVRM version: NVIDIA UNIX x86_64 Kernel Module  535.104.05  Sat Aug 19 01:15:15 UTC 2023\nGCC version: 12\n"
    (tmp_path / "version").write_text(text)
    assert driver_version() == "535.104.05"
    (tmp_path / "version").write_text("")
    assert driver_version() is None
