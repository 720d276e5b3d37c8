"""Triton: what every kernel with one program per tile shares. Pixels of a tile are numbered by rows."""

from __future__ import annotations

import triton
import triton.language as tl


@triton.jit
def pixels_of(tile, columns, width, height, TILE: tl.constexpr):
    """Centres (x, y) of a tile's pixels, their place in the image, and whether they are in it."""
    place = tl.arange(0, TILE * TILE)
    x = (tile % columns) * TILE + place % TILE
    y = (tile // columns) * TILE + place // TILE
    inside = (x < width) & (y < height)
    return x.to(tl.float32) + 0.5, y.to(tl.float32) + 0.5, y * width + x, inside


@triton.jit
def load_id(ids, j, begin, end):
    """The Gaussian at a place of the tile's list, as int64; 0 outside the list."""
    return tl.load(ids + j, mask=(j >= begin) & (j < end), other=0).to(tl.int64)


@triton.jit
def load_record(records, row, RECORD: tl.constexpr):
    """u, v, the conic's three numbers in log2, log2 of the opacity. Row 0 is always there to be read."""
    own = records + row * RECORD
    return tl.load(own), tl.load(own + 1), tl.load(own + 2), tl.load(own + 3), tl.load(own + 4), tl.load(own + 5)


@triton.jit
def load_four(values, row):
    """The four values of a Gaussian, where there are four."""
    own = values + row * 4
    return tl.load(own), tl.load(own + 1), tl.load(own + 2), tl.load(own + 3)


@triton.jit
def load_some(values, row, first, channels):
    """Four of a Gaussian's many values, from channel ``first`` on; 0 beyond the last."""
    own = values + row * channels + first
    c0 = tl.load(own)
    c1 = tl.load(own + 1, mask=first + 1 < channels, other=0.0)
    c2 = tl.load(own + 2, mask=first + 2 < channels, other=0.0)
    c3 = tl.load(own + 3, mask=first + 3 < channels, other=0.0)
    return c0, c1, c2, c3


@triton.jit
def log2_alpha(dx, dy, qa, qb, qc, log2_opacity):
    """log2 of alpha at offsets from the centre, before it is cut and clamped."""
    return tl.minimum((qa * dx + qb * dy) * dx + qc * dy * dy, 0.0) + log2_opacity  # above 0 only by rounding
