"""The space around the cameras stays empty, and only that."""

from __future__ import annotations

import torch

from veduta.core import PointCloud
from veduta.fit.clearing import BLIND_SHARE, POINTS_SHARE, clearance, in_the_way

POSITIONS = torch.tensor([[1.0, 0.0, 0.0], [-1.0, 0.0, 0.0]])


def points_at(distance: float) -> PointCloud:
    directions = torch.nn.functional.normalize(torch.randn(500, 3, generator=torch.Generator().manual_seed(0)), dim=1)
    return PointCloud(xyz=POSITIONS[0] + distance * directions.abs(), rgb=torch.zeros(500, 3))


def test_only_what_is_near_a_camera_is_in_the_way() -> None:
    means = torch.tensor([[1.05, 0.0, 0.0], [1.2, 0.0, 0.0], [0.0, 0.0, 0.0], [-1.0, 0.0, 0.09]])
    assert in_the_way(means, POSITIONS, radius=0.1).tolist() == [True, False, False, True]
    assert not in_the_way(means, POSITIONS, radius=0.0).any()
    assert in_the_way(means[:0], POSITIONS, radius=0.1).shape == (0,)


def test_near_points_shrink_the_empty_space() -> None:
    assert clearance(POSITIONS, points_at(2.0), radius_share=0.1) == 0.1
    near = clearance(POSITIONS, points_at(0.04), radius_share=0.1)
    assert abs(near - POINTS_SHARE * 0.04) < 1e-6
    assert clearance(POSITIONS, None, radius_share=0.1) == BLIND_SHARE * 0.1
    assert clearance(POSITIONS, points_at(2.0), radius_share=0.0) == 0.0
