"""Points in space as sequences along space-filling curves (Morton 1966; Skilling 2004): neighbours lie close."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import torch
from jaxtyping import Float, Int
from torch import Tensor

MAX_DEPTH = 16
"""Bits per axis of a cell: three axes and the item's number fit into 63."""


def grid_cells(coords: Float[Tensor, "n 3"], size: float) -> Int[Tensor, "n 3"]:
    """The cell of each point on a grid of the given pitch that starts at the smallest coordinates of all points."""
    if len(coords) == 0:
        return coords.to(torch.int64)
    return ((coords - coords.amin(dim=0)) / size).trunc().to(torch.int64)


def grid_depth(cells: Int[Tensor, "n 3"]) -> int:
    """Bits that the largest index needs, at least 1. ValueError above :data:`MAX_DEPTH`."""
    depth = max(1, int(cells.max()).bit_length()) if len(cells) else 1
    if depth > MAX_DEPTH:
        raise ValueError(f"{int(cells.max()) + 1} cells along an axis, at most {1 << MAX_DEPTH}: take larger cells")
    return depth


def z_code(cells: Int[Tensor, "n 3"], depth: int) -> Int[Tensor, " n"]:
    """Place on the Morton curve: bit i of x, y, z is bit 3i+2, 3i+1, 3i."""
    code = cells.new_zeros(len(cells))
    for bit in range(depth):
        for axis in range(3):
            code |= ((cells[:, axis] >> bit) & 1) << (3 * bit + 2 - axis)
    return code


def hilbert_code(cells: Int[Tensor, "n 3"], depth: int) -> Int[Tensor, " n"]:
    """Place on the Hilbert curve, by Skilling's transform of the axes."""
    axes = [cells[:, axis].clone() for axis in range(3)]
    for bit in range(depth - 1, 0, -1):
        below = (1 << bit) - 1
        for axis in range(3):
            here = (axes[axis] >> bit & 1).bool()
            swap = torch.where(here, 0, (axes[0] ^ axes[axis]) & below)
            axes[0] = axes[0] ^ torch.where(here, below, swap)
            axes[axis] = axes[axis] ^ swap
    axes[1] = axes[1] ^ axes[0]
    axes[2] = axes[2] ^ axes[1]
    gray = torch.zeros_like(axes[0])
    for bit in range(depth - 1, 0, -1):
        gray = torch.where((axes[2] >> bit & 1).bool(), gray ^ ((1 << bit) - 1), gray)
    return z_code(torch.stack([axis ^ gray for axis in axes], dim=1), depth)


def _swapped(curve: Callable[[Tensor, int], Tensor]) -> Callable[[Tensor, int], Tensor]:
    return lambda cells, depth: curve(cells[:, [1, 0, 2]], depth)


CURVES: Mapping[str, Callable[[Tensor, int], Tensor]] = {
    "z": z_code,
    "z-trans": _swapped(z_code),
    "hilbert": hilbert_code,
    "hilbert-trans": _swapped(hilbert_code),
}
"""Curves by name; those with ``trans`` have x and y swapped."""


def serialize(
    cells: Int[Tensor, "n 3"], items: Int[Tensor, " n"], depth: int, curves: Sequence[str] = tuple(CURVES)
) -> tuple[Int[Tensor, "o n"], Int[Tensor, "o n"]]:
    """Codes along each curve, item by item (the item's number lies above the curve's bits), and the order by them.

    Points with equal codes keep the order of their rows.
    """
    codes = torch.stack([CURVES[name](cells, depth) | items << (3 * depth) for name in curves])
    return codes, torch.argsort(codes, dim=1, stable=True)


def items_of(counts: Int[Tensor, " b"]) -> Int[Tensor, " n"]:
    """The item that each row belongs to, for items of ``counts`` rows one after the other."""
    return torch.repeat_interleave(torch.arange(len(counts), device=counts.device), counts)
