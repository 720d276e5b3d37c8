"""Camera paths: rigid, through their key poses, around what the cameras look at."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from veduta.core import Cameras
from veduta.geometry.projection import project
from veduta.geometry.rotations import is_rigid, se3_exp, so3_log
from veduta.geometry.trajectories import (
    ellipse,
    focus_point,
    interpolate,
    lateral_shift,
    look_at,
    orbit,
    order_cameras,
)

UP = torch.tensor([0.0, 0.0, 1.0])


def _cameras(poses: Tensor) -> Cameras:
    time = torch.arange(len(poses), dtype=torch.float64)
    return Cameras.pinhole(poses, fx=50.0, fy=50.0, cx=32.0, cy=24.0, width=64, height=48, time=time)


def _random_rig(count: int = 6) -> Cameras:
    tangents = torch.randn(count, 6, generator=torch.Generator().manual_seed(3), dtype=torch.float64)
    return _cameras(se3_exp(tangents * torch.tensor([1.0, 1, 1, 0.5, 0.5, 0.5])))


def _inward_rig(count: int = 9) -> Cameras:
    angle = torch.arange(count) * 0.5
    positions = torch.stack([1 + 3 * angle.cos(), 2 + 3 * angle.sin(), torch.full_like(angle, 1.5)], dim=-1)
    return _cameras(look_at(positions, torch.tensor([1.0, 2.0, 0.5]).expand_as(positions), UP))


def test_interpolation_passes_through_every_key_pose() -> None:
    keys = _random_rig()
    path = interpolate(keys, 4001)
    assert is_rigid(path.world_from_camera, 1e-9)
    gap = (path.world_from_camera[:, None] - keys.world_from_camera[None]).flatten(2).norm(dim=-1)
    nearest = gap.min(dim=0)
    assert nearest.values.max() < 5e-3
    assert (nearest.indices.diff() > 0).all()
    assert torch.allclose(path.world_from_camera[[0, -1]], keys.world_from_camera[[0, -1]], atol=1e-9)


def test_interpolation_is_smooth() -> None:
    """No kinks: the largest change of velocity between frames shrinks with the step."""

    def roughness(count: int) -> Tensor:
        poses = interpolate(_random_rig(), count).world_from_camera
        turns = so3_log(poses[:-1, :3, :3].mT @ poses[1:, :3, :3])
        velocity = torch.cat([poses[:, :3, 3].diff(dim=0), turns], dim=-1) * count
        return velocity.diff(dim=0).norm(dim=-1).max() / velocity.norm(dim=-1).max()

    assert roughness(8000) < 0.3 * roughness(1000)


def test_interpolation_of_a_straight_drive_is_straight_and_even() -> None:
    poses = torch.eye(4, dtype=torch.float64).repeat(5, 1, 1)
    poses[:, 2, 3] = torch.arange(5) * 2.0
    path = interpolate(_cameras(poses), 17)
    assert torch.allclose(path.positions_world[:, 2], torch.linspace(0, 8, 17, dtype=torch.float64))
    assert torch.allclose(path.time, torch.linspace(0, 4, 17, dtype=torch.float64))


@pytest.mark.parametrize("count", [1, 3])
def test_degenerate_interpolations(count: int) -> None:
    one = _random_rig(1)
    assert torch.equal(interpolate(one, count).world_from_camera, one.world_from_camera.expand(count, 4, 4))
    same = _cameras(one.world_from_camera.repeat(4, 1, 1))
    still = interpolate(same, 7)
    assert torch.allclose(still.world_from_camera, one.world_from_camera.expand(7, 4, 4))


def test_look_at_is_level_and_looks_there() -> None:
    rig = _inward_rig()
    assert is_rigid(rig.world_from_camera, 1e-5)
    px, depth = project(torch.tensor([[1.0, 2.0, 0.5]]), rig)
    assert torch.allclose(px, torch.tensor([32.0, 24.0]).expand_as(px), atol=1e-3)
    assert (depth > 0).all()
    assert (rig.world_from_camera[:, 2, 0].abs() < 1e-6).all()  # x axes level
    assert (rig.world_from_camera[:, 2, 1] < 0).all()  # y axes down


@pytest.mark.parametrize("make", [orbit, ellipse])
def test_rings_go_around_what_the_cameras_look_at(make: Callable[[Cameras, Tensor, int], Cameras]) -> None:
    rig = _inward_rig()
    assert (focus_point(rig) - torch.tensor([1.0, 2.0, 0.5])).norm() < 0.05
    ring = make(rig, UP, 36)
    assert is_rigid(ring.world_from_camera, 1e-5)
    offset = ring.positions_world - torch.tensor([1.0, 2.0, 0.5])
    assert (offset[:, :2].norm(dim=-1) - 3).abs().max() < (0.1 if make is orbit else 0.8)
    assert (offset[:, 2] - 1).abs().max() < 0.1
    assert offset.mean(dim=0)[:2].norm() < 0.1
    px, _ = project(torch.tensor([[1.0, 2.0, 0.5]]), ring)
    assert (px - torch.tensor([32.0, 24.0])).abs().max() < 3


def test_parallel_axes_focus_in_front_of_the_rig() -> None:
    poses = torch.eye(4).repeat(5, 1, 1)
    poses[:, 0, 3] = torch.arange(5.0)
    focus = focus_point(_cameras(poses))
    assert torch.allclose(focus, torch.tensor([2.0, 0.0, 4.0], dtype=torch.float64), atol=1e-6)


def test_lateral_shift_moves_to_the_cameras_right() -> None:
    rig = _random_rig()
    shifted = lateral_shift(rig, right_m=0.5)
    local = torch.linalg.inv(rig.world_from_camera) @ shifted.world_from_camera
    expected = torch.eye(4, dtype=torch.float64).repeat(6, 1, 1)
    expected[:, 0, 3] = 0.5
    assert torch.allclose(local, expected, atol=1e-12)
    assert torch.allclose(lateral_shift(shifted, right_m=-0.5).world_from_camera, rig.world_from_camera)


def test_ordering_untangles_a_shuffled_arc() -> None:
    rig = _inward_rig()
    shuffled = rig[[4, 0, 7, 2, 8, 1, 6, 3, 5]]
    times = order_cameras(shuffled).time
    assert torch.equal(times.diff().abs(), torch.ones(8, dtype=torch.float64))
