"""Triton: rectangles of tiles, and the records that compositing reads."""

from __future__ import annotations

import triton
import triton.language as tl

LOG2E = tl.constexpr(1.4426950408889634)


@triton.jit
def tile_span(centre, extent, most, TILE: tl.constexpr):
    """First tile, and one past the last, that hold a pixel centre within ``extent`` of ``centre``."""
    low = tl.floor(tl.ceil(centre - extent - 0.5) / TILE)
    high = tl.floor((centre + extent - 0.5) / TILE) + 1.0
    low = tl.minimum(tl.maximum(low, 0.0), most)
    high = tl.minimum(tl.maximum(high, 0.0), most)
    return low.to(tl.int32), high.to(tl.int32)


@triton.jit(do_not_specialize=["n", "columns", "rows"])
def touch_kernel(
    order, means_px, extents, corners, sizes, counts, n, columns, rows, TILE: tl.constexpr, BLOCK: tl.constexpr
):
    """Per Gaussian in depth order: the first tile of its rectangle, the rectangle's width, and its number of tiles."""
    rank = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    inside = rank < n
    row = tl.load(order + rank, mask=inside, other=0)
    u = tl.load(means_px + 2 * row, mask=inside, other=0.0)
    v = tl.load(means_px + 2 * row + 1, mask=inside, other=0.0)
    ex = tl.load(extents + 2 * row, mask=inside, other=0.0)
    ey = tl.load(extents + 2 * row + 1, mask=inside, other=0.0)
    x0, x1 = tile_span(u, ex, columns * 1.0, TILE)
    y0, y1 = tile_span(v, ey, rows * 1.0, TILE)
    drawn = ex > 0.0
    tl.store(corners + rank, y0 * columns + x0, mask=inside)
    tl.store(sizes + rank, x1 - x0, mask=inside)
    tl.store(counts + rank, tl.where(drawn, (x1 - x0) * (y1 - y0), 0), mask=inside)


@triton.jit(do_not_specialize=["n", "pair_count", "columns", "steps"])
def expand_kernel(order, ends, corners, sizes, tiles, owners, n, pair_count, columns, steps, BLOCK: tl.constexpr):
    """Every pair of a Gaussian and a tile of its rectangle, in depth order; ``ends`` are running totals of counts."""
    pair = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    inside = pair < pair_count
    low = tl.zeros([BLOCK], tl.int64)  # the first rank whose end lies beyond the pair, by bisection
    high = low + n
    for _ in range(steps):
        middle = (low + high) // 2
        beyond = tl.load(ends + middle, mask=inside & (middle < n), other=0) > pair
        high = tl.where(beyond, middle, high)
        low = tl.where(beyond, low, tl.minimum(middle + 1, high))
    rank = tl.minimum(low, n - 1)
    begin = tl.load(ends + rank - 1, mask=inside & (rank > 0), other=0)
    within = (pair - begin).to(tl.int32)
    width = tl.maximum(tl.load(sizes + rank, mask=inside, other=1), 1)
    corner = tl.load(corners + rank, mask=inside, other=0)
    tile = corner + (within // width) * columns + within % width
    tl.store(tiles + pair, tile.to(tiles.dtype.element_ty), mask=inside)
    tl.store(owners + pair, tl.load(order + rank, mask=inside, other=0).to(tl.int32), mask=inside)


@triton.jit(do_not_specialize=["n"])
def record_kernel(
    means_px, conics, opacities, depths, extents, colors, records, values, n, RECORD: tl.constexpr, BLOCK: tl.constexpr
):
    """A row of ``RECORD`` numbers per Gaussian (:data:`~veduta.render.cuda.binning.RECORD`); colour and depth."""
    rows = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    inside = rows < n
    drawn = tl.load(extents + 2 * rows, mask=inside, other=0.0) > 0.0
    opacity = tl.load(opacities + rows, mask=drawn, other=1.0)
    xx = tl.load(conics + 3 * rows, mask=drawn, other=1.0)
    xy = tl.load(conics + 3 * rows + 1, mask=drawn, other=0.0)
    yy = tl.load(conics + 3 * rows + 2, mask=drawn, other=1.0)
    own = records + rows * RECORD
    tl.store(own, tl.load(means_px + 2 * rows, mask=drawn, other=0.0), mask=inside)
    tl.store(own + 1, tl.load(means_px + 2 * rows + 1, mask=drawn, other=0.0), mask=inside)
    tl.store(own + 2, xx * (-0.5 * LOG2E), mask=inside)
    tl.store(own + 3, xy * -LOG2E, mask=inside)
    tl.store(own + 4, yy * (-0.5 * LOG2E), mask=inside)
    tl.store(own + 5, tl.log2(opacity), mask=inside)
    tl.store(own + 6, opacity, mask=inside)
    tl.store(own + 7, tl.zeros([BLOCK], tl.float32), mask=inside)
    for c in tl.static_range(3):
        tl.store(values + 4 * rows + c, tl.load(colors + 3 * rows + c, mask=drawn, other=0.0), mask=inside)
    tl.store(values + 4 * rows + 3, tl.load(depths + rows, mask=drawn, other=0.0), mask=inside)
