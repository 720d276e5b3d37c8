"""On which device to compute: what the machine offers, and why a GPU cannot be used."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import re
import warnings
from dataclasses import dataclass
from pathlib import Path

import torch

from veduta.core import InputError, MemoryFullError, UnsupportedError

DEVICES = ("auto", "cpu", "cuda")
MIN_CAPABILITY = (7, 0)
"""Compute capability from which Triton compiles (what torch itself asks for before it uses Triton): Volta, 2017."""
_DRIVER_VERSION = Path("/proc/driver/nvidia/version")


@dataclass(frozen=True, kw_only=True)
class Machine:
    """What decides whether a GPU can be used."""

    torch_version: str
    torch_cuda: str | None
    """The CUDA that torch was built for; None for a torch of the CPU only."""
    driver: str | None
    """Version of NVIDIA's driver; None where the system does not tell."""
    refusal: str | None
    """What torch says when it cannot reach a GPU; None where it can."""
    name: str | None = None
    capability: tuple[int, int] | None = None
    memory_bytes: int | None = None
    triton: str | None = None
    """Version of Triton; None where it is not installed."""


def this_machine() -> Machine:
    """What is found here; asks the driver, so the first call takes a moment where there is a GPU."""
    refusal = _refusal()
    properties = None if refusal is not None else torch.cuda.get_device_properties(torch.cuda.current_device())
    return Machine(
        torch_version=torch.__version__,
        torch_cuda=torch.version.cuda,
        driver=_driver(),
        refusal=refusal,
        name=None if properties is None else properties.name,
        capability=None if properties is None else (properties.major, properties.minor),
        memory_bytes=None if properties is None else properties.total_memory,
        triton=_triton(),
    )


def cuda_problem(machine: Machine) -> UnsupportedError | None:
    """Why the GPU of a machine cannot be used, and what to do about it; None where it can."""
    where = "device 'cuda'"
    if machine.torch_cuda is None:
        return UnsupportedError(
            "this torch is for the CPU only",
            where=where,
            expected="a torch built for CUDA",
            got=f"torch {machine.torch_version}",
            hint="Install torch for CUDA (pytorch.org/get-started/locally), or leave --device out.",
        )
    if machine.refusal is not None:
        old = "driver" in machine.refusal.lower() and "old" in machine.refusal.lower()
        built = f"torch {machine.torch_version} for CUDA {machine.torch_cuda}"
        driver = "" if machine.driver is None else f" (driver {machine.driver})"
        return UnsupportedError(
            "the NVIDIA driver is too old for this torch" if old else "torch finds no NVIDIA GPU",
            where=where,
            expected=f"a driver for CUDA {machine.torch_cuda}" if old else "a GPU that nvidia-smi lists",
            got=f"{machine.refusal}{driver}",
            hint=f"Update the driver, or install a torch built for an older CUDA; this is {built}."
            if old
            else "See whether nvidia-smi lists a GPU and CUDA_VISIBLE_DEVICES does not hide it, or leave --device out.",
        )
    if machine.capability is not None and machine.capability < MIN_CAPABILITY:
        return UnsupportedError(
            "the GPU is too old for Triton",
            where=where,
            expected="compute capability {}.{} or more".format(*MIN_CAPABILITY),
            got="{}, {}.{}".format(machine.name, *machine.capability),
            hint="Use --device cpu: the kernels of the CPU need no GPU.",
        )
    if machine.triton is None:
        return UnsupportedError(
            "Triton is not installed",
            where=where,
            expected="the triton that torch for CUDA brings along on Linux",
            got="none",
            hint="pip install triton (Linux) or triton-windows (Windows), or use --device cpu.",
        )
    return None


def choose_device(device: str | torch.device = "auto", *, backend: str = "auto") -> torch.device:
    """The device of that name; ``auto`` is the GPU where it can be used with the backend, else the CPU.

    A torch.device is taken as it is.
    InputError for an unknown name and for a backend that does not compute there, UnsupportedError where there is no
    GPU that can be used.
    """
    if isinstance(device, torch.device):
        return device
    if device not in DEVICES:
        raise InputError("no such device", field="device", expected=", ".join(DEVICES), got=repr(device))
    if device == "cpu" or (device == "auto" and backend not in ("auto", "cuda")):
        return torch.device("cpu")
    if device == "cuda" and backend == "cpu":
        raise InputError(
            "the backend computes on the CPU only",
            field="backend",
            expected="auto, cuda or reference with --device cuda",
            got=repr(backend),
        )
    if device == "auto" and torch.version.cuda is None:
        return torch.device("cpu")
    problem = cuda_problem(this_machine())
    if problem is None:
        return torch.device("cuda", torch.cuda.current_device())
    if device == "auto":
        return torch.device("cpu")
    raise problem


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


def _refusal() -> str | None:
    """Torch's own words for why there is no GPU."""
    if torch.version.cuda is None:
        return "torch was built without CUDA"
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        if torch.cuda.is_available():
            return None
        try:
            torch.cuda.init()
        except (RuntimeError, AssertionError) as error:
            return _first_line(str(error))
    return _first_line(str(told[0].message)) if told else "no CUDA device"


def _first_line(text: str) -> str:
    return text.strip().splitlines()[0].split(". ")[0].rstrip(".") if text.strip() else "no CUDA device"


def _driver() -> str | None:
    """From the first line of the driver's own file (Linux): the word of digits and points."""
    try:
        words = _DRIVER_VERSION.read_text(encoding="utf-8").splitlines()[0].split()
    except (OSError, IndexError):
        return None
    return next((word for word in words if word.replace(".", "").isdigit()), None)


def _triton() -> str | None:
    if importlib.util.find_spec("triton") is None:
        return None
    for package in ("triton", "triton-windows", "pytorch-triton"):
        try:
            return importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            continue
    return "unknown"
