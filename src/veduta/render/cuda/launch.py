"""How kernels are started."""

from __future__ import annotations

from typing import Any

ROWS = 128
"""Gaussians (or pairs) per program, in kernels that treat them one by one."""


def programs(count: int, block: int = ROWS) -> tuple[int]:
    """The grid for ``count`` items; at least one program, which then finds nothing to do."""
    return (max(1, -(-count // block)),)


def launch(kernel: Any, grid: tuple[int, ...], *arguments: Any, warps: int = 4, **constants: float) -> None:
    """Start a kernel on the current device; ``constants`` are compiled in (and are named in capitals)."""
    kernel[grid](*arguments, **constants, num_warps=warps, enable_fp_fusion=True)
