"""Laws of groups of views, of rigs and of the first view's frame."""

from __future__ import annotations

import math

import pytest
import torch

from veduta.core import Cameras, Example, Views
from veduta.data import align_to_first
from veduta.data.object_views import camera_groups, members, one_of_each, random_rig, round_the_object
from veduta.geometry import is_rigid, project


def _generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def _example(rig: Cameras) -> Example:
    def views(cameras: Cameras) -> Views:
        return Views.of(cameras, rgb=torch.rand(len(cameras), cameras.height, cameras.width, 3, generator=_generator()))

    return Example(name="x", inputs=views(rig[:4]), targets=views(rig[4:7]), near=0.5, far=2.0)


@pytest.mark.parametrize("seed", range(3))
def test_the_aligned_first_camera_is_canonical_and_pixels_stay_where_they_are(seed: int) -> None:
    rig = random_rig(7, _generator(seed), size_px=32)
    example = _example(rig)
    aligned = align_to_first(example)
    first = aligned.inputs.cameras.world_from_camera[0]
    expected = torch.eye(4)
    expected[2, 3] = -rig.positions_world[0].norm()
    torch.testing.assert_close(first, expected, atol=1e-6, rtol=0)
    # A point fixed to the cameras is seen at the same pixel before and after.
    move = first.double() @ torch.linalg.inv(rig.world_from_camera[0].double())
    points = torch.rand(20, 3, generator=_generator(), dtype=torch.float64) - 0.5
    moved = points @ move[:3, :3].T + move[:3, 3]
    for before, after in ((rig[:4], aligned.inputs.cameras), (rig[4:7], aligned.targets.cameras)):
        old, new = (project(p.float(), c)[0] for p, c in ((points, before), (moved, after)))
        torch.testing.assert_close(old, new, atol=1e-3, rtol=0)
    assert torch.equal(aligned.inputs.rgb, example.inputs.rgb)


def test_alignment_is_idempotent() -> None:
    once = align_to_first(_example(random_rig(7, _generator(), size_px=16)))
    twice = align_to_first(once)
    torch.testing.assert_close(
        once.targets.cameras.world_from_camera, twice.targets.cameras.world_from_camera, atol=1e-6, rtol=0
    )


def test_groups_are_compact_stable_and_numbered_by_first_position() -> None:
    generator = _generator(3)
    corners = torch.tensor([[1.0, 0, 0], [0, 1, 0], [-1, 0, 0], [0, -1, 0]])
    which = torch.randint(4, (40,), generator=generator)
    positions = corners[which] + 0.05 * torch.randn(40, 3, generator=generator)
    groups = camera_groups(positions, 4)
    for corner in range(4):
        assert len(set(groups[which == corner].tolist())) == 1
    firsts = [group[0] for group in members(groups)]
    assert firsts == sorted(firsts)
    assert firsts[0] == 0
    assert torch.equal(groups, camera_groups(positions, 4))


def test_views_that_coincide_are_dealt_out() -> None:
    assert camera_groups(torch.ones(6, 3), 3).tolist() == [0, 1, 2, 0, 1, 2]


def test_one_view_of_each_group_and_none_twice_where_possible() -> None:
    groups = [[0, 1, 2], [3], [4, 5]]
    seen: set[tuple[int, ...]] = set()
    for seed in range(30):
        drawn = one_of_each(groups, _generator(seed), without=[0, 3, 4])
        assert sorted(next(g for g, group in enumerate(groups) if view in group) for view in drawn) == [0, 1, 2]
        assert 0 not in drawn
        assert 4 not in drawn
        assert 3 in drawn  # its group has no other
        seen.add(tuple(drawn))
    assert len(seen) > 5


@pytest.mark.parametrize("fov_deg", [30.0, 50.0])
def test_a_ball_of_half_a_unit_just_fits(fov_deg: float) -> None:
    cameras = round_the_object(
        torch.tensor([0.3, 2.0]), torch.tensor([0.1, -0.5]), size_px=100, fov=math.radians(fov_deg), slack=1.0
    )
    assert is_rigid(cameras.world_from_camera)
    distance = cameras.positions_world.norm(dim=1)
    # The tangent cone of the ball has the picture's opening angle.
    assert torch.allclose(torch.asin(0.5 / distance), torch.tensor(math.radians(fov_deg / 2)), atol=1e-5)
    pixels, depth = project(torch.zeros(1, 3), cameras)[:2]
    assert torch.allclose(pixels.reshape(-1, 2), torch.full((2, 2), 50.0), atol=1e-3)
    assert bool((depth > 0).all())


def test_rigs_differ_by_generator_only() -> None:
    first, again, other = (random_rig(24, _generator(seed), size_px=16) for seed in (1, 1, 2))
    assert torch.equal(first.world_from_camera, again.world_from_camera)
    assert not torch.equal(first.world_from_camera, other.world_from_camera)
