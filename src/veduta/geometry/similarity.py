"""Similarity transforms, one scale, a rotation and a translation, of points, poses, cameras and Gaussians."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from veduta.core import Cameras, Gaussians, PointCloud
from veduta.geometry.rotations import quat_from_matrix, quat_multiply, rigid
from veduta.geometry.sh import rotate_sh


@dataclass(frozen=True, eq=False)
class Similarity:
    """``x' = scale * rotation @ x + translation``; kept in float64."""

    scale: float
    """> 0."""
    rotation: Float[Tensor, "3 3"]
    """Proper and orthonormal."""
    translation: Float[Tensor, "3"]

    def __post_init__(self) -> None:
        assert self.scale > 0, self.scale

    @staticmethod
    def identity() -> Similarity:
        """The transform that changes nothing."""
        return Similarity(1.0, torch.eye(3, dtype=torch.float64), torch.zeros(3, dtype=torch.float64))

    def inverse(self) -> Similarity:
        """``x`` from ``x'``."""
        turned = self.rotation.T
        return Similarity(1.0 / self.scale, turned, -(turned @ self.translation) / self.scale)

    def compose(self, first: Similarity) -> Similarity:
        """``first``, then this: ``a.compose(b)`` maps x to a(b(x))."""
        return Similarity(
            self.scale * first.scale,
            self.rotation @ first.rotation,
            self.scale * (self.rotation @ first.translation) + self.translation,
        )


def transform_points(xyz: Float[Tensor, "*b 3"], sim: Similarity) -> Float[Tensor, "*b 3"]:
    """Points moved, in their own dtype (worked out in float64); differentiable in the points."""
    turn, shift = sim.rotation.to(xyz.device), sim.translation.to(xyz.device)
    moved = sim.scale * (xyz.to(torch.float64) @ turn.T) + shift
    return moved.to(xyz.dtype)


def transform_poses(world_from_any: Float[Tensor, "*b 4 4"], sim: Similarity) -> Float[Tensor, "*b 4 4"]:
    """Rigid poses moved with the world: they stay rigid, their positions are scaled."""
    turned = sim.rotation.to(world_from_any.device) @ world_from_any[..., :3, :3].to(torch.float64)
    return rigid(turned.to(world_from_any.dtype), transform_points(world_from_any[..., :3, 3], sim))


def transform_gaussians(gaussians: Gaussians, sim: Similarity) -> Gaussians:
    """Gaussians moved, turned and scaled, colours turned with them; differentiable."""
    turn = quat_from_matrix(sim.rotation).to(gaussians.quats)
    return gaussians.replace(
        means=transform_points(gaussians.means, sim),
        quats=quat_multiply(turn, gaussians.quats),
        scales=gaussians.scales * sim.scale,
        sh=rotate_sh(gaussians.sh, sim.rotation.to(gaussians.sh.dtype)),
    )


def transform_cameras(cameras: Cameras, sim: Similarity) -> Cameras:
    """Cameras that see the transformed world as they saw the old one, z depths scaled."""
    return cameras.replace(world_from_camera=transform_poses(cameras.world_from_camera, sim))


def transform_cloud(points: PointCloud, sim: Similarity) -> PointCloud:
    """A point cloud moved; colours and times stay."""
    return points.replace(xyz=transform_points(points.xyz, sim))
