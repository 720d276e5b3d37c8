"""Triton: from gradients of what was projected to gradients of means, quaternions, scales and opacities."""

from __future__ import annotations

import triton
import triton.language as tl

from veduta.render.cuda.project_kernels import columns_of, covariance, load_3, load_rows, posed

THIN = tl.constexpr(1e-20)
"""Below this determinant (px^4) an ellipse has no area to speak of, and antialiasing no gradient."""


@triton.jit
def conic_backward(xx, xy, yy, inverse, vxx, vxy, vyy):
    """dS = -Q G Q for the conic Q = S^-1: gradients by S's xx, xy (each of the two), yy."""
    qa = yy * inverse
    qb = -(xy * inverse)
    qc = xx * inverse
    half = 0.5 * vxy
    m00 = qa * vxx + qb * half
    m01 = qa * half + qb * vyy
    m10 = qb * vxx + qc * half
    m11 = qb * half + qc * vyy
    return -(m00 * qa + m01 * qb), -(m00 * qb + m01 * qc), -(m10 * qb + m11 * qc)


@triton.jit
def fade_backward(da, db, dc, xx, xy, yy, before, after, low_pass, opacity, gain):
    """Adds what opacity sqrt(before / after) gives to the gradients by S; and the gradient by the opacity itself."""
    thin = before <= THIN
    factor = tl.sqrt(tl.maximum(before / after, 0.0))
    share = tl.where(thin, 0.0, 0.5 * gain * opacity * factor)
    own = share / tl.where(thin, 1.0, before)
    all_of_it = share / after
    da = da + own * yy - all_of_it * (yy + low_pass)
    db = db - own * xy + all_of_it * xy
    dc = dc + own * xx - all_of_it * (xx + low_pass)
    return da, db, dc, gain * factor


@triton.jit
def rotation_backward(w, x, y, z, inverse, v0, v1, v2, v3, v4, v5, v6, v7, v8):
    """d loss / d quaternion (as given, of any length) from d loss / d matrix."""
    gw = 2.0 * (x * (v7 - v5) + y * (v2 - v6) + z * (v3 - v1))
    gx = 2.0 * (y * (v1 + v3) + z * (v2 + v6) + w * (v7 - v5) - 2.0 * x * (v4 + v8))
    gy = 2.0 * (x * (v1 + v3) + z * (v7 + v5) + w * (v2 - v6) - 2.0 * y * (v0 + v8))
    gz = 2.0 * (x * (v2 + v6) + y * (v7 + v5) + w * (v3 - v1) - 2.0 * z * (v0 + v4))
    along = w * gw + x * gx + y * gy + z * gz
    return (
        (gw - w * along) * inverse,
        (gx - x * along) * inverse,
        (gy - y * along) * inverse,
        (gz - z * along) * inverse,
    )


@triton.jit
def column_backward(t0, t1, t2, t3, t4, t5, ma, mb, mc, s, va, vb):
    """Through one column of P = T R diag(s): by s, by the column of R (3), and what it adds to T (6)."""
    ga = t0 * va + t3 * vb
    gb = t1 * va + t4 * vb
    gc = t2 * va + t5 * vb
    vs = ga * ma + gb * mb + gc * mc
    sa = ma * s
    sb = mb * s
    sc = mc * s
    return vs, ga * s, gb * s, gc * s, va * sa, va * sb, va * sc, vb * sa, vb * sb, vb * sc


@triton.jit
def point_backward(
    camera, x, y, j00, j11, j02, j12, inside_x, inside_y, inverse_z, vt0, vt1, vt2, vt3, vt4, vt5, vu, vv, vd
):
    """From T, the projected centre and the depth to the mean in world axes."""
    w6 = tl.load(camera + 6)
    w7 = tl.load(camera + 7)
    w8 = tl.load(camera + 8)
    v00 = vt0 * tl.load(camera + 0) + vt1 * tl.load(camera + 1) + vt2 * tl.load(camera + 2)
    v02 = vt0 * w6 + vt1 * w7 + vt2 * w8
    v11 = vt3 * tl.load(camera + 3) + vt4 * tl.load(camera + 4) + vt5 * tl.load(camera + 5)
    v12 = vt3 * w6 + vt4 * w7 + vt5 * w8
    # j02 = -fx slope / z, slope = clamp(x / z): through the slope only where it is not clamped
    across = tl.where(inside_x, -(v02 * j00), 0.0)
    down = tl.where(inside_y, -(v12 * j11), 0.0)
    rx = x * inverse_z
    ry = y * inverse_z
    vx = across * inverse_z + vu * j00
    vy = down * inverse_z + vv * j11
    vz = vd - inverse_z * (v00 * j00 + v11 * j11 + v02 * j02 + v12 * j12 + across * rx + down * ry)
    vz = vz - (vu * j00 * rx + vv * j11 * ry)
    gx = vx * tl.load(camera + 0) + vy * tl.load(camera + 3) + vz * w6
    gy = vx * tl.load(camera + 1) + vy * tl.load(camera + 4) + vz * w7
    gz = vx * tl.load(camera + 2) + vy * tl.load(camera + 5) + vz * w8
    return gx, gy, gz


@triton.jit
def store_3(base, rows, inside, shown, a, b, c):
    """Three columns, 0 where nothing is drawn."""
    tl.store(base + 3 * rows, tl.where(shown, a, 0.0), mask=inside)
    tl.store(base + 3 * rows + 1, tl.where(shown, b, 0.0), mask=inside)
    tl.store(base + 3 * rows + 2, tl.where(shown, c, 0.0), mask=inside)


@triton.jit(do_not_specialize=["n"])
def project_backward_kernel(
    means, quats, scales, opacities, camera, extents, v_px, v_conics, v_depths, v_filtered,
    v_means, v_quats, v_scales, v_opacities, n, low_pass,
    MIN_QUAT_NORM: tl.constexpr, FOV_MARGIN: tl.constexpr, ANTIALIAS: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    """The vector-Jacobian product of ``project_kernel``; rows that are not drawn get 0."""
    rows = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    inside = rows < n
    (
        shown, x, y, z, s0, s1, s2, w, i, j, k, inverse_length, m0, m1, m2, m3, m4, m5, m6, m7, m8,
        j00, j11, j02, j12, inside_x, inside_y, inverse_z, t0, t1, t2, t3, t4, t5,
    ) = posed(means, quats, scales, extents, camera, rows, inside, MIN_QUAT_NORM, FOV_MARGIN)  # fmt: skip
    p0, p1, p2, p3, p4, p5 = columns_of(t0, t1, t2, t3, t4, t5, m0, m1, m2, m3, m4, m5, m6, m7, m8)
    p0 *= s0
    p1 *= s1
    p2 *= s2
    p3 *= s0
    p4 *= s1
    p5 *= s2
    xx, xy, yy, before, after = covariance(p0, p1, p2, p3, p4, p5, low_pass)
    vxx, vxy, vyy = load_3(v_conics, rows, shown, 0.0)
    da, db, dc = conic_backward(xx + low_pass, xy, yy + low_pass, 1.0 / after, vxx, vxy, vyy)
    if ANTIALIAS:
        opacity = tl.load(opacities + rows, mask=shown, other=0.0)
        gain = tl.load(v_filtered + rows, mask=shown, other=0.0)
        da, db, dc, own = fade_backward(da, db, dc, xx, xy, yy, before, after, low_pass, opacity, gain)
        tl.store(v_opacities + rows, tl.where(shown, own, 0.0), mask=inside)
    # d loss / d P = 2 dS P, column by column
    a0, r0, r3, r6, t00, t01, t02, t03, t04, t05 = column_backward(
        t0, t1, t2, t3, t4, t5, m0, m3, m6, s0, 2.0 * (da * p0 + db * p3), 2.0 * (db * p0 + dc * p3)
    )
    a1, r1, r4, r7, t10, t11, t12, t13, t14, t15 = column_backward(
        t0, t1, t2, t3, t4, t5, m1, m4, m7, s1, 2.0 * (da * p1 + db * p4), 2.0 * (db * p1 + dc * p4)
    )
    a2, r2, r5, r8, t20, t21, t22, t23, t24, t25 = column_backward(
        t0, t1, t2, t3, t4, t5, m2, m5, m8, s2, 2.0 * (da * p2 + db * p5), 2.0 * (db * p2 + dc * p5)
    )
    store_3(v_scales, rows, inside, shown, a0, a1, a2)
    qw, qx, qy, qz = rotation_backward(w, i, j, k, inverse_length, r0, r1, r2, r3, r4, r5, r6, r7, r8)
    tl.store(v_quats + 4 * rows, tl.where(shown, qw, 0.0), mask=inside)
    tl.store(v_quats + 4 * rows + 1, tl.where(shown, qx, 0.0), mask=inside)
    tl.store(v_quats + 4 * rows + 2, tl.where(shown, qy, 0.0), mask=inside)
    tl.store(v_quats + 4 * rows + 3, tl.where(shown, qz, 0.0), mask=inside)
    gx, gy, gz = point_backward(
        camera, x, y, j00, j11, j02, j12, inside_x, inside_y, inverse_z,
        t00 + t10 + t20, t01 + t11 + t21, t02 + t12 + t22, t03 + t13 + t23, t04 + t14 + t24, t05 + t15 + t25,
        load_rows(v_px, rows, shown, 2, 0, 0.0),
        load_rows(v_px, rows, shown, 2, 1, 0.0),
        tl.load(v_depths + rows, mask=shown, other=0.0),
    )  # fmt: skip
    store_3(v_means, rows, inside, shown, gx, gy, gz)
