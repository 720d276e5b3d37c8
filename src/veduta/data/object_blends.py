"""Bodies grown together from round limbs: a smooth union of capsules, made a mesh by surface nets (Gibson 1998)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from veduta.data.mesh_textures import linear_from_bytes
from veduta.data.meshes import Material, TexturedMesh
from veduta.data.object_paints import Picture, Rgb

Array = NDArray[np.floating[Any]]


@dataclass(frozen=True, eq=False)
class Limb:
    """A capsule from ``start`` to ``end`` of two radii, and its colour (sRGB, 0 to 255)."""

    start: tuple[float, float, float]
    end: tuple[float, float, float]
    radii: tuple[float, float]
    color: Rgb

    def mirrored(self) -> Limb:
        """The same on the other side of x = 0."""
        return Limb(_flipped(self.start), _flipped(self.end), self.radii, self.color)


def blended(
    limbs: Sequence[Limb], *, coat: Picture, softness: float, cells: int = 40, color_softness: float = 0.04
) -> TexturedMesh:
    """Limbs that flow into each other within ``softness``; the picture ``coat`` multiplies their colours.

    The longest side of the limbs' bounds is cut into ``cells``; the coat is laid on along the axis that a triangle
    faces.
    """
    ends = np.array([[limb.start, limb.end] for limb in limbs], dtype=np.float32)
    radii = np.array([limb.radii for limb in limbs], dtype=np.float32)
    margin = radii.max(axis=1)[:, None] + softness
    low, high = (ends.min(axis=1) - margin).min(axis=0), (ends.max(axis=1) + margin).max(axis=0)
    step = float((high - low).max()) / cells
    axes = [np.arange(bottom, top + 2 * step, step, dtype=np.float32) for bottom, top in zip(low, high, strict=True)]
    corners = np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1)
    field = _union(_distances(corners.reshape(-1, 3), ends, radii), softness).reshape(corners.shape[:3])
    points, quads = surface_net(field)
    vertices = points * np.float32(step) + np.array([axis[0] for axis in axes], dtype=np.float32)
    distances = _distances(vertices, ends, radii)
    weights = np.exp(-(distances - distances.min(axis=0)) / color_softness)
    colors = linear_from_bytes(np.stack([limb.color for limb in limbs]))
    tint = (weights / weights.sum(axis=0)).T @ colors
    normals = _slope(vertices, ends, radii, softness)
    faces = np.concatenate([quads[:, [0, 1, 2]], quads[:, [0, 2, 3]]])
    return _projected(vertices, normals, tint, faces, coat, size=float((high - low).max()))


def surface_net(field: Array) -> tuple[Array, NDArray[np.int64]]:
    """Where a field [x, y, z] is zero, negative inside: vertices in units of cells, and quads.

    One vertex per cell that the surface crosses, at the mean of the crossings of its edges.
    """
    total = np.zeros((*(n - 1 for n in field.shape), 3), dtype=np.float32)
    count = np.zeros(total.shape[:3], dtype=np.float32)
    crossings: list[NDArray[np.bool_]] = []
    for axis in range(3):
        start, end = (np.take(field, range(a, field.shape[axis] - 1 + a), axis=axis) for a in (0, 1))
        crossed = (start < 0) != (end < 0)
        crossings.append(crossed)
        share = np.where(crossed, start / np.where(crossed, start - end, 1), 0).astype(np.float32)
        others = [a for a in range(3) if a != axis]
        for offset in ((0, 0), (0, 1), (1, 0), (1, 1)):
            cut = tuple(
                slice(None) if a == axis else slice(offset[others.index(a)], total.shape[a] + offset[others.index(a)])
                for a in range(3)
            )
            here = crossed[cut].astype(np.float32)
            count += here
            total[..., axis] += share[cut]
            for other, shift in zip(others, offset, strict=True):
                total[..., other] += shift * here
    active = count > 0
    index = np.cumsum(active.reshape(-1)).reshape(active.shape) - 1
    cell = np.stack(np.nonzero(active), axis=1).astype(np.float32)
    vertices = cell + total[active] / count[active][:, None]
    return vertices, np.concatenate([_quads(crossings[axis], index, axis) for axis in range(3)])


def _quads(crossed: NDArray[np.bool_], index: NDArray[np.int64], axis: int) -> NDArray[np.int64]:
    """For every crossed edge along ``axis``, the vertices of the four cells around it."""
    b, c = (axis + 1) % 3, (axis + 2) % 3
    edges = np.stack(np.nonzero(crossed), axis=1)
    inner = (edges[:, b] > 0) & (edges[:, c] > 0) & (edges[:, b] < index.shape[b]) & (edges[:, c] < index.shape[c])
    edges = edges[inner]
    around = []
    for down_b, down_c in ((1, 1), (0, 1), (0, 0), (1, 0)):
        cell = edges.copy()
        cell[:, b] -= down_b
        cell[:, c] -= down_c
        around.append(index[cell[:, 0], cell[:, 1], cell[:, 2]])
    return np.stack(around, axis=1)


def _distances(points: Array, ends: Array, radii: Array) -> Array:
    """Signed distances [limbs, n] of points to round cones (their radius taken at the nearest point of the axis)."""
    rows = []
    for (start, end), (first, last) in zip(ends, radii, strict=True):
        along = end - start
        offset = points - start
        share = np.clip(offset @ along / max(float(along @ along), 1e-9), 0, 1)
        offset -= share[:, None] * along
        rows.append(np.sqrt(np.einsum("ni,ni->n", offset, offset)) - (first + share * (last - first)))
    return np.stack(rows)


def _union(distances: Array, softness: float) -> Array:
    """Smooth minimum over limbs: the soft one of two, one after the other."""
    total = distances[0]
    for other in distances[1:]:
        share = np.maximum(softness - np.abs(total - other), 0) / softness
        total = np.minimum(total, other) - share * share * (softness / 4)
    return total


def _slope(vertices: Array, ends: Array, radii: Array, softness: float) -> Array:
    """Unit gradients of the union at the vertices."""
    step = np.float32(2e-3)
    sides = []
    for axis in np.eye(3, dtype=np.float32):
        ahead, behind = (_union(_distances(vertices + s * step * axis, ends, radii), softness) for s in (1, -1))
        sides.append(ahead - behind)
    slope = np.stack(sides, axis=1)
    return slope / np.maximum(np.linalg.norm(slope, axis=1, keepdims=True), 1e-12)


def _projected(
    vertices: Array, normals: Array, tint: Array, faces: NDArray[np.int64], coat: Picture, *, size: float
) -> TexturedMesh:
    """A mesh whose triangles own their corners, textured along the axis that each faces."""
    corners = faces.reshape(-1)
    facing = np.abs(normals[faces].sum(axis=1)).argmax(axis=1).repeat(3)
    position = vertices[corners] / size
    uv = np.where(
        (facing == 0)[:, None], position[:, 1:], np.where((facing == 1)[:, None], position[:, ::2], position[:, :2])
    )
    opaque = np.dstack([coat, np.full(coat.shape[:2], 255, dtype=np.uint8)])
    return TexturedMesh(
        vertices=torch.from_numpy(vertices[corners]),
        normals=torch.from_numpy(normals[corners]),
        uv=torch.from_numpy(uv * np.array([1, -1], dtype=np.float32)).float(),
        tint=torch.from_numpy(tint[corners]).float(),
        faces=torch.arange(len(corners)).reshape(-1, 3),
        material=torch.zeros(len(faces), dtype=torch.int64),
        materials=(Material(image=torch.from_numpy(opaque)),),
    )


def _flipped(point: tuple[float, float, float]) -> tuple[float, float, float]:
    return -point[0], point[1], point[2]
