"""An exact ray caster for procedural worlds: analytic hits, sun and lamps with soft shadows, a sky.

Radiance is worked out in linear light, averaged over a pixel's rays, and then sRGB-encoded; surfaces are Lambertian
with a small optional highlight. Rays are "3 n", one column each. A picture is cast tile by tile, and items that a tile
cannot see are left out of it by their bounding spheres.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from veduta.core import Cameras
from veduta.data.synthetic_shapes import Shape
from veduta.data.synthetic_textures import Mottled, Rgb, Texture
from veduta.geometry import RigidMotion, rigid, so3_exp, unproject_rays

TILE_PX = 64
_SHADOW_OFFSET_M = 2e-3
_HIGHLIGHT_EXPONENT = 40.0
_BOUND_SLACK = 1e-4
"""Relative slack of bounding spheres against rounding in float32 (positions up to about a kilometre)."""
_FOOTPRINT = 0.75
"""Texture footprint over pixel size: with several rays per pixel, a little less than a whole pixel filters best."""
_STEEPEST = 0.05
"""Least cosine to the normal that footprints are computed with."""


@dataclass(frozen=True, eq=False)
class Item:
    """A textured shape that belongs to a named object."""

    name: str
    shape: Shape
    texture: Texture
    owner_from_shape: Float[Tensor, "4 4"]
    """Rigid; the owner's frame is the world, or the moving object of that name."""
    gloss: float = 0.0
    """Strength of the highlight."""
    glow: float = 0.0
    """Share of the albedo that shines by itself."""


@dataclass(frozen=True)
class Light:
    """A small bright ball, or the sun."""

    place: tuple[float, float, float]
    """World position in metres; of the sun, the direction towards it, times any length."""
    color: Rgb
    """Linear irradiance: the sun's everywhere, a lamp's at one metre."""
    size: float
    """Radius in metres; of the sun, the tangent of its angular radius (larger than the real sun's is softer)."""
    sun: bool = False


@dataclass(frozen=True)
class Heavens:
    """Sky colours (sRGB) and clouds; also the ambient light."""

    zenith: Rgb = (0.30, 0.50, 0.85)
    horizon: Rgb = (0.78, 0.86, 0.93)
    cloud: Rgb = (0.97, 0.97, 0.98)
    ground: Rgb = (0.42, 0.40, 0.36)
    ambient: float = 0.55
    """Strength of the light from all sides."""
    seed: int = 0

    def color(self, directions: Float[Tensor, "3 n"]) -> Float[Tensor, "3 n"]:
        """SRGB colour seen along unit directions."""
        height = directions[2].clamp_min(0.0)
        share = height.sqrt()
        base = _rgb(self.horizon, share) * (1 - share) + _rgb(self.zenith, share) * share
        flat = directions[:2] / (height + 0.12)
        noise = Mottled((1.0, 1.0, 1.0), (0.0, 0.0, 0.0), 1.6, 4, self.seed)(flat, torch.full_like(flat, 0.02))[0]
        cover = ((noise - 0.52) * 4).clamp(0, 1) * (height * 6).clamp(0, 1)
        sky = base + (_rgb(self.cloud, share) - base) * cover * 0.85
        return torch.where(directions[2] >= 0, sky, _rgb(self.horizon, share))


@dataclass(frozen=True, eq=False)
class World:
    """Everything there is to see."""

    items: tuple[Item, ...]
    lights: tuple[Light, ...]
    heavens: Heavens = field(default_factory=Heavens)
    motions: Mapping[str, RigidMotion] = field(default_factory=dict)
    """Of the objects that move; they are absent outside their times."""

    def at(self, time: float) -> Instant:
        """The world at ``time`` (s), ready to be looked at."""
        present, poses = [], []
        for item in self.items:
            motion = self.motions.get(item.name)
            if motion is not None and not motion.present(time):
                continue
            pose = item.owner_from_shape.to(torch.float64)
            present.append(item)
            poses.append(pose if motion is None else motion.pose(time) @ pose)
        placed = torch.stack(poses) if poses else torch.zeros(0, 4, 4, dtype=torch.float64)
        return Instant(tuple(present), placed, self.lights, self.heavens)


@dataclass(frozen=True, eq=False)
class Instant:
    """The world at one time."""

    items: tuple[Item, ...]
    world_from_shape: Float[Tensor, "m 4 4"]
    lights: tuple[Light, ...]
    heavens: Heavens

    def nearest(
        self, origin: Float[Tensor, "3 1"], directions: Float[Tensor, "3 n"]
    ) -> tuple[Float[Tensor, " n"], Int[Tensor, " n"]]:
        """Distances along unit rays from one origin to the first surface (inf: none), and the item hit (-1: none)."""
        best = torch.full_like(directions[0], torch.inf)
        which = torch.full(best.shape, -1, dtype=torch.int64)
        candidates = self._within_cone(origin, directions)
        for index, rows in self._meeting(candidates, origin.expand_as(directions), directions):
            if len(rows) == 0:
                continue
            o, d = self._local(index, origin, directions[:, rows])
            distance = self.items[index].shape.hit(o, d)
            nearer = distance < best[rows]
            best[rows[nearer]] = distance[nearer]
            which[rows[nearer]] = index
        return best, which

    def radiance(
        self,
        origin: Float[Tensor, "3 1"],
        directions: Float[Tensor, "3 n"],
        *,
        jitter: Float[Tensor, "3 n"],
        spread: float,
    ) -> Float[Tensor, "3 n"]:
        """Linear colour along unit rays; ``spread`` is the angle between neighbouring pixels (rad).

        ``jitter`` is the point of every light, on a unit ball, that a ray's surface is lit by.
        """
        distance, which = self.nearest(origin, directions)
        color = _linear(self.heavens.color(directions))
        rows = torch.nonzero(which >= 0).squeeze(1)
        if len(rows):
            looks = self._looks(which[rows], origin, directions[:, rows], distance[rows], spread)
            color[:, rows] = self._shade(looks, directions[:, rows], jitter[:, rows])
        return color

    def _looks(self, which: Tensor, origin: Tensor, directions: Tensor, distance: Tensor, spread: float) -> _Looks:
        """What the surfaces are like where rays hit them."""
        points = origin + directions * distance
        albedo, normal = torch.empty_like(points), torch.empty_like(points)
        gloss, glow = torch.empty_like(distance), torch.empty_like(distance)
        for index in torch.unique(which).tolist():
            rows = torch.nonzero(which == index).squeeze(1)
            item = self.items[index]
            local, d = self._local(index, points[:, rows], directions[:, rows])
            patch = item.shape.patch(local)
            facing = -(patch.normal * d).sum(dim=0)
            cosine = facing.abs().clamp_min(_STEEPEST)
            slant = torch.stack([(patch.along_u * d).sum(dim=0), (patch.along_v * d).sum(dim=0)]) / cosine
            width = _FOOTPRINT * spread * distance[rows] * torch.sqrt(1 + slant * slant)
            albedo[:, rows] = _linear(item.texture(patch.uv, width).clamp(0.0, 1.0))
            turn = self.world_from_shape[index, :3, :3].to(directions.dtype)
            normal[:, rows] = turn @ (patch.normal * torch.where(facing < 0, -1.0, 1.0))
            gloss[rows], glow[rows] = item.gloss, item.glow
        return _Looks(points, normal, albedo, gloss, glow)

    def _shade(self, looks: _Looks, directions: Tensor, jitter: Tensor) -> Tensor:
        light = self._ambient(looks.normal)
        shine = torch.zeros_like(looks.gloss)
        for source in self.lights:
            got, towards = self._lit(source, looks.points, looks.normal, jitter)
            light = light + got
            half = towards - directions
            cosine = (half * looks.normal).sum(dim=0) / (half * half).sum(dim=0).clamp_min(1e-6).sqrt()
            peak = cosine.clamp_min(0.0) ** _HIGHLIGHT_EXPONENT
            shine = shine + looks.gloss * peak * got.mean(dim=0)
        return looks.albedo * (light * (1 - looks.glow) + looks.glow * 1.5) + shine

    def _ambient(self, normal: Tensor) -> Tensor:
        share = (normal[2] + 1) / 2
        above, below = (_linear(_rgb(c, share)) for c in (self.heavens.horizon, self.heavens.ground))
        side = 0.06 * normal[0] + 0.03 * normal[1]  # so that walls at right angles differ even in the shade
        return self.heavens.ambient * (below + (above - below) * share) * (1 + side)

    def _lit(self, source: Light, points: Tensor, normal: Tensor, jitter: Tensor) -> tuple[Tensor, Tensor]:
        """Irradiance over pi from one light, and unit directions towards it."""
        place = points.new_tensor(source.place)[:, None]
        if source.sun:
            place = place / place.norm()
        place = place + source.size * jitter
        offset = place if source.sun else place - points
        reach = (offset * offset).sum(dim=0).sqrt()  # vector_norm along the first axis is many times slower
        towards = offset / reach
        cosine = (normal * towards).sum(dim=0)
        strength = cosine.clamp_min(0.0) / (1.0 if source.sun else reach.square().clamp_min(0.05))
        bright = torch.nonzero(strength > 1e-4).squeeze(1)
        if len(bright):
            start = points[:, bright] + _SHADOW_OFFSET_M * normal[:, bright]
            limit = torch.full_like(reach[bright], torch.inf) if source.sun else reach[bright] - 1.5 * source.size
            hidden = self.blocked(start, towards[:, bright], limit)
            strength[bright] = torch.where(hidden, 0.0, strength[bright])
        return strength * points.new_tensor(source.color)[:, None], towards

    def blocked(
        self, points: Float[Tensor, "3 n"], directions: Float[Tensor, "3 n"], limit: Float[Tensor, " n"]
    ) -> Bool[Tensor, " n"]:
        """Whether something lies on each ray before its limit; glowing items let light through."""
        hidden = torch.zeros(limit.shape, dtype=torch.bool)
        candidates = [i for i in self._within_beam(points, directions, limit) if self.items[i].glow < 1]
        for index, met in self._meeting(candidates, points, directions):
            rows = met[~hidden[met]]
            if len(rows):
                o, d = self._local(index, points[:, rows], directions[:, rows])
                hidden[rows] = self.items[index].shape.hit(o, d) < limit[rows]
        return hidden

    def _local(self, index: int, origins: Tensor, directions: Tensor) -> tuple[Tensor, Tensor]:
        pose = self.world_from_shape[index].to(directions.dtype)
        turn = pose[:3, :3].T
        return turn @ (origins - pose[:3, 3:]), turn @ directions

    def _meeting(
        self, candidates: list[int], origins: Tensor, directions: Tensor
    ) -> Iterator[tuple[int, Int[Tensor, " k"]]]:
        """Each candidate with the unit rays that meet its bounding sphere, made a little larger for rounding."""
        start = (origins * directions).sum(dim=0)
        start2 = (1 - _BOUND_SLACK) * (origins * origins).sum(dim=0)
        radii = self._radii()
        for index in candidates:
            centre = self.world_from_shape[index, :3, 3].to(directions.dtype)
            radius2 = float(radii[index]) ** 2
            centre2 = float(centre @ centre)
            reach2 = radius2 + _BOUND_SLACK * (1 + radius2) - (1 - _BOUND_SLACK) * centre2
            along = centre @ directions - start
            away2 = start2 - (2 * centre) @ origins  # without centre2
            ahead = along > -1.01 * float(radii[index])
            yield index, torch.nonzero((away2 - along * along <= reach2) & ahead).squeeze(1)

    def _radii(self) -> Tensor:
        return self.world_from_shape.new_tensor([item.shape.radius_m for item in self.items])

    def _within_cone(self, origin: Tensor, directions: Tensor) -> list[int]:
        """Items whose bounding sphere meets the cone around the rays."""
        axis = torch.nn.functional.normalize(directions.mean(dim=1, keepdim=True), dim=0)
        half = math.acos(min(max(float((axis * directions).sum(dim=0).min()), -1.0), 1.0))
        offset = self.world_from_shape[:, :3, 3] - origin[:, 0].to(torch.float64)
        away, radii = offset.norm(dim=-1), self._radii()
        angle = torch.acos(((offset @ axis[:, 0].to(torch.float64)) / away.clamp_min(1e-9)).clamp(-1, 1))
        reach = torch.asin((radii / away.clamp_min(1e-9)).clamp_max(1.0))
        return torch.nonzero((away <= radii) | (angle <= half + reach + 1e-3)).squeeze(1).tolist()

    def _within_beam(self, points: Tensor, directions: Tensor, limit: Tensor) -> list[int]:
        """Items whose bounding sphere meets the thick segments that rays with almost one direction sweep."""
        middle = points.mean(dim=1).to(torch.float64)
        thick = _longest(points - middle[:, None].to(points.dtype))
        axis = directions.mean(dim=1).to(torch.float64)
        axis = axis / axis.norm().clamp_min(1e-9)
        opening = _longest(directions - axis[:, None].to(points.dtype))
        offset = self.world_from_shape[:, :3, 3] - middle
        radii = self._radii()
        end = float(limit.max()) + thick
        along = (offset @ axis).clamp(0.0, end)
        gap = (offset - along[:, None] * axis).norm(dim=-1)
        longest = torch.minimum(along + radii, radii.new_tensor(end))
        return torch.nonzero(gap <= radii + thick + opening * longest).squeeze(1).tolist()


@dataclass(frozen=True, eq=False)
class _Looks:
    """Surfaces at n points: place, unit normal towards the eye, linear albedo, gloss and glow."""

    points: Float[Tensor, "3 n"]
    normal: Float[Tensor, "3 n"]
    albedo: Float[Tensor, "3 n"]
    gloss: Float[Tensor, " n"]
    glow: Float[Tensor, " n"]


@dataclass(frozen=True, eq=False)
class Picture:
    """What one camera sees."""

    rgb: Float[Tensor, "h w 3"]
    depth: Float[Tensor, "h w"]
    """z depth at pixel centres, float64; 0 where the sky is."""
    item: Int[Tensor, "h w"]
    """Index into ``items`` at pixel centres; -1 where the sky is."""
    items: tuple[Item, ...]


def take_picture(world: World, camera: Cameras, *, supersample: int) -> Picture:
    """A camera's picture with ``supersample``^2 rays per pixel, and exact depth and items at pixel centres."""
    assert len(camera) == 1, len(camera)
    instant = world.at(float(camera.time[0]))
    exact = camera.replace(
        world_from_camera=camera.world_from_camera.to(torch.float64), intrinsics=camera.intrinsics.to(torch.float64)
    )
    origin = exact.positions_world.T
    centres = unproject_rays(exact)[1][0]
    axis = exact.world_from_camera[0, :3, 2]
    spread = 1.0 / float(exact.intrinsics[0, 0, 0])
    offsets = [(i + 0.5) / supersample - 0.5 for i in range(supersample)]
    bundles = [_shifted(exact, x, y) for y in offsets for x in offsets]
    jitter = torch.stack([_on_ball(number, len(bundles)) for number in range(len(bundles))], dim=1)
    rgb = torch.zeros(camera.height, camera.width, 3)
    depth = torch.zeros(camera.height, camera.width, dtype=torch.float64)
    item = torch.full((camera.height, camera.width), -1)
    for rows, columns in _tiles(camera.height, camera.width):
        tile = centres[rows, columns].reshape(-1, 3)
        size = centres[rows, columns].shape[:2]
        reach, which = instant.nearest(origin, tile.T)
        z = torch.where(which >= 0, reach, 0.0) * (tile @ axis)
        depth[rows, columns], item[rows, columns] = z.reshape(size), which.reshape(size)
        rays = torch.cat([bundle[rows, columns].reshape(-1, 3).T for bundle in bundles], dim=1)
        points = jitter.repeat_interleave(len(tile), dim=1)
        light = instant.radiance(origin.float(), rays, jitter=points, spread=spread)
        light = light.unflatten(1, (len(bundles), len(tile))).mean(dim=1)
        rgb[rows, columns] = encode_srgb(light).T.reshape(*size, 3)
    return Picture(rgb=rgb, depth=depth, item=item, items=instant.items)


def encode_srgb(linear: Float[Tensor, "*b"]) -> Float[Tensor, "*b"]:
    """Linear light to sRGB values (IEC 61966-2-1), clamped to 0 to 1."""
    linear = linear.clamp(0.0, 1.0)
    return torch.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear.clamp_min(1e-6) ** (1 / 2.4) - 0.055)


def pose_at(position: Sequence[float], *, yaw: float = 0.0, pitch: float = 0.0, roll: float = 0.0) -> Tensor:
    """A rigid pose (float64) from a position in metres and turns in radians about z, then y, then x."""
    turns = [so3_exp(torch.tensor(v, dtype=torch.float64)) for v in ((0, 0, yaw), (0, pitch, 0), (roll, 0, 0))]
    return rigid(turns[0] @ turns[1] @ turns[2], torch.tensor(position, dtype=torch.float64))


def _shifted(camera: Cameras, x: float, y: float) -> Float[Tensor, "h w 3"]:
    """Rays (float32) beside the pixel centres by (x, y) pixels."""
    moved = camera.intrinsics.clone()
    moved[:, 0, 2] -= x
    moved[:, 1, 2] -= y
    return unproject_rays(camera.replace(intrinsics=moved))[1][0].float()


def _tiles(height: int, width: int) -> list[tuple[slice, slice]]:
    return [
        (slice(y, min(y + TILE_PX, height)), slice(x, min(x + TILE_PX, width)))
        for y in range(0, height, TILE_PX)
        for x in range(0, width, TILE_PX)
    ]


def _on_ball(sample: int, samples: int) -> Float[Tensor, "3"]:
    """Point number ``sample`` of ``samples`` spread over a unit ball's surface; its centre if there is but one."""
    if samples == 1:
        return torch.zeros(3)
    z = 1 - (2 * sample + 1) / samples
    angle = math.pi * (1 + math.sqrt(5)) * sample
    flat = math.sqrt(1 - z * z)
    return torch.tensor([flat * math.cos(angle), flat * math.sin(angle), z])


def _longest(vectors: Float[Tensor, "3 n"]) -> float:
    return float((vectors * vectors).sum(dim=0).max().sqrt())


def _rgb(color: Rgb, like: Tensor) -> Float[Tensor, "3 1"]:
    return like.new_tensor(color)[:, None]


def _linear(srgb: Tensor) -> Tensor:
    return torch.where(srgb <= 0.04045, srgb / 12.92, ((srgb + 0.055) / 1.055) ** 2.4)
