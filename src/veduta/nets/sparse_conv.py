"""Submanifold sparse 3x3x3 convolution (Graham 2018) by sorted keys: plain torch, deterministic, on any device.

Several points may share a cell. The default rule is well defined: the points of a cell are averaged, cells are
convolved with their occupied neighbours, and every point gets its cell's result. The rule ``first`` is that of a widely
used library, for weights that were trained with it: the first point of a cell speaks for it.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from typing import Literal

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

_BITS = 18
"""Bits per axis in a key, room for a border of one cell included."""
CENTRE = (1, 1, 1)


def cell_keys(cells: Int[Tensor, "n 3"], items: Int[Tensor, " n"]) -> Int[Tensor, " n"]:
    """One number per cell of an item such that a step of one cell is a fixed difference."""
    x, y, z = (cells + 1).unbind(-1)
    return ((items << _BITS | x) << _BITS | y) << _BITS | z


def step_key(offset: tuple[int, int, int]) -> int:
    """What a step by ``offset`` cells adds to a key."""
    return (offset[0] << 2 * _BITS) + (offset[1] << _BITS) + offset[2]


def find(sorted_keys: Int[Tensor, " u"], wanted: Int[Tensor, " m"]) -> tuple[Int[Tensor, " m"], Tensor]:
    """Where each wanted key stands among the sorted ones, and whether it is there."""
    place = torch.searchsorted(sorted_keys, wanted).clamp(max=max(len(sorted_keys) - 1, 0))
    return place, sorted_keys[place] == wanted if len(sorted_keys) else torch.zeros_like(wanted, dtype=torch.bool)


class SubmanifoldConv(nn.Module):
    """3x3x3 convolution on occupied cells only: nothing spreads to empty ones.

    The weight is [out, 3, 3, 3, in] with taps by (dx, dy, dz); without shared cells this is ``conv3d`` with padding 1
    at the occupied cells.
    """

    def __init__(self, channels: int, out_channels: int, *, shared_cells: Literal["mean", "first"] = "mean") -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(out_channels, 3, 3, 3, channels))
        self.bias = nn.Parameter(torch.zeros(out_channels))
        self.shared_cells = shared_cells
        nn.init.normal_(self.weight, std=(27 * channels) ** -0.5)

    def forward(
        self, features: Float[Tensor, "n c"], cells: Int[Tensor, "n 3"], items: Int[Tensor, " n"]
    ) -> Float[Tensor, "n d"]:
        """Features at points whose cells (>= 0) are given; ``items`` are convolved apart from one another."""
        if len(features) == 0:
            return features.new_zeros(0, len(self.weight))
        keys, cell_of, counts = torch.unique(cell_keys(cells, items), return_inverse=True, return_counts=True)
        if self.shared_cells == "first":
            return self._first(features, keys, cell_of)
        shares = 1 / counts.to(features.dtype)[:, None]
        pooled = features.new_zeros(len(keys), features.shape[1]).index_add(0, cell_of, features) * shares
        return self._cells(pooled, keys)[cell_of]

    def _cells(self, features: Float[Tensor, "u c"], keys: Int[Tensor, " u"]) -> Float[Tensor, "u d"]:
        taps = self._taps()
        out = torch.addmm(self.bias, features, taps[CENTRE])
        for tap, offset in TAPS:
            place, there = find(keys, keys + step_key(offset))
            to, source = there.nonzero()[:, 0], place[there]
            out.index_add_(0, to, features.index_select(0, source) @ taps[tap])
        return out

    def _first(
        self, features: Float[Tensor, "n c"], keys: Int[Tensor, " u"], cell_of: Int[Tensor, " n"]
    ) -> Float[Tensor, "n d"]:
        rows = torch.arange(len(cell_of), device=cell_of.device)
        first = torch.full_like(keys, len(cell_of)).scatter_reduce(0, cell_of, rows, "amin")
        taps = self._taps()
        out = torch.addmm(self.bias, features, taps[CENTRE])
        for tap, offset in TAPS[len(TAPS) // 2 :]:  # lexicographically positive ones
            place, there = find(keys, keys[cell_of] + step_key(offset))
            row, neighbour = there.nonzero()[:, 0], first[place[there]]
            back = tuple(2 - t for t in tap)
            out.index_add_(0, row, features.index_select(0, neighbour) @ taps[tap])
            out.index_add_(0, neighbour, features.index_select(0, row) @ taps[back])
        return out

    def _taps(self) -> Mapping[tuple[int, ...], Float[Tensor, "c d"]]:
        """The weight's matrices, parted at once: parted one by one, each would have a gradient of the whole's size."""
        matrices = self.weight.permute(1, 2, 3, 4, 0).flatten(0, 2).unbind(0)
        return dict(zip(itertools.product(range(3), repeat=3), matrices, strict=True))


TAPS = tuple(
    (tap, (tap[0] - 1, tap[1] - 1, tap[2] - 1)) for tap in itertools.product(range(3), repeat=3) if tap != CENTRE
)
"""Places in the weight, and their steps in cells, all but the centre, in lexicographic order."""
