"""From the world to pixels and back."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from veduta.core import Cameras
from veduta.geometry.lens import distort, undistort
from veduta.geometry.rotations import rigid_inverse


def project(
    points_world: Float[Tensor, "n 3"], cameras: Cameras
) -> tuple[Float[Tensor, "c n 2"], Float[Tensor, "c n"]]:
    """Pixels (with the lens, if there is one) and z depths of points in every camera; differentiable.

    Pixels are meaningless, but finite, where depth <= 0.
    """
    with torch.autocast(points_world.device.type, enabled=False):  # half precision would miss by whole pixels
        camera_from_world = rigid_inverse(cameras.world_from_camera).to(points_world)
        points = points_world @ camera_from_world[:, :3, :3].mT + camera_from_world[:, None, :3, 3]
    depth = points[..., 2]
    divisor = torch.where(depth.abs() < torch.finfo(depth.dtype).eps, torch.ones_like(depth), depth)
    xy = distort(points[..., :2] / divisor[..., None], cameras.lens)
    matrix = cameras.intrinsics.to(points_world)
    px = xy * torch.diagonal(matrix, dim1=-2, dim2=-1)[:, None, :2] + matrix[:, None, :2, 2]
    return px, depth


def unproject_rays(cameras: Cameras) -> tuple[Float[Tensor, "c 3"], Float[Tensor, "c h w 3"]]:
    """Optical centres, and unit directions in the world through every pixel centre.

    A point at z depth d on a ray lies at ``origin + d * direction / cos``, cos being the direction's share of the
    optical axis, ``direction . world_from_camera[:3, 2]``.
    """
    matrix = cameras.intrinsics
    y = torch.arange(cameras.height, dtype=matrix.dtype, device=matrix.device) + 0.5
    x = torch.arange(cameras.width, dtype=matrix.dtype, device=matrix.device) + 0.5
    px = torch.stack([x.expand(cameras.height, -1), y[:, None].expand(-1, cameras.width)], dim=-1)
    focal = torch.diagonal(matrix, dim1=-2, dim2=-1)[:, None, None, :2]
    xy = undistort((px - matrix[:, None, None, :2, 2]) / focal, cameras.lens)
    local = torch.cat([xy, torch.ones_like(xy[..., :1])], dim=-1)
    local = local / torch.linalg.vector_norm(local, dim=-1, keepdim=True)
    rotation = cameras.world_from_camera[:, None, :3, :3].to(matrix.dtype)
    with torch.autocast(local.device.type, enabled=False):
        return cameras.positions_world, local @ rotation.mT


def scale_cameras(cameras: Cameras, *, width: int, height: int) -> Cameras:
    """The same cameras with pictures of another size: the field of view stays, the intrinsics scale per axis."""
    assert width > 0, width
    assert height > 0, height
    factors = cameras.intrinsics.new_tensor([width / cameras.width, height / cameras.height, 1.0])
    return cameras.replace(intrinsics=cameras.intrinsics * factors[:, None], width=width, height=height)
