"""Surfaces that procedural objects are put together from: turned, boxed, drawn along a path, swollen, blended.

All are closed or meant to be closed by their neighbours; z is up, sizes are in no unit. Texture coordinates run u to
the right and v down for someone who looks from outside.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from veduta.data.meshes import Material, TexturedMesh

Array = NDArray[np.floating[Any]]


@dataclass(frozen=True, eq=False)
class Surface:
    """A triangle mesh without a look."""

    vertices: Array
    normals: Array
    uv: Array
    faces: NDArray[np.int64]

    def placed(
        self,
        at: tuple[float, float, float] = (0.0, 0.0, 0.0),
        *,
        turn: Array | None = None,
        scale: float | tuple[float, float, float] = 1.0,
    ) -> Surface:
        """Scaled along its axes, then turned by a rotation matrix, then moved."""
        size = np.broadcast_to(np.asarray(scale, dtype=np.float64), 3)
        rotation = np.eye(3) if turn is None else turn
        normals = _unit((self.normals / size) @ rotation.T)
        return Surface((self.vertices * size) @ rotation.T + np.asarray(at), normals, self.uv, self.faces)

    def painted(self, image: NDArray[np.uint8], *, gloss: float = 0.0) -> TexturedMesh:
        """As a mesh of one material; ``image`` is [h, w, 3]."""
        opaque = np.dstack([image, np.full(image.shape[:2], 255, dtype=np.uint8)])
        return TexturedMesh(
            vertices=torch.from_numpy(self.vertices).float(),
            normals=torch.from_numpy(self.normals).float(),
            uv=torch.from_numpy(self.uv).float(),
            tint=torch.ones(len(self.vertices), 3),
            faces=torch.from_numpy(self.faces),
            material=torch.zeros(len(self.faces), dtype=torch.int64),
            materials=(Material(image=torch.from_numpy(opaque), gloss=gloss),),
        )

    def warped(self, warp: Callable[[Array], Array]) -> Surface:
        """Every point moved by ``warp`` ([n, 3] to [n, 3]); normals follow by its numerical derivative."""
        step = 1e-4
        slopes = [
            (warp(self.vertices + step * axis) - warp(self.vertices - step * axis)) / (2 * step) for axis in np.eye(3)
        ]
        jacobian = np.stack(slopes, axis=2)
        cofactor = np.stack(
            [
                np.cross(jacobian[:, 1], jacobian[:, 2]),
                np.cross(jacobian[:, 2], jacobian[:, 0]),
                np.cross(jacobian[:, 0], jacobian[:, 1]),
            ],
            axis=1,
        )
        normals = _unit(np.einsum("nij,nj->ni", cofactor, self.normals))
        return Surface(warp(self.vertices), normals, self.uv, self.faces)


def sheet(points: Array, *, wrap: bool) -> Surface:
    """A grid [h, w, 3] of points as a surface: rows run down, columns to the right; ``wrap``: the last is the first."""
    down, right = np.gradient(points, axis=0), np.gradient(points, axis=1)
    if wrap:
        seam = (points[:, 1] - points[:, -2]) / 2
        right[:, 0] = right[:, -1] = seam
        down[:, -1] = down[:, 0]
    normals = np.cross(down, right)
    length = np.linalg.norm(normals, axis=2, keepdims=True)
    typical = np.median(length)
    unit = normals / np.maximum(length, 1e-12)
    for row, neighbour in ((0, 1), (-1, -2)):
        pinched = length[row, :, 0] < 1e-3 * typical
        unit[row, pinched] = _unit(unit[neighbour].mean(axis=0))
    height, width = points.shape[:2]
    v, u = np.meshgrid(np.linspace(0, 1, height), np.linspace(0, 1, width), indexing="ij")
    uv = np.stack([u, v], axis=2).reshape(-1, 2)
    return Surface(points.reshape(-1, 3), unit.reshape(-1, 3), uv, _grid_faces(height, width))


def turned(profile: Array, *, outline: Array | None = None, columns: int = 64) -> Surface:
    """A profile [k, 2] of (radius, z), from the top down, turned about z.

    ``outline`` [columns + 1] scales the radius around the turn (its last value is its first): 1 makes circles.
    """
    angle = np.linspace(-np.pi, np.pi, columns + 1)
    reach = np.ones_like(angle) if outline is None else outline
    radius = profile[:, :1] * reach
    z = np.broadcast_to(profile[:, 1:], radius.shape)
    return sheet(np.stack([radius * np.sin(angle), -radius * np.cos(angle), z], axis=2), wrap=True)


def disc(radius: float, z: float, *, outline: Array | None = None, columns: int = 64, down: bool = False) -> Surface:
    """A flat cap at height z that faces up (or down), with the picture laid flat on it."""
    surface = turned(np.array([[1e-6, z], [radius, z]]), outline=outline, columns=columns)
    flat = surface.vertices[:, :2] / (2 * max(np.abs(surface.vertices[:, :2]).max(), 1e-9))
    side = -1.0 if down else 1.0
    uv = np.stack([0.5 + side * flat[:, 0], 0.5 - flat[:, 1]], axis=1)
    normals = np.broadcast_to([0.0, 0.0, side], surface.vertices.shape).copy()
    return Surface(surface.vertices, normals, uv, surface.faces)


def rounded_profile(corners: Array, *, bevel: float, steps: int = 4) -> Array:
    """A polyline [k, 2] whose inner corners are cut by arcs (quadratic curves) that begin ``bevel`` before them."""
    points = [corners[:1]]
    for before, corner, after in zip(corners[:-2], corners[1:-1], corners[2:], strict=True):
        start, end = (
            corner + _unit(p - corner) * min(bevel, 0.45 * np.linalg.norm(p - corner)) for p in (before, after)
        )
        t = np.linspace(0, 1, steps + 1)[:, None]
        points.append((1 - t) ** 2 * start + 2 * t * (1 - t) * corner + t**2 * end)
    return np.concatenate([*points, corners[-1:]])


def even_profile(profile: Array, rows: int) -> Array:
    """The same polyline with ``rows`` points at equal distances, so that pictures are not stretched along it."""
    lengths = np.concatenate([[0.0], np.cumsum(np.linalg.norm(np.diff(profile, axis=0), axis=1))])
    at = np.linspace(0, lengths[-1], rows)
    return np.stack([np.interp(at, lengths, profile[:, axis]) for axis in (0, 1)], axis=1)


def squared(power: float, *, flat: float = 1.0, columns: int = 64) -> Array:
    """Outline of a superellipse: power 2 is a circle, larger ones approach a square; ``flat`` is depth over width."""
    angle = np.linspace(-np.pi, np.pi, columns + 1)
    return (np.abs(np.sin(angle)) ** power + np.abs(np.cos(angle) / flat) ** power) ** (-1 / power)


def lobed(lobes: int, depth: float, *, sharp: float = 1.0, columns: int = 64) -> Array:
    """Outline with a number of lobes: gears, stars, flowers; ``sharp`` above 1 flattens them."""
    angle = np.linspace(-np.pi, np.pi, columns + 1)
    return 1 + depth * np.tanh(sharp * np.cos(lobes * angle)) / np.tanh(sharp)


BOX_SIDES = ("front", "right", "back", "left", "top", "bottom")
_SIDE_AXES = np.array(
    [
        [[1, 0, 0], [0, 0, -1], [0, -1, 0]],
        [[0, 1, 0], [0, 0, -1], [1, 0, 0]],
        [[-1, 0, 0], [0, 0, -1], [0, 1, 0]],
        [[0, -1, 0], [0, 0, -1], [-1, 0, 0]],
        [[1, 0, 0], [0, -1, 0], [0, 0, 1]],
        [[1, 0, 0], [0, 1, 0], [0, 0, -1]],
    ],
    dtype=np.float64,
)
"""Of every side of a box: right, down and out."""


def box(size: tuple[float, float, float], *, bevel: float = 0.02, steps: int = 3) -> list[Surface]:
    """The six sides of a box about the origin, in the order of BOX_SIDES, with rounded edges."""
    half = np.asarray(size, dtype=np.float64) / 2
    bevel = min(bevel, 0.9 * float(half.min()))
    sides = []
    for right, down, out in _SIDE_AXES:
        width, height = (float(np.abs(axis) @ half) for axis in (right, down))
        x, y = (_edge_spacing(extent, bevel, steps) for extent in (width, height))
        points = x[None, :, None] * right + y[:, None, None] * down + out * float(np.abs(out) @ half)
        inner = np.clip(points, -(half - bevel), half - bevel)
        normals = _unit(points - inner).reshape(-1, 3)
        rounded = inner.reshape(-1, 3) + bevel * normals
        u, v = np.meshgrid((x / width + 1) / 2, (y / height + 1) / 2)
        uv = np.stack([u, v], axis=2).reshape(-1, 2)
        sides.append(Surface(rounded, normals, uv, _grid_faces(len(y), len(x))))
    return sides


def tube(path: Array, radius: Array, *, columns: int = 20, closed: bool = False) -> Surface:
    """A tube along a path [k, 3] of radii [k]; a radius near 0 closes an end; ``closed``: the end meets the start."""
    tangents = _unit(np.gradient(path, axis=0))
    if closed:
        tangents[0] = tangents[-1] = _unit(path[1] - path[-2])
    side = _unit(np.cross(tangents[0], np.eye(3)[int(np.abs(tangents[0]).argmin())]))
    sides = []
    for tangent in tangents:
        side = _unit(side - (side @ tangent) * tangent)
        sides.append(side)
    across = np.stack(sides)
    if closed:
        across = _untwisted(across, tangents)
    other = np.cross(tangents, across)
    angle = np.linspace(0, 2 * np.pi, columns + 1)
    ring = np.cos(angle)[None, :, None] * across[:, None] - np.sin(angle)[None, :, None] * other[:, None]
    return sheet(path[:, None] + radius[:, None, None] * ring, wrap=True)


def capsule(start: Array, end: Array, radius: tuple[float, float], *, columns: int = 20) -> Surface:
    """A straight limb with round ends of two radii."""
    length = float(np.linalg.norm(end - start))
    along = _unit(end - start)
    turn = np.linspace(0, np.pi / 2, 6)
    first = np.stack([-radius[0] * np.cos(turn), radius[0] * np.sin(turn)], axis=1)
    last = np.stack([length + radius[1] * np.sin(turn), radius[1] * np.cos(turn)], axis=1)
    profile = np.concatenate([first, last])
    return tube(start + profile[:, :1] * along, np.maximum(profile[:, 1], 1e-5), columns=columns)


def ring(radius: float, thickness: float, *, columns: int = 40) -> Surface:
    """A torus in the plane z = 0."""
    angle = np.linspace(0, 2 * np.pi, columns + 1)
    path = radius * np.stack([np.cos(angle), np.sin(angle), np.zeros_like(angle)], axis=1)
    return tube(path, np.full(columns + 1, thickness), columns=16, closed=True)


def ball(
    radii: tuple[float, float, float],
    *,
    bumps: tuple[tuple[Array, float, float], ...] = (),
    power: float = 2.0,
    rows: int = 33,
    columns: int = 64,
) -> Surface:
    """An ellipsoid (``power`` 2; larger: boxier) swollen by bumps: (unit direction, height, width in rad)."""
    polar = np.linspace(0, np.pi, rows)[:, None]
    azimuth = np.linspace(-np.pi, np.pi, columns + 1)[None]
    x, y = np.sin(polar) * np.sin(azimuth), -np.sin(polar) * np.cos(azimuth)
    direction = np.stack([x, y, np.cos(polar) + 0 * azimuth], axis=2)
    reach = (np.abs(direction) ** power).sum(axis=2) ** (-1 / power)
    for toward, height, width in bumps:
        reach = reach * (1 + height * np.exp((direction @ toward - 1) / width**2))
    return sheet(direction * reach[..., None] * np.asarray(radii), wrap=True)


def _untwisted(across: Array, tangents: Array) -> Array:
    """Sides of a closed tube with the twist that they gather on one turn spread over it."""
    first, last = across[0], across[-1]
    angle = np.arctan2(np.cross(last, first) @ tangents[0], last @ first)
    turn = np.linspace(0, angle, len(across))[:, None]
    return np.cos(turn) * across + np.sin(turn) * np.cross(tangents, across)


def _edge_spacing(half: float, bevel: float, steps: int) -> Array:
    """Positions from -half to half, dense where the edges are round."""
    curve = half - bevel * (1 - np.tan(np.linspace(0, np.pi / 4, steps + 1)))
    middle = np.linspace(-(half - bevel), half - bevel, 3)[1:-1]
    return np.concatenate([-curve[::-1], middle, curve])


def _grid_faces(height: int, width: int) -> NDArray[np.int64]:
    """Two triangles for every cell of a grid, counter-clockwise seen from outside."""
    start = (np.arange(height - 1)[:, None] * width + np.arange(width - 1)).reshape(-1)
    lower = np.stack([start, start + width, start + 1], axis=1)
    upper = np.stack([start + 1, start + width, start + width + 1], axis=1)
    return np.concatenate([lower, upper]).astype(np.int64)


def _unit(vectors: Array) -> Array:
    return vectors / np.maximum(np.linalg.norm(vectors, axis=-1, keepdims=True), 1e-12)
