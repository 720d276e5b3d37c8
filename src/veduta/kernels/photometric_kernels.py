"""Triton: L1 and SSIM with their gradient, by separable windows of 2 RADIUS + 1 pixels with zeros around the picture.

Every kernel treats a picture "h w 3" as h w 3 numbers, ``count`` in all: a step to the right is 3 of them, a step down
3 w. Planes are such pictures, one after the other.
"""

from __future__ import annotations

import triton
import triton.language as tl


@triton.jit
def column_of(number, width):
    """The column of the pixel that a number belongs to."""
    return (number // 3) % width


@triton.jit(do_not_specialize=["count", "width"])
def products_kernel(a, b, window, planes, count, width, RADIUS: tl.constexpr, BLOCK: tl.constexpr):
    """Along rows: the blurred a, b, a^2, b^2, a b."""
    i = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    inside = i < count
    x = column_of(i, width)
    mean_a = tl.zeros([BLOCK], tl.float32)
    mean_b = tl.zeros([BLOCK], tl.float32)
    aa = tl.zeros([BLOCK], tl.float32)
    bb = tl.zeros([BLOCK], tl.float32)
    ab = tl.zeros([BLOCK], tl.float32)
    for k in tl.static_range(2 * RADIUS + 1):
        step = k - RADIUS
        there = inside & (x + step >= 0) & (x + step < width)
        share = tl.load(window + k)
        one = tl.load(a + i + 3 * step, mask=there, other=0.0)
        other = tl.load(b + i + 3 * step, mask=there, other=0.0)
        mean_a += share * one
        mean_b += share * other
        aa += share * one * one
        bb += share * other * other
        ab += share * one * other
    tl.store(planes + i, mean_a, mask=inside)
    tl.store(planes + count + i, mean_b, mask=inside)
    tl.store(planes + 2 * count + i, aa, mask=inside)
    tl.store(planes + 3 * count + i, bb, mask=inside)
    tl.store(planes + 4 * count + i, ab, mask=inside)


@triton.jit
def similarity(mean_a, mean_b, aa, bb, ab, C1: tl.constexpr, C2: tl.constexpr):
    """SSIM, and its derivatives by the blurred a, a^2 and a b."""
    over = mean_a * mean_b * 2.0 + C1
    under = mean_a * mean_a + mean_b * mean_b + C1
    over_2 = (ab - mean_a * mean_b) * 2.0 + C2
    under_2 = aa - mean_a * mean_a + bb - mean_b * mean_b + C2
    inverse = 1.0 / (under * under_2)
    value = over * over_2 * inverse
    by_aa = -value / under_2
    by_ab = 2.0 * over * inverse
    by_mean = 2.0 * mean_b * over_2 * inverse - 2.0 * mean_a * value / under
    return value, by_mean - 2.0 * mean_a * by_aa - mean_b * by_ab, by_aa, by_ab


@triton.jit
def share_of(weight, total, i, inside, whole, WEIGHTED: tl.constexpr):
    """How much a number counts, ``whole`` being shared by all of them; WEIGHTED: by the weight of its pixel."""
    share = whole / (3.0 * tl.load(total)) + i.to(tl.float32) * 0.0
    if WEIGHTED:
        share = share * tl.load(weight + i // 3, mask=inside, other=0.0)
    return share


@triton.jit(do_not_specialize=["count", "width"])
def similarity_kernel(
    a, b, weight, total, planes, window, slopes, sums, count, width, ssim_weight,
    C1: tl.constexpr, C2: tl.constexpr, WEIGHTED: tl.constexpr, RADIUS: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    """Along columns: per program the weighted sums of |a - b| and of SSIM, and what the gradient needs (3 planes)."""
    i = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    inside = i < count
    mean_a = tl.zeros([BLOCK], tl.float32)
    mean_b = tl.zeros([BLOCK], tl.float32)
    aa = tl.zeros([BLOCK], tl.float32)
    bb = tl.zeros([BLOCK], tl.float32)
    ab = tl.zeros([BLOCK], tl.float32)
    for k in tl.static_range(2 * RADIUS + 1):
        at = i + (k - RADIUS) * 3 * width
        there = inside & (at >= 0) & (at < count)
        share = tl.load(window + k)
        mean_a += share * tl.load(planes + at, mask=there, other=0.0)
        mean_b += share * tl.load(planes + count + at, mask=there, other=0.0)
        aa += share * tl.load(planes + 2 * count + at, mask=there, other=0.0)
        bb += share * tl.load(planes + 3 * count + at, mask=there, other=0.0)
        ab += share * tl.load(planes + 4 * count + at, mask=there, other=0.0)
    value, by_mean, by_aa, by_ab = similarity(mean_a, mean_b, aa, bb, ab, C1, C2)
    part = tl.where(inside, share_of(weight, total, i, inside, 1.0, WEIGHTED), 0.0)
    difference = tl.load(a + i, mask=inside, other=0.0) - tl.load(b + i, mask=inside, other=0.0)
    tl.store(sums + 2 * tl.program_id(0), tl.sum(part * tl.abs(difference), axis=0))
    tl.store(sums + 2 * tl.program_id(0) + 1, tl.sum(part * value, axis=0))
    gain = part * -ssim_weight
    tl.store(slopes + i, gain * by_mean, mask=inside)
    tl.store(slopes + count + i, gain * by_aa, mask=inside)
    tl.store(slopes + 2 * count + i, gain * by_ab, mask=inside)


@triton.jit(do_not_specialize=["count", "width"])
def slopes_kernel(slopes, window, planes, count, width, RADIUS: tl.constexpr, BLOCK: tl.constexpr):
    """Along rows: the three planes blurred (a symmetric window with zeros outside is its own adjoint)."""
    i = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    inside = i < count
    x = column_of(i, width)
    mean = tl.zeros([BLOCK], tl.float32)
    aa = tl.zeros([BLOCK], tl.float32)
    ab = tl.zeros([BLOCK], tl.float32)
    for k in tl.static_range(2 * RADIUS + 1):
        step = k - RADIUS
        there = inside & (x + step >= 0) & (x + step < width)
        share = tl.load(window + k)
        mean += share * tl.load(slopes + i + 3 * step, mask=there, other=0.0)
        aa += share * tl.load(slopes + count + i + 3 * step, mask=there, other=0.0)
        ab += share * tl.load(slopes + 2 * count + i + 3 * step, mask=there, other=0.0)
    tl.store(planes + i, mean, mask=inside)
    tl.store(planes + count + i, aa, mask=inside)
    tl.store(planes + 2 * count + i, ab, mask=inside)


@triton.jit(do_not_specialize=["count", "width"])
def gradient_kernel(
    a, b, weight, total, planes, window, gradient, count, width, l1_weight,
    WEIGHTED: tl.constexpr, RADIUS: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    """Along columns, and the gradient by a of ``l1_weight`` L1 minus the weighted SSIM."""
    i = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    inside = i < count
    mean = tl.zeros([BLOCK], tl.float32)
    aa = tl.zeros([BLOCK], tl.float32)
    ab = tl.zeros([BLOCK], tl.float32)
    for k in tl.static_range(2 * RADIUS + 1):
        at = i + (k - RADIUS) * 3 * width
        there = inside & (at >= 0) & (at < count)
        share = tl.load(window + k)
        mean += share * tl.load(planes + at, mask=there, other=0.0)
        aa += share * tl.load(planes + count + at, mask=there, other=0.0)
        ab += share * tl.load(planes + 2 * count + at, mask=there, other=0.0)
    one = tl.load(a + i, mask=inside, other=0.0)
    other = tl.load(b + i, mask=inside, other=0.0)
    part = share_of(weight, total, i, inside, l1_weight, WEIGHTED)
    sign = tl.where(one > other, part, tl.where(one < other, -part, 0.0))
    tl.store(gradient + i, sign + mean + 2.0 * one * aa + other * ab, mask=inside)
