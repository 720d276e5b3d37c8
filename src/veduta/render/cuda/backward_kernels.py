"""Triton: compositing backwards. One program per tile walks its list back to front.

State per pixel: the transmittance T (from the final one, divided by 1 - alpha at every Gaussian) and B, what lies
behind at unit transmittance, already multiplied with the pixel's gradient: B <- B + alpha (d - B) with d the Gaussian's
own values times the gradient. It is a convex recursion, hence stable. Then d loss / d alpha = T (d - B).

Per (tile, Gaussian) sums over the pixels, in a row of :data:`~veduta.render.cuda.composite.SUMS` numbers: with
s = alpha d loss / d alpha, of s, s dx, s dy, s dx^2, s dx dy, s dy^2; of T alpha times the four values' gradients; of
|d loss / d u|, |d loss / d v|. Rows are added to the Gaussian's atomically, or, ORDERED, written to the pair's own
place and added up by ``gather_kernel``, in the same order every time.
"""

from __future__ import annotations

import triton
import triton.language as tl

from veduta.render.cuda.tile_kernels import load_four, load_id, load_record, log2_alpha, pixels_of

SLOTS = tl.constexpr(16)
TO_LOG2 = tl.constexpr(-1.3862943611198906)
"""-2 ln 2: from the record's qa to the conic's xx, or half of it (with a minus) to xy."""


@triton.jit
def pixel_gradients(v_color, v_depth, v_alpha, v_clear, alpha, depth, pixel, inside, DEPTH: tl.constexpr):
    """Gradients by the sums of colour and of depth, and by the coverage 1 - T."""
    g0 = tl.load(v_color + 3 * pixel, mask=inside, other=0.0)
    g1 = tl.load(v_color + 3 * pixel + 1, mask=inside, other=0.0)
    g2 = tl.load(v_color + 3 * pixel + 2, mask=inside, other=0.0)
    ga = tl.load(v_alpha + pixel, mask=inside, other=0.0) - tl.load(v_clear + pixel, mask=inside, other=0.0)
    g3 = ga * 0.0
    if DEPTH:  # depth = sum / alpha
        cover = tl.load(alpha + pixel, mask=inside, other=0.0)
        g3 = tl.load(v_depth + pixel, mask=inside, other=0.0)
        g3 = tl.where(cover > 0.0, g3 / tl.where(cover > 0.0, cover, 1.0), 0.0)
        ga -= g3 * tl.load(depth + pixel, mask=inside, other=0.0)
    return g0, g1, g2, g3, ga


@triton.jit
def sums_of(s, weight, dx, dy, xx, xy, yy, g0, g1, g2, g3, DEPTH: tl.constexpr, ABSGRAD: tl.constexpr):
    """The row of sums over a tile's pixels."""
    slot = tl.arange(0, SLOTS)
    row = tl.where(slot == 0, tl.sum(s, axis=0), 0.0)
    sx = s * dx
    sy = s * dy
    row = tl.where(slot == 1, tl.sum(sx, axis=0), row)
    row = tl.where(slot == 2, tl.sum(sy, axis=0), row)
    row = tl.where(slot == 3, tl.sum(sx * dx, axis=0), row)
    row = tl.where(slot == 4, tl.sum(sx * dy, axis=0), row)
    row = tl.where(slot == 5, tl.sum(sy * dy, axis=0), row)
    row = tl.where(slot == 6, tl.sum(weight * g0, axis=0), row)
    row = tl.where(slot == 7, tl.sum(weight * g1, axis=0), row)
    row = tl.where(slot == 8, tl.sum(weight * g2, axis=0), row)
    if DEPTH:
        row = tl.where(slot == 9, tl.sum(weight * g3, axis=0), row)
    if ABSGRAD:
        row = tl.where(slot == 10, tl.sum(tl.abs(sx * xx + sy * xy), axis=0), row)
        row = tl.where(slot == 11, tl.sum(tl.abs(sx * xy + sy * yy), axis=0), row)
    return row


@triton.jit
def mix_features(own, weight, plane, features, sums, inside, channels, pixels, ORDERED: tl.constexpr):
    """Adds a Gaussian's features times their gradients to ``own``; and sums the features' gradients over the tile."""
    for k in range(0, channels):
        g = tl.load(plane, mask=inside, other=0.0)
        plane += pixels
        own += g * tl.load(features + k)
        total = tl.sum(weight * g, axis=0)
        if ORDERED:
            tl.store(sums + k, total)
        else:
            tl.atomic_add(sums + k, total, sem="relaxed")
    return own


@triton.jit(do_not_specialize=["width", "height", "columns", "channels"])
def composite_backward_kernel(
    ids, starts, records, values, features, places, clear, last_image, alpha_image, depth,
    v_color, v_depth, v_alpha, v_clear, v_features, sums, feature_sums, width, height, columns, channels,
    LOG2_MIN_ALPHA: tl.constexpr, MAX_ALPHA: tl.constexpr, TILE: tl.constexpr, RECORD: tl.constexpr,
    DEPTH: tl.constexpr, ABSGRAD: tl.constexpr, FEATURES: tl.constexpr, ORDERED: tl.constexpr,
):  # fmt: skip
    """``v_features`` is "channels h w"; the other images are "h w" or "h w 3"."""
    tile = tl.program_id(0)
    px, py, pixel, inside = pixels_of(tile, columns, width, height, TILE)
    begin = tl.load(starts + tile)
    front = tl.load(clear + pixel, mask=inside, other=1.0)
    last = tl.load(last_image + pixel, mask=inside, other=0)
    g0, g1, g2, g3, ga = pixel_gradients(v_color, v_depth, v_alpha, v_clear, alpha_image, depth, pixel, inside, DEPTH)
    behind = tl.zeros([TILE * TILE], tl.float32)
    slot = tl.arange(0, SLOTS)
    end = tl.maximum(tl.max(last, axis=0), begin)
    row = load_id(ids, end - 1, begin, end)
    after = load_id(ids, end - 2, begin, end)
    u, v, qa, qb, qc, log2_opacity = load_record(records, row, RECORD)
    c0, c1, c2, c3 = load_four(values, row)
    j = end - 1
    while j >= begin:
        next_u, next_v, next_a, next_b, next_c, next_o = load_record(records, after, RECORD)
        n0, n1, n2, n3 = load_four(values, after)
        dx, dy = px - u, py - v
        power = log2_alpha(dx, dy, qa, qb, qc, log2_opacity)
        hit = (power >= LOG2_MIN_ALPHA) & (last > j)
        if tl.max(hit.to(tl.int32), axis=0) > 0:
            raw = tl.exp2(power)
            alpha = tl.where(hit, tl.minimum(raw, MAX_ALPHA), 0.0)
            front = front / (1.0 - alpha)
            weight = front * alpha
            own = ga + g0 * c0 + g1 * c1 + g2 * c2
            if DEPTH:
                own += g3 * c3
            place = row
            if ORDERED:
                place = tl.load(places + j)
            if FEATURES:
                own = mix_features(
                    own, weight, v_features + pixel, features + row * channels, feature_sums + place * channels,
                    inside, channels, width * height, ORDERED,
                )  # fmt: skip
            s = tl.where(raw > MAX_ALPHA, 0.0, weight * (own - behind))
            behind += alpha * (own - behind)
            # the conic from the record: xx = -2 ln(2) qa, xy = -ln(2) qb
            total = sums_of(
                s, weight, dx, dy, qa * TO_LOG2, qb * (0.5 * TO_LOG2), qc * TO_LOG2, g0, g1, g2, g3, DEPTH, ABSGRAD
            )
            if ORDERED:
                tl.store(sums + place * SLOTS + slot, total)
            else:
                tl.atomic_add(sums + place * SLOTS + slot, total, mask=slot < 12, sem="relaxed")
        u, v, qa, qb, qc, log2_opacity = next_u, next_v, next_a, next_b, next_c, next_o
        c0, c1, c2, c3 = n0, n1, n2, n3
        row = after
        after = load_id(ids, j - 2, begin, end)
        j -= 1


@triton.jit(do_not_specialize=["n", "width"])
def gather_kernel(pairs, order, ends, totals, n, width, WIDTH: tl.constexpr, BLOCK: tl.constexpr):
    """Adds up each Gaussian's rows of ``pairs`` "p width", in their order, ``WIDTH`` columns per program."""
    rank = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    inside = rank < n
    end = tl.load(ends + rank, mask=inside, other=0)
    begin = tl.load(ends + rank - 1, mask=inside & (rank > 0), other=0)
    row = tl.load(order + rank, mask=inside, other=0)
    column = tl.program_id(1) * WIDTH + tl.arange(0, WIDTH)
    total = tl.zeros([BLOCK, WIDTH], tl.float32)
    longest = tl.max(end - begin, axis=0)
    i = longest * 0
    while i < longest:
        there = (begin + i < end)[:, None] & (column < width)[None, :]
        total += tl.load(pairs + (begin + i)[:, None] * width + column[None, :], mask=there, other=0.0)
        i += 1
    tl.store(totals + row[:, None] * width + column[None, :], total, mask=inside[:, None] & (column < width)[None, :])


@triton.jit(do_not_specialize=["n"])
def finish_kernel(
    sums, conics, opacities, extents, v_px, v_conics, v_opacities, v_colors, v_depths, absgrad, n,
    DEPTH: tl.constexpr, ABSGRAD: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    """From sums over pixels to gradients of what was projected; ``absgrad`` is added to."""
    rows = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    inside = rows < n
    drawn = tl.load(extents + 2 * rows, mask=inside, other=0.0) > 0.0
    own = sums + rows * SLOTS
    xx = tl.load(conics + 3 * rows, mask=drawn, other=0.0)
    xy = tl.load(conics + 3 * rows + 1, mask=drawn, other=0.0)
    yy = tl.load(conics + 3 * rows + 2, mask=drawn, other=0.0)
    sx = tl.load(own + 1, mask=drawn, other=0.0)
    sy = tl.load(own + 2, mask=drawn, other=0.0)
    tl.store(v_px + 2 * rows, xx * sx + xy * sy, mask=inside)
    tl.store(v_px + 2 * rows + 1, xy * sx + yy * sy, mask=inside)
    tl.store(v_conics + 3 * rows, tl.load(own + 3, mask=drawn, other=0.0) * -0.5, mask=inside)
    tl.store(v_conics + 3 * rows + 1, -tl.load(own + 4, mask=drawn, other=0.0), mask=inside)
    tl.store(v_conics + 3 * rows + 2, tl.load(own + 5, mask=drawn, other=0.0) * -0.5, mask=inside)
    opacity = tl.load(opacities + rows, mask=drawn, other=1.0)
    tl.store(v_opacities + rows, tl.load(own, mask=drawn, other=0.0) / opacity, mask=inside)
    for c in tl.static_range(3):
        tl.store(v_colors + 3 * rows + c, tl.load(own + (6 + c), mask=drawn, other=0.0), mask=inside)
    if DEPTH:
        tl.store(v_depths + rows, tl.load(own + 9, mask=drawn, other=0.0), mask=inside)
    if ABSGRAD:
        for c in tl.static_range(2):
            here = absgrad + 2 * rows + c
            added = tl.load(own + (10 + c), mask=drawn, other=0.0)
            tl.store(here, tl.load(here, mask=drawn, other=0.0) + added, mask=drawn)
