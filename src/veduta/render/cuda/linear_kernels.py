"""Triton: the linear map L of each Gaussian in one view, and what it carries either way.

L is 9x13 and mostly zeros (legend in :mod:`veduta.render.reference.linear_map`). It is written entry by entry, all
Gaussians' side by side: entry (r, p) at ``lines + (13 r + p) stride``; entries that are always zero are never touched.
"""

from __future__ import annotations

import triton
import triton.language as tl

from veduta.render.cuda.project_backward_kernels import load_3, load_quats
from veduta.render.cuda.project_kernels import covariance, in_camera_axes, jacobian, rotation, screen_from_world
from veduta.render.cuda.sh_kernels import C0, slopes_high, slopes_low, towards

PARAMETERS = tl.constexpr(13)


@triton.jit
def put(lines, rows, stride, inside, shown, row: tl.constexpr, column: tl.constexpr, value):
    """One entry of L; 0 where nothing is drawn, and where it is not finite."""
    good = shown & (tl.abs(value) < 3e38)
    tl.store(lines + rows + (row * PARAMETERS + column) * stride, tl.where(good, value, 0.0), mask=inside)


@triton.jit
def root(xx, xy, yy, after):
    """U of the conic Q = U^T U, from the image covariance: U00, U01, U11; nothing cancels."""
    u11 = 1.0 / tl.sqrt(yy)
    area = 1.0 / tl.sqrt(after)
    return tl.sqrt(yy) * area, -(xy * u11 * area), u11


@triton.jit
def turned(u00, u01, u11, a, b, c):
    """Rows 3 to 5 of L, for a change of the image covariance by (a, b, c): those of M = U dS U^T."""
    m00 = u00 * u00 * a + 2.0 * u00 * u01 * b + u01 * u01 * c
    m01 = u11 * (u00 * b + u01 * c)
    m11 = u11 * u11 * c
    return 0.5 * m00, m01, 0.5 * m11


@triton.jit
def changed(p0, p1, p2, p3, p4, p5, d0, d1, d2, d3, d4, d5):
    """How P P^T changes with P (rows p0..p2 and p3..p5) by d: xx, xy, yy."""
    a = 2.0 * (d0 * p0 + d1 * p1 + d2 * p2)
    b = d0 * p3 + d1 * p4 + d2 * p5 + p0 * d3 + p1 * d4 + p2 * d5
    c = 2.0 * (d3 * p3 + d4 * p4 + d5 * p5)
    return a, b, c


@triton.jit
def faded(p0, p1, p2, p3, p4, p5, d0, d1, d2, d3, d4, d5, before, half00, half11):
    """How the logarithm of the antialiasing factor sqrt(before / after) changes; half of tr M is that of log after."""
    n0 = p1 * p5 - p2 * p4
    n1 = p2 * p3 - p0 * p5
    n2 = p0 * p4 - p1 * p3
    e0 = d1 * p5 + p1 * d5 - d2 * p4 - p2 * d4
    e1 = d2 * p3 + p2 * d3 - d0 * p5 - p0 * d5
    e2 = d0 * p4 + p0 * d4 - d1 * p3 - p1 * d3
    return (n0 * e0 + n1 * e1 + n2 * e2) / before - half00 - half11


@triton.jit
def lines_of(p0, p1, p2, p3, p4, p5, d0, d1, d2, d3, d4, d5, u00, u01, u11, before, ANTIALIAS: tl.constexpr):
    """Rows 3 to 5, and the antialiasing's part of row 0, for a change of P by d."""
    a, b, c = changed(p0, p1, p2, p3, p4, p5, d0, d1, d2, d3, d4, d5)
    half00, m01, half11 = turned(u00, u01, u11, a, b, c)
    fade = half00 * 0.0
    if ANTIALIAS:
        fade = faded(p0, p1, p2, p3, p4, p5, d0, d1, d2, d3, d4, d5, before, half00, half11)
    return half00, m01, half11, fade


@triton.jit
def put_shape(lines, rows, stride, inside, shown, column: tl.constexpr, a, b, c, fade, ANTIALIAS: tl.constexpr):
    """Rows 3 to 5 of one column, and its row 0 where antialiasing is on."""
    put(lines, rows, stride, inside, shown, 3, column, a)
    put(lines, rows, stride, inside, shown, 4, column, b)
    put(lines, rows, stride, inside, shown, 5, column, c)
    if ANTIALIAS:
        put(lines, rows, stride, inside, shown, 0, column, fade)


@triton.jit
def columns_of(t0, t1, t2, t3, t4, t5, m0, m1, m2, m3, m4, m5, m6, m7, m8):
    """T R: its first row, and its second."""
    a0 = t0 * m0 + t1 * m3 + t2 * m6
    a1 = t0 * m1 + t1 * m4 + t2 * m7
    a2 = t0 * m2 + t1 * m5 + t2 * m8
    b0 = t3 * m0 + t4 * m3 + t5 * m6
    b1 = t3 * m1 + t4 * m4 + t5 * m7
    b2 = t3 * m2 + t4 * m5 + t5 * m8
    return a0, a1, a2, b0, b1, b2


@triton.jit
def put_scales(
    lines, rows, stride, inside, shown, p0, p1, p2, p3, p4, p5, u00, u01, u11, before, ANTIALIAS: tl.constexpr
):
    """Columns 3 to 5, of the log-scales: P changes by its own column."""
    zero = p0 * 0.0
    a, b, c, fade = lines_of(p0, p1, p2, p3, p4, p5, p0, zero, zero, p3, zero, zero, u00, u01, u11, before, ANTIALIAS)
    put_shape(lines, rows, stride, inside, shown, 3, a, b, c, fade, ANTIALIAS)
    a, b, c, fade = lines_of(p0, p1, p2, p3, p4, p5, zero, p1, zero, zero, p4, zero, u00, u01, u11, before, ANTIALIAS)
    put_shape(lines, rows, stride, inside, shown, 4, a, b, c, fade, ANTIALIAS)
    a, b, c, fade = lines_of(p0, p1, p2, p3, p4, p5, zero, zero, p2, zero, zero, p5, u00, u01, u11, before, ANTIALIAS)
    put_shape(lines, rows, stride, inside, shown, 5, a, b, c, fade, ANTIALIAS)


@triton.jit
def put_turns(
    lines, rows, stride, inside, shown, a0, a1, a2, b0, b1, b2, s0, s1, s2,
    p0, p1, p2, p3, p4, p5, u00, u01, u11, before, ANTIALIAS: tl.constexpr,
):  # fmt: skip
    """Columns 6 to 8, of R exp([w]): about axis k, column j of R moves to l and l to -j, (k, j, l) cyclic."""
    zero = p0 * 0.0
    a, b, c, fade = lines_of(
        p0, p1, p2, p3, p4, p5, zero, s1 * a2, -(s2 * a1), zero, s1 * b2, -(s2 * b1), u00, u01, u11, before, ANTIALIAS
    )
    put_shape(lines, rows, stride, inside, shown, 6, a, b, c, fade, ANTIALIAS)
    a, b, c, fade = lines_of(
        p0, p1, p2, p3, p4, p5, -(s0 * a2), zero, s2 * a0, -(s0 * b2), zero, s2 * b0, u00, u01, u11, before, ANTIALIAS
    )
    put_shape(lines, rows, stride, inside, shown, 7, a, b, c, fade, ANTIALIAS)
    a, b, c, fade = lines_of(
        p0, p1, p2, p3, p4, p5, s0 * a1, -(s1 * a0), zero, s0 * b1, -(s1 * b0), zero, u00, u01, u11, before, ANTIALIAS
    )
    put_shape(lines, rows, stride, inside, shown, 8, a, b, c, fade, ANTIALIAS)


@triton.jit
def put_mean(camera, lines, rows, stride, inside, shown, row: tl.constexpr, x, y, z):
    """Columns 0 to 2 of one row, from derivatives in camera axes."""
    for k in tl.static_range(3):
        along = x * tl.load(camera + k) + y * tl.load(camera + 3 + k) + z * tl.load(camera + 6 + k)
        put(lines, rows, stride, inside, shown, row, k, along)


@triton.jit
def put_means(
    camera, lines, rows, stride, inside, shown, p0, p1, p2, p3, p4, p5, v0, v1, v2, v3, v4, v5, v6, v7, v8,
    x, y, j00, j11, j02, j12, inside_x, inside_y, inverse_z, u00, u01, u11, before, ANTIALIAS: tl.constexpr,
):  # fmt: skip
    """The columns of the mean: rows 1 and 2 by the centre, rows 3 to 5 by J, whose rows multiply V = W R diag(s)."""
    zero = x * 0.0
    cz = -(j00 * x * inverse_z)
    dz = -(j11 * y * inverse_z)
    put_mean(camera, lines, rows, stride, inside, shown, 1, u00 * j00, u01 * j11, u00 * cz + u01 * dz)
    put_mean(camera, lines, rows, stride, inside, shown, 2, zero, u11 * j11, u11 * dz)
    across = tl.where(inside_x, -(j00 * inverse_z), 0.0)
    down = tl.where(inside_y, -(j11 * inverse_z), 0.0)
    ax, bx, cx, fx = lines_of(
        p0, p1, p2, p3, p4, p5, across * v6, across * v7, across * v8, zero, zero, zero,
        u00, u01, u11, before, ANTIALIAS,
    )  # fmt: skip
    ay, by, cy, fy = lines_of(
        p0, p1, p2, p3, p4, p5, zero, zero, zero, down * v6, down * v7, down * v8, u00, u01, u11, before, ANTIALIAS
    )
    z00 = -(j00 * inverse_z)
    z11 = -(j11 * inverse_z)
    z02 = -(j02 * inverse_z) - across * x * inverse_z
    z12 = -(j12 * inverse_z) - down * y * inverse_z
    az, bz, cz, fz = lines_of(
        p0, p1, p2, p3, p4, p5,
        z00 * v0 + z02 * v6, z00 * v1 + z02 * v7, z00 * v2 + z02 * v8,
        z11 * v3 + z12 * v6, z11 * v4 + z12 * v7, z11 * v5 + z12 * v8,
        u00, u01, u11, before, ANTIALIAS,
    )  # fmt: skip
    put_mean(camera, lines, rows, stride, inside, shown, 3, ax, ay, az)
    put_mean(camera, lines, rows, stride, inside, shown, 4, bx, by, bz)
    put_mean(camera, lines, rows, stride, inside, shown, 5, cx, cy, cz)
    if ANTIALIAS:
        put_mean(camera, lines, rows, stride, inside, shown, 0, fx, fy, fz)


@triton.jit
def put_colors(
    means, sh, camera, colors, there, row, lines, rows, stride, inside, STORED: tl.constexpr, USED: tl.constexpr
):
    """Rows 6 to 8: by the constant coefficients and, through the direction, by the mean; 0 where clamped at 0."""
    x, y, z, inverse = towards(means, camera, row, there)
    for c in tl.static_range(3):
        free = there & (tl.load(colors + 3 * row + c, mask=there, other=0.0) > 0.0)
        put(lines, rows, stride, inside, free, 6 + c, 10 + c, x * 0.0 + C0)
        vx = x * 0.0
        vy = x * 0.0
        vz = x * 0.0
        for k in tl.static_range(1, USED):
            if k < 9:
                bx, by, bz = slopes_low(k, x, y, z)
            else:
                bx, by, bz = slopes_high(k, x, y, z)
            own = tl.load(sh + row * (STORED * 3) + (3 * k + c), mask=there, other=0.0)
            vx += own * bx
            vy += own * by
            vz += own * bz
        radial = x * vx + y * vy + z * vz
        put(lines, rows, stride, inside, free, 6 + c, 0, (vx - x * radial) * inverse)
        put(lines, rows, stride, inside, free, 6 + c, 1, (vy - y * radial) * inverse)
        put(lines, rows, stride, inside, free, 6 + c, 2, (vz - z * radial) * inverse)


@triton.jit(do_not_specialize=["first", "count", "stride"])
def lines_kernel(
    means, quats, scales, opacities, sh, extents, colors, camera, lines, first, count, stride, low_pass,
    MIN_QUAT_NORM: tl.constexpr, FOV_MARGIN: tl.constexpr, ANTIALIAS: tl.constexpr, STORED: tl.constexpr,
    USED: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    """L of ``count`` Gaussians from row ``first`` on; all entries 0 where nothing is drawn."""
    rows = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    inside = rows < count
    row = rows + first
    shown = tl.load(extents + 2 * row, mask=inside, other=0.0) > 0.0
    mx, my, mz = load_3(means, row, shown, 0.0)
    x, y, z = in_camera_axes(camera, mx, my, mz)
    z = tl.where(shown, z, 1.0)
    s0, s1, s2 = load_3(scales, row, shown, 1.0)
    qw, qx, qy, qz = load_quats(quats, row, shown)
    qw, qx, qy, qz, inverse_length, m0, m1, m2, m3, m4, m5, m6, m7, m8 = rotation(qw, qx, qy, qz, MIN_QUAT_NORM)
    j00, j11, j02, j12, inside_x, inside_y, inverse_z = jacobian(camera, x, y, z, FOV_MARGIN)
    t0, t1, t2, t3, t4, t5 = screen_from_world(camera, j00, j11, j02, j12)
    a0, a1, a2, b0, b1, b2 = columns_of(t0, t1, t2, t3, t4, t5, m0, m1, m2, m3, m4, m5, m6, m7, m8)
    p0 = s0 * a0
    p1 = s1 * a1
    p2 = s2 * a2
    p3 = s0 * b0
    p4 = s1 * b1
    p5 = s2 * b2
    xx, xy, yy, before, after = covariance(p0, p1, p2, p3, p4, p5, low_pass)
    u00, u01, u11 = root(xx + low_pass, xy, yy + low_pass, after)
    put_scales(lines, rows, stride, inside, shown, p0, p1, p2, p3, p4, p5, u00, u01, u11, before, ANTIALIAS)
    put_turns(
        lines, rows, stride, inside, shown, a0, a1, a2, b0, b1, b2, s0, s1, s2,
        p0, p1, p2, p3, p4, p5, u00, u01, u11, before, ANTIALIAS,
    )  # fmt: skip
    put(lines, rows, stride, inside, shown, 0, 9, 1.0 - tl.load(opacities + row, mask=shown, other=1.0))
    # V = W R diag(s), by rows
    w0 = tl.load(camera + 0)
    w1 = tl.load(camera + 1)
    w2 = tl.load(camera + 2)
    w3 = tl.load(camera + 3)
    w4 = tl.load(camera + 4)
    w5 = tl.load(camera + 5)
    w6 = tl.load(camera + 6)
    w7 = tl.load(camera + 7)
    w8 = tl.load(camera + 8)
    put_means(
        camera, lines, rows, stride, inside, shown, p0, p1, p2, p3, p4, p5,
        s0 * (m0 * w0 + m3 * w1 + m6 * w2), s1 * (m1 * w0 + m4 * w1 + m7 * w2), s2 * (m2 * w0 + m5 * w1 + m8 * w2),
        s0 * (m0 * w3 + m3 * w4 + m6 * w5), s1 * (m1 * w3 + m4 * w4 + m7 * w5), s2 * (m2 * w3 + m5 * w4 + m8 * w5),
        s0 * (m0 * w6 + m3 * w7 + m6 * w8), s1 * (m1 * w6 + m4 * w7 + m7 * w8), s2 * (m2 * w6 + m5 * w7 + m8 * w8),
        x, y, j00, j11, j02, j12, inside_x, inside_y, inverse_z, u00, u01, u11, before, ANTIALIAS,
    )  # fmt: skip
    put_colors(means, sh, camera, colors, shown, row, lines, rows, stride, inside, STORED, USED)


@triton.jit(do_not_specialize=["n"])
def root_kernel(
    means, quats, scales, extents, camera, roots, n, low_pass,
    MIN_QUAT_NORM: tl.constexpr, FOV_MARGIN: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    """U of every Gaussian's conic, "n 4" with a last value of 0; zeros where nothing is drawn."""
    rows = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    inside = rows < n
    shown = tl.load(extents + 2 * rows, mask=inside, other=0.0) > 0.0
    mx, my, mz = load_3(means, rows, shown, 0.0)
    x, y, z = in_camera_axes(camera, mx, my, mz)
    z = tl.where(shown, z, 1.0)
    s0, s1, s2 = load_3(scales, rows, shown, 1.0)
    qw, qx, qy, qz = load_quats(quats, rows, shown)
    qw, qx, qy, qz, inverse_length, m0, m1, m2, m3, m4, m5, m6, m7, m8 = rotation(qw, qx, qy, qz, MIN_QUAT_NORM)
    j00, j11, j02, j12, inside_x, inside_y, inverse_z = jacobian(camera, x, y, z, FOV_MARGIN)
    t0, t1, t2, t3, t4, t5 = screen_from_world(camera, j00, j11, j02, j12)
    a0, a1, a2, b0, b1, b2 = columns_of(t0, t1, t2, t3, t4, t5, m0, m1, m2, m3, m4, m5, m6, m7, m8)
    xx, xy, yy, before, after = covariance(s0 * a0, s1 * a1, s2 * a2, s0 * b0, s1 * b1, s2 * b2, low_pass)
    u00, u01, u11 = root(xx + low_pass, xy, yy + low_pass, after)
    tl.store(roots + 4 * rows, tl.where(shown, u00, 0.0), mask=inside)
    tl.store(roots + 4 * rows + 1, tl.where(shown, u01, 0.0), mask=inside)
    tl.store(roots + 4 * rows + 2, tl.where(shown, u11, 0.0), mask=inside)
    tl.store(roots + 4 * rows + 3, tl.zeros([BLOCK], tl.float32), mask=inside)


@triton.jit(do_not_specialize=["first", "count", "stride", "outputs"])
def terms_kernel(
    lines, values, terms, starts, results, first, count, stride, outputs, BOTH: tl.constexpr, BLOCK: tl.constexpr
):
    """Sums of products of an entry of L, a given value and, BOTH, another entry of L: ``outputs`` numbers a Gaussian.

    ``values`` are side by side as L is, ``count`` apart. Result k is the sum of ``terms[starts[k] : starts[k + 1]]``:
    the value's place in the lowest 8 bits, the first entry in the next 8, the second in 8 more, and above them whether
    the term counts twice. A table, because a kernel that has all the terms in it takes a minute to compile.
    """
    rows = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    inside = rows < count
    own = results + (rows + first) * outputs
    for k in range(0, outputs):
        begin = tl.load(starts + k)
        end = tl.load(starts + k + 1)
        total = tl.zeros([BLOCK], tl.float32)
        for t in range(begin, end):
            term = tl.load(terms + t)
            product = tl.load(values + rows + (term & 255) * count, mask=inside, other=0.0)
            product *= tl.load(lines + rows + ((term >> 8) & 255) * stride, mask=inside, other=0.0)
            if BOTH:
                product *= tl.load(lines + rows + ((term >> 16) & 255) * stride, mask=inside, other=0.0)
            total += product * ((term >> 24) + 1).to(tl.float32)
        tl.store(own + k, total, mask=inside)
