"""Blocks in a moving object's own frame and in the world."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
import torch
from torch import Tensor

from tests.unit.information import tiny
from veduta.core import Actor, Gaussians, Scene
from veduta.geometry import matrix_from_quat, pack, quat_from_matrix, quat_multiply, so3_exp, unpack
from veduta.information.frames import covariance_to_world, information_to_owners, world_from_owner


@dataclass(frozen=True)
class Tumble:
    """Each Gaussian turns at a rate of its own."""

    def place(self, gaussians: Gaussians, time: float) -> Gaussians:
        angles = time * torch.arange(1, len(gaussians) + 1, dtype=torch.float64)[:, None]
        turns = quat_from_matrix(so3_exp(angles * torch.tensor([0.3, -0.2, 0.5]).double()))
        means = (matrix_from_quat(turns) @ gaussians.means[:, :, None])[:, :, 0]
        return gaussians.replace(means=means, quats=quat_multiply(turns, gaussians.quats))


SCENES = {
    "still": tiny.scene(),
    "driving": tiny.scene(moving=True),
    "tumbling": Scene(background=tiny.gaussians(3), actors={"b": Actor(tiny.gaussians(5, seed=1), Tumble())}),
    "two actors": Scene(
        background=tiny.gaussians(2),
        actors={"b": Actor(tiny.gaussians(5, seed=1), Tumble()), "a": Actor(tiny.gaussians(2, seed=2), tiny.drive())},
    ),
}


def some_blocks(count: int, seed: int) -> Tensor:
    half = torch.randn(count, 13, 13, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    return pack(half @ half.mT)


@pytest.mark.parametrize("name", SCENES)
def test_information_and_covariance_turn_against_each_other(name: str) -> None:
    """tr(H P) is a number of its own, whatever the frame."""
    scene = SCENES[name]
    placed, count = scene.at(1.3), len(scene.local())
    h_world, p_own = some_blocks(count, 0), some_blocks(count, 1)
    h_own, p_world = information_to_owners(scene, placed, h_world), covariance_to_world(scene, placed, p_own)
    in_world, in_own = ((unpack(h) * unpack(p)).sum(dim=(1, 2)) for h, p in ((h_world, p_world), (h_own, p_own)))
    torch.testing.assert_close(in_world, in_own)
    still = len(scene.background)
    assert torch.equal(h_own[:still], h_world[:still])
    assert torch.equal(p_world[:still], p_own[:still])
    if scene.actors:
        assert not torch.allclose(h_own[still:], h_world[still:])


@pytest.mark.parametrize("name", ["driving", "tumbling", "two actors"])
def test_the_rotation_is_the_derivative_of_placing(name: str) -> None:
    scene, time = SCENES[name], 0.6
    start, rotations = len(scene.background), world_from_owner(scene, scene.at(time))

    def placed_mean(own: Tensor) -> Tensor:
        actors, used = {}, 0
        for key, actor in scene.actors.items():
            count = len(actor.gaussians)
            gaussians = actor.gaussians.replace(means=own[used : used + count])
            actors[key] = Actor(gaussians, actor.motion)
            used += count
        return Scene(background=scene.background, actors=actors).at(time).means[start:]

    own = scene.local().means[start:]
    derivative = torch.func.jacrev(placed_mean)(own)
    assert isinstance(derivative, Tensor)
    rows = torch.arange(len(own))
    torch.testing.assert_close(rotations, derivative[rows, :, rows])


def test_quaternions_of_any_length_and_sign() -> None:
    scene = SCENES["driving"]
    actor = scene.actors["a"]
    scaled = actor.gaussians.replace(quats=-3 * actor.gaussians.quats)
    longer = Scene(background=scene.background, actors={"a": Actor(scaled, actor.motion)})
    expected, found = (world_from_owner(s, s.at(1.7)) for s in (scene, longer))
    torch.testing.assert_close(found, expected)
