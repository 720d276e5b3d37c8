"""Rigid motion: placing is interpolation, absence is opacity 0, and worlds may be transformed under it."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from veduta.core import Actor, Cameras, Gaussians, Scene, Sky, Track
from veduta.geometry.motion import RigidMotion, transform_actor, transform_scene, transform_track
from veduta.geometry.projection import unproject_rays
from veduta.geometry.rotations import quat_normalize, se3_exp, so3_exp
from veduta.geometry.sh import eval_sh
from veduta.geometry.similarity import Similarity, transform_cameras, transform_gaussians
from veduta.geometry.sky import sky_color


def _random(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def _motion() -> RigidMotion:
    times = torch.tensor([0.0, 0.5, 2.0], dtype=torch.float64)
    return RigidMotion(times, se3_exp(_random(3, 6, seed=1)))


def _gaussians() -> Gaussians:
    return Gaussians(
        means=_random(4, 3, seed=2),
        quats=quat_normalize(_random(4, 4, seed=3)),
        scales=_random(4, 3, seed=4).exp(),
        opacities=torch.sigmoid(_random(4, seed=5)),
        sh=_random(4, 16, 3, seed=6),
    )


def _same(a: Gaussians, b: Gaussians) -> bool:
    sign = torch.sign((a.quats * b.quats).sum(-1, keepdim=True))
    return all(
        torch.allclose(x, y)
        for x, y in ((a.means, b.means), (a.quats, sign * b.quats), (a.scales, b.scales), (a.sh, b.sh))
    )


def test_key_poses_are_met_and_colours_turn() -> None:
    motion, g = _motion(), _gaussians()
    d = torch.nn.functional.normalize(_random(4, 3, seed=8), dim=-1)
    for time, pose in zip(motion.times.tolist(), motion.world_from_object, strict=True):
        assert torch.allclose(motion.pose(time), pose)
        placed = motion.place(g, time)
        assert torch.allclose(placed.means, g.means @ pose[:3, :3].T + pose[:3, 3])
        assert torch.allclose(eval_sh(placed.sh, d @ pose[:3, :3].T), eval_sh(g.sh, d))
        assert torch.equal(placed.opacities, g.opacities)


def test_steady_motion_is_interpolated_exactly() -> None:
    speed, spin = torch.tensor([1.0, -2.0, 0.5]), torch.tensor([0.0, 0.3, 0.9])
    times = torch.tensor([0.0, 1.0, 3.0], dtype=torch.float64)
    poses = torch.eye(4, dtype=torch.float64).repeat(3, 1, 1)
    poses[:, :3, :3] = so3_exp(times[:, None] * spin.double())
    poses[:, :3, 3] = times[:, None] * speed.double()
    motion = RigidMotion(times, poses)
    for time in (0.25, 1.7, 2.9):
        assert torch.allclose(motion.pose(time)[:3, :3], so3_exp(time * spin.double()))
        assert torch.allclose(motion.pose(time)[:3, 3], time * speed.double())


def test_absent_objects_keep_their_rows_with_opacity_zero() -> None:
    motion, g = _motion(), _gaussians()
    assert torch.equal(motion.place(g, 2.04).opacities, g.opacities)
    for time in (-0.1, 2.1):
        assert torch.equal(motion.place(g, time).opacities, torch.zeros(4, dtype=torch.float64))
    assert torch.allclose(motion.pose(99.0), motion.world_from_object[-1])


def test_a_single_pose_stands_still() -> None:
    motion = RigidMotion(torch.tensor([1.0], dtype=torch.float64), se3_exp(_random(1, 6)))
    assert torch.equal(motion.pose(1.02), motion.world_from_object[0])
    with pytest.raises(AssertionError, match="increase"):
        RigidMotion(torch.zeros(2, dtype=torch.float64), se3_exp(_random(2, 6)))


def test_gradients_reach_the_objects_frame_and_the_poses() -> None:
    means = _random(4, 3, seed=2).requires_grad_()
    tangents = _random(3, 6, seed=1).requires_grad_()

    def placed(m: Tensor, t: Tensor) -> Tensor:
        out = RigidMotion(_motion().times, se3_exp(t)).place(_gaussians().replace(means=m), 0.9)
        return torch.cat([out.means.flatten(), out.quats.flatten(), out.sh.flatten()])

    assert torch.autograd.gradcheck(placed, (means, tangents))


def test_a_track_becomes_a_motion() -> None:
    track = Track(_motion().times, _motion().world_from_object, torch.tensor([4.0, 1.8, 1.5]), "car")
    assert torch.equal(RigidMotion.from_track(track).pose(0.9), _motion().pose(0.9))
    sim = Similarity(2.0, so3_exp(_random(3, seed=1)), _random(3, seed=2))
    assert torch.equal(transform_track(track, sim).size_m, torch.tensor([8.0, 3.6, 3.0]))


def test_transforming_the_scene_commutes_with_time() -> None:
    sim = Similarity(0.4, so3_exp(_random(3, seed=11)), _random(3, seed=12))
    sky = Sky(texture=torch.rand(3, 4, 3, dtype=torch.float64), up=torch.tensor([0.0, 0.0, 1.0], dtype=torch.float64))
    scene = Scene(_gaussians(), {"car": Actor(_gaussians(), _motion(), "car")}, sky)
    moved = transform_scene(scene, sim)
    for time in (0.0, 1.3):
        assert _same(moved.at(time), transform_gaussians(scene.at(time), sim))
    with pytest.raises(TypeError, match="object"):
        transform_actor(Actor(_gaussians(), object()), sim)  # type: ignore[arg-type]


@pytest.mark.parametrize("seed", range(4))
def test_the_transformed_sky_looks_the_same(seed: int) -> None:
    """Up to one linear resampling: a smooth texture loses next to nothing."""
    columns = torch.arange(256, dtype=torch.float64) * (2 * torch.pi / 256)
    rows = torch.arange(64, dtype=torch.float64)[:, None] / 64
    wave = torch.sin(columns) * rows
    sky = Sky(torch.stack([wave, wave.roll(64, 1), 1 - wave], dim=-1), so3_exp(_random(3, seed=seed + 9))[2])
    sim = Similarity(1.0, so3_exp(_random(3, seed=seed)), _random(3))
    cameras = Cameras.pinhole(se3_exp(_random(2, 6)), fx=8.0, fy=8.0, cx=8.0, cy=6.0, width=16, height=12)
    moved = transform_scene(Scene(_gaussians(), sky=sky), sim).sky
    assert moved is not None
    seen = sky_color(moved, transform_cameras(cameras, sim))
    assert (seen - sky_color(sky, cameras)).abs().max() < 1e-3


def test_sky_directions() -> None:
    """Row 0 is up, columns turn to the right, and the seam is invisible."""
    texture = torch.zeros(2, 4, 3)
    texture[0, :, 2] = 1.0  # blue above
    texture[:, :, 0] = torch.tensor([0.0, 0.25, 0.5, 0.75])
    sky = Sky(texture, torch.tensor([0.0, 0.0, 1.0]))
    pose = torch.tensor([[0.0, 0, 1, 0], [-1, 0, 0, 0], [0, -1, 0, 0], [0, 0, 0, 1]])  # looks along x, y axis down
    camera = Cameras.pinhole(pose[None], fx=50.0, fy=50.0, cx=32.0, cy=24.0, width=64, height=48)
    seen = sky_color(sky, camera)[0]
    assert seen[0, :, 2].min() > seen[-1, :, 2].max()
    assert seen[24, 32, 0] == pytest.approx(0.375, abs=0.02)  # half-way between the last column and the first
    assert seen[24, 33:, 0].max() < 0.375 < seen[24, :31, 0].min()  # turning right leaves the last column behind
    _, directions = unproject_rays(camera)
    assert directions[0, 24, 63, 1] < 0  # the right edge looks to -y


def test_constant_and_differentiable_sky() -> None:
    camera = Cameras.pinhole(torch.eye(4, dtype=torch.float64)[None], fx=5.0, fy=5.0, cx=3.0, cy=2.0, width=6, height=4)
    red = torch.tensor([1.0, 0.0, 0.2])
    assert torch.equal(sky_color(Sky.constant(red), camera), red.expand(1, 4, 6, 3))
    texture = torch.rand(4, 8, 3, dtype=torch.float64, requires_grad=True)
    up = torch.tensor([0.0, -1.0, 0.0], dtype=torch.float64)
    assert torch.autograd.gradcheck(lambda t: sky_color(Sky(t, up), camera), (texture,))
