"""From the world to a moving object's own frame: there, what is learned about it at different times adds up.

Of a Gaussian's 13 parameters only the mean depends on the frame: the rotation tangent lies in the Gaussian's own axes,
and a colour without direction turns with nothing. With R the rotation from the owner's frame to the world,
d mean_world = R d mean_own; so information is carried by H_own = D^T H_world D and a covariance by
P_world = D P_own D^T, D = diag(R, 1).
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from veduta.core import Gaussians, Scene
from veduta.geometry import matrix_from_quat, pack, unpack


def world_from_owner(scene: Scene, placed: Gaussians) -> Float[Tensor, "m 3 3"]:
    """The rotation of each of the m last rows, those of actors, where ``placed`` is ``scene.at`` of some time.

    Read off each Gaussian's own axes before and after, so that it holds for every rigid motion, whatever its class.
    """
    start = len(scene.background)
    own = torch.cat([placed.quats[:0], *(actor.gaussians.quats for actor in scene.actors.values())])
    return matrix_from_quat(placed.quats[start:]) @ matrix_from_quat(own).mT


def information_to_owners(scene: Scene, placed: Gaussians, packed: Float[Tensor, "n 91"]) -> Float[Tensor, "n 91"]:
    """Packed information (or score) of rows in the world, in their owners' frames."""
    if not scene.actors:
        return packed
    return _turned(packed, world_from_owner(scene, placed).mT)


def covariance_to_world(scene: Scene, placed: Gaussians, packed: Float[Tensor, "n 91"]) -> Float[Tensor, "n 91"]:
    """Packed covariances of rows in their owners' frames, in the world."""
    if not scene.actors:
        return packed
    return _turned(packed, world_from_owner(scene, placed))


def _turned(packed: Float[Tensor, "n 91"], rotations: Float[Tensor, "m 3 3"]) -> Float[Tensor, "n 91"]:
    """D B D^T with D = diag(R, 1) for the blocks B of the m last rows."""
    start = len(packed) - len(rotations)
    blocks = unpack(packed[start:]).clone()
    turn = rotations.to(packed)
    blocks[:, :3] = turn @ blocks[:, :3]
    blocks[:, :, :3] = blocks[:, :, :3] @ turn.mT
    return torch.cat([packed[:start], pack(blocks)])
