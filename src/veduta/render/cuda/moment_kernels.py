"""Triton: moments of one picture. One program per tile walks its list back to front.

As in :mod:`veduta.render.cuda.backward_kernels`, state per pixel is the transmittance T, divided by 1 - alpha at every
Gaussian, and what lies behind at unit transmittance, B <- B + alpha (c - B), here per channel. With v = T (c - B) the
derivative of the pixel's colour by alpha: alpha v = weight (c - B), weight = T alpha. Sums over the tile's pixels are
added to the Gaussian's row atomically, so the last bits depend on the order in which tiles are done.
"""

from __future__ import annotations

import triton
import triton.language as tl

from veduta.render.cuda.tile_kernels import load_four, load_id, load_record, log2_alpha, pixels_of

SLOTS = tl.constexpr(64)
"""A row of sums, a power of two; 34, 39 or 9 are used."""


@triton.jit
def load_root(roots, row):
    """U00, U01, U11 of a Gaussian's conic."""
    own = roots + row * 4
    return tl.load(own), tl.load(own + 1), tl.load(own + 2)


@triton.jit
def load_color(image, pixel, inside):
    """Three channels of an image "h w 3"; 0 outside."""
    own = image + pixel.to(tl.int64) * 3
    r = tl.load(own, mask=inside, other=0.0)
    g = tl.load(own + 1, mask=inside, other=0.0)
    b = tl.load(own + 2, mask=inside, other=0.0)
    return r, g, b


@triton.jit
def behind_of(clear, last_image, behind, px, pixel, inside, BEHIND: tl.constexpr):
    """Where a walk back begins: T, the end of the list, and the colour (0 without BEHIND) behind it all, by pixel."""
    front = tl.load(clear + pixel, mask=inside, other=1.0)
    last = tl.load(last_image + pixel, mask=inside, other=0)
    r = px * 0.0
    g = px * 0.0
    b = px * 0.0
    if BEHIND:
        r, g, b = load_color(behind, pixel, inside)
    return front, last, r, g, b


@triton.jit
def whitened_offsets(roots, row, hit, dx, dy):
    """e = U (x - mu) of the pixels that a Gaussian hits; 0 elsewhere."""
    u00, u01, u11 = load_root(roots, row)
    return tl.where(hit, dx * u00 + dy * u01, 0.0), tl.where(hit, dy * u11, 0.0)


@triton.jit
def step_back(hit, power, front, c0, c1, c2, br, bg, bb, MAX_ALPHA: tl.constexpr):
    """In front of one more Gaussian of colour c: T, weight, alpha v (0 where alpha is clamped), B."""
    raw = tl.exp2(power)
    alpha = tl.where(hit, tl.minimum(raw, MAX_ALPHA), 0.0)
    front = front / (1.0 - alpha)
    weight = front * alpha
    free = tl.where(raw >= MAX_ALPHA, 0.0, weight)
    dr = c0 - br
    dg = c1 - bg
    db = c2 - bb
    return front, weight, free * dr, free * dg, free * db, br + alpha * dr, bg + alpha * dg, bb + alpha * db


@triton.jit
def residual(color, photograph, trust, pixel, inside):
    """Drawn minus photographed, times the trust; a pixel without trust may hold anything in the photograph."""
    rr, rg, rb = load_color(color, pixel, inside)
    sr, sg, sb = load_color(photograph, pixel, inside)
    some = trust > 0.0
    return (
        tl.where(some, (rr - sr) * trust, 0.0),
        tl.where(some, (rg - sg) * trust, 0.0),
        tl.where(some, (rb - sb) * trust, 0.0),
    )


@triton.jit
def moments_6(row, slot, first: tl.constexpr, step: tl.constexpr, a, e1, e2):
    """Sums of a times the six monomials up to degree 2, from slot ``first`` on in steps."""
    row = tl.where(slot == first, tl.sum(a, axis=0), row)
    a1 = a * e1
    a2 = a * e2
    row = tl.where(slot == first + step, tl.sum(a1, axis=0), row)
    row = tl.where(slot == first + 2 * step, tl.sum(a2, axis=0), row)
    row = tl.where(slot == first + 3 * step, tl.sum(a1 * e1, axis=0), row)
    row = tl.where(slot == first + 4 * step, tl.sum(a1 * e2, axis=0), row)
    row = tl.where(slot == first + 5 * step, tl.sum(a2 * e2, axis=0), row)
    return row


@triton.jit
def moments_15(row, slot, a, e1, e2):
    """Sums of a times the fifteen monomials up to degree 4, from slot 0 on."""
    row = moments_6(row, slot, 0, 1, a, e1, e2)
    a30 = a * e1 * e1 * e1
    a21 = a * e1 * e1 * e2
    a12 = a * e1 * e2 * e2
    a03 = a * e2 * e2 * e2
    row = tl.where(slot == 6, tl.sum(a30, axis=0), row)
    row = tl.where(slot == 7, tl.sum(a21, axis=0), row)
    row = tl.where(slot == 8, tl.sum(a12, axis=0), row)
    row = tl.where(slot == 9, tl.sum(a03, axis=0), row)
    row = tl.where(slot == 10, tl.sum(a30 * e1, axis=0), row)
    row = tl.where(slot == 11, tl.sum(a21 * e1, axis=0), row)
    row = tl.where(slot == 12, tl.sum(a12 * e1, axis=0), row)
    row = tl.where(slot == 13, tl.sum(a03 * e1, axis=0), row)
    row = tl.where(slot == 14, tl.sum(a03 * e2, axis=0), row)
    return row


@triton.jit
def fisher_of(slot, zeros, trust, weight, ur, ug, ub, e1, e2):
    """The 34 sums of the Fisher information: |alpha v|^2 m m^T, weight m (alpha v)^T, weight^2, all times the trust."""
    row = moments_15(zeros, slot, trust * (ur * ur + ug * ug + ub * ub), e1, e2)
    straight = trust * weight
    row = moments_6(row, slot, 15, 3, straight * ur, e1, e2)
    row = moments_6(row, slot, 16, 3, straight * ug, e1, e2)
    row = moments_6(row, slot, 17, 3, straight * ub, e1, e2)
    return tl.where(slot == 33, tl.sum(straight * weight, axis=0), row)


@triton.jit
def score_of(slot, zeros, along, sr, sg, sb, e1, e2):
    """The 39 sums of squares of X^T r, X^T r = (along m, straight)."""
    row = moments_15(zeros, slot, along * along, e1, e2)
    row = moments_6(row, slot, 15, 3, along * sr, e1, e2)
    row = moments_6(row, slot, 16, 3, along * sg, e1, e2)
    row = moments_6(row, slot, 17, 3, along * sb, e1, e2)
    row = tl.where(slot == 33, tl.sum(sr * sr, axis=0), row)
    row = tl.where(slot == 34, tl.sum(sr * sg, axis=0), row)
    row = tl.where(slot == 35, tl.sum(sr * sb, axis=0), row)
    row = tl.where(slot == 36, tl.sum(sg * sg, axis=0), row)
    row = tl.where(slot == 37, tl.sum(sg * sb, axis=0), row)
    return tl.where(slot == 38, tl.sum(sb * sb, axis=0), row)


@triton.jit
def view_score_of(slot, zeros, along, sr, sg, sb, e1, e2):
    """The 9 sums of X^T r."""
    row = moments_6(zeros, slot, 0, 1, along, e1, e2)
    row = tl.where(slot == 6, tl.sum(sr, axis=0), row)
    row = tl.where(slot == 7, tl.sum(sg, axis=0), row)
    return tl.where(slot == 8, tl.sum(sb, axis=0), row)


@triton.jit(do_not_specialize=["width", "height", "columns"])
def moments_kernel(
    ids, starts, records, values, roots, clear, last_image, behind, color, photograph, trusts, fisher, score,
    width, height, columns, LOG2_MIN_ALPHA: tl.constexpr, MAX_ALPHA: tl.constexpr, TILE: tl.constexpr,
    RECORD: tl.constexpr, BEHIND: tl.constexpr, TRUST: tl.constexpr, SCORE: tl.constexpr,
):  # fmt: skip
    """Adds to ``fisher`` "n 34" and, where SCORE is 39 or 9 (0: nothing), to ``score`` "n SCORE".

    BEHIND: there is a picture of what lies behind; TRUST: there is a weight per pixel.
    """
    tile = tl.program_id(0)
    px, py, pixel, inside = pixels_of(tile, columns, width, height, TILE)
    begin = tl.load(starts + tile)
    front, last, br, bg, bb = behind_of(clear, last_image, behind, px, pixel, inside, BEHIND)
    trust = tl.where(inside, 1.0, 0.0)
    if TRUST:
        trust = tl.load(trusts + pixel, mask=inside, other=0.0)
    rr = px * 0.0
    rg = px * 0.0
    rb = px * 0.0
    if SCORE > 0:
        rr, rg, rb = residual(color, photograph, trust, pixel, inside)
    slot = tl.arange(0, SLOTS)
    zeros = slot.to(tl.float32) * 0.0
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
            total = fisher_of(slot, zeros, trust, weight, ur, ug, ub, e1, e2)
            tl.atomic_add(fisher + row * 34 + slot, total, mask=slot < 34, sem="relaxed")
            if SCORE > 0:
                along = ur * rr + ug * rg + ub * rb
                if SCORE == 9:
                    total = view_score_of(slot, zeros, along, weight * rr, weight * rg, weight * rb, e1, e2)
                else:
                    total = score_of(slot, zeros, along, weight * rr, weight * rg, weight * rb, e1, e2)
                tl.atomic_add(score + row * SCORE + slot, total, mask=slot < SCORE, sem="relaxed")
        row = after
        j -= 1
