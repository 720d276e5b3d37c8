"""Similarities: group laws, and that a transformed world looks the same to the transformed cameras."""

from __future__ import annotations

import torch
from torch import Tensor

from veduta.core import Cameras, Gaussians, PointCloud
from veduta.geometry.normalize import capture_similarity, estimate_up, scene_extent
from veduta.geometry.projection import project
from veduta.geometry.rotations import is_rigid, matrix_from_quat, quat_normalize, se3_exp, so3_exp
from veduta.geometry.sh import eval_sh
from veduta.geometry.similarity import (
    Similarity,
    transform_cameras,
    transform_cloud,
    transform_gaussians,
    transform_points,
    transform_poses,
)
from veduta.geometry.trajectories import look_at


def _random(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def _similarity(seed: int) -> Similarity:
    return Similarity(0.3 + seed, so3_exp(_random(3, seed=seed)), _random(3, seed=seed + 50))


def _gaussians(count: int = 6) -> Gaussians:
    return Gaussians(
        means=_random(count, 3, seed=1),
        quats=quat_normalize(_random(count, 4, seed=2)),
        scales=_random(count, 3, seed=3).exp(),
        opacities=torch.sigmoid(_random(count, seed=4)),
        sh=_random(count, 16, 3, seed=5),
    )


def _covariances(g: Gaussians) -> Tensor:
    axes = matrix_from_quat(g.quats) * g.scales[:, None, :]
    return axes @ axes.mT


def test_group_laws() -> None:
    a, b, x = _similarity(1), _similarity(2), _random(10, 3)
    assert torch.allclose(transform_points(x, a.compose(b)), transform_points(transform_points(x, b), a))
    assert torch.allclose(transform_points(transform_points(x, a), a.inverse()), x)
    undone = a.compose(b).inverse()
    assert torch.allclose(transform_points(x, undone), transform_points(x, b.inverse().compose(a.inverse())))
    assert torch.equal(transform_points(x, Similarity.identity()), x)


def test_gaussians_move_with_their_points_shape_and_colour() -> None:
    g, sim = _gaussians(), _similarity(3)
    moved = transform_gaussians(g, sim)
    assert torch.allclose(moved.means, transform_points(g.means, sim))
    expected = sim.scale**2 * sim.rotation @ _covariances(g) @ sim.rotation.T
    assert torch.allclose(_covariances(moved), expected)
    d = torch.nn.functional.normalize(_random(6, 3, seed=9), dim=-1)
    assert torch.allclose(eval_sh(moved.sh, d @ sim.rotation.T), eval_sh(g.sh, d))
    assert torch.equal(moved.opacities, g.opacities)
    back = transform_gaussians(moved, sim.inverse())
    assert torch.allclose(_covariances(back), _covariances(g))
    assert torch.allclose(back.sh, g.sh)


def test_transformed_cameras_see_the_same_picture() -> None:
    sim, x = _similarity(4), _random(20, 3)
    cameras = Cameras.pinhole(se3_exp(_random(3, 6, seed=7)), fx=30.0, fy=31.0, cx=16.0, cy=12.0, width=32, height=24)
    moved = transform_cameras(cameras, sim)
    assert is_rigid(moved.world_from_camera, 1e-9)
    px, depth = project(x, cameras)
    px_moved, depth_moved = project(transform_points(x, sim), moved)
    assert torch.allclose(px, px_moved)
    assert torch.allclose(depth * sim.scale, depth_moved)


def test_dtype_is_kept_and_float64_used_inside() -> None:
    far = Similarity(1.0, torch.eye(3, dtype=torch.float64), torch.tensor([-4.5e6, 0.0, 0.0], dtype=torch.float64))
    utm = torch.tensor([[4.5e6, 1.0, 2.0]], dtype=torch.float64)
    assert transform_points(utm, far)[0, 0] == 0
    g = transform_gaussians(_gaussians().to(torch.float32), _similarity(1))
    assert {g.means.dtype, g.quats.dtype, g.scales.dtype, g.sh.dtype} == {torch.float32}
    cloud = PointCloud(xyz=utm, rgb=torch.zeros(1, 3))
    assert torch.equal(transform_cloud(cloud, far).xyz, transform_points(utm, far))


def test_gradients_flow_to_every_field() -> None:
    g = _gaussians(2).map(lambda t: t.clone().requires_grad_())
    moved = transform_gaussians(g, _similarity(2))
    (moved.means.sum() + moved.quats.sum() + moved.scales.sum() + moved.sh.sum()).backward()
    for leaf in (g.means, g.quats, g.scales, g.sh):
        assert leaf.grad is not None
        assert (leaf.grad != 0).any()


def test_normalised_cameras_lie_around_the_origin_within_one_unit() -> None:
    positions = 40 + 7 * _random(12, 3, seed=8)
    sim = capture_similarity(positions)
    placed = transform_points(positions, sim)
    assert placed.mean(dim=0).abs().max() < 1e-12
    assert abs(float(placed.norm(dim=-1).max()) - 1) < 1e-12
    assert torch.equal(sim.rotation, torch.eye(3, dtype=torch.float64))
    assert abs(scene_extent(placed) - 1.1) < 1e-12
    assert abs(scene_extent(positions) - 1.1 / sim.scale) < 1e-9


def test_cameras_in_one_place_are_normalised_by_the_points_or_left_alone() -> None:
    positions = torch.full((3, 3), 5.0)
    points = 5 + 4 * torch.nn.functional.normalize(_random(11, 3), dim=-1)
    assert abs(capture_similarity(positions, points).scale - 0.25) < 1e-9
    assert capture_similarity(positions).scale == 1.0
    assert scene_extent(positions) == 1.0
    assert torch.allclose(transform_poses(torch.eye(4)[None], Similarity.identity()), torch.eye(4)[None])


def test_up_is_found_from_cameras_that_look_down_on_a_ring() -> None:
    """Every camera is pitched, and they cover half a ring only, so that the mean -y axis alone would be tilted."""
    angle = torch.linspace(0, 2.5, 12)
    positions = torch.stack([3 * angle.cos(), 3 * angle.sin(), torch.full_like(angle, 2.0)], dim=-1)
    poses = look_at(positions, torch.zeros(12, 3), torch.tensor([0.0, 0.0, 1.0]))
    turn = so3_exp(torch.tensor([0.4, 1.0, -0.3]))
    tilted = transform_poses(poses, Similarity(1.0, turn.double(), torch.zeros(3, dtype=torch.float64)))
    assert torch.allclose(estimate_up(tilted), turn @ torch.tensor([0.0, 0.0, 1.0]), atol=1e-4)


def test_up_of_a_straight_drive_is_the_cameras_own() -> None:
    poses = torch.eye(4).repeat(5, 1, 1)
    poses[:, 2, 3] = torch.arange(5.0)
    assert torch.allclose(estimate_up(poses), torch.tensor([0.0, -1.0, 0.0]))
