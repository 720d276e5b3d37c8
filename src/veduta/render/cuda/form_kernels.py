"""Triton: covariances of one picture's colours. One program per tile walks its list back to front.

State per pixel is that of :mod:`veduta.render.cuda.moment_kernels`, and the covariance so far. Per Gaussian there are
39 numbers (:func:`veduta.render.screen_push`): with u = alpha v, w = T alpha, q = the quartic and k = the cross terms
at the pixel, a Gaussian adds q u u^T + w (u k^T + k u^T) + w^2 C.
"""

from __future__ import annotations

import triton
import triton.language as tl

from veduta.render.cuda.moment_kernels import behind_of, step_back, whitened_offsets
from veduta.render.cuda.tile_kernels import load_four, load_id, load_record, log2_alpha, pixels_of


@triton.jit
def quartic(own, e1, e2):
    """The polynomial of degree 4 with the first 15 coefficients."""
    e0 = e1 * 0.0
    top = e2 * tl.load(own + 14) + e1 * tl.load(own + 13) + tl.load(own + 9)
    top = top * e2 + (e1 * tl.load(own + 12) + tl.load(own + 8)) * e1 + tl.load(own + 5)
    side = (e1 * tl.load(own + 11) + tl.load(own + 7)) * e1 + tl.load(own + 4)
    top = top * e2 + side * e1 + tl.load(own + 2)
    base = ((e1 * tl.load(own + 10) + tl.load(own + 6)) * e1 + tl.load(own + 3)) * e1 + tl.load(own + 1)
    return e0 + top * e2 + base * e1 + tl.load(own)


@triton.jit
def cross(own, e1, e2, c: tl.constexpr):
    """The polynomial of degree 2 of one channel's cross terms."""
    down = e2 * tl.load(own + (30 + c)) + e1 * tl.load(own + (27 + c)) + tl.load(own + (21 + c))
    across = e1 * tl.load(own + (24 + c)) + tl.load(own + (18 + c))
    return down * e2 + across * e1 + tl.load(own + (15 + c))


@triton.jit(do_not_specialize=["width", "height", "columns"])
def covariance_kernel(
    ids, starts, records, values, roots, forms, clear, last_image, behind, planes, width, height, columns,
    LOG2_MIN_ALPHA: tl.constexpr, MAX_ALPHA: tl.constexpr, TILE: tl.constexpr, RECORD: tl.constexpr,
    BEHIND: tl.constexpr,
):  # fmt: skip
    """``planes`` "6 h w": upper triangles of covariances. BEHIND: there is a picture of what lies behind."""
    tile = tl.program_id(0)
    px, py, pixel, inside = pixels_of(tile, columns, width, height, TILE)
    begin = tl.load(starts + tile)
    front, last, br, bg, bb = behind_of(clear, last_image, behind, px, pixel, inside, BEHIND)
    rr = px * 0.0
    rg = px * 0.0
    rb = px * 0.0
    gg = px * 0.0
    gb = px * 0.0
    cc = px * 0.0
    end = tl.maximum(tl.max(last, axis=0), begin)
    row = load_id(ids, end - 1, begin, end)
    j = end - 1
    while j >= begin:
        after = load_id(ids, j - 1, begin, end)
        u, v, qa, qb, qc, log2_opacity = load_record(records, row, RECORD)
        dx = px - u
        dy = py - v
        power = log2_alpha(dx, dy, qa, qb, qc, log2_opacity)
        hit = (power >= LOG2_MIN_ALPHA) & (last > j)
        if tl.max(hit.to(tl.int32), axis=0) > 0:
            c0, c1, c2, depth = load_four(values, row)
            front, weight, ur, ug, ub, br, bg, bb = step_back(hit, power, front, c0, c1, c2, br, bg, bb, MAX_ALPHA)
            e1, e2 = whitened_offsets(roots, row, hit, dx, dy)
            own = forms + row * 39
            q = quartic(own, e1, e2)
            kr = cross(own, e1, e2, 0) * weight
            kg = cross(own, e1, e2, 1) * weight
            kb = cross(own, e1, e2, 2) * weight
            square = weight * weight
            rr += q * ur * ur + 2.0 * ur * kr + square * tl.load(own + 33)
            rg += q * ur * ug + ur * kg + ug * kr + square * tl.load(own + 34)
            rb += q * ur * ub + ur * kb + ub * kr + square * tl.load(own + 35)
            gg += q * ug * ug + 2.0 * ug * kg + square * tl.load(own + 36)
            gb += q * ug * ub + ug * kb + ub * kg + square * tl.load(own + 37)
            cc += q * ub * ub + 2.0 * ub * kb + square * tl.load(own + 38)
        row = after
        j -= 1
    size = width.to(tl.int64) * height
    tl.store(planes + pixel, rr, mask=inside)
    tl.store(planes + size + pixel, rg, mask=inside)
    tl.store(planes + size * 2 + pixel, rb, mask=inside)
    tl.store(planes + size * 3 + pixel, gg, mask=inside)
    tl.store(planes + size * 4 + pixel, gb, mask=inside)
    tl.store(planes + size * 5 + pixel, cc, mask=inside)
