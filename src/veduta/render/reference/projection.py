"""From Gaussians in the world to ellipses on the screen (Zwicker 2001, EWA splatting; Kerbl 2023).

Legend: mu -> means, Sigma -> R S S^T R^T, W -> rotation of camera_from_world, J -> Jacobian of the pinhole at the mean,
t = W mu + translation -> the mean in camera axes, Sigma' = J W Sigma W^T J^T -> the covariance in the image.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from veduta.core import Cameras, Gaussians, RasterOptions
from veduta.core.record import TensorRecord
from veduta.geometry.sh import sh_basis
from veduta.render.reference.cutoffs import MIN_QUAT_NORM, Cutoffs
from veduta.render.shared import used_sh_degree

FOV_MARGIN = 0.3
"""The Jacobian is taken at most this share of tan(half the field of view) outside the image, where it would blow up."""


@dataclass(frozen=True, eq=False)
class Pinholes(TensorRecord):
    """What projection needs of c cameras."""

    camera_from_world: Float[Tensor, "c 3 4"]
    positions_world: Float[Tensor, "c 3"]
    focal_px: Float[Tensor, "c 2"]
    center_px: Float[Tensor, "c 2"]
    width: int
    height: int

    @staticmethod
    def of(cameras: Cameras, dtype: torch.dtype) -> Pinholes:
        """The cameras' pinholes, in ``dtype``; the lens is not looked at."""
        pose = cameras.world_from_camera.to(dtype)
        rotation = pose[:, :3, :3].transpose(1, 2)
        translation = -rotation @ pose[:, :3, 3:]
        intrinsics = cameras.intrinsics.to(dtype)
        return Pinholes(
            camera_from_world=torch.cat([rotation, translation], dim=2),
            positions_world=pose[:, :3, 3],
            focal_px=torch.stack([intrinsics[:, 0, 0], intrinsics[:, 1, 1]], dim=-1),
            center_px=intrinsics[:, :2, 2],
            width=cameras.width,
            height=cameras.height,
        )


@dataclass(frozen=True, eq=False)
class Splats(TensorRecord):
    """m ellipses: the drawable pairs of a camera and a Gaussian."""

    means_px: Float[Tensor, "m 2"]
    depth: Float[Tensor, " m"]
    """z in camera axes."""
    conic: Float[Tensor, "m 3"]
    """Inverse covariance in the image, packed (xx, xy, yy), 1 / px^2."""
    opacity: Float[Tensor, " m"]
    """With the antialiasing factor, where that was asked for."""
    extent_px: Float[Tensor, "m 2"]
    """Half the sides of the smallest rectangle that holds all points where alpha >= ``min_alpha``."""
    color: Float[Tensor, "m 3"]


def drawable(
    gaussians: Gaussians, pinholes: Pinholes, *, options: RasterOptions, cutoffs: Cutoffs
) -> Bool[Tensor, "c n"]:
    """Which Gaussians can be seen by which cameras.

    Not drawn are those with a value that is not finite, those with z outside [near, far] or not positive, those whose
    image covariance is singular or overflows, those of opacity below ``min_alpha`` (after antialiasing), and those
    whose rectangle of extents misses the image. The selection itself has no gradient.
    """
    with torch.no_grad():
        degree = used_sh_degree(gaussians, options)
        fields = (gaussians.means, gaussians.quats, gaussians.scales, gaussians.opacities[:, None])
        finite = torch.stack([t.isfinite().all(dim=-1) for t in fields]).all(dim=0)
        finite &= gaussians.sh[:, : (degree + 1) ** 2].isfinite().flatten(1).all(dim=-1)
        keep = finite.expand(pinholes.focal_px.shape[0], -1)
        camera, row = keep.nonzero(as_tuple=True)
        z = in_camera_axes(gaussians.means[row], pinholes.map(lambda t: t[camera]))[:, 2]
        deep_enough = (z >= options.near_m) & (z <= options.far_m) & (z > 0)
        camera, row = camera[deep_enough], row[deep_enough]
        splats = project(gaussians, pinholes, camera, row, options=options, cutoffs=cutoffs)
        size = splats.means_px.new_tensor([pinholes.width, pinholes.height])
        low, high = splats.means_px - splats.extent_px, splats.means_px + splats.extent_px
        shown = (high > 0).all(dim=-1) & (low < size).all(dim=-1) & (splats.opacity >= cutoffs.min_alpha)
        values = (splats.means_px, splats.conic, splats.opacity[:, None], splats.color)
        shown &= torch.stack([t.isfinite().all(dim=-1) for t in values]).all(dim=0)
        shown &= (splats.conic[:, ::2] > 0).all(dim=-1)  # 0 where the determinant overflows
        result = torch.zeros_like(keep)
        result[camera[shown], row[shown]] = True
        return result


def project(
    gaussians: Gaussians,
    pinholes: Pinholes,
    camera: Int[Tensor, " m"],
    row: Int[Tensor, " m"],
    *,
    options: RasterOptions,
    cutoffs: Cutoffs,
) -> Splats:
    """The ellipses of m pairs of a camera and a Gaussian; differentiable to both."""
    pinholes = pinholes.map(lambda t: t[camera])
    means = gaussians.means[row]
    points = in_camera_axes(means, pinholes)
    means_px = pinholes.focal_px * points[:, :2] / points[:, 2:] + pinholes.center_px
    world_from_own = rotation_of(gaussians.quats[row]) * gaussians.scales[row][:, None, :]
    screen_from_own = jacobian(points, pinholes) @ pinholes.camera_from_world[:, :, :3] @ world_from_own
    covariance, shrink = image_covariance(screen_from_own, low_pass_px2=options.low_pass_px2)
    xx, xy, yy, determinant = covariance.unbind(-1)
    opacity = gaussians.opacities[row]
    if options.antialias:
        opacity = opacity * shrink
    reach = 2 * torch.log(opacity.detach() / cutoffs.min_alpha).clamp(min=0)
    degree = used_sh_degree(gaussians, options)
    return Splats(
        means_px=means_px,
        depth=points[:, 2],
        conic=torch.stack([yy, -xy, xx], dim=-1) / determinant[:, None],
        opacity=opacity,
        extent_px=torch.sqrt(reach)[:, None] * torch.sqrt(torch.stack([xx, yy], dim=-1)).detach(),
        color=color_towards(gaussians.sh[row], means - pinholes.positions_world, degree),
    )


def in_camera_axes(means: Float[Tensor, "m 3"], pinholes: Pinholes) -> Float[Tensor, "m 3"]:
    """World points, each in the axes of its own camera (m points, m cameras)."""
    pose = pinholes.camera_from_world
    return (pose[:, :, :3] @ means[:, :, None])[:, :, 0] + pose[:, :, 3]


def rotation_of(quats: Float[Tensor, "m 4"]) -> Float[Tensor, "m 3 3"]:
    """Rotation matrices of quaternions wxyz of any length; the identity, without gradient, for zero ones."""
    zero = quats.detach().norm(dim=-1, keepdim=True) < MIN_QUAT_NORM
    identity = quats.new_tensor([1.0, 0.0, 0.0, 0.0])
    safe = torch.where(zero, identity, quats)
    w, x, y, z = (safe / safe.norm(dim=-1, keepdim=True)).unbind(-1)
    entries = [
        1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y),
        2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x),
        2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y),
    ]  # fmt: skip
    return torch.stack(entries, dim=-1).reshape(-1, 3, 3)


def jacobian(points: Float[Tensor, "m 3"], pinholes: Pinholes) -> Float[Tensor, "m 2 3"]:
    """Derivative of the pixel by the point in camera axes, with x/z and y/z kept near the image (``FOV_MARGIN``)."""
    size = points.new_tensor([pinholes.width, pinholes.height])
    margin = FOV_MARGIN * 0.5 * size / pinholes.focal_px
    low = -pinholes.center_px / pinholes.focal_px - margin
    high = (size - pinholes.center_px) / pinholes.focal_px + margin
    z = points[:, 2:]
    slope = torch.minimum(torch.maximum(points[:, :2] / z, low.detach()), high.detach())
    return torch.cat([torch.diag_embed(pinholes.focal_px / z), (-pinholes.focal_px * slope / z)[:, :, None]], dim=2)


def image_covariance(
    screen_from_own: Float[Tensor, "m 2 3"], *, low_pass_px2: float
) -> tuple[Float[Tensor, "m 4"], Float[Tensor, " m"]]:
    """The covariance in px^2 and its determinant as (xx, xy, yy, det), and sqrt(det before / det after the low pass).

    With M = ``screen_from_own`` of rows r0, r1, det(M M^T) = |r0 x r1|^2 (Cauchy-Binet). In this form nothing cancels
    for needles, and the determinant after the low pass is a sum of positive terms.
    """
    r0, r1 = screen_from_own.unbind(dim=1)
    xx, xy, yy = (r0 * r0).sum(-1), (r0 * r1).sum(-1), (r1 * r1).sum(-1)
    before = torch.linalg.cross(r0, r1).square().sum(-1)
    after = before + low_pass_px2 * (xx + yy) + low_pass_px2**2
    covariance = torch.stack([xx + low_pass_px2, xy, yy + low_pass_px2, after], dim=-1)
    return covariance, torch.sqrt(before / after)


def color_towards(sh: Float[Tensor, "m k 3"], offsets: Float[Tensor, "m 3"], degree: int) -> Float[Tensor, "m 3"]:
    """Colour seen along the offsets from camera to mean (any length): 0.5 + basis . sh, not below 0."""
    directions = offsets / offsets.norm(dim=-1, keepdim=True)
    basis = sh_basis(directions, degree)
    return (0.5 + torch.einsum("mk,mkc->mc", basis, sh[:, : basis.shape[1]])).clamp(min=0)
