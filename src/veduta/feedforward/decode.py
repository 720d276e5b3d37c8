"""What a network's raw numbers mean as Gaussians."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from veduta.core import Cameras, Gaussians, TensorRecord
from veduta.feedforward.harmonics import rotate_harmonics
from veduta.geometry import matrix_from_quat, quat_from_matrix, quat_normalize, rotate_sh

OPACITY_SHIFT = -2.1792
"""Added to the logit, so that an untrained network draws an opacity of 0.1."""
COARSE_SCALE = 0.5 * (2 / 64) / 3
"""Standard deviation, in units of the object's box, that the number 0 means for a coarse Gaussian (LaRa)."""
FINE_SCALE = 0.5 * (2 / 64) / 24
"""The same for a densified one."""


def object_gaussians(
    means: Float[Tensor, "n 3"], attributes: Float[Tensor, "n a"], *, unit_scale: float = FINE_SCALE
) -> Gaussians:
    """Gaussians of an object in its box [-0.5, 0.5]^3.

    Attributes are SH (3 (degree + 1)^2, coefficient by coefficient), opacity logit, log-scale (3) above ``unit_scale``,
    quaternion wxyz of any length; a network's half precision is taken for that of the means.
    """
    sh, opacity, log_scale, quats = attributes.to(means).split([attributes.shape[1] - 8, 1, 3, 4], dim=1)
    return Gaussians(
        means=means,
        quats=quat_normalize(quats),
        scales=torch.exp(log_scale + math.log(unit_scale)),
        opacities=torch.sigmoid(opacity[:, 0] + OPACITY_SHIFT),
        sh=sh.unflatten(1, (-1, 3)),
    )


MIN_SCALE_PX, MAX_SCALE_PX = 0.5, 15.0
"""Range of a scene Gaussian's standard deviations, in tenths of a pixel's size at its depth."""
PIXEL_SHARE = 0.1


@dataclass(frozen=True, eq=False)
class ScenePoints(TensorRecord):
    """Gaussians of one view of a scene in the world, harmonics still in the camera's axes."""

    means: Float[Tensor, "n 3"]
    quats: Float[Tensor, "n 4"]
    """wxyz, in the camera's axes."""
    scales: Float[Tensor, "n 3"]
    opacities: Float[Tensor, " n"]
    harmonics: Float[Tensor, "n 3 25"]
    world_from_camera: Float[Tensor, "4 4"]

    def covariances(self) -> Float[Tensor, "n 3 3"]:
        """In the world."""
        axes = self.world_from_camera[:3, :3] @ matrix_from_quat(self.quats) * self.scales[:, None]
        return axes @ axes.mT

    def published_harmonics(self) -> Float[Tensor, "n 3 25"]:
        """Turned into the world in the convention of the published weights."""
        return rotate_harmonics(self.harmonics, self.world_from_camera[:3, :3])

    def gaussians(self, *, e3nn_signs: bool = False) -> Gaussians:
        """As they are drawn, degrees up to 3.

        ``e3nn_signs``: harmonics are turned in the published weights' convention, axes (z, x, y), and then drawn in
        ours, signs apart, as these weights were trained; else they are ours from the start.
        """
        rotation = self.world_from_camera[:3, :3]
        if e3nn_signs:
            axes = self.means.new_tensor([[0.0, 0.0, 1.0], [1.0, 0.0, 0.0], [0.0, 1.0, 0.0]])
            sh = rotate_sh(self.published_harmonics()[..., :16].mT.contiguous(), axes.T)
        else:
            sh = rotate_sh(self.harmonics[..., :16].mT.contiguous(), rotation)
        return Gaussians(
            means=self.means,
            quats=quat_from_matrix(rotation @ matrix_from_quat(self.quats)),
            scales=self.scales,
            opacities=self.opacities,
            sh=sh,
        )


def pixel_gaussians(
    raw: Float[Tensor, "h w 84"],
    disparity: Float[Tensor, "h w"],
    opacity: Float[Tensor, "h w"],
    camera: Cameras,
    *,
    ray_distance: bool = False,
) -> ScenePoints:
    """A Gaussian per pixel of one view (MVSplat): offset (2), scales (3), quaternion xyzw (4), SH (75, by channel).

    1 / ``disparity`` is the z depth, or with ``ray_distance`` the distance along the ray.
    """
    height, width = disparity.shape
    offset, scale, quats, sh = raw.flatten(0, 1).split([2, 3, 4, 75], dim=1)
    y, x = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
    place = torch.stack([x, y], dim=-1).flatten(0, 1).to(raw) + 0.5 + torch.sigmoid(offset) - 0.5
    size = place.new_tensor([camera.width / width, camera.height / height])
    intrinsics = camera.intrinsics[0].to(raw)
    local = torch.cat([place * size, torch.ones_like(place[:, :1])], dim=1) @ torch.linalg.inv(intrinsics).T
    pose = camera.world_from_camera[0].to(raw)
    directions = (torch.nn.functional.normalize(local, dim=1) if ray_distance else local) @ pose[:3, :3].T
    distance = (1 / disparity).flatten()
    means = pose[:3, 3] + directions * distance[:, None]
    pitch = _pitch(intrinsics, (1.0, 1.0))
    return _scene_points(means, scale, quats, opacity.flatten(), sh, distance * pitch, pose)


def densified_gaussians(means: Float[Tensor, "n 3"], attributes: Float[Tensor, "n 83"], camera: Cameras) -> ScenePoints:
    """Densified Gaussians of one view: SH (75, by channel), opacity, scales (3), quaternion xyzw (4).

    Their pixel is taken as (1 / height, 1 / width) of the picture, as the published weights were trained.
    """
    sh, opacity, scale, quats = attributes.to(means).split([75, 1, 3, 4], dim=1)
    pose = camera.world_from_camera[0].to(means)
    distance = (means - pose[:3, 3]).norm(dim=1)
    aspect = camera.width / camera.height
    pitch = _pitch(camera.intrinsics[0].to(means), (aspect, 1 / aspect))
    return _scene_points(means, scale, quats, torch.sigmoid(opacity[:, 0]), sh, distance * pitch, pose)


def _pitch(intrinsics: Float[Tensor, "3 3"], pixel: tuple[float, float]) -> Float[Tensor, ""]:
    """What a Gaussian of scale 1 at distance 1 measures: a tenth of the sum of a pixel's sides."""
    return PIXEL_SHARE * (torch.linalg.inv(intrinsics)[:2, :2] @ intrinsics.new_tensor(pixel)).sum()


def _scene_points(
    means: Float[Tensor, "n 3"],
    scale: Float[Tensor, "n 3"],
    quats: Float[Tensor, "n 4"],
    opacities: Float[Tensor, " n"],
    sh: Float[Tensor, "n 75"],
    unit: Float[Tensor, " n"],
    pose: Float[Tensor, "4 4"],
) -> ScenePoints:
    damping = torch.ones(25)
    for degree in range(1, 5):
        damping[degree**2 : (degree + 1) ** 2] = 0.1 * 0.25**degree
    normalized = quats / (quats.norm(dim=1, keepdim=True) + 1e-8)
    return ScenePoints(
        means=means,
        quats=normalized[:, [3, 0, 1, 2]],
        scales=(MIN_SCALE_PX + (MAX_SCALE_PX - MIN_SCALE_PX) * torch.sigmoid(scale)) * unit[:, None],
        opacities=opacities,
        harmonics=sh.unflatten(1, (3, 25)) * damping.to(sh),
        world_from_camera=pose,
    )
