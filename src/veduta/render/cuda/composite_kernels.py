"""Triton: compositing front to back. One program per tile (and per four channels) walks the tile's list.

State per pixel is its transmittance, negative once the pixel has stopped; a tile whose pixels have all stopped is left.
"""

from __future__ import annotations

import triton
import triton.language as tl

from veduta.render.cuda.tile_kernels import load_four, load_id, load_record, load_some, log2_alpha, pixels_of


@triton.jit
def store_channels(image, pixel, inside, first, channels, a0, a1, a2, a3):
    """Four channels of an image "h w channels", as far as there are that many."""
    own = image + pixel.to(tl.int64) * channels + first
    first = pixel * 0 + first  # the interpreter has no products of a scalar's and a block's truth
    tl.store(own, a0, mask=inside & (first < channels))
    tl.store(own + 1, a1, mask=inside & (first + 1 < channels))
    tl.store(own + 2, a2, mask=inside & (first + 2 < channels))
    tl.store(own + 3, a3, mask=inside & (first + 3 < channels))


@triton.jit(do_not_specialize=["width", "height", "columns", "channels"])
def composite_kernel(
    ids, starts, records, values, image, depth, alpha_image, clear, last_image, width, height, columns, channels,
    LOG2_MIN_ALPHA: tl.constexpr, MAX_ALPHA: tl.constexpr, MIN_TRANSMITTANCE: tl.constexpr, TILE: tl.constexpr,
    RECORD: tl.constexpr, MAIN: tl.constexpr, CHECK: tl.constexpr,
):  # fmt: skip
    """MAIN: colour and depth ("n 4"), with alpha, transmittance and where each pixel's list ends; else any values.

    CHECK: after how many Gaussians to look whether any pixel goes on.
    """
    tile, first = tl.program_id(0), tl.program_id(1) * 4
    px, py, pixel, inside = pixels_of(tile, columns, width, height, TILE)
    begin, end = tl.load(starts + tile), tl.load(starts + tile + 1)
    clear_here = tl.where(inside, 1.0, -1.0)
    zero = tl.zeros([TILE * TILE], tl.float32)
    a0, a1, a2, a3, cover = zero, zero, zero, zero, zero
    last = tl.zeros([TILE * TILE], tl.int32) + begin
    # one Gaussian ahead is loaded while this one is drawn, and the number of the one after that
    row, after = load_id(ids, begin, begin, end), load_id(ids, begin + 1, begin, end)
    u, v, qa, qb, qc, log2_opacity = load_record(records, row, RECORD)
    if MAIN:
        c0, c1, c2, c3 = load_four(values, row)
    else:
        c0, c1, c2, c3 = load_some(values, row, first, channels)
    i = begin
    live = 1
    while (i < end) & (live > 0):
        stop = tl.minimum(i + CHECK, end)
        for j in range(i, stop):
            next_u, next_v, next_a, next_b, next_c, next_o = load_record(records, after, RECORD)
            if MAIN:
                n0, n1, n2, n3 = load_four(values, after)
            else:
                n0, n1, n2, n3 = load_some(values, after, first, channels)
            after = load_id(ids, j + 2, begin, end)
            power = log2_alpha(px - u, py - v, qa, qb, qc, log2_opacity)
            alpha = tl.minimum(tl.exp2(power), MAX_ALPHA)
            left = clear_here * (1.0 - alpha)
            hit = (power >= LOG2_MIN_ALPHA) & (clear_here > 0.0)
            drawn = hit & (left > MIN_TRANSMITTANCE)
            weight = tl.where(drawn, clear_here * alpha, 0.0)
            clear_here = tl.where(drawn, left, tl.where(hit, -clear_here, clear_here))
            a0 += weight * c0
            a1 += weight * c1
            a2 += weight * c2
            a3 += weight * c3
            if MAIN:
                cover += weight
                last = tl.where(drawn, j + 1, last)
            u, v, qa, qb, qc, log2_opacity = next_u, next_v, next_a, next_b, next_c, next_o
            c0, c1, c2, c3 = n0, n1, n2, n3
        i = stop
        live = tl.max((clear_here > 0.0).to(tl.int32), axis=0)
    if MAIN:
        store_channels(image, pixel, inside, 0, 3, a0, a1, a2, a3)
        tl.store(depth + pixel, tl.where(cover > 0.0, a3 / tl.where(cover > 0.0, cover, 1.0), 0.0), mask=inside)
        tl.store(alpha_image + pixel, cover, mask=inside)
        tl.store(clear + pixel, tl.abs(clear_here), mask=inside)
        tl.store(last_image + pixel, last, mask=inside)
    else:
        store_channels(image, pixel, inside, first, channels, a0, a1, a2, a3)
