"""How Triton kernels are started, and in which of several shapes."""

from __future__ import annotations

import inspect
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy

ROWS = 128
"""Gaussians (or pairs) per program, in kernels that treat them one by one."""


@dataclass(frozen=True)
class Tuning:
    """Shapes that a kernel may be started in; all give the same results."""

    warps: tuple[int, ...]
    """Warps per program."""
    key: tuple[str, ...]
    """Constants that make it another kernel, measured anew."""
    resets: tuple[str, ...] = ()
    """Arguments that the kernel adds to, which measuring must leave at zero."""


def programs(count: int, block: int = ROWS) -> tuple[int]:
    """The grid for ``count`` items; at least one program, which then finds nothing to do."""
    return (max(1, -(-count // block)),)


def launch(kernel: Any, grid: tuple[int, ...], *arguments: Any, **constants: float) -> None:
    """Start a kernel on the current device; ``constants`` are compiled in (and are named in capitals)."""
    _start(kernel, kernel, grid, arguments, constants)


def launch_tuned(kernel: Any, tuning: Tuning, grid: tuple[int, ...], *arguments: Any, **constants: float) -> None:
    """:func:`launch`, in the fastest of several shapes: the first start on a GPU measures each, a second or so.

    Triton keeps what was measured beside its compiled kernels for later processes (3.4 and later; earlier ones measure
    once per process).
    """
    _start(kernel, _tuned(kernel, tuning) if compiled(kernel) else kernel, grid, arguments, constants)


def _start(
    kernel: Any, started: Any, grid: tuple[int, ...], arguments: tuple[Any, ...], constants: dict[str, float]
) -> None:
    if compiled(kernel):
        started[grid](*arguments, **constants, enable_fp_fusion=True)
    else:
        with numpy.errstate(all="ignore"):  # no GPU warns of a division by zero
            started[grid](*arguments, **constants)


def compiled(kernel: Any) -> bool:
    """Whether the kernel runs on a GPU; otherwise Triton's interpreter runs it."""
    import triton

    return isinstance(kernel, triton.JITFunction)


@cache
def _tuned(kernel: Any, tuning: Tuning) -> Any:
    import triton

    shapes = [triton.Config({}, num_warps=warps) for warps in tuning.warps]
    kept = {"cache_results": True} if "cache_results" in inspect.signature(triton.autotune).parameters else {}
    return triton.autotune(shapes, key=list(tuning.key), reset_to_zero=list(tuning.resets) or None, **kept)(kernel)
