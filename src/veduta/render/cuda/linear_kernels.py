"""Triton: the linear map L of each Gaussian in one view, and what it carries either way.

L is 9x13 and mostly zeros (legend in :mod:`veduta.render.reference.linear_map`). It is written entry by entry, all
Gaussians' side by side: entry (r, p) at ``lines + (13 r + p) stride``; entries that are always zero are never touched.
"""

from __future__ import annotations

import triton
import triton.language as tl

from veduta.render.cuda.project_kernels import columns_of, covariance, posed
from veduta.render.cuda.sh_kernels import C0, slopes_high, slopes_low, towards

PARAMETERS = tl.constexpr(13)


@triton.jit
def put(lines, rows, stride, inside, shown, row: tl.constexpr, column: tl.constexpr, value):
    """One entry of L; 0 where nothing is drawn, and where it is not finite."""
    good = shown & (tl.abs(value) < 3e38)
    tl.store(lines + rows + (row * PARAMETERS + column) * stride, tl.where(good, value, 0.0), mask=inside)


@triton.jit
def root(xx, xy, yy, after):
    """U of the conic Q = U^T U, from the image covariance: U00, U01, U11, and 1 / sqrt(yy det); nothing cancels."""
    u11 = 1.0 / tl.sqrt(yy)
    area = 1.0 / tl.sqrt(after)
    return tl.sqrt(yy) * area, -(xy * u11 * area), u11, u11 * area


@triton.jit
def row_of(camera, row: tl.constexpr, m0, m1, m2, m3, m4, m5, m6, m7, m8):
    """One row of W R."""
    a = tl.load(camera + 3 * row)
    b = tl.load(camera + (3 * row + 1))
    c = tl.load(camera + (3 * row + 2))
    return m0 * a + m3 * b + m6 * c, m1 * a + m4 * b + m7 * c, m2 * a + m5 * b + m8 * c


@triton.jit
def whitened(tx, ty, qj, nl, ql, nj, low_pass, inverse, u11):
    """U t for column k of T R, (k, j, l) cyclic: the part along a needle is left out before it can cancel.

    With S = P P^T + low_pass, S11 tx - S01 ty = low_pass tx + qj n_l - ql n_j, n = (T R)0 x (T R)1, q = s^2 (T R)1.
    """
    return (tx * low_pass + qj * nl - ql * nj) * inverse, ty * u11


@triton.jit
def put_shape(lines, rows, stride, inside, shown, column: tl.constexpr, a, b, c, fade, ANTIALIAS: tl.constexpr):
    """Rows 3 to 5 of one column, and its row 0 where antialiasing is on."""
    put(lines, rows, stride, inside, shown, 3, column, a)
    put(lines, rows, stride, inside, shown, 4, column, b)
    put(lines, rows, stride, inside, shown, 5, column, c)
    if ANTIALIAS:
        put(lines, rows, stride, inside, shown, 0, column, fade)


@triton.jit
def put_scale(lines, rows, stride, inside, shown, column: tl.constexpr, g0, g1, fade, ANTIALIAS: tl.constexpr):
    """The column of a log-scale: dS = 2 p p^T, g = U p."""
    a = g0 * g0
    c = g1 * g1
    put_shape(lines, rows, stride, inside, shown, column, a, 2.0 * g0 * g1, c, fade - a - c, ANTIALIAS)


@triton.jit
def put_turn(
    lines, rows, stride, inside, shown, column: tl.constexpr, sj, sl, hj0, hj1, hl0, hl1, fade, ANTIALIAS: tl.constexpr
):
    """The column of a turn about axis k of R exp([w]), (k, j, l) cyclic: dS = (sj^2 - sl^2)(tj tl^T + tl tj^T)."""
    gap = (sj - sl) * (sj + sl)
    a = gap * hj0 * hl0
    b = gap * (hj0 * hl1 + hl0 * hj1)
    c = gap * hj1 * hl1
    put_shape(lines, rows, stride, inside, shown, column, a, b, c, fade - a - c, ANTIALIAS)


@triton.jit
def put_mean(camera, lines, rows, stride, inside, shown, row: tl.constexpr, x, y, z):
    """Columns 0 to 2 of one row, from derivatives in camera axes."""
    for k in tl.static_range(3):
        along = x * tl.load(camera + k) + y * tl.load(camera + 3 + k) + z * tl.load(camera + 6 + k)
        put(lines, rows, stride, inside, shown, row, k, along)


@triton.jit
def put_means(
    camera, lines, rows, stride, inside, shown, x, y, j00, j11, inside_x, inside_y, inverse_z, u00, u01, u11,
    g00, g01, g02, g10, g11, g12, z0, z1, z2, fade_x, fade_y, ANTIALIAS: tl.constexpr,
):  # fmt: skip
    """The columns of the mean: rows 1 and 2 by the centre, rows 3 to 5 by J; g = U P, z the third row of W R diag(s).

    x and y move J's third column, where its ratio is not clamped; all of S - low_pass goes with the inverse square of
    the distance, which gives the derivative by z.
    """
    rx = x * inverse_z
    ry = y * inverse_z
    zero = x * 0.0
    put_mean(camera, lines, rows, stride, inside, shown, 1, u00 * j00, u01 * j11, -(u00 * j00 * rx + u01 * j11 * ry))
    put_mean(camera, lines, rows, stride, inside, shown, 2, zero, u11 * j11, -(u11 * j11 * ry))
    along0 = z0 * g00 + z1 * g01 + z2 * g02
    along1 = z0 * g10 + z1 * g11 + z2 * g12
    across = tl.where(inside_x, -(j00 * inverse_z), 0.0)
    down = tl.where(inside_y, -(j11 * inverse_z), 0.0)
    ax = u00 * across * along0
    bx = u00 * across * along1
    ay = u01 * down * along0
    by = down * (u01 * along1 + u11 * along0)
    cy = u11 * down * along1
    az = -(inverse_z * (g00 * g00 + g01 * g01 + g02 * g02) + rx * ax + ry * ay)
    bz = -(2.0 * inverse_z * (g00 * g10 + g01 * g11 + g02 * g12) + rx * bx + ry * by)
    cz = -(inverse_z * (g10 * g10 + g11 * g11 + g12 * g12) + ry * cy)
    put_mean(camera, lines, rows, stride, inside, shown, 3, ax, ay, az)
    put_mean(camera, lines, rows, stride, inside, shown, 4, bx, by, bz)
    put_mean(camera, lines, rows, stride, inside, shown, 5, zero, cy, cz)
    if ANTIALIAS:
        fade_z = -(2.0 * inverse_z + rx * fade_x + ry * fade_y)
        put_mean(camera, lines, rows, stride, inside, shown, 0, fade_x - ax, fade_y - ay - cy, fade_z - az - cz)


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
    (
        shown, x, y, z, s0, s1, s2, qw, qx, qy, qz, inverse_length, m0, m1, m2, m3, m4, m5, m6, m7, m8,
        j00, j11, j02, j12, inside_x, inside_y, inverse_z, t0, t1, t2, t3, t4, t5,
    ) = posed(means, quats, scales, extents, camera, row, inside, MIN_QUAT_NORM, FOV_MARGIN)  # fmt: skip
    a0, a1, a2, b0, b1, b2 = columns_of(t0, t1, t2, t3, t4, t5, m0, m1, m2, m3, m4, m5, m6, m7, m8)
    xx, xy, yy, before, after = covariance(s0 * a0, s1 * a1, s2 * a2, s0 * b0, s1 * b1, s2 * b2, low_pass)
    u00, u01, u11, inverse = root(xx + low_pass, xy, yy + low_pass, after)
    o0, o1, o2 = row_of(camera, 0, m0, m1, m2, m3, m4, m5, m6, m7, m8)
    o3, o4, o5 = row_of(camera, 1, m0, m1, m2, m3, m4, m5, m6, m7, m8)
    o6, o7, o8 = row_of(camera, 2, m0, m1, m2, m3, m4, m5, m6, m7, m8)
    # n = (T R)0 x (T R)1 = R^T W^T (J0 x J1); det P P^T is the sum of (sj sl n_k)^2, f_k = (sj sl)^2 n_k / det
    n0 = o6 * (j00 * j11) - o0 * (j02 * j11) - o3 * (j00 * j12)
    n1 = o7 * (j00 * j11) - o1 * (j02 * j11) - o4 * (j00 * j12)
    n2 = o8 * (j00 * j11) - o2 * (j02 * j11) - o5 * (j00 * j12)
    f0 = s1 * s1 * s2 * s2 * n0 / before
    f1 = s2 * s2 * s0 * s0 * n1 / before
    f2 = s0 * s0 * s1 * s1 * n2 / before
    q0 = s0 * b0 * s0
    q1 = s1 * b1 * s1
    q2 = s2 * b2 * s2
    h00, h10 = whitened(a0, b0, q1, n2, q2, n1, low_pass, inverse, u11)
    h01, h11 = whitened(a1, b1, q2, n0, q0, n2, low_pass, inverse, u11)
    h02, h12 = whitened(a2, b2, q0, n1, q1, n0, low_pass, inverse, u11)
    put_scale(lines, rows, stride, inside, shown, 3, s0 * h00, s0 * h10, f1 * n1 + f2 * n2, ANTIALIAS)
    put_scale(lines, rows, stride, inside, shown, 4, s1 * h01, s1 * h11, f2 * n2 + f0 * n0, ANTIALIAS)
    put_scale(lines, rows, stride, inside, shown, 5, s2 * h02, s2 * h12, f0 * n0 + f1 * n1, ANTIALIAS)
    put_turn(lines, rows, stride, inside, shown, 6, s1, s2, h01, h11, h02, h12, f1 * n2 - f2 * n1, ANTIALIAS)
    put_turn(lines, rows, stride, inside, shown, 7, s2, s0, h02, h12, h00, h10, f2 * n0 - f0 * n2, ANTIALIAS)
    put_turn(lines, rows, stride, inside, shown, 8, s0, s1, h00, h10, h01, h11, f0 * n1 - f1 * n0, ANTIALIAS)
    put(lines, rows, stride, inside, shown, 0, 9, 1.0 - tl.load(opacities + row, mask=shown, other=1.0))
    step = j00 * j11 * inverse_z
    put_means(
        camera, lines, rows, stride, inside, shown, x, y, j00, j11, inside_x, inside_y, inverse_z, u00, u01, u11,
        s0 * h00, s1 * h01, s2 * h02, s0 * h10, s1 * h11, s2 * h12, s0 * o6, s1 * o7, s2 * o8,
        tl.where(inside_x, step * (f0 * o0 + f1 * o1 + f2 * o2), 0.0),
        tl.where(inside_y, step * (f0 * o3 + f1 * o4 + f2 * o5), 0.0), ANTIALIAS,
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
    (
        shown, x, y, z, s0, s1, s2, qw, qx, qy, qz, inverse_length, m0, m1, m2, m3, m4, m5, m6, m7, m8,
        j00, j11, j02, j12, inside_x, inside_y, inverse_z, t0, t1, t2, t3, t4, t5,
    ) = posed(means, quats, scales, extents, camera, rows, inside, MIN_QUAT_NORM, FOV_MARGIN)  # fmt: skip
    a0, a1, a2, b0, b1, b2 = columns_of(t0, t1, t2, t3, t4, t5, m0, m1, m2, m3, m4, m5, m6, m7, m8)
    xx, xy, yy, before, after = covariance(s0 * a0, s1 * a1, s2 * a2, s0 * b0, s1 * b1, s2 * b2, low_pass)
    u00, u01, u11, inverse = root(xx + low_pass, xy, yy + low_pass, after)
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
