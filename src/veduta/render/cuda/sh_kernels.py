"""Triton: colours by spherical harmonics up to degree 3 (the basis of :mod:`veduta.geometry.sh`), and back.

In Triton's interpreter a constant must stand on the right of a product.
"""

from __future__ import annotations

import math

import triton
import triton.language as tl

from veduta.geometry.sh import SH_C0

C0 = tl.constexpr(SH_C0)
C1 = tl.constexpr(math.sqrt(3 / (4 * math.pi)))
A2 = tl.constexpr(math.sqrt(15 / (4 * math.pi)))
B2 = tl.constexpr(math.sqrt(5 / (16 * math.pi)))
D2 = tl.constexpr(math.sqrt(15 / (16 * math.pi)))
A3 = tl.constexpr(math.sqrt(35 / (32 * math.pi)))
B3 = tl.constexpr(math.sqrt(105 / (4 * math.pi)))
D3 = tl.constexpr(math.sqrt(21 / (32 * math.pi)))
E3 = tl.constexpr(math.sqrt(7 / (16 * math.pi)))
F3 = tl.constexpr(math.sqrt(105 / (16 * math.pi)))


@triton.jit
def basis(k: tl.constexpr, x, y, z):
    """The k-th basis function (1 to 15) at unit directions."""
    if k == 1:
        value = y * -C1
    elif k == 2:
        value = z * C1
    elif k == 3:
        value = x * -C1
    elif k == 4:
        value = x * y * A2
    elif k == 5:
        value = y * z * -A2
    elif k == 6:
        value = (2.0 * z * z - x * x - y * y) * B2
    elif k == 7:
        value = x * z * -A2
    elif k == 8:
        value = (x * x - y * y) * D2
    elif k == 9:
        value = y * (3.0 * x * x - y * y) * -A3
    elif k == 10:
        value = x * y * z * B3
    elif k == 11:
        value = y * (4.0 * z * z - x * x - y * y) * -D3
    elif k == 12:
        value = z * (2.0 * z * z - 3.0 * x * x - 3.0 * y * y) * E3
    elif k == 13:
        value = x * (4.0 * z * z - x * x - y * y) * -D3
    elif k == 14:
        value = z * (x * x - y * y) * F3
    else:
        value = x * (x * x - 3.0 * y * y) * -A3
    return value


@triton.jit
def slopes_low(k: tl.constexpr, x, y, z):
    """The k-th basis function's derivatives by x, y, z, for k of 1 to 8."""
    zero = x * 0.0
    if k == 1:
        bx, by, bz = zero, zero - C1, zero
    elif k == 2:
        bx, by, bz = zero, zero, zero + C1
    elif k == 3:
        bx, by, bz = zero - C1, zero, zero
    elif k == 4:
        bx, by, bz = y * A2, x * A2, zero
    elif k == 5:
        bx, by, bz = zero, z * -A2, y * -A2
    elif k == 6:
        bx, by, bz = x * (-2.0 * B2), y * (-2.0 * B2), z * (4.0 * B2)
    elif k == 7:
        bx, by, bz = z * -A2, zero, x * -A2
    else:
        bx, by, bz = x * (2.0 * D2), y * (-2.0 * D2), zero
    return bx, by, bz


@triton.jit
def slopes_high(k: tl.constexpr, x, y, z):
    """The k-th basis function's derivatives by x, y, z, for k of 9 to 15."""
    xx = x * x
    yy = y * y
    zz = z * z
    if k == 9:
        bx, by, bz = x * y * (-6.0 * A3), (xx - yy) * (-3.0 * A3), x * 0.0
    elif k == 10:
        bx, by, bz = y * z * B3, x * z * B3, x * y * B3
    elif k == 11:
        bx, by, bz = x * y * (2.0 * D3), (4.0 * zz - xx - 3.0 * yy) * -D3, y * z * (-8.0 * D3)
    elif k == 12:
        bx, by, bz = x * z * (-6.0 * E3), y * z * (-6.0 * E3), (2.0 * zz - xx - yy) * (3.0 * E3)
    elif k == 13:
        bx, by, bz = (4.0 * zz - 3.0 * xx - yy) * -D3, x * y * (2.0 * D3), x * z * (-8.0 * D3)
    elif k == 14:
        bx, by, bz = x * z * (2.0 * F3), y * z * (-2.0 * F3), (xx - yy) * F3
    else:
        bx, by, bz = (xx - yy) * (-3.0 * A3), x * y * (6.0 * A3), x * 0.0
    return bx, by, bz


@triton.jit
def towards(means, camera, rows, drawn):
    """Unit directions from the camera to the means, and 1 / distance; any direction where nothing is drawn."""
    x = tl.load(means + 3 * rows, mask=drawn, other=1.0) - tl.load(camera + 12)
    y = tl.load(means + 3 * rows + 1, mask=drawn, other=0.0) - tl.load(camera + 13)
    z = tl.load(means + 3 * rows + 2, mask=drawn, other=0.0) - tl.load(camera + 14)
    inverse = 1.0 / tl.sqrt(x * x + y * y + z * z)
    return x * inverse, y * inverse, z * inverse, inverse


@triton.jit(do_not_specialize=["n"])
def color_kernel(means, sh, camera, extents, colors, n, STORED: tl.constexpr, USED: tl.constexpr, BLOCK: tl.constexpr):
    """Colours of what is drawn (0 elsewhere); where a colour is not finite the extents become 0.

    STORED and USED are numbers of coefficients per channel.
    """
    rows = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    inside = rows < n
    drawn = tl.load(extents + 2 * rows, mask=inside, other=0.0) > 0.0
    x, y, z, inverse = towards(means, camera, rows, drawn)
    first = sh + rows * (STORED * 3)
    r = tl.load(first, mask=drawn, other=0.0) * C0
    g = tl.load(first + 1, mask=drawn, other=0.0) * C0
    b = tl.load(first + 2, mask=drawn, other=0.0) * C0
    for k in tl.static_range(1, USED):
        weight = basis(k, x, y, z)
        r += weight * tl.load(first + 3 * k, mask=drawn, other=0.0)
        g += weight * tl.load(first + (3 * k + 1), mask=drawn, other=0.0)
        b += weight * tl.load(first + (3 * k + 2), mask=drawn, other=0.0)
    finite = (tl.abs(r) < 3e38) & (tl.abs(g) < 3e38) & (tl.abs(b) < 3e38)
    shown = drawn & finite
    tl.store(colors + 3 * rows, tl.where(shown, tl.maximum(r + 0.5, 0.0), 0.0), mask=inside)
    tl.store(colors + 3 * rows + 1, tl.where(shown, tl.maximum(g + 0.5, 0.0), 0.0), mask=inside)
    tl.store(colors + 3 * rows + 2, tl.where(shown, tl.maximum(b + 0.5, 0.0), 0.0), mask=inside)
    hidden = drawn & (finite == 0)
    tl.store(extents + 2 * rows, x * 0.0, mask=hidden)
    tl.store(extents + 2 * rows + 1, x * 0.0, mask=hidden)


@triton.jit(do_not_specialize=["n"])
def color_backward_kernel(
    means, sh, camera, extents, colors, v_colors, v_sh, v_means, n,
    STORED: tl.constexpr, USED: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    """By the coefficients (0 for those unused or not drawn), and through the direction by the means."""
    rows = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    inside = rows < n
    drawn = tl.load(extents + 2 * rows, mask=inside, other=0.0) > 0.0
    x, y, z, inverse = towards(means, camera, rows, drawn)
    # a channel clamped at 0 has no gradient
    red = tl.load(colors + 3 * rows, mask=drawn, other=0.0) > 0.0
    green = tl.load(colors + 3 * rows + 1, mask=drawn, other=0.0) > 0.0
    blue = tl.load(colors + 3 * rows + 2, mask=drawn, other=0.0) > 0.0
    vr = tl.load(v_colors + 3 * rows, mask=red, other=0.0)
    vg = tl.load(v_colors + 3 * rows + 1, mask=green, other=0.0)
    vb = tl.load(v_colors + 3 * rows + 2, mask=blue, other=0.0)
    own = sh + rows * (STORED * 3)
    first = v_sh + rows * (STORED * 3)
    tl.store(first, vr * C0, mask=inside)
    tl.store(first + 1, vg * C0, mask=inside)
    tl.store(first + 2, vb * C0, mask=inside)
    vx = x * 0.0
    vy = x * 0.0
    vz = x * 0.0
    for k in tl.static_range(1, USED):
        weight = basis(k, x, y, z)
        tl.store(first + 3 * k, vr * weight, mask=inside)
        tl.store(first + (3 * k + 1), vg * weight, mask=inside)
        tl.store(first + (3 * k + 2), vb * weight, mask=inside)
        along = vr * tl.load(own + 3 * k, mask=drawn, other=0.0)
        along += vg * tl.load(own + (3 * k + 1), mask=drawn, other=0.0)
        along += vb * tl.load(own + (3 * k + 2), mask=drawn, other=0.0)
        if k < 9:
            bx, by, bz = slopes_low(k, x, y, z)
        else:
            bx, by, bz = slopes_high(k, x, y, z)
        vx += along * bx
        vy += along * by
        vz += along * bz
    for k in tl.static_range(USED, STORED):
        tl.store(first + 3 * k, x * 0.0, mask=inside)
        tl.store(first + (3 * k + 1), x * 0.0, mask=inside)
        tl.store(first + (3 * k + 2), x * 0.0, mask=inside)
    radial = x * vx + y * vy + z * vz
    tl.store(v_means + 3 * rows, tl.where(drawn, (vx - x * radial) * inverse, 0.0), mask=inside)
    tl.store(v_means + 3 * rows + 1, tl.where(drawn, (vy - y * radial) * inverse, 0.0), mask=inside)
    tl.store(v_means + 3 * rows + 2, tl.where(drawn, (vz - z * radial) * inverse, 0.0), mask=inside)


@triton.jit(do_not_specialize=["n"])
def hide_kernel(features, extents, n, WIDTH: tl.constexpr, BLOCK: tl.constexpr):
    """The extents of rows with a feature that is not finite become 0."""
    rows = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    inside = rows < n
    bad = rows < 0
    for k in range(WIDTH):
        bad = bad | ((tl.abs(tl.load(features + rows * WIDTH + k, mask=inside, other=0.0)) < float("inf")) == 0)
    zero = tl.zeros([BLOCK], tl.float32)
    tl.store(extents + 2 * rows, zero, mask=bad & inside)
    tl.store(extents + 2 * rows + 1, zero, mask=bad & inside)
