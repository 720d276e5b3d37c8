"""Objects that move rigidly: poses at given times, interpolated between."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from veduta.core import Actor, Gaussians, Scene, Track
from veduta.core.record import TensorRecord
from veduta.geometry.rotations import matrix_from_quat, quat_from_matrix, quat_multiply, quat_slerp, rigid
from veduta.geometry.sh import rotate_sh
from veduta.geometry.similarity import Similarity, transform_gaussians, transform_poses
from veduta.geometry.sky import transform_sky


@dataclass(frozen=True, eq=False)
class RigidMotion(TensorRecord):
    """A :class:`veduta.core.Motion` through timed poses: rotations slerped, positions lerped.

    Outside its times the object keeps its first or last pose, and is absent when further than ``tolerance_s`` off.
    """

    times: Float[Tensor, " t"]
    """Seconds, float64, increasing; at least one."""
    world_from_object: Float[Tensor, "t 4 4"]
    """Rigid poses at those times; may ask for gradients."""
    tolerance_s: float = 0.05

    def __post_init__(self) -> None:
        assert len(self.times) == len(self.world_from_object) > 0, self.times.shape
        assert bool((self.times.diff() > 0).all()), "times must increase"

    @staticmethod
    def from_track(track: Track, *, tolerance_s: float = 0.05) -> RigidMotion:
        """The motion of an annotated object."""
        return RigidMotion(track.times, track.world_from_object, tolerance_s)

    def present(self, time: float) -> bool:
        """Whether the object is there at ``time`` (s)."""
        return float(self.times[0]) - self.tolerance_s <= time <= float(self.times[-1]) + self.tolerance_s

    def pose(self, time: float) -> Float[Tensor, "4 4"]:
        """``world_from_object`` at ``time`` (s); differentiable in the given poses."""
        after = int(torch.searchsorted(self.times, self.times.new_tensor(time)).clamp(1, max(len(self.times) - 1, 1)))
        if len(self.times) == 1:
            return self.world_from_object[0]
        start, end = float(self.times[after - 1]), float(self.times[after])
        fraction = min(max((time - start) / (end - start), 0.0), 1.0)
        pair = self.world_from_object[after - 1 : after + 1]
        first, second = quat_from_matrix(pair[:, :3, :3])
        turn = matrix_from_quat(quat_slerp(first, second, pair.new_tensor(fraction)))
        return rigid(turn, torch.lerp(pair[0, :3, 3], pair[1, :3, 3], fraction))

    def place(self, gaussians: Gaussians, time: float) -> Gaussians:
        """The object's Gaussians in the world at ``time`` (s), colours turned too; opacity 0 when absent.

        Differentiable in the Gaussians, in the object's own frame, and in the poses.
        """
        pose = self.pose(time).to(gaussians.means.dtype)
        rotation = pose[:3, :3]
        there, turn = pose.to(gaussians.means), quat_from_matrix(rotation).to(gaussians.quats)
        return gaussians.replace(
            means=gaussians.means @ there[:3, :3].T + there[:3, 3],
            quats=quat_multiply(turn, gaussians.quats),
            opacities=gaussians.opacities if self.present(time) else torch.zeros_like(gaussians.opacities),
            sh=rotate_sh(gaussians.sh, rotation),
        )


def transform_motion(motion: RigidMotion, sim: Similarity) -> RigidMotion:
    """The motion in the transformed world, of an object that :func:`transform_actor` has scaled."""
    return motion.replace(world_from_object=transform_poses(motion.world_from_object, sim))


def transform_track(track: Track, sim: Similarity) -> Track:
    """The track in the transformed world, its box scaled."""
    return track.replace(
        world_from_object=transform_poses(track.world_from_object, sim), size_m=track.size_m * sim.scale
    )


def transform_actor(actor: Actor, sim: Similarity) -> Actor:
    """The actor in the transformed world: scaled in its own frame, its rigid motion moved."""
    if not isinstance(actor.motion, RigidMotion):
        raise TypeError(f"cannot transform a {type(actor.motion).__name__}")
    still = Similarity.identity()
    scaling = Similarity(sim.scale, still.rotation, still.translation)
    return Actor(transform_gaussians(actor.gaussians, scaling), transform_motion(actor.motion, sim), actor.category)


def transform_scene(scene: Scene, sim: Similarity) -> Scene:
    """The whole scene moved, turned and scaled; transformed cameras see what the old ones saw."""
    return Scene(
        background=transform_gaussians(scene.background, sim),
        actors={name: transform_actor(actor, sim) for name, actor in scene.actors.items()},
        sky=None if scene.sky is None else transform_sky(scene.sky, sim),
    )
