"""Shapes that rays hit exactly: each in its own axes, in metres. Rays and points are "3 n", one column each."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import torch
from jaxtyping import Float
from torch import Tensor

_NEAREST_M = 1e-4
"""Hits nearer than this are the surface that the ray starts on."""
_TINY = 1e-12


@dataclass(frozen=True, eq=False)
class Patch:
    """The surface around points on it."""

    normal: Float[Tensor, "3 n"]
    """Unit, outwards."""
    along_u: Float[Tensor, "3 n"]
    along_v: Float[Tensor, "3 n"]
    """Unit tangents in which ``uv`` grows."""
    uv: Float[Tensor, "2 n"]
    """Metres on the surface."""


@runtime_checkable
class Shape(Protocol):
    """A surface about its own origin."""

    @property
    def radius_m(self) -> float:
        """Of a sphere around the origin that holds it."""
        ...

    def hit(self, origin: Float[Tensor, "3 #n"], direction: Float[Tensor, "3 n"]) -> Float[Tensor, " n"]:
        """How many times ``direction`` it takes from ``origin`` to the nearest point of the surface; inf: never."""
        ...

    def patch(self, points: Float[Tensor, "3 n"]) -> Patch:
        """The surface at points on it."""
        ...


@dataclass(frozen=True)
class Panel:
    """A rectangle in the plane z = 0, facing +z, seen from both sides; uv = xy."""

    half_x: float
    half_y: float

    @property
    def radius_m(self) -> float:
        """See :class:`Shape`."""
        return (self.half_x**2 + self.half_y**2) ** 0.5

    def hit(self, origin: Float[Tensor, "3 #n"], direction: Float[Tensor, "3 n"]) -> Float[Tensor, " n"]:
        """See :class:`Shape`."""
        distance = -origin[2] / _nonzero(direction[2])
        x, y = (origin[i] + distance * direction[i] for i in range(2))
        good = (distance > _NEAREST_M) & (x.abs() <= self.half_x) & (y.abs() <= self.half_y)
        return torch.where(good, distance, torch.inf)

    def patch(self, points: Float[Tensor, "3 n"]) -> Patch:
        """See :class:`Shape`."""
        x, y, z = (axis[:, None].expand_as(points) for axis in torch.eye(3, dtype=points.dtype))
        return Patch(normal=z, along_u=x, along_v=y, uv=points[:2])


@dataclass(frozen=True)
class Box:
    """A box around the origin; uv = (y, z), (x, z) or (x, y) on the faces across x, y and z."""

    half_x: float
    half_y: float
    half_z: float

    @property
    def radius_m(self) -> float:
        """See :class:`Shape`."""
        return (self.half_x**2 + self.half_y**2 + self.half_z**2) ** 0.5

    def hit(self, origin: Float[Tensor, "3 #n"], direction: Float[Tensor, "3 n"]) -> Float[Tensor, " n"]:
        """See :class:`Shape`."""
        half = self._half(direction)
        inverse = 1 / _nonzero(direction)
        middle, reach = -origin * inverse, half * inverse.abs()
        enter = (middle - reach).amax(dim=0)
        leave = (middle + reach).amin(dim=0)
        distance = torch.where(enter > _NEAREST_M, enter, leave)
        return torch.where((enter <= leave) & (distance > _NEAREST_M), distance, torch.inf)

    def patch(self, points: Float[Tensor, "3 n"]) -> Patch:
        """See :class:`Shape`."""
        face = (points.abs() - self._half(points)).argmax(dim=0)
        eye = torch.eye(3, dtype=points.dtype)
        first, second = torch.tensor([1, 0, 0])[face], torch.tensor([2, 2, 1])[face]
        sign = torch.sign(points.gather(0, face[None]))
        uv = torch.stack([points.gather(0, first[None])[0], points.gather(0, second[None])[0]])
        return Patch(normal=eye[:, face] * sign, along_u=eye[:, first], along_v=eye[:, second], uv=uv)

    def _half(self, like: Tensor) -> Tensor:
        return like.new_tensor([[self.half_x], [self.half_y], [self.half_z]])


@dataclass(frozen=True)
class Ellipsoid:
    """An ellipsoid around the origin; uv = longitude and latitude, in metres at the equator."""

    radius_x: float
    radius_y: float
    radius_z: float

    @staticmethod
    def sphere(radius: float) -> Ellipsoid:
        """An ellipsoid of equal radii."""
        return Ellipsoid(radius, radius, radius)

    @property
    def radius_m(self) -> float:
        """See :class:`Shape`."""
        return max(self.radius_x, self.radius_y, self.radius_z)

    def hit(self, origin: Float[Tensor, "3 #n"], direction: Float[Tensor, "3 n"]) -> Float[Tensor, " n"]:
        """See :class:`Shape`."""
        radii = self._radii(direction)
        o, d = origin / radii, direction / radii
        a, b, c = (d * d).sum(dim=0), (o * d).sum(dim=0), (o * o).sum(dim=0) - 1
        return _first_root(a, b, c)

    def patch(self, points: Float[Tensor, "3 n"]) -> Patch:
        """See :class:`Shape`."""
        unit = points / self._radii(points)
        normal = torch.nn.functional.normalize(unit / self._radii(points), dim=0)
        along_u = _level_tangent(normal)
        size = self.radius_m
        uv = torch.stack([torch.atan2(unit[1], unit[0]), torch.asin(unit[2].clamp(-1, 1))]) * size
        return Patch(normal, along_u, torch.linalg.cross(normal, along_u, dim=0), uv)

    def _radii(self, like: Tensor) -> Tensor:
        return like.new_tensor([[self.radius_x], [self.radius_y], [self.radius_z]])


@dataclass(frozen=True)
class Cylinder:
    """A closed cylinder about the z axis; uv = (arc, z) on the mantle and (x, y) on the caps."""

    radius: float
    half_z: float

    @property
    def radius_m(self) -> float:
        """See :class:`Shape`."""
        return (self.radius**2 + self.half_z**2) ** 0.5

    def hit(self, origin: Float[Tensor, "3 #n"], direction: Float[Tensor, "3 n"]) -> Float[Tensor, " n"]:
        """See :class:`Shape`."""
        dx, dy, dz = direction[0], direction[1], _nonzero(direction[2])
        ox, oy, oz = origin
        a = (dx * dx + dy * dy).clamp_min(_TINY)
        b, c = ox * dx + oy * dy, ox * ox + oy * oy - self.radius**2
        root = (b * b - a * c).clamp_min(0).sqrt()
        middle, reach = -oz / dz, self.half_z / dz.abs()
        enter = torch.maximum((-b - root) / a, middle - reach)
        leave = torch.minimum((-b + root) / a, middle + reach)
        distance = torch.where(enter > _NEAREST_M, enter, leave)
        good = (b * b >= a * c) & (enter <= leave) & (distance > _NEAREST_M)
        return torch.where(good, distance, torch.inf)

    def patch(self, points: Float[Tensor, "3 n"]) -> Patch:
        """See :class:`Shape`."""
        radial = torch.hypot(points[0], points[1])
        cap = (points[2].abs() - self.half_z) > (radial - self.radius)
        flat = torch.stack([points[0], points[1], torch.zeros_like(radial)]) / radial.clamp_min(_TINY)
        up = points.new_tensor([[0.0], [0.0], [1.0]]).expand_as(points)
        right = points.new_tensor([[1.0], [0.0], [0.0]]).expand_as(points)
        ahead = points.new_tensor([[0.0], [1.0], [0.0]]).expand_as(points)
        around = torch.stack([-flat[1], flat[0], flat[2]])
        arc = torch.atan2(points[1], points[0]) * self.radius
        return Patch(
            normal=torch.where(cap, up * torch.sign(points[2]), flat),
            along_u=torch.where(cap, right, around),
            along_v=torch.where(cap, ahead, up),
            uv=torch.where(cap, points[:2], torch.stack([arc, points[2]])),
        )


def _nonzero(values: Tensor) -> Tensor:
    return torch.where(values.abs() < _TINY, torch.full_like(values, _TINY), values)


def _first_root(a: Tensor, half_b: Tensor, c: Tensor) -> Tensor:
    """The first root beyond the start of a t^2 + 2 half_b t + c; inf without one."""
    discriminant = half_b * half_b - a * c
    root = discriminant.clamp_min(0).sqrt()
    near, far = (-half_b - root) / a, (-half_b + root) / a
    distance = torch.where(near > _NEAREST_M, near, far)
    return torch.where((discriminant >= 0) & (distance > _NEAREST_M), distance, torch.inf)


def _level_tangent(normal: Tensor) -> Tensor:
    """The direction of growing longitude: level and across the normal."""
    flat = torch.stack([-normal[1], normal[0], torch.zeros_like(normal[0])])
    pole = flat.new_tensor([[1.0], [0.0], [0.0]])
    length = torch.hypot(normal[0], normal[1])
    return torch.where(length > 1e-6, flat / length.clamp_min(_TINY), pole)
