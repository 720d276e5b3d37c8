"""Where an object is and how large, from its outlines: the visual hull on a grid that closes in."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from jaxtyping import Float, Int
from torch import Tensor

from veduta.core import Cameras, InputError
from veduta.geometry import project

_CELLS = 40
_ROUNDS = 3
_DISSENTS = (0.0, 0.1)
"""Shares of the views that may see background where the object is, the second where the first leaves nothing."""
_INSIDE = 0.5
"""Coverage that counts as the object."""
_START_MARGIN = 1.6
"""How much larger than the outlines, at the depth of the start, the first grid is."""


@dataclass(frozen=True, eq=False)
class Silhouette:
    """An outline and the pinhole camera, of one, that saw it."""

    camera: Cameras
    alpha: Float[Tensor, "h w"]


def hull_ball(
    silhouettes: Sequence[Silhouette], *, start: Float[Tensor, "3"], where: str | Path
) -> tuple[Float[Tensor, "3"], float]:
    """Middle of the bounds of the hull and the distance to its farthest point; ``start`` is a point near the object.

    Few views leave the hull larger than the object. Raises InputError where outlines are empty or share nothing.
    """
    centre, half = start.double(), _first_half(silhouettes, start.double(), where)
    points: Tensor | None = None
    cell = 2 * half / _CELLS
    for _ in range(_ROUNDS):
        cell = 2 * half / _CELLS
        axis = ((torch.arange(_CELLS, dtype=torch.float64) + 0.5) / _CELLS * 2 - 1) * half
        grid = torch.stack(torch.meshgrid(axis, axis, axis, indexing="ij"), dim=-1).reshape(-1, 3) + centre
        refused = _refused(grid, silhouettes)
        kept = (refused <= int(dissent * len(silhouettes)) for dissent in _DISSENTS)
        points = next((grid[rows] for rows in kept if bool(rows.any())), None)
        if points is None:
            raise InputError(
                "the outlines have nothing in common",
                where=where,
                expected="one object in the middle of all views",
                hint="Check masks and poses, or leave out photographs that show something else.",
            )
        low, high = points.amin(dim=0), points.amax(dim=0)
        centre, half = (low + high) / 2, float((high - low).max()) / 2 + 1.5 * cell
    assert points is not None
    return centre, float((points - centre).norm(dim=1).max()) + cell / 2


def _first_half(silhouettes: Sequence[Silhouette], start: Float[Tensor, "3"], where: str | Path) -> float:
    """Half the side of a cube about the start that holds all outlines, were they at its depth."""
    reaches: list[float] = []
    nearest = min(float((s.camera.positions_world[0].double() - start).norm()) for s in silhouettes)
    for silhouette in silhouettes:
        rows, columns = torch.nonzero(silhouette.alpha > _INSIDE, as_tuple=True)
        if len(rows) == 0:
            continue
        pixels, depth = project(start[None], _exact(silhouette.camera))
        if float(depth) <= 0:
            continue
        seen = torch.stack([columns, rows], dim=1).double() + 0.5
        away = (seen - pixels[0, 0]).norm(dim=1).max()
        reaches.append(float(away / silhouette.camera.intrinsics[0, 0, 0] * depth))
    if not reaches:
        raise InputError(
            "no photograph shows the object",
            where=where,
            expected="outlines that are not empty",
            hint="Check the masks.",
        )
    return min(_START_MARGIN * max(reaches), 0.95 * nearest)


def _refused(points: Float[Tensor, "n 3"], silhouettes: Sequence[Silhouette]) -> Int[Tensor, " n"]:
    """How many views see only background at a point and a pixel around it; all, where most do not show it at all."""
    shown, refused = torch.zeros(len(points)), torch.zeros(len(points), dtype=torch.int64)
    for silhouette in silhouettes:
        pixels, depth = project(points, _exact(silhouette.camera))
        x, y = pixels[0].floor().long().unbind(dim=1)
        height, width = silhouette.alpha.shape
        framed = (depth[0] > 0) & (x >= 0) & (x < width) & (y >= 0) & (y < height)
        covered = torch.nn.functional.max_pool2d(silhouette.alpha[None], 3, 1, 1)[0] > _INSIDE
        shown += framed
        refused += framed & ~covered[y.clamp(0, height - 1), x.clamp(0, width - 1)]
    enough = max(min(2, len(silhouettes)), 0.5 * len(silhouettes))
    return torch.where(shown >= enough, refused, len(silhouettes))


def _exact(camera: Cameras) -> Cameras:
    return camera.replace(world_from_camera=camera.world_from_camera.double(), intrinsics=camera.intrinsics.double())
