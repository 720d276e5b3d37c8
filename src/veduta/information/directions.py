"""Where nothing stands: how often each direction was seen through to the background.

What is infinitely far looks the same from every place, so what is known about it is kept by direction alone, in an
equirectangular map with the axes of :mod:`veduta.geometry.sky`.
"""

from __future__ import annotations

import math

import torch
from jaxtyping import Float, Int
from torch import Tensor

from veduta.core import Cameras, DirectionMap, Noise
from veduta.geometry import sky_axes

ROWS, COLUMNS = 64, 128
"""Cells of 2.8 degrees: coarse enough that cameras of a few hundred pixels leave no gaps between their pixels."""


def no_directions(*, known: bool = False) -> DirectionMap:
    """Nothing seen yet; or, with ``known``, a background of which everything is known."""
    seen = torch.full((ROWS, COLUMNS), math.inf if known else 0.0, dtype=torch.float64)
    return DirectionMap(seen=seen, up=torch.tensor([0.0, 0.0, 1.0], dtype=torch.float64))


def add_seen(directions: DirectionMap, camera: Cameras, amount: Float[Tensor, "h w"]) -> DirectionMap:
    """With ``amount`` (trust times squared transmittance) of each pixel of one camera added in its direction."""
    cells = _cells(directions, camera)
    seen = directions.seen.flatten().index_add(0, cells.flatten(), amount.flatten().to(directions.seen))
    return directions.replace(seen=seen.view_as(directions.seen))


def seen_by(directions: DirectionMap, camera: Cameras) -> Float[Tensor, "h w"]:
    """How often the direction of each pixel of one camera was seen: its cell's sum (float64)."""
    return directions.seen.flatten()[_cells(directions, camera)]


def background_variance(
    directions: DirectionMap, camera: Cameras, clear: Float[Tensor, "h w"], *, noise: Noise
) -> Float[Tensor, "h w"]:
    """Variance per channel that an unknown background adds to each pixel of one camera.

    T^2 tau^2 / (1 + H tau^2 / (kappa sigma^2)), with T = ``clear`` the transmittance left and H how often the direction
    was seen: a prior of variance tau^2 and H observations of it.
    """
    return clear.square() * variances(directions, noise=noise).flatten()[_cells(directions, camera)].to(clear)


def variances(directions: DirectionMap, *, noise: Noise) -> Float[Tensor, "rows columns"]:
    """The variance per channel of an unknown background in each cell: that of :func:`background_variance` for T = 1."""
    tau2 = noise.tau**2
    return tau2 / (1 + directions.seen * (tau2 / (noise.kappa * noise.sigma**2)))


def axes_in(directions: DirectionMap, camera: Cameras) -> Float[Tensor, "3 3"]:
    """Rows: the map's level x, level y and up in the axes of one camera."""
    assert len(camera) == 1, f"one camera at a time, got {len(camera)}"
    rotation = camera.world_from_camera[0, :3, :3].to(camera.intrinsics.dtype)
    return sky_axes(directions.up.to(rotation.dtype)) @ rotation


def _cells(directions: DirectionMap, camera: Cameras) -> Int[Tensor, "h w"]:
    """The index of the cell, row by row, that each pixel of one pinhole camera looks into."""
    rows, columns = directions.seen.shape
    camera = camera.to(directions.seen.device)
    matrix = camera.intrinsics[0]
    every = torch.arange(max(camera.width, camera.height), dtype=matrix.dtype, device=matrix.device) + 0.5
    x = (every[: camera.width] - matrix[0, 2]) / matrix[0, 0]
    y = (every[: camera.height] - matrix[1, 2]) / matrix[1, 1]
    level_x, level_y, up = (axis[0] * x + (axis[1] * y + axis[2])[:, None] for axis in axes_in(directions, camera))
    azimuth = torch.atan2(level_y, level_x)
    polar = torch.atan2(torch.hypot(level_x, level_y), up)
    column = torch.where(azimuth < 0, azimuth + 2 * math.pi, azimuth) * (columns / (2 * math.pi))
    row = polar * (rows / math.pi)
    return row.long().clamp(max=rows - 1) * columns + column.long().clamp(max=columns - 1)
