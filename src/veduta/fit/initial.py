"""The Gaussians before the first step: from measured points, or drawn within the cameras' views."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping

import torch
from jaxtyping import Bool, Float
from scipy.spatial import KDTree
from torch import Tensor

from veduta.core import Actor, Cameras, Capture, Gaussians, PointCloud, Scene, Streams, Track
from veduta.fit.plan import FitPlan, InitialPlan
from veduta.geometry import (
    RigidMotion,
    capture_similarity,
    dc_from_rgb,
    rigid_inverse,
    scene_extent,
    transform_cameras,
    transform_cloud,
    transform_scene,
    transform_track,
)

MIN_POINTS = 4
"""Fewer measured points than this are no start."""
MIN_SCALE_SHARE = 1e-5
"""Smallest initial scale, as a share of the extent: coincident points must not vanish."""
BOX_MARGIN = 0.05
"""Points within this share of a box's size around it are taken for the object's."""
GREY = 0.5
"""Colour of Gaussians that nothing is known about."""


def initial_scene(capture: Capture, plan: FitPlan | None = None, *, streams: Streams | None = None) -> Scene:
    """The scene that a fit starts from, in the capture's frame; actors for its tracks if the plan says so.

    ``streams`` are those of the plan's seed unless given.
    """
    plan = FitPlan() if plan is None else plan
    streams = Streams(plan.seed) if streams is None else streams
    positions = torch.cat([cameras.positions_world for cameras in capture.cameras.values()])
    similarity = capture_similarity(positions, None if capture.points is None else capture.points.xyz)
    cameras = [transform_cameras(cameras, similarity) for cameras in capture.cameras.values()]
    points = None if capture.points is None else transform_cloud(capture.points, similarity)
    tracks = {name: transform_track(track, similarity) for name, track in capture.tracks.items()}
    scene = scene_from_points(points, cameras, tracks if plan.actors else {}, plan=plan, generator=streams("initial"))
    return transform_scene(scene, similarity.inverse())


def scene_from_points(
    points: PointCloud | None,
    cameras: list[Cameras],
    tracks: Mapping[str, Track],
    *,
    plan: FitPlan,
    generator: torch.Generator,
) -> Scene:
    """Gaussians on the points (those inside a track's box in the object's frame), all in the frame of the fit."""
    extent = scene_extent(torch.cat([c.positions_world for c in cameras]))
    if points is not None:
        points = points.map(_rows(torch.isfinite(points.xyz).all(dim=1)))
    if points is None or len(points) < MIN_POINTS:
        points = random_points(cameras, plan.initial, extent=extent, generator=generator)
    actors: dict[str, Actor] = {}
    still = torch.ones(len(points), dtype=torch.bool)
    for name, track in tracks.items():
        own, taken = points_of_track(points, track)
        still &= ~taken
        if len(own) < MIN_POINTS:
            own = random_in_box(track, plan.actor_points, generator=generator)
        own = at_most(own, plan.actor_points, generator=generator)
        size = float(torch.linalg.vector_norm(track.size_m))
        gaussians = gaussians_on(own, plan.initial, extent=size)
        actors[name] = Actor(gaussians=gaussians, motion=RigidMotion.from_track(track), category=track.category)
    room = max(1, plan.cap(cameras) - sum(len(actor.gaussians) for actor in actors.values()))
    ground = at_most(points.map(_rows(still)), room, generator=generator)
    return Scene(background=gaussians_on(ground, plan.initial, extent=extent), actors=actors)


def gaussians_on(points: PointCloud, plan: InitialPlan, *, extent: float) -> Gaussians:
    """Round Gaussians as large as the distance to their neighbours; the origin is the centre of what looks at them."""
    count = len(points)
    scales = neighbour_distances(points.xyz, plan.neighbours)
    from_centre = torch.linalg.vector_norm(points.xyz, dim=1)
    largest = plan.max_scale_share * from_centre.clamp(min=extent)
    scales = torch.minimum(scales, largest).clamp(min=MIN_SCALE_SHARE * extent)
    quats = torch.zeros(count, 4)
    quats[:, 0] = 1.0
    return Gaussians(
        means=points.xyz.float().clone(),
        quats=quats,
        scales=scales[:, None].expand(-1, 3).contiguous(),
        opacities=torch.full((count,), plan.opacity),
        sh=dc_from_rgb(points.rgb.float())[:, None, :].contiguous(),
    )


def neighbour_distances(xyz: Float[Tensor, "n 3"], neighbours: int) -> Float[Tensor, " n"]:
    """Mean distance to the nearest other points; infinite for a point that is alone."""
    count = len(xyz)
    near = min(neighbours, count - 1)
    if near < 1:
        return torch.full((count,), math.inf)
    cloud = xyz.double().numpy()
    distances, _ = KDTree(cloud).query(cloud, k=near + 1)
    return torch.from_numpy(distances[:, 1:]).mean(dim=1).float()


def random_points(
    cameras: list[Cameras], plan: InitialPlan, *, extent: float, generator: torch.Generator
) -> PointCloud:
    """Grey points that some camera sees, at log-uniform depths."""
    count = plan.random_points
    poses = torch.cat([c.world_from_camera for c in cameras]).float()
    sizes = torch.cat([torch.tensor([[c.width, c.height]]).expand(len(c), 2) for c in cameras])
    intrinsics = torch.cat([c.intrinsics for c in cameras]).float()
    which = torch.randint(len(poses), (count,), generator=generator)
    px = torch.rand(count, 2, generator=generator) * sizes[which]
    near, far = math.log(plan.random_near * extent), math.log(plan.random_far * extent)
    depth = torch.exp(near + (far - near) * torch.rand(count, generator=generator))
    matrix = intrinsics[which]
    focal = torch.stack([matrix[:, 0, 0], matrix[:, 1, 1]], dim=1)
    xy = (px - matrix[:, :2, 2]) / focal
    local = torch.cat([xy, torch.ones(count, 1)], dim=1) * depth[:, None]
    pose = poses[which]
    xyz = torch.einsum("nij,nj->ni", pose[:, :3, :3], local) + pose[:, :3, 3]
    return PointCloud(xyz=xyz, rgb=torch.full((count, 3), GREY))


def points_of_track(points: PointCloud, track: Track) -> tuple[PointCloud, Bool[Tensor, " n"]]:
    """The points in an object's box, in its frame, and which ones they are.

    Points with times are looked for in the box as it is at their time. Points without belong to the object only if it
    never moves away from them: those inside its box at every time.
    """
    object_from_world = rigid_inverse(track.world_from_object.float())
    half = 0.5 * (1.0 + BOX_MARGIN) * track.size_m.float()
    if points.time is None:
        local = (
            torch.einsum("tij,nj->tni", object_from_world[:, :3, :3], points.xyz) + object_from_world[:, None, :3, 3]
        )
        inside = (local.abs() <= half).all(dim=2).all(dim=0)
        local = local[0]
    else:
        motion = RigidMotion.from_track(track)
        inside = torch.zeros(len(points), dtype=torch.bool)
        local = torch.zeros_like(points.xyz)
        for time in torch.unique(points.time).tolist():
            if not motion.present(time):
                continue
            rows = points.time == time
            inverse = rigid_inverse(motion.pose(time)).float()
            local[rows] = points.xyz[rows] @ inverse[:3, :3].T + inverse[:3, 3]
            inside[rows] = (local[rows].abs() <= half).all(dim=1)
    return PointCloud(xyz=local[inside], rgb=points.rgb[inside]), inside


def random_in_box(track: Track, count: int, *, generator: torch.Generator) -> PointCloud:
    """Grey points anywhere in an object's box, in its frame."""
    xyz = (torch.rand(count, 3, generator=generator) - 0.5) * track.size_m.float()
    return PointCloud(xyz=xyz, rgb=torch.full((count, 3), GREY))


def at_most(points: PointCloud, count: int, *, generator: torch.Generator) -> PointCloud:
    """All points, or as many drawn at random, in their order."""
    if len(points) <= count:
        return points
    rows = torch.randperm(len(points), generator=generator)[:count].sort().values
    return points.map(_rows(rows))


def _rows(rows: Tensor) -> Callable[[Tensor], Tensor]:
    return lambda t: t[rows]
