"""Where objects are looked at from: rigs of cameras around them, groups of like views, the frame of the first view."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from veduta.core import Cameras, Example
from veduta.data.meshes import BOX_RADIUS
from veduta.geometry import look_at, rigid, rigid_inverse, so3_exp

DEPTH_MARGIN = 0.8
"""Objects of [-0.5, 0.5]^3 lie within this of the depth of their middle (Gobjaverse: near, far = r -+ 0.8)."""
_GROUPING_SEED = 20211202
_GROUPING_STARTS = 10


def align_to_first(example: Example) -> Example:
    """The example in the frame where its first input camera is unturned, at (0, 0, -r), looking along +z.

    r is that camera's distance from the origin; all poses move rigidly together, so pictures stay as they are.
    """
    move = aligned_from_world(example.inputs.cameras)
    inputs, targets = (
        views.replace(cameras=views.cameras.replace(world_from_camera=_moved(move, views.cameras.world_from_camera)))
        for views in (example.inputs, example.targets)
    )
    return example.replace(inputs=inputs, targets=targets)


def aligned_from_world(cameras: Cameras) -> Float[Tensor, "4 4"]:
    """The rigid motion that takes the first camera to identity rotation at (0, 0, -r); float64."""
    first = cameras.world_from_camera[0].double()
    canonical = torch.eye(4, dtype=torch.float64)
    canonical[2, 3] = -first[:3, 3].norm()
    return canonical @ rigid_inverse(first)


def _moved(move: Float[Tensor, "4 4"], poses: Float[Tensor, "c 4 4"]) -> Float[Tensor, "c 4 4"]:
    return (move @ poses.double()).to(poses.dtype)


def camera_groups(positions: Float[Tensor, "n 3"], count: int) -> Int[Tensor, " n"]:
    """A group, 0 to count - 1, for every position, by k-means: the best of ten starts, the same at every call.

    Groups are numbered in the order in which their first position stands. Where there are fewer different positions
    than groups, positions are dealt out in turn instead.
    """
    from scipy.cluster.vq import ClusterError, kmeans2

    points = positions.double().numpy()
    if len(np.unique(points, axis=0)) < count:
        return torch.arange(len(points)) % count
    rng = np.random.default_rng(_GROUPING_SEED)
    best: tuple[float, np.ndarray] | None = None
    for _ in range(_GROUPING_STARTS):
        try:
            centres, labels = kmeans2(points, count, minit="++", missing="raise", rng=rng)
        except ClusterError:
            continue
        inertia = float(((points - centres[labels]) ** 2).sum())
        if len(np.unique(labels)) == count and (best is None or inertia < best[0] * (1 - 1e-9)):
            best = inertia, labels
    assert best is not None, "k-means left groups empty from every start"
    _, first_seen, numbered = np.unique(best[1], return_index=True, return_inverse=True)
    rank = np.argsort(np.argsort(first_seen))
    return torch.from_numpy(rank[numbered]).long()


def members(groups: Int[Tensor, " n"]) -> list[list[int]]:
    """Positions by group, in increasing order."""
    return [torch.nonzero(groups == g).squeeze(1).tolist() for g in range(int(groups.max()) + 1)]


def one_of_each(
    groups: Sequence[Sequence[int]], generator: torch.Generator, *, without: Sequence[int] = ()
) -> list[int]:
    """One view drawn from every group, the groups in random order; ``without`` is avoided where a group allows it."""
    order = torch.randperm(len(groups), generator=generator).tolist()
    drawn: list[int] = []
    for group in order:
        allowed = [view for view in groups[group] if view not in without] or list(groups[group])
        drawn.append(allowed[int(torch.randint(len(allowed), (1,), generator=generator))])
    return drawn


def round_the_object(
    azimuths: Float[Tensor, " c"],
    elevations: Float[Tensor, " c"],
    *,
    size_px: int,
    fov: float,
    slack: Float[Tensor, " c"] | float = 1.05,
    aims: Float[Tensor, "c 3"] | None = None,
    rolls: Float[Tensor, " c"] | None = None,
) -> Cameras:
    """Square pinhole cameras about the origin, z up (angles in radians).

    ``slack`` 1 is the distance from which a ball of radius 0.5 just fits into the picture; ``aims`` are the points
    looked at (the origin), ``rolls`` turns about the optical axis. Elevations stay short of straight up.
    """
    distance = BOX_RADIUS / math.sin(fov / 2) * slack
    level = elevations.cos()
    directions = torch.stack([level * azimuths.cos(), level * azimuths.sin(), elevations.sin()], dim=1)
    positions = directions * (distance[:, None] if isinstance(distance, Tensor) else distance)
    poses = look_at(positions, torch.zeros_like(positions) if aims is None else aims, positions.new_tensor([0, 0, 1.0]))
    if rolls is not None:
        turn = so3_exp(torch.stack([torch.zeros_like(rolls), torch.zeros_like(rolls), rolls], dim=1))
        poses = poses @ rigid(turn, torch.zeros_like(positions))
    focal = size_px / 2 / math.tan(fov / 2)
    half = size_px / 2
    return Cameras.pinhole(poses.float(), fx=focal, fy=focal, cx=half, cy=half, width=size_px, height=size_px)


def random_rig(count: int, generator: torch.Generator, *, size_px: int) -> Cameras:
    """Cameras around an object as data sets have them: rings or domes, one lens, distances and aims a little uneven."""

    def uniform(low: float, high: float, *shape: int) -> Tensor:
        return low + (high - low) * torch.rand(shape, generator=generator, dtype=torch.float64)

    azimuths = (torch.arange(count, dtype=torch.float64) + uniform(-0.4, 0.4, count)) * (2 * math.pi / count)
    if float(uniform(0, 1)) < 0.5:
        elevations = uniform(-0.15, 0.7) + uniform(-0.25, 0.25, count)
    else:
        elevations = torch.asin(uniform(-0.3, 0.92, count))
    return round_the_object(
        azimuths + uniform(0, 2 * math.pi),
        elevations,
        size_px=size_px,
        fov=math.radians(float(uniform(38, 52))),
        slack=uniform(1.0, 1.1) * uniform(0.97, 1.05, count),
        aims=uniform(-0.02, 0.02, count, 3),
        rolls=uniform(-0.05, 0.05, count),
    )
