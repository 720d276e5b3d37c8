"""Cameras that one could photograph from next: around those of a capture, where there is room to stand."""

from __future__ import annotations

import math

import torch
from jaxtyping import Float
from scipy.spatial import KDTree
from torch import Tensor

from veduta.core import Cameras, InputError, Scene
from veduta.geometry import focus_point, interpolate, rigid, so3_exp

AZIMUTH_DEG, ELEVATION_DEG = 25.0, 12.0
"""Standard deviations of the turn about the point looked at: a few steps along the ring, and a little up or down."""
LOG_DISTANCE = 0.2
"""Of the natural logarithm of the distance to that point: a fifth nearer or farther."""
STEEPEST_DEG = 80.0
"""Candidates look no more steeply up or down than this."""
NEAREST_TARGET = 0.1
"""The point looked at is at least this share of the mean camera's distance to the focus away."""
OPAQUE = 0.5
"""Opacity from which a Gaussian is in the way."""
ROOM_SHARE = 0.5
"""A candidate may come this much nearer to what is opaque than the nearest of the given cameras."""
_TRIES = 50


def candidate_cameras(
    cameras: Cameras, count: int, generator: torch.Generator, *, up: Float[Tensor, "3"], scene: Scene | None = None
) -> Cameras:
    """``count`` cameras near the given ones: between two neighbours, turned about what they look at, nearer or farther.

    Each starts from a given camera or a point of the way to its nearest neighbour, is turned about the point that it
    looks at (the one on its axis at the depth of the rig's focus) by random angles about ``up`` and about the level
    axis across, and moved towards that point or away from it. Intrinsics, time and the way the camera is held are those
    it started from. With a ``scene``, cameras nearer to an opaque Gaussian's centre than half of what any given camera
    dared are drawn again; InputError where there is no room. All sizes are relative, so candidates follow the world's
    unit.
    """
    assert count >= 1, count
    reach = 0.0 if scene is None else ROOM_SHARE * float(_distances(scene, cameras).min())
    found: list[Cameras] = []
    missing = count
    for _ in range(_TRIES):
        drawn = _turned(_between(cameras, missing, generator), focus_point(cameras), up, generator)
        if scene is not None:
            drawn = drawn[_distances(scene, drawn) >= reach]
        found.append(drawn)
        missing -= len(drawn)
        if missing == 0:
            return Cameras.cat(found)
    raise InputError(
        "there is no room for candidates",
        where="candidate_cameras",
        expected=f"{count} places no nearer than {reach:.3g} to an opaque Gaussian",
        got=f"{count - missing} in {_TRIES} rounds",
        hint="ask for fewer, or leave out the scene.",
    )


def _between(cameras: Cameras, count: int, generator: torch.Generator) -> Cameras:
    """Cameras on the ways from given ones to their nearest neighbours, half of them given ones."""
    which = torch.randint(len(cameras), (count,), generator=generator)
    moves = torch.rand(count, generator=generator) < 0.5
    steps = torch.randint(1, 8, (count,), generator=generator)
    if len(cameras) == 1:
        return cameras[which]
    apart = torch.cdist(cameras.positions_world.double(), cameras.positions_world.double())
    neighbours = apart.fill_diagonal_(math.inf).argmin(dim=1)
    started = [
        interpolate(cameras[[i, int(neighbours[i])]], 9)[step] if move else cameras[i]
        for i, move, step in zip(which.tolist(), moves.tolist(), steps.tolist(), strict=True)
    ]
    return Cameras.cat(started)


def _turned(cameras: Cameras, focus: Float[Tensor, "3"], up: Float[Tensor, "3"], generator: torch.Generator) -> Cameras:
    poses = cameras.world_from_camera.double()
    forward, positions = poses[:, :3, 2], poses[:, :3, 3]
    vertical = torch.nn.functional.normalize(up.double(), dim=0)
    away = (focus - positions).norm(dim=1)
    depth = ((focus - positions) * forward).sum(dim=1)
    depth = torch.maximum(depth, NEAREST_TARGET * away.mean())
    targets = positions + depth[:, None] * forward
    azimuth, elevation, farther = torch.randn(3, len(cameras), generator=generator, dtype=torch.float64)
    slope = torch.asin((forward @ vertical).clamp(-1, 1))
    steepest = torch.full_like(slope, math.radians(STEEPEST_DEG))
    wanted = slope + math.radians(ELEVATION_DEG) * elevation
    wanted = torch.where(slope.abs() < steepest, wanted.clamp(-steepest, steepest), slope)
    # A little of the camera's own axis, for cameras that look straight up or down.
    across = torch.linalg.cross(forward, vertical.expand_as(forward)) + 1e-9 * poses[:, :3, 0]
    across = torch.nn.functional.normalize(across, dim=1)
    turn = so3_exp(math.radians(AZIMUTH_DEG) * azimuth[:, None] * vertical) @ so3_exp(
        (wanted - slope)[:, None] * across
    )
    rotations = turn @ poses[:, :3, :3]
    moved = targets - (depth * torch.exp(LOG_DISTANCE * farther))[:, None] * rotations[:, :, 2]
    return cameras.replace(world_from_camera=rigid(rotations, moved).to(cameras.world_from_camera.dtype))


def _distances(scene: Scene, cameras: Cameras) -> Float[Tensor, " c"]:
    """From each camera to the nearest centre of an opaque Gaussian that stands still; infinite without any."""
    means = scene.background.means[scene.background.opacities >= OPAQUE]
    if len(means) == 0:
        return torch.full((len(cameras),), math.inf)
    distances, _ = KDTree(means.detach().double().cpu().numpy()).query(cameras.positions_world.double().numpy())
    return torch.from_numpy(distances)
