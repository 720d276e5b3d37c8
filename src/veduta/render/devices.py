"""On which device to compute, and what to tell where a GPU cannot be used or its memory is full."""

from __future__ import annotations

import re
from pathlib import Path

import torch

from veduta.core import InputError, MemoryFullError, UnsupportedError
from veduta.kernels import gpu

DEVICES = ("auto", "cpu", "cuda")
_DRIVER_VERSION = Path("/proc/driver/nvidia/version")


def choose_device(device: str | torch.device = "auto", *, backend: str = "auto") -> torch.device:
    """The device of that name; ``auto`` is the GPU where it can be used with the backend, else the CPU.

    A torch.device is taken as it is. InputError for an unknown name and for a backend that does not compute there,
    UnsupportedError where there is no GPU that can be used.
    """
    if isinstance(device, torch.device):
        return device
    if device not in DEVICES:
        raise InputError("no such device", field="device", expected=", ".join(DEVICES), got=repr(device))
    if device == "cuda" and backend == "cpu":
        raise InputError(
            "the backend computes on the CPU only",
            field="backend",
            expected="auto, cuda or reference with --device cuda",
            got=repr(backend),
        )
    wanted = device == "cuda" or (device == "auto" and backend in ("auto", "cuda"))
    if wanted and gpu.device_type() == "cuda":
        return torch.device("cuda", torch.cuda.current_device())
    if device == "cuda":
        raise UnsupportedError(
            "no GPU can be used",
            where="device 'cuda'",
            got=gpu.reason(),
            hint="Put that right, or use --device cpu; veduta doctor shows what works here.",
        )
    return torch.device("cpu")


def memory_full(
    error: torch.OutOfMemoryError, *, hint: str, where: str = "device 'cuda'", needed_bytes: int | None = None
) -> MemoryFullError:
    """What to tell a person about a GPU whose memory is full."""
    estimate = None if needed_bytes is None else f"about {needed_bytes / 1e9:.1f} GB, by the estimate"
    wanted = re.search(r"Tried to allocate ([\d.]+ \w+)", str(error))
    total = re.search(r"total capacity of ([\d.]+ \w+)", str(error))
    got = [f"{wanted[1]} more than is free" if wanted else "", f"{total[1]} in all" if total else ""]
    told = " of ".join(part for part in got if part) or None
    return MemoryFullError("the GPU's memory is full", where=where, expected=estimate, got=told, hint=hint)


def driver_version() -> str | None:
    """Of NVIDIA's driver, by its own file (Linux); None where there is none, or the system does not tell."""
    try:
        words = _DRIVER_VERSION.read_text(encoding="utf-8").splitlines()[0].split()
    except (OSError, IndexError):
        return None
    return next((word for word in words if "." in word and word.replace(".", "").isdigit()), None)
