"""Whether Triton's kernels can run here, on what, and why not. Triton is imported only where it is used."""

from __future__ import annotations

import importlib.util
import warnings
from functools import cache

import torch

NEEDED = (7, 0)
"""Compute capability that Triton compiles for: Volta and later."""
INSTALL = "pip install 'veduta[cuda]'"


def _probe() -> None:
    """Never called: what becomes of it tells whether Triton compiles or interprets."""


@cache
def _attempt() -> tuple[str, str]:
    """The type of device that tensors must be on (empty: cannot be used), and on what it runs or why not."""
    if importlib.util.find_spec("triton") is None:
        return "", f"Triton is not installed: {INSTALL}"
    try:
        import triton
    except ImportError as error:
        return "", f"Triton cannot be loaded: {error}; {INSTALL}"
    if type(triton.jit(_probe)) is not triton.JITFunction:
        return "cpu", f"Triton {triton.__version__}, interpreter: for tests, slow, tensors on the CPU"
    device, why = _graphics_card()
    return device, f"Triton {triton.__version__} on {why}" if device else why


def _graphics_card() -> tuple[str, str]:
    if torch.version.cuda is None:
        return "", f"torch {torch.__version__} has no CUDA: install a CUDA build of torch (pytorch.org, Get Started)"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        there = torch.cuda.is_available()
    if not there:
        return "", _why_no_card()
    capability = torch.cuda.get_device_capability()
    name = torch.cuda.get_device_name()
    if capability < NEEDED:
        have, need = (".".join(map(str, c)) for c in (capability, NEEDED))
        return "", f"{name} has compute capability {have}, Triton needs {need} (Volta) or later"
    gigabytes = torch.cuda.get_device_properties(0).total_memory / 2**30
    return "cuda", f"{name}, {gigabytes:.0f} GiB, CUDA {torch.version.cuda}"


def _why_no_card() -> str:
    try:
        torch.cuda.init()
    except (RuntimeError, AssertionError) as error:
        told = str(error).strip().splitlines()
        said = told[0] if told else type(error).__name__
    else:
        said = "torch finds no device"
    if "driver" in said.lower() and "no nvidia driver" not in said.lower():
        return f"the NVIDIA driver does not fit torch's CUDA {torch.version.cuda}: update the driver ({said})"
    return f"no NVIDIA GPU or no driver: {said}"


def available() -> bool:
    """Whether the Triton kernels can be used."""
    return bool(_attempt()[0])


def device_type() -> str:
    """Where tensors must be: ``cuda``; ``cpu`` under Triton's interpreter; empty where the kernels cannot be used."""
    return _attempt()[0]


def reason() -> str:
    """On what they run, or in one line why they cannot be used and what to do."""
    return _attempt()[1]


def interpreted() -> bool:
    """Whether kernels are run by Triton's interpreter (``TRITON_INTERPRET=1``), on the CPU."""
    return device_type() == "cpu"


def forget() -> None:
    """Find out again when next asked: the machine is not what it was (for tests)."""
    _attempt.cache_clear()
