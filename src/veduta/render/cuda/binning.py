"""From projected Gaussians to per-tile lists in depth order.

Only depths and tile numbers are sorted: Gaussians by depth, then their (tile, Gaussian) pairs, written in that order,
stably by tile. Everything is deterministic; ties in depth keep the order of the rows.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from jaxtyping import Float, Int
from torch import Tensor

from veduta.core import UnsupportedError
from veduta.kernels.launch import ROWS, launch, programs
from veduta.render.cuda.bin_kernels import expand_kernel, record_kernel, touch_kernel
from veduta.render.reference.compositing import TILE

if TYPE_CHECKING:
    from veduta.render.cuda.functions import Projected

RECORD = 8
"""Numbers per record: u, v; the conic as (-xx/2, -xy, -yy/2) log2(e), so that dx, dy give log2 of the Gaussian;
log2 of the opacity; the opacity; 0."""
VALUES = 4
"""Numbers composited in the first pass: red, green, blue, depth."""
MOST_PAIRS = 2**31 - 1
NARROW_TILES = 2**15 - 2
"""Up to this many tiles their numbers fit 16 bits, and sorting them takes a quarter of the time."""


@dataclass(frozen=True, eq=False)
class Tiles:
    """What compositing reads. Tile t (by rows of tiles) draws ``ids[starts[t] : starts[t + 1]]``, front to back."""

    width: int
    height: int
    ids: Int[Tensor, " p"]
    """Gaussian (row) of each pair of a tile and a Gaussian, int32."""
    starts: Int[Tensor, " s"]
    """One more than there are tiles, int32."""
    records: Float[Tensor, "r 8"]
    """See :data:`RECORD`; rows that are not drawn are in no list. At least one row, for kernels that read ahead."""
    values: Float[Tensor, "r 4"]
    """Colour and depth."""
    places: Int[Tensor, " p"]
    """Where each pair was before the pairs were sorted by tile: all pairs of one Gaussian side by side, int64."""
    order: Int[Tensor, " n"]
    """Rows in depth order, int64."""
    ends: Int[Tensor, " n"]
    """By that order, one past the Gaussian's last unsorted pair, int64."""

    @property
    def columns(self) -> int:
        """Tiles from left to right."""
        return -(-self.width // TILE)

    @property
    def rows(self) -> int:
        """Tiles from top to bottom."""
        return -(-self.height // TILE)


def bin_tiles(projected: Projected, colors: Float[Tensor, "n 3"], *, width: int, height: int) -> Tiles:
    """The tiles' lists for one camera; nothing here is differentiable.

    Reads one number back from the device (the number of pairs, which sizes the lists): the one point of the drawing
    where the host waits. Raises :class:`UnsupportedError` for more than 2^31 - 1 pairs.
    """
    n, count = len(projected.depths), -(-width // TILE) * -(-height // TILE)
    keys = torch.where(projected.extents[:, 0] > 0, projected.depths, float("inf"))
    order = torch.sort(keys, stable=True).indices
    tiles, owners, ends = _pairs(projected, order, columns=-(-width // TILE), count=count)
    tiles, places = torch.sort(tiles, stable=True)
    every = torch.arange(count + 1, dtype=tiles.dtype, device=tiles.device)
    rows = max(n, 1)
    records, values = projected.depths.new_empty(rows, RECORD), projected.depths.new_empty(rows, VALUES)
    launch(
        record_kernel, programs(n),
        projected.means_px, projected.conics, projected.opacities, projected.depths, projected.extents, colors,
        records, values, n, RECORD=RECORD, BLOCK=ROWS,
    )  # fmt: skip
    return Tiles(
        width=width,
        height=height,
        ids=owners[places],
        starts=torch.searchsorted(tiles, every, out_int32=True),
        records=records,
        values=values,
        places=places,
        order=order,
        ends=ends,
    )


def _pairs(
    projected: Projected, order: Tensor, *, columns: int, count: int
) -> tuple[Int[Tensor, " p"], Int[Tensor, " p"], Int[Tensor, " n"]]:
    """Tile and Gaussian of every pair, Gaussians in the given order; and where each Gaussian's pairs end."""
    n, device = len(order), order.device
    corners, sizes, counts = (torch.empty(n, dtype=torch.int32, device=device) for _ in range(3))
    launch(
        touch_kernel, programs(n),
        order, projected.means_px, projected.extents, corners, sizes, counts, n, columns, count // columns,
        TILE=TILE, BLOCK=ROWS,
    )  # fmt: skip
    ends = counts.cumsum(0, dtype=torch.int64)
    total = int(ends[-1]) if n else 0
    if total > MOST_PAIRS:
        raise UnsupportedError(
            "too many pairs of a tile and a Gaussian",
            where="backend 'cuda'",
            expected=f"at most {MOST_PAIRS}",
            got=str(total),
            hint="render smaller pictures, or fewer or smaller Gaussians",
        )
    kind = torch.int16 if count <= NARROW_TILES else torch.int32
    tiles = torch.empty(total, dtype=kind, device=device)
    owners = torch.empty(total, dtype=torch.int32, device=device)
    launch(
        expand_kernel, programs(total),
        order, ends, corners, sizes, tiles, owners, n, total, columns, n.bit_length() + 1, BLOCK=ROWS,
    )  # fmt: skip
    return tiles, owners, ends
