from __future__ import annotations

import math

import pytest
import torch

from veduta.data.upright import estimate_up, shown_upright
from veduta.geometry.rotations import matrix_from_quat, quat_normalize


def level_cameras(count: int, *, turn: float, pitch: float = 0.5) -> torch.Tensor:
    """Cameras that turn about the world's -y, which is up, and look down by ``pitch`` on average, never rolled."""
    generator = torch.Generator().manual_seed(3)
    poses = torch.eye(4, dtype=torch.float64).repeat(count, 1, 1)
    for i in range(count):
        yaw = turn * (i / count - 0.5)
        down = pitch * (0.5 + float(torch.rand(1, generator=generator)))
        about_y = [[math.cos(yaw), 0, math.sin(yaw)], [0, 1, 0], [-math.sin(yaw), 0, math.cos(yaw)]]
        about_x = [[1, 0, 0], [0, math.cos(down), math.sin(down)], [0, -math.sin(down), math.cos(down)]]
        poses[i, :3, :3] = torch.tensor(about_y, dtype=torch.float64) @ torch.tensor(about_x, dtype=torch.float64)
    return poses


def random_rotation(seed: int) -> torch.Tensor:
    quat = torch.randn(4, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    turn = torch.eye(4, dtype=torch.float64)
    turn[:3, :3] = matrix_from_quat(quat_normalize(quat))
    return turn


UP = torch.tensor([0.0, -1.0, 0.0])


@pytest.mark.parametrize("turn", [1.0, 3.0, 2 * math.pi])
def test_level_cameras_that_turn_tell_up_exactly_whatever_their_pitch(turn: float) -> None:
    assert torch.allclose(estimate_up(level_cameras(40, turn=turn)), UP, atol=1e-5)


def test_cameras_that_do_not_turn_tell_their_mean_up_axis() -> None:
    poses = level_cameras(10, turn=0.05, pitch=0.3)
    mean = -poses[:, :3, 1].mean(dim=0)
    assert torch.allclose(estimate_up(poses), (mean / mean.norm()).float(), atol=1e-6)


def test_cameras_that_look_straight_down_and_turn_tell_up() -> None:
    poses = level_cameras(12, turn=2 * math.pi, pitch=1e-9)
    look_down = torch.tensor([[1, 0, 0], [0, 0, 1], [0, -1, 0]], dtype=torch.float64)
    poses[:, :3, :3] = poses[:, :3, :3] @ look_down
    assert torch.allclose(estimate_up(poses), UP, atol=1e-4) or torch.allclose(estimate_up(poses), -UP, atol=1e-4)
    assert float(estimate_up(poses) @ -poses[0, :3, 2].float()) > 0.99  # against the view, not along it


@pytest.mark.parametrize("seed", range(4))
def test_up_turns_with_the_world(seed: int) -> None:
    poses, turn = level_cameras(20, turn=2.0), random_rotation(seed)
    assert torch.allclose(estimate_up(turn @ poses), turn[:3, :3].float() @ estimate_up(poses), atol=1e-5)


@pytest.mark.parametrize("orientation", [1, 3, 6, 8])
def test_photographs_stored_sideways_tell_the_same_up(orientation: int) -> None:
    upright = level_cameras(20, turn=2.0)
    # A viewer turns the stored picture clockwise by this to show it; the camera was rolled the other way round.
    roll = {1: 0.0, 6: math.pi / 2, 3: math.pi, 8: -math.pi / 2}[orientation]
    c, s = math.cos(roll), math.sin(roll)
    shown_from_stored = torch.tensor([[c, -s, 0, 0], [s, c, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]], dtype=torch.float64)
    stored = upright @ shown_from_stored
    shown = torch.stack([shown_upright(pose, orientation=orientation) for pose in stored])
    assert torch.allclose(shown, upright, atol=1e-12)
