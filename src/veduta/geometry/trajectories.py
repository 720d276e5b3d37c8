"""Camera paths: new cameras from those of a capture."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable

import torch
from jaxtyping import Float
from torch import Tensor

from veduta.core import Cameras
from veduta.geometry.rotations import (
    matrix_from_quat,
    quat_from_matrix,
    quat_multiply,
    quat_slerp,
    rigid,
    so3_exp,
    so3_log,
)

_LEAST_KNOT = 0.05
"""Smallest spacing of knots relative to the mean, so that cameras in one place do not divide by zero."""
_FOCUS_DAMPING = 1e-2
"""How strongly :func:`focus_point` holds on to its prior when the optical axes are almost parallel."""
_ELLIPSE_QUANTILE = 0.9


def interpolate(cameras: Cameras, count: int) -> Cameras:
    """``count`` cameras along a smooth curve (C1) through all given ones, in their order, at nearly even speed.

    Catmull-Rom curves of positions, and their spherical twin of rotations, with knots by chord length. The first and
    last cameras are kept; intrinsics and times change linearly between neighbours.
    """
    assert count >= 1, count
    if len(cameras) == 1 or count == 1:
        return cameras[[0] * count]
    positions = cameras.positions_world.to(torch.float64)
    quats = quat_from_matrix(cameras.world_from_camera[:, :3, :3].to(torch.float64))
    knots = _knots(positions, quats)
    at = torch.linspace(0, float(knots[-1]), count, dtype=torch.float64)
    segment = (torch.searchsorted(knots, at, right=True) - 1).clamp(0, len(cameras) - 2)
    fraction = (at - knots[segment]) / knots.diff()[segment]
    moved = _smooth_positions(positions, knots.diff(), segment, fraction)
    turned = _smooth_rotations(quats, knots.diff(), segment, fraction)
    weight = fraction.to(cameras.intrinsics.dtype)[:, None, None]
    return cameras.replace(
        world_from_camera=rigid(matrix_from_quat(turned), moved).to(cameras.world_from_camera.dtype),
        intrinsics=torch.lerp(cameras.intrinsics[segment], cameras.intrinsics[segment + 1], weight),
        time=torch.lerp(cameras.time[segment], cameras.time[segment + 1], fraction.to(cameras.time.dtype)),
    )


def orbit(cameras: Cameras, up: Float[Tensor, "3"], count: int) -> Cameras:
    """``count`` cameras on a circle about ``up``, looking at the point that the given cameras look at.

    Distance and height are the given cameras' means. The circle starts at the first camera's side and does not repeat
    its first pose; intrinsics and time are the first's.
    """
    focus, axes, local = _rig_about_focus(cameras, up)
    radius = float(torch.linalg.vector_norm(local[:, :2], dim=-1).mean())
    start = math.atan2(float(local[0, 1]), float(local[0, 0]))
    return _ring(cameras, focus, axes, (radius, radius), float(local[:, 2].mean()), start, count)


def ellipse(cameras: Cameras, up: Float[Tensor, "3"], count: int) -> Cameras:
    """As :func:`orbit`, on an ellipse as long and as wide as the rig of cameras (its 90 % quantiles)."""
    focus, axes, local = _rig_about_focus(cameras, up)
    _, principal = torch.linalg.eigh(local[:, :2].T @ local[:, :2])
    long = torch.cat([principal[:, 1], principal.new_zeros(1)])
    across = torch.stack([-long[1], long[0], long[2]])
    turn = torch.stack([long, across, long.new_tensor([0.0, 0.0, 1.0])])
    local, axes = local @ turn.T, turn @ axes
    half_long, half_wide = torch.quantile(local[:, :2].abs(), _ELLIPSE_QUANTILE, dim=0).tolist()
    height = float(local[:, 2].mean())
    return _ring(cameras, focus, axes, (half_long, max(half_wide, 0.25 * half_long)), height, 0.0, count)


def lateral_shift(cameras: Cameras, *, right_m: float) -> Cameras:
    """Every camera moved along its own x axis (right), by metres or the capture's unit; negative: to the left."""
    poses = cameras.world_from_camera.clone()
    poses[:, :3, 3] += right_m * poses[:, :3, 0]
    return cameras.replace(world_from_camera=poses)


def order_cameras(cameras: Cameras) -> Cameras:
    """The same cameras in an order fit for :func:`interpolate`: each followed by its nearest neighbour not yet visited.

    Starts at the camera farthest from the mean; nearness counts position and viewing direction alike.
    """
    positions = cameras.positions_world.to(torch.float64)
    spread = float((positions - positions.mean(dim=0)).norm(dim=-1).mean()) or 1.0
    features = torch.cat([positions / spread, cameras.world_from_camera[:, :3, 2].to(torch.float64)], dim=-1)
    distances = torch.cdist(features, features)
    order = [int((positions - positions.mean(dim=0)).norm(dim=-1).argmax())]
    left = torch.ones(len(cameras), dtype=torch.bool)
    left[order[0]] = False
    while left.any():
        following = int(torch.where(left, distances[order[-1]], torch.inf).argmin())
        order.append(following)
        left[following] = False
    return cameras[order]


def focus_point(cameras: Cameras) -> Float[Tensor, "3"]:
    """The point nearest to all optical axes, in least squares (float64).

    Where the axes are almost parallel it is held near the mean position plus the rig's diameter along the mean axis.
    """
    positions = cameras.positions_world.to(torch.float64)
    forward = torch.nn.functional.normalize(cameras.world_from_camera[:, :3, 2].to(torch.float64), dim=-1)
    eye = torch.eye(3, dtype=torch.float64)
    across = eye - forward[:, :, None] * forward[:, None, :]
    mean = positions.mean(dim=0)
    diameter = 2 * float((positions - mean).norm(dim=-1).max()) or 1.0
    prior = mean + diameter * forward.mean(dim=0)
    left = across.mean(dim=0) + _FOCUS_DAMPING * eye
    right = (across @ positions[..., None]).squeeze(-1).mean(dim=0) + _FOCUS_DAMPING * prior
    return torch.linalg.solve(left, right)


def look_at(
    positions: Float[Tensor, "c 3"], targets: Float[Tensor, "c 3"], up: Float[Tensor, "3"]
) -> Float[Tensor, "c 4 4"]:
    """Level camera poses (``world_from_camera``) at positions, looking at targets; neither may be straight above."""
    forward = torch.nn.functional.normalize(targets - positions, dim=-1)
    right = torch.nn.functional.normalize(torch.linalg.cross(forward, up.expand_as(forward)), dim=-1)
    down = torch.linalg.cross(forward, right)
    return rigid(torch.stack([right, down, forward], dim=-1), positions)


def _rig_about_focus(cameras: Cameras, up: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """The focus, level axes (rows; the third is up), and camera positions in those axes about the focus."""
    focus = focus_point(cameras)
    vertical = torch.nn.functional.normalize(up.to(torch.float64), dim=0)
    start = torch.eye(3, dtype=torch.float64)[int(vertical.abs().argmin())]
    level = torch.nn.functional.normalize(start - (start @ vertical) * vertical, dim=0)
    axes = torch.stack([level, torch.linalg.cross(vertical, level), vertical])
    return focus, axes, (cameras.positions_world.to(torch.float64) - focus) @ axes.T


def _ring(
    cameras: Cameras,
    focus: Tensor,
    axes: Tensor,
    half_axes: tuple[float, float],
    height: float,
    start: float,
    count: int,
) -> Cameras:
    angle = start + torch.arange(count, dtype=torch.float64) * (2 * math.pi / count)
    flat = [half_axes[0] * torch.cos(angle), half_axes[1] * torch.sin(angle), torch.full_like(angle, height)]
    positions = focus + torch.stack(flat, dim=-1) @ axes
    first = cameras[[0] * count]
    poses = look_at(positions, focus.expand_as(positions), axes[2])
    return first.replace(world_from_camera=poses.to(cameras.world_from_camera.dtype))


def _knots(positions: Tensor, quats: Tensor) -> Tensor:
    """Curve parameters of the key poses: distance and angle to the predecessor, each relative to its mean, added up."""
    chords = []
    turns = so3_log(matrix_from_quat(quats[:-1]).mT @ matrix_from_quat(quats[1:]))
    for step in (positions.diff(dim=0).norm(dim=-1), turns.norm(dim=-1)):
        mean = step.mean()
        chords.append(step / mean if mean > 0 else torch.zeros_like(step))
    steps = (chords[0] + chords[1]).clamp_min(_LEAST_KNOT)
    return torch.cat([steps.new_zeros(1), steps.cumsum(dim=0)])


def _lerp(a: Tensor, b: Tensor, fraction: Tensor) -> Tensor:
    return a + (b - a) * fraction[:, None]


def _tangents(slopes: Tensor, spans: Tensor) -> Tensor:
    """Velocities at the knots of the parabola through three neighbours; at the ends, of the first and last chord."""
    before, after = spans[:-1, None], spans[1:, None]
    inner = (after * slopes[:-1] + before * slopes[1:]) / (before + after)
    return torch.cat([slopes[:1], inner, slopes[-1:]])


def _smooth_positions(positions: Tensor, spans: Tensor, segment: Tensor, fraction: Tensor) -> Tensor:
    """Catmull-Rom, as cubic Bezier curves between neighbours."""
    third = spans[:, None] / 3
    velocities = _tangents(positions.diff(dim=0) / spans[:, None], spans)
    leaving = positions[:-1] + velocities[:-1] * third
    arriving = positions[1:] - velocities[1:] * third
    corners = [positions[:-1], leaving, arriving, positions[1:]]
    return _bezier([corner[segment] for corner in corners], fraction, _lerp)


def _smooth_rotations(quats: Tensor, spans: Tensor, segment: Tensor, fraction: Tensor) -> Tensor:
    """The same on the sphere of quaternions (Shoemake 1985); velocities are those of the world, in rad per knot."""
    matrices = matrix_from_quat(quats)
    third = spans[:, None] / 3
    velocities = _tangents(so3_log(matrices[1:] @ matrices[:-1].mT) / spans[:, None], spans)
    leaving = quat_multiply(quat_from_matrix(so3_exp(velocities[:-1] * third)), quats[:-1])
    arriving = quat_multiply(quat_from_matrix(so3_exp(-velocities[1:] * third)), quats[1:])
    corners = [quats[:-1], leaving, arriving, quats[1:]]
    return _bezier([corner[segment] for corner in corners], fraction, quat_slerp)


def _bezier(corners: list[Tensor], fraction: Tensor, mix: Callable[[Tensor, Tensor, Tensor], Tensor]) -> Tensor:
    """De Casteljau's construction with any interpolation."""
    while len(corners) > 1:
        corners = [mix(a, b, fraction) for a, b in itertools.pairwise(corners)]
    return corners[0]
