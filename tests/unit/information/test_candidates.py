"""Candidates: near the capture, held as it was, in the open, the same for the same generator and in any unit."""

from __future__ import annotations

import pytest
import torch

from tests.unit.information import tiny
from veduta.core import Cameras, InputError, Scene
from veduta.geometry import Similarity, is_rigid, rigid, so3_exp, transform_cameras, transform_scene
from veduta.information import candidate_cameras

UP = torch.tensor([0.0, -1.0, 0.0]).double()
RIG = tiny.around([-60.0, -30.0, 0.0, 30.0, 60.0], times=[0.0, 0.1, 0.2, 0.3, 0.4])


def drawn(cameras: Cameras = RIG, count: int = 40, *, seed: int = 0, scene: Scene | None = None) -> Cameras:
    return candidate_cameras(cameras, count, torch.Generator().manual_seed(seed), up=UP, scene=scene)


def test_candidates_stand_around_what_the_capture_looks_at() -> None:
    found = drawn()
    assert len(found) == 40
    assert is_rigid(found.world_from_camera)
    distance = found.positions_world.norm(dim=1)
    assert ((distance > 3 * 0.4) & (distance < 3 * 2.5)).all()
    towards = -found.positions_world / distance[:, None]
    assert ((towards * found.world_from_camera[:, :3, 2]).sum(dim=1) > 0.95).all()
    assert (found.intrinsics == RIG.intrinsics[0]).all()
    assert ((found.time >= 0) & (found.time <= 0.4)).all()
    apart = torch.cdist(found.positions_world, RIG.positions_world).min(dim=1).values
    assert float(apart.max()) > 0.3  # also where nobody stood


def test_a_generator_decides() -> None:
    assert torch.equal(drawn(seed=3).world_from_camera, drawn(seed=3).world_from_camera)
    assert not torch.equal(drawn(seed=3).world_from_camera, drawn(seed=4).world_from_camera)


def test_candidates_follow_the_world() -> None:
    turn = so3_exp(torch.tensor([0.3, -0.7, 1.1]).double())
    world = Similarity(50.0, turn, torch.tensor([4.0, 5.0, 6.0]).double())
    generator = torch.Generator().manual_seed(0)
    moved = candidate_cameras(transform_cameras(RIG, world), 10, generator, up=turn @ UP)
    expected = transform_cameras(drawn(count=10), world).world_from_camera
    torch.testing.assert_close(moved.world_from_camera, expected, rtol=1e-9, atol=1e-7)


def test_cameras_held_sideways_are_held_sideways() -> None:
    quarter = rigid(so3_exp(torch.tensor([0.0, 0.0, torch.pi / 2]).double()), torch.zeros(3).double())
    sideways = RIG.replace(world_from_camera=RIG.world_from_camera @ quarter)
    torch.testing.assert_close(drawn(sideways).world_from_camera, drawn().world_from_camera @ quarter)


@pytest.mark.parametrize("pitch", [torch.pi / 2, -torch.pi / 2])
def test_one_camera_straight_above_has_candidates(pitch: float) -> None:
    one = tiny.around([0.0])
    pose = rigid(so3_exp(torch.tensor([pitch, 0.0, 0.0]).double()), torch.tensor([0.0, 0.0, 1.0]).double())
    found = drawn(one.replace(world_from_camera=pose[None]), 5)
    assert is_rigid(found.world_from_camera)


def test_nobody_stands_inside_something() -> None:
    wall = tiny.gaussians(300, spread=3.0)
    scene = Scene(wall.replace(opacities=torch.full_like(wall.opacities, 0.9)))
    reach = 0.5 * torch.cdist(RIG.positions_world, wall.means).min()
    free = drawn(scene=scene)
    assert (torch.cdist(drawn().positions_world, wall.means).min(dim=1).values < reach).any()
    assert (torch.cdist(free.positions_world, wall.means).min(dim=1).values >= reach).all()
    glass = Scene(wall.replace(opacities=torch.full_like(wall.opacities, 0.1)))
    assert torch.equal(drawn(scene=glass).world_from_camera, drawn().world_from_camera)
    larger = Similarity(9.0, torch.eye(3).double(), torch.zeros(3).double())
    generator = torch.Generator().manual_seed(0)
    moved = candidate_cameras(
        transform_cameras(RIG, larger), 40, generator, up=UP, scene=transform_scene(scene, larger)
    )
    torch.testing.assert_close(moved.positions_world, 9.0 * free.positions_world)


def test_no_room_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    wall = tiny.gaussians(300, spread=3.0)
    scene = Scene(wall.replace(opacities=torch.full_like(wall.opacities, 0.9)))
    monkeypatch.setattr("veduta.information.candidates._TRIES", 1)
    with pytest.raises(InputError, match="no room"):
        drawn(scene=scene)
