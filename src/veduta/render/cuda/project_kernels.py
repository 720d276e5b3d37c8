"""Triton: perspective projection of Gaussians (EWA: Zwicker 2001, as in Kerbl 2023) and its vector-Jacobian product.

S = P P^T + low_pass I with P = J W R diag(s); everything below follows from that one line. A camera is 21 float32
numbers: rotation and translation of camera_from_world (12), position (3), fx, fy, cx, cy, width, height.
"""

from __future__ import annotations

import triton
import triton.language as tl


@triton.jit
def rotation(w, x, y, z, MIN_QUAT_NORM: tl.constexpr):
    """The unit quaternion (0: the identity), its inverse length (0 for 0), and the nine entries of its matrix."""
    square = w * w + x * x + y * y + z * z
    zero = square <= MIN_QUAT_NORM * MIN_QUAT_NORM
    inverse = tl.where(zero, 0.0, 1.0 / tl.sqrt(tl.where(zero, 1.0, square)))
    w = tl.where(zero, 1.0, w * inverse)
    x = x * inverse
    y = y * inverse
    z = z * inverse
    m0 = 1.0 - 2.0 * (y * y + z * z)
    m1 = 2.0 * (x * y - w * z)
    m2 = 2.0 * (x * z + w * y)
    m3 = 2.0 * (x * y + w * z)
    m4 = 1.0 - 2.0 * (x * x + z * z)
    m5 = 2.0 * (y * z - w * x)
    m6 = 2.0 * (x * z - w * y)
    m7 = 2.0 * (y * z + w * x)
    m8 = 1.0 - 2.0 * (x * x + y * y)
    return w, x, y, z, inverse, m0, m1, m2, m3, m4, m5, m6, m7, m8


@triton.jit
def in_camera_axes(camera, mx, my, mz):
    """x, y, z of world points in camera axes."""
    x = mx * tl.load(camera + 0) + my * tl.load(camera + 1) + mz * tl.load(camera + 2) + tl.load(camera + 9)
    y = mx * tl.load(camera + 3) + my * tl.load(camera + 4) + mz * tl.load(camera + 5) + tl.load(camera + 10)
    z = mx * tl.load(camera + 6) + my * tl.load(camera + 7) + mz * tl.load(camera + 8) + tl.load(camera + 11)
    return x, y, z


@triton.jit
def slope(ratio, focal, centre, size, FOV_MARGIN: tl.constexpr):
    """x / z kept near the image, and where it was not touched."""
    margin = FOV_MARGIN * 0.5 * size / focal
    low = -centre / focal - margin
    high = (size - centre) / focal + margin
    return tl.minimum(tl.maximum(ratio, low), high), (ratio >= low) & (ratio <= high)


@triton.jit
def jacobian(camera, x, y, z, FOV_MARGIN: tl.constexpr):
    """J's entries j00, j11, j02, j12, where the slopes were not clamped, and 1 / z."""
    fx = tl.load(camera + 15)
    fy = tl.load(camera + 16)
    inverse_z = 1.0 / z
    across, inside_x = slope(x * inverse_z, fx, tl.load(camera + 17), tl.load(camera + 19), FOV_MARGIN)
    down, inside_y = slope(y * inverse_z, fy, tl.load(camera + 18), tl.load(camera + 20), FOV_MARGIN)
    j00 = fx * inverse_z
    j11 = fy * inverse_z
    return j00, j11, -(j00 * across), -(j11 * down), inside_x, inside_y, inverse_z


@triton.jit
def screen_from_world(camera, j00, j11, j02, j12):
    """T = J W, by rows."""
    w6 = tl.load(camera + 6)
    w7 = tl.load(camera + 7)
    w8 = tl.load(camera + 8)
    t0 = j00 * tl.load(camera + 0) + j02 * w6
    t1 = j00 * tl.load(camera + 1) + j02 * w7
    t2 = j00 * tl.load(camera + 2) + j02 * w8
    t3 = j11 * tl.load(camera + 3) + j12 * w6
    t4 = j11 * tl.load(camera + 4) + j12 * w7
    t5 = j11 * tl.load(camera + 5) + j12 * w8
    return t0, t1, t2, t3, t4, t5


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
def covariance(p0, p1, p2, p3, p4, p5, low_pass):
    """P P^T before the low pass (xx, xy, yy), its determinant, and the determinant after it.

    det P P^T is the sum of the squared 2x2 minors of P (Cauchy-Binet): no cancellation, unlike xx yy - xy^2.
    """
    xx = p0 * p0 + p1 * p1 + p2 * p2
    xy = p0 * p3 + p1 * p4 + p2 * p5
    yy = p3 * p3 + p4 * p4 + p5 * p5
    n0 = p0 * p4 - p1 * p3
    n1 = p0 * p5 - p2 * p3
    n2 = p1 * p5 - p2 * p4
    before = n0 * n0 + n1 * n1 + n2 * n2
    return xx, xy, yy, before, before + low_pass * (xx + yy + low_pass)


@triton.jit
def is_finite(a):
    """Not NaN and not infinite (nor within 12 % of overflowing)."""
    return tl.abs(a) < 3e38


@triton.jit
def load_rows(base, rows, inside, COLUMNS: tl.constexpr, column: tl.constexpr, other):
    """One column of a row-major array; ``other`` outside."""
    return tl.load(base + rows * COLUMNS + column, mask=inside, other=other)


@triton.jit
def load_quats(quats, rows, there):
    """Four columns; the identity where not ``there``."""
    w = load_rows(quats, rows, there, 4, 0, 1.0)
    x = load_rows(quats, rows, there, 4, 1, 0.0)
    y = load_rows(quats, rows, there, 4, 2, 0.0)
    z = load_rows(quats, rows, there, 4, 3, 0.0)
    return w, x, y, z


@triton.jit
def load_3(base, rows, there, other):
    """Three columns; ``other`` where not ``there``."""
    a = load_rows(base, rows, there, 3, 0, other)
    b = load_rows(base, rows, there, 3, 1, other)
    c = load_rows(base, rows, there, 3, 2, other)
    return a, b, c


@triton.jit
def posed(means, quats, scales, extents, camera, rows, inside, MIN_QUAT_NORM: tl.constexpr, FOV_MARGIN: tl.constexpr):
    """Some rows again, once it is known which are drawn: whether they are, centre in camera axes (z is 1 where not),
    scales, unit quaternion and its inverse length, rotation, what :func:`jacobian` gives, T.
    """
    shown = tl.load(extents + 2 * rows, mask=inside, other=0.0) > 0.0
    mx, my, mz = load_3(means, rows, shown, 0.0)
    x, y, z = in_camera_axes(camera, mx, my, mz)
    z = tl.where(shown, z, 1.0)
    s0, s1, s2 = load_3(scales, rows, shown, 1.0)
    w, i, j, k = load_quats(quats, rows, shown)
    w, i, j, k, inverse_length, m0, m1, m2, m3, m4, m5, m6, m7, m8 = rotation(w, i, j, k, MIN_QUAT_NORM)
    j00, j11, j02, j12, inside_x, inside_y, inverse_z = jacobian(camera, x, y, z, FOV_MARGIN)
    t0, t1, t2, t3, t4, t5 = screen_from_world(camera, j00, j11, j02, j12)
    return (
        shown, x, y, z, s0, s1, s2, w, i, j, k, inverse_length, m0, m1, m2, m3, m4, m5, m6, m7, m8,
        j00, j11, j02, j12, inside_x, inside_y, inverse_z, t0, t1, t2, t3, t4, t5,
    )  # fmt: skip


@triton.jit
def ellipse(
    means, quats, scales, camera, rows, inside, low_pass, MIN_QUAT_NORM: tl.constexpr, FOV_MARGIN: tl.constexpr
):
    """The centre in camera axes and P P^T of some rows: x, y, z, xx, xy, yy, determinants before and after."""
    mx, my, mz = load_3(means, rows, inside, 0.0)
    qw, qx, qy, qz = load_quats(quats, rows, inside)
    s0, s1, s2 = load_3(scales, rows, inside, 1.0)
    qw, qx, qy, qz, inverse, m0, m1, m2, m3, m4, m5, m6, m7, m8 = rotation(qw, qx, qy, qz, MIN_QUAT_NORM)
    x, y, z = in_camera_axes(camera, mx, my, mz)
    j00, j11, j02, j12, inside_x, inside_y, inverse_z = jacobian(camera, x, y, z, FOV_MARGIN)
    t0, t1, t2, t3, t4, t5 = screen_from_world(camera, j00, j11, j02, j12)
    a0, a1, a2, b0, b1, b2 = columns_of(t0, t1, t2, t3, t4, t5, m0, m1, m2, m3, m4, m5, m6, m7, m8)
    xx, xy, yy, before, after = covariance(s0 * a0, s1 * a1, s2 * a2, s0 * b0, s1 * b1, s2 * b2, low_pass)
    return x, y, z, xx, xy, yy, before, after


@triton.jit(do_not_specialize=["n"])
def project_kernel(
    means, quats, scales, opacities, camera, means_px, conics, depths, extents, filtered, n, near, far, low_pass,
    MIN_ALPHA: tl.constexpr, MIN_QUAT_NORM: tl.constexpr, FOV_MARGIN: tl.constexpr, ANTIALIAS: tl.constexpr,
    BLOCK: tl.constexpr,
):  # fmt: skip
    """What :class:`~veduta.render.cuda.functions.Project` says; all outputs are 0 where nothing is drawn."""
    rows = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    inside = rows < n
    x, y, z, xx, xy, yy, before, after = ellipse(
        means, quats, scales, camera, rows, inside, low_pass, MIN_QUAT_NORM, FOV_MARGIN
    )
    opacity = tl.load(opacities + rows, mask=inside, other=0.0)
    if ANTIALIAS:
        opacity = opacity * tl.sqrt(tl.maximum(before / after, 0.0))
    u = tl.load(camera + 15) * (x / z) + tl.load(camera + 17)
    v = tl.load(camera + 16) * (y / z) + tl.load(camera + 18)
    wide = xx + low_pass
    tall = yy + low_pass
    # alpha = min_alpha on the ellipse of half-axes sqrt(2 ln(opacity / min_alpha) S)
    seen = opacity >= MIN_ALPHA
    reach = tl.maximum(2.0 * tl.log(tl.where(seen, opacity / MIN_ALPHA, 1.0)), 0.0)
    ex = tl.sqrt(reach * wide)
    ey = tl.sqrt(reach * tall)
    inverse = 1.0 / after
    shown = inside & seen & (z >= near) & (z <= far) & (z > 0.0) & (after > 0.0)
    shown = shown & is_finite(after) & is_finite(u) & is_finite(v) & is_finite(ex) & is_finite(ey)
    shown = shown & (u + ex > 0.0) & (u - ex < tl.load(camera + 19))
    shown = shown & (v + ey > 0.0) & (v - ey < tl.load(camera + 20))
    shown = shown & is_finite(inverse) & is_finite(wide * inverse) & is_finite(tall * inverse)
    tl.store(means_px + 2 * rows, tl.where(shown, u, 0.0), mask=inside)
    tl.store(means_px + 2 * rows + 1, tl.where(shown, v, 0.0), mask=inside)
    tl.store(conics + 3 * rows, tl.where(shown, tall * inverse, 0.0), mask=inside)
    tl.store(conics + 3 * rows + 1, tl.where(shown, -(xy * inverse), 0.0), mask=inside)
    tl.store(conics + 3 * rows + 2, tl.where(shown, wide * inverse, 0.0), mask=inside)
    tl.store(depths + rows, tl.where(shown, z, 0.0), mask=inside)
    # an opacity of exactly min_alpha reaches nothing but its centre: a positive extent keeps it visible
    tl.store(extents + 2 * rows, tl.where(shown, tl.maximum(ex, 1e-6), 0.0), mask=inside)
    tl.store(extents + 2 * rows + 1, tl.where(shown, tl.maximum(ey, 1e-6), 0.0), mask=inside)
    if ANTIALIAS:
        tl.store(filtered + rows, tl.where(shown, opacity, 0.0), mask=inside)
