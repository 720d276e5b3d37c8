"""Projection: pixels and rays are each other's inverse, whatever the pose and lens."""

from __future__ import annotations

import pytest
import torch

from veduta.core import Cameras, Lens
from veduta.geometry.projection import project, scale_cameras, unproject_rays
from veduta.geometry.rotations import se3_exp

LENSES = [None, Lens("OPENCV", (-0.1, 0.02, 0.001, -0.002)), Lens("OPENCV_FISHEYE", (0.02, -0.01, 0.0, 0.0))]


def _cameras(lens: Lens | None = None) -> Cameras:
    poses = se3_exp(torch.randn(3, 6, dtype=torch.float64, generator=torch.Generator().manual_seed(0)))
    cameras = Cameras.pinhole(poses, fx=30.0, fy=33.0, cx=15.3, cy=11.8, width=32, height=24)
    return cameras.replace(lens=lens)


@pytest.mark.parametrize("lens", LENSES)
def test_points_on_rays_project_to_pixel_centres(lens: Lens | None) -> None:
    cameras = _cameras(lens)
    origins, directions = unproject_rays(cameras)
    assert torch.allclose(directions.norm(dim=-1), torch.ones(3, 24, 32, dtype=torch.float64))
    axis = cameras.world_from_camera[:, :3, 2]
    cos = (directions * axis[:, None, None]).sum(-1, keepdim=True)
    points = origins[:, None, None] + 4.0 * directions / cos
    y, x = torch.meshgrid(torch.arange(24) + 0.5, torch.arange(32) + 0.5, indexing="ij")
    for c in range(3):
        px, depth = project(points[c].reshape(-1, 3), cameras[c])
        assert torch.allclose(px.reshape(24, 32, 2), torch.stack([x, y], dim=-1).double(), atol=1e-5)
        assert torch.allclose(depth, torch.tensor(4.0, dtype=torch.float64))


def test_autocast_does_not_reach_projections() -> None:
    cameras = _cameras().to(torch.float32)
    points = torch.randn(20, 3, generator=torch.Generator().manual_seed(1))
    with torch.autocast("cpu", torch.bfloat16):
        found = project(points, cameras)
    for one, other in zip(found, project(points, cameras), strict=True):
        assert torch.equal(one, other)


def test_principal_ray_and_orientation() -> None:
    camera = Cameras.pinhole(torch.eye(4)[None], fx=10.0, fy=10.0, cx=4.0, cy=3.0, width=8, height=6)
    px, depth = project(torch.tensor([[0.0, 0.0, 2.0], [1.0, 0.0, 2.0], [0.0, 1.0, 2.0]]), camera)
    assert torch.equal(px[0], torch.tensor([[4.0, 3.0], [9.0, 3.0], [4.0, 8.0]]))  # x right, y down
    assert torch.equal(depth[0], torch.full((3,), 2.0))


def test_points_behind_or_at_the_camera_stay_finite() -> None:
    points = torch.tensor([[0.0, 0.0, 0.0], [1.0, 1.0, -1.0]], requires_grad=True)
    px, depth = project(
        points, Cameras.pinhole(torch.eye(4)[None], fx=10.0, fy=10.0, cx=4.0, cy=3.0, width=8, height=6)
    )
    assert torch.isfinite(px).all()
    assert (depth <= 0).all()
    (gradient,) = torch.autograd.grad(px.sum(), points)
    assert torch.isfinite(gradient).all()


def test_projection_is_differentiable() -> None:
    cameras = _cameras(LENSES[1])
    points = cameras.positions_world + cameras.world_from_camera[:, :3, 2] * 3
    assert torch.autograd.gradcheck(lambda p: project(p, cameras[0]), (points[:1].clone().requires_grad_(),))


@pytest.mark.parametrize("lens", LENSES)
def test_scaling_scales_pixels(lens: Lens | None) -> None:
    cameras = _cameras(lens)
    points = cameras.positions_world + cameras.world_from_camera[:, :3, 2] * 3 + 0.3
    before, _ = project(points, cameras)
    after, _ = project(points, scale_cameras(cameras, width=64, height=12))
    assert torch.allclose(after, before * torch.tensor([2.0, 0.5], dtype=torch.float64))
    small = scale_cameras(cameras, width=64, height=12)
    assert (small.width, small.height, small.lens) == (64, 12, lens)
