"""Rotations and rigid transforms: unit quaternions wxyz, matrices, exponential coordinates.

Tangents of SE(3) are (translation part 3, rotation vector 3). Every function takes any leading batch shape, any float
dtype, and is differentiable, also at the identity.
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

_SMALL_ANGLE2 = 1e-6
"""Squared angle (rad^2) below which series replace quotients that tend to 0/0; the next terms are below 1e-14."""


def quat_normalize(quats: Float[Tensor, "*b 4"]) -> Float[Tensor, "*b 4"]:
    """Scaled to unit length; a zero quaternion becomes NaN-free but stays zero."""
    tiny = torch.finfo(quats.dtype).tiny
    return quats / torch.linalg.vector_norm(quats, dim=-1, keepdim=True).clamp_min(tiny)


def quat_multiply(a: Float[Tensor, "*#b 4"], b: Float[Tensor, "*#b 4"]) -> Float[Tensor, "... 4"]:
    """The Hamilton product: the rotation ``b`` first, then ``a``; batch shapes broadcast."""
    aw, ax, ay, az = a.unbind(-1)
    bw, bx, by, bz = b.unbind(-1)
    return torch.stack(
        [
            aw * bw - ax * bx - ay * by - az * bz,
            aw * bx + ax * bw + ay * bz - az * by,
            aw * by - ax * bz + ay * bw + az * bx,
            aw * bz + ax * by - ay * bx + az * bw,
        ],
        dim=-1,
    )


def quat_conjugate(quats: Float[Tensor, "*b 4"]) -> Float[Tensor, "*b 4"]:
    """The inverse of unit quaternions."""
    return quats * quats.new_tensor([1.0, -1.0, -1.0, -1.0])


def matrix_from_quat(quats: Float[Tensor, "*b 4"]) -> Float[Tensor, "*b 3 3"]:
    """Rotation matrices of quaternions, which are normalised first."""
    w, x, y, z = quat_normalize(quats).unbind(-1)
    rows = [
        1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y),
        2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x),
        2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y),
    ]  # fmt: skip
    return torch.stack(rows, dim=-1).unflatten(-1, (3, 3))


def quat_from_matrix(matrices: Float[Tensor, "*b 3 3"]) -> Float[Tensor, "*b 4"]:
    """Unit quaternions with w >= 0 of rotation matrices, accurate at every angle.

    The four rows below are each the quaternion times four times one of its components; the row of the largest component
    is taken (Shepperd 1978).
    """
    m = matrices
    m00, m11, m22 = m[..., 0, 0], m[..., 1, 1], m[..., 2, 2]
    wx, wy, wz = m[..., 2, 1] - m[..., 1, 2], m[..., 0, 2] - m[..., 2, 0], m[..., 1, 0] - m[..., 0, 1]
    xy, xz, yz = m[..., 0, 1] + m[..., 1, 0], m[..., 0, 2] + m[..., 2, 0], m[..., 1, 2] + m[..., 2, 1]
    rows = torch.stack(
        [
            torch.stack([1 + m00 + m11 + m22, wx, wy, wz], dim=-1),
            torch.stack([wx, 1 + m00 - m11 - m22, xy, xz], dim=-1),
            torch.stack([wy, xy, 1 - m00 + m11 - m22, yz], dim=-1),
            torch.stack([wz, xz, yz, 1 - m00 - m11 + m22], dim=-1),
        ],
        dim=-2,
    )
    largest = torch.diagonal(rows, dim1=-2, dim2=-1).argmax(dim=-1)
    chosen = torch.take_along_dim(rows, largest[..., None, None], dim=-2).squeeze(-2)
    quats = quat_normalize(chosen)
    return torch.where(quats[..., :1] < 0, -quats, quats)


def quat_slerp(
    a: Float[Tensor, "*#b 4"], b: Float[Tensor, "*#b 4"], fraction: Float[Tensor, "*#b"]
) -> Float[Tensor, "... 4"]:
    """Unit quaternions along the shortest great circle: ``a`` at fraction 0, ``b`` (or -b) at 1."""
    dot = (a * b).sum(-1, keepdim=True)
    b = torch.where(dot < 0, -b, b)
    chord2 = (b - a).square().sum(-1)  # 4 sin^2(angle / 2), accurate for small angles where acos is not
    small = chord2 < _SMALL_ANGLE2
    half = torch.asin((torch.where(small, torch.ones_like(chord2), chord2).sqrt() / 2).clamp_max(1.0))
    angle = 2 * half
    sine = torch.sin(angle)
    from_a = torch.where(small, 1 - fraction, torch.sin((1 - fraction) * angle) / sine)
    from_b = torch.where(small, fraction, torch.sin(fraction * angle) / sine)
    return quat_normalize(from_a[..., None] * a + from_b[..., None] * b)


def so3_exp(rotvecs: Float[Tensor, "*b 3"]) -> Float[Tensor, "*b 3 3"]:
    """Rotation matrices of rotation vectors (axis times angle, rad): Rodrigues' formula."""
    a, b, _ = _rodrigues(rotvecs)
    skew = _skew(rotvecs)
    eye = torch.eye(3, dtype=rotvecs.dtype, device=rotvecs.device)
    return eye + a[..., None, None] * skew + b[..., None, None] * (skew @ skew)


def so3_log(matrices: Float[Tensor, "*b 3 3"]) -> Float[Tensor, "*b 3"]:
    """Rotation vectors (rad, length at most pi) of rotation matrices."""
    w, vector = quat_from_matrix(matrices).split([1, 3], dim=-1)
    sine2 = vector.square().sum(-1, keepdim=True)
    small = sine2 < _SMALL_ANGLE2
    sine = torch.where(small, torch.ones_like(sine2), sine2).sqrt()
    cosine = w.clamp_min(0.5)  # only used where w is close to 1
    series = 2 / cosine * (1 - sine2 / (3 * cosine.square()))
    factor = torch.where(small, series, 2 * torch.atan2(sine, w) / sine)
    return factor * vector


def se3_exp(tangents: Float[Tensor, "*b 6"]) -> Float[Tensor, "*b 4 4"]:
    """Rigid transforms of tangents (translation part, rotation vector)."""
    moved, rotvecs = tangents.split([3, 3], dim=-1)
    _, b, c = _rodrigues(rotvecs)
    skew = _skew(rotvecs)
    eye = torch.eye(3, dtype=tangents.dtype, device=tangents.device)
    jacobian = eye + b[..., None, None] * skew + c[..., None, None] * (skew @ skew)
    return rigid(so3_exp(rotvecs), (jacobian @ moved[..., None]).squeeze(-1))


def se3_log(transforms: Float[Tensor, "*b 4 4"]) -> Float[Tensor, "*b 6"]:
    """Tangents (translation part, rotation vector) of rigid transforms."""
    rotvecs = so3_log(transforms[..., :3, :3])
    a, b, _ = _rodrigues(rotvecs)
    theta2 = rotvecs.square().sum(-1)
    small = theta2 < _SMALL_ANGLE2
    quotient = (1 - a / torch.where(small, torch.ones_like(b), 2 * b)) / torch.where(small, torch.ones_like(b), theta2)
    factor = torch.where(small, 1 / 12 + theta2 / 720, quotient)
    skew = _skew(rotvecs)
    eye = torch.eye(3, dtype=transforms.dtype, device=transforms.device)
    inverse = eye - skew / 2 + factor[..., None, None] * (skew @ skew)
    return torch.cat([(inverse @ transforms[..., :3, 3:]).squeeze(-1), rotvecs], dim=-1)


def rigid(rotation: Float[Tensor, "*#b 3 3"], translation: Float[Tensor, "*#b 3"]) -> Float[Tensor, "... 4 4"]:
    """Homogeneous matrices that turn, then move; batch shapes broadcast."""
    batch = torch.broadcast_shapes(rotation.shape[:-2], translation.shape[:-1])
    top = torch.cat([rotation.expand(*batch, 3, 3), translation.expand(*batch, 3)[..., None]], dim=-1)
    bottom = top.new_tensor([0.0, 0.0, 0.0, 1.0]).expand(*batch, 1, 4)
    return torch.cat([top, bottom], dim=-2)


def rigid_inverse(transforms: Float[Tensor, "*b 4 4"]) -> Float[Tensor, "*b 4 4"]:
    """The inverses of rigid transforms, by transposition: [R t]^-1 = [R^T, -R^T t]."""
    transposed = transforms[..., :3, :3].mT
    return rigid(transposed, -(transposed @ transforms[..., :3, 3:]).squeeze(-1))


def is_rigid(transforms: Float[Tensor, "*b 4 4"], tol: float = 1e-4) -> bool:
    """Whether all are finite, turn without stretching or mirroring (to ``tol``), and end in the row 0 0 0 1."""
    rotation = transforms[..., :3, :3]
    eye = torch.eye(3, dtype=transforms.dtype, device=transforms.device)
    last = transforms.new_tensor([0.0, 0.0, 0.0, 1.0])
    return bool(
        torch.isfinite(transforms).all()
        and ((rotation @ rotation.mT - eye).abs() <= tol).all()
        and (torch.linalg.det(rotation) > 0).all()
        and ((transforms[..., 3, :] - last).abs() <= tol).all()
    )


def _skew(v: Tensor) -> Tensor:
    """The matrix of the cross product v x."""
    x, y, z = v.unbind(-1)
    zero = torch.zeros_like(x)
    return torch.stack([zero, -z, y, z, zero, -x, -y, x, zero], dim=-1).unflatten(-1, (3, 3))


def _rodrigues(rotvecs: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """sin(t)/t, (1 - cos t)/t^2 and (t - sin t)/t^3 for the angle t = |rotvec|, by series near 0."""
    theta2 = rotvecs.square().sum(-1)
    small = theta2 < _SMALL_ANGLE2
    safe2 = torch.where(small, torch.ones_like(theta2), theta2)
    theta = safe2.sqrt()
    a = torch.where(small, 1 - theta2 / 6, torch.sin(theta) / theta)
    b = torch.where(small, 0.5 - theta2 / 24, 2 * torch.sin(theta / 2).square() / safe2)
    c = torch.where(small, 1 / 6 - theta2 / 120, (theta - torch.sin(theta)) / (safe2 * theta))
    return a, b, c
