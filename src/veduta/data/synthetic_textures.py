"""Procedural textures: sRGB albedo over a surface's own metres, filtered to the footprint of a pixel.

A texture is called with ``uv`` and ``width``, both "2 n" in metres: where a ray hits, and how far its pixel reaches
along u and v there. Edges are averaged over the footprint and noise that is finer than it fades to its mean, so that
pictures of the same surface from near and far agree and nothing flickers.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cache
from typing import Protocol, runtime_checkable

import torch
from jaxtyping import Float, Int
from torch import Tensor

Rgb = tuple[float, float, float]

_TABLE = 256
"""Side of the table of random values that noise and random colours repeat after."""


@runtime_checkable
class Texture(Protocol):
    """Colour on a surface."""

    def __call__(self, uv: Float[Tensor, "2 n"], width: Float[Tensor, "2 n"]) -> Float[Tensor, "3 n"]:
        """SRGB albedo, 0 to 1."""
        ...


@dataclass(frozen=True)
class Mottled:
    """Cloudy mixture of two colours; plaster, asphalt, grass, leaves, according to scale."""

    light: Rgb
    dark: Rgb
    scale_m: float = 0.3
    octaves: int = 4
    seed: int = 0
    stretch: float = 1.0
    """How many times longer the clouds are along u than along v."""

    def __call__(self, uv: Float[Tensor, "2 n"], width: Float[Tensor, "2 n"]) -> Float[Tensor, "3 n"]:
        """See :class:`Texture`."""
        along = uv.new_tensor([[1 / self.stretch], [1.0]])
        share = _fbm(uv * along, width * along, self.scale_m, self.octaves, self.seed)
        return _mix(_color(self.dark, uv), _color(self.light, uv), share)


@dataclass(frozen=True)
class Checker:
    """Squares of two colours, each square a little lighter or darker than the others of its kind."""

    light: Rgb
    dark: Rgb
    size_m: float = 0.3
    seed: int = 0

    def __call__(self, uv: Float[Tensor, "2 n"], width: Float[Tensor, "2 n"]) -> Float[Tensor, "3 n"]:
        """See :class:`Texture`."""
        u, v = (2 * _pulse(uv[i], width[i], 2 * self.size_m, self.size_m) - 1 for i in range(2))
        color = _mix(_color(self.dark, uv), _color(self.light, uv), (1 + u * v) / 2)
        cell = torch.floor(uv / self.size_m).long()
        fade = _fade(width.amax(dim=0), self.size_m)
        stone = _fbm(uv, width, self.size_m / 2, 4, self.seed + 1)
        return color * (1 + 0.22 * fade * (_random(cell, self.seed) - 0.5) + 0.25 * (stone - 0.5))


@dataclass(frozen=True)
class Bricks:
    """A running bond of bricks of varied colour, with mortar between."""

    brick: Rgb = (0.62, 0.30, 0.23)
    mortar: Rgb = (0.74, 0.71, 0.66)
    length_m: float = 0.24
    height_m: float = 0.08
    joint_m: float = 0.012
    variation: float = 0.5
    seed: int = 0

    def __call__(self, uv: Float[Tensor, "2 n"], width: Float[Tensor, "2 n"]) -> Float[Tensor, "3 n"]:
        """See :class:`Texture`."""
        row = torch.floor(uv[1] / self.height_m)
        u = uv[0] + 0.5 * self.length_m * torch.remainder(row, 2)
        fade_v = _fade(width[1], self.height_m)
        duty = 1 - self.joint_m / self.length_m
        across = torch.lerp(
            torch.full_like(u, duty),
            _pulse(u - self.joint_m, width[0], self.length_m, self.length_m - self.joint_m),
            fade_v,
        )
        upright = _pulse(uv[1] - self.joint_m, width[1], self.height_m, self.height_m - self.joint_m)
        cell = torch.stack([torch.floor(u / self.length_m), row]).long()
        fade = fade_v * _fade(width[0], self.length_m)
        shade = 1 + self.variation * fade * (_random(cell, self.seed) - 0.5)
        hue = 0.12 * fade * (_random(cell, self.seed + 7) - 0.5)
        color = _color(self.brick, uv) * shade + torch.stack([hue, hue * 0.3, -hue * 0.5])
        color = color * (0.8 + 0.4 * _fbm(uv, width, 0.05, 3, self.seed + 3))
        return _mix(_color(self.mortar, uv), color, across * upright) * (0.85 + 0.3 * _fbm(uv, width, 1.5, 3, 5))


@dataclass(frozen=True)
class Planks:
    """Wooden boards along u, each of its own tone, with grain."""

    color: Rgb = (0.62, 0.43, 0.26)
    length_m: float = 1.4
    width_m: float = 0.13
    seed: int = 0

    def __call__(self, uv: Float[Tensor, "2 n"], width: Float[Tensor, "2 n"]) -> Float[Tensor, "3 n"]:
        """See :class:`Texture`."""
        row = torch.floor(uv[1] / self.width_m)
        offset = _random(torch.stack([row, torch.zeros_like(row)]).long(), self.seed) * self.length_m
        u = uv[0] + offset
        cell = torch.stack([torch.floor(u / self.length_m), row]).long()
        fade = _fade(width[1], self.width_m)
        tone = 1 + 0.45 * fade * (_random(cell, self.seed + 1) - 0.5)
        scale = uv.new_tensor([[1 / 14], [1.0]])
        shifted = torch.stack([u, uv[1] + 0.37 * row])
        grain = _fbm(shifted * scale, width * scale, 0.03, 3, self.seed + 2)
        gap = _pulse(uv[1] - 0.003, width[1], self.width_m, self.width_m - 0.006)
        end = torch.lerp(torch.ones_like(u), _pulse(u, width[0], self.length_m, self.length_m - 0.006), fade)
        return _color(self.color, uv) * tone * (0.72 + 0.56 * grain) * (0.45 + 0.55 * gap * end)


@dataclass(frozen=True)
class Stripes:
    """Bands across u (or v), in two colours."""

    light: Rgb
    dark: Rgb
    period_m: float = 0.1
    duty: float = 0.5
    along: int = 0
    """0: the bands follow each other along u; 1: along v."""

    def __call__(self, uv: Float[Tensor, "2 n"], width: Float[Tensor, "2 n"]) -> Float[Tensor, "3 n"]:
        """See :class:`Texture`."""
        share = _pulse(uv[self.along], width[self.along], self.period_m, self.duty * self.period_m)
        return _mix(_color(self.dark, uv), _color(self.light, uv), share) * (0.88 + 0.24 * _fbm(uv, width, 0.1, 4, 9))


@dataclass(frozen=True)
class Patches:
    """A grid of cells, each with a disc or a diamond on a ground, all in random colours: rugs, posters, toy blocks."""

    colors: tuple[Rgb, ...]
    cell_m: float = 0.2
    seed: int = 0

    def __call__(self, uv: Float[Tensor, "2 n"], width: Float[Tensor, "2 n"]) -> Float[Tensor, "3 n"]:
        """See :class:`Texture`."""
        cell = torch.floor(uv / self.cell_m).long()
        local = uv / self.cell_m - cell - 0.5
        radius = 0.18 + 0.26 * _random(cell, self.seed + 1)
        disc = (local * local).sum(dim=0).sqrt()
        diamond = local.abs().sum(dim=0) * 0.8
        shape = torch.where(_random(cell, self.seed + 2) < 0.6, disc, diamond)
        reach = (width.amax(dim=0) / self.cell_m).clamp_min(0.02)
        palette = uv.new_tensor(self.colors).T
        ground, figure = (self._pick(palette, cell, self.seed + k) for k in (3, 4))
        inner = self._pick(palette, cell, self.seed + 5)
        color = _mix(ground, figure, ((radius - shape) / reach + 0.5).clamp(0, 1))
        color = _mix(color, inner, ((0.5 * radius - shape) / reach + 0.5).clamp(0, 1))
        fade = _fade(width.amax(dim=0), self.cell_m)
        color = _mix(palette.mean(dim=1, keepdim=True).expand_as(color), color, fade)
        return color * (0.85 + 0.3 * _fbm(uv, width, self.cell_m / 4, 4, self.seed + 6))

    @staticmethod
    def _pick(palette: Tensor, cell: Int[Tensor, "2 n"], seed: int) -> Float[Tensor, "3 n"]:
        return palette[:, (_random(cell, seed) * palette.shape[1]).long().clamp_max(palette.shape[1] - 1)]


@dataclass(frozen=True)
class Facade:
    """A wall with a regular grid of framed windows and sills; (0, 0) is the middle of the wall."""

    wall: Texture
    pitch_m: tuple[float, float] = (2.2, 2.9)
    window_m: tuple[float, float] = (1.1, 1.5)
    glass: Rgb = (0.17, 0.24, 0.31)
    frame: Rgb = (0.88, 0.87, 0.83)
    frame_m: float = 0.09
    seed: int = 0

    def __call__(self, uv: Float[Tensor, "2 n"], width: Float[Tensor, "2 n"]) -> Float[Tensor, "3 n"]:
        """See :class:`Texture`."""
        pitch = uv.new_tensor(self.pitch_m)[:, None]
        outer = self._inside(uv, width, 0.0)
        pane = self._inside(uv, width, self.frame_m)
        bar = self._inside(uv, width, 0.5 * self.window_m[0] - 0.5 * self.frame_m, axes=(0,))
        cell = torch.floor(uv / pitch).long()
        lit = 0.75 + 0.7 * _random(cell, self.seed) + 0.5 * (_fbm(uv, width, 0.9, 3, self.seed + 1) - 0.5)
        color = _mix(self.wall(uv, width), _color(self.frame, uv), outer)
        return _mix(color, _color(self.glass, uv) * lit, pane * (1 - bar))

    def _inside(self, uv: Tensor, width: Tensor, inset_m: float, *, axes: tuple[int, ...] = (0, 1)) -> Tensor:
        """How much of the footprint lies within a window made smaller by ``inset_m`` on every side."""
        share = torch.ones_like(uv[0])
        for axis in axes:
            size, pitch = self.window_m[axis] - 2 * inset_m, self.pitch_m[axis]
            share = share * _pulse(uv[axis] + 0.5 * size - 0.5 * pitch, width[axis], pitch, size)
        return share


@dataclass(frozen=True)
class Road:
    """Asphalt along u with edge lines and a dashed middle line; v = 0 is the middle."""

    half_width_m: float = 4.0
    asphalt: Texture = field(default_factory=lambda: Mottled((0.44, 0.44, 0.45), (0.27, 0.27, 0.29), 0.5, 6))
    paint: Rgb = (0.88, 0.87, 0.80)

    def __call__(self, uv: Float[Tensor, "2 n"], width: Float[Tensor, "2 n"]) -> Float[Tensor, "3 n"]:
        """See :class:`Texture`."""
        dash = _band(uv[1], width[1], -0.07, 0.07) * _pulse(uv[0], width[0], 6.0, 3.0)
        edge = self.half_width_m - 0.35
        lines = dash + sum(_band(uv[1], width[1], s * edge - 0.06, s * edge + 0.06) for s in (-1, 1))
        worn = 0.75 + 0.25 * _fbm(uv, width, 0.2, 3, 31)
        patch = 1 - 0.22 * ((_fbm(uv * 0.12, width * 0.12, 0.4, 4, 17) - 0.52) * 6).clamp(0, 1)
        return _mix(self.asphalt(uv, width) * patch, _color(self.paint, uv), lines * worn)


def _color(rgb: Rgb, like: Tensor) -> Float[Tensor, "3 1"]:
    return like.new_tensor(rgb)[:, None]


def _mix(first: Tensor, second: Tensor, share: Tensor) -> Tensor:
    return first + (second - first) * share


def _fade(width: Tensor, size_m: float) -> Tensor:
    """1 where details of a size are resolved, 0 where the footprint swallows them."""
    return (1.5 - 1.5 * width / size_m).clamp(0.0, 1.0)


def _band(x: Tensor, width: Tensor, start: float, end: float) -> Tensor:
    """How much of the footprint lies between start and end."""
    width = width.clamp_min(1e-4)
    return ((torch.clamp(x + width / 2, max=end) - torch.clamp(x - width / 2, min=start)) / width).clamp(0.0, 1.0)


def _pulse(x: Tensor, width: Tensor, period: float, on: float) -> Tensor:
    """How much of the footprint lies in [k period, k period + on] for any whole k: differences of its integral."""
    width = width.clamp_min(1e-4)

    def integral(y: Tensor) -> Tensor:
        turns = torch.floor(y / period)
        return turns * on + (y - turns * period).clamp_max(on)

    return ((integral(x + width / 2) - integral(x - width / 2)) / width).clamp(0.0, 1.0)


@cache
def _table() -> Tensor:
    return torch.rand(_TABLE * _TABLE, generator=torch.Generator().manual_seed(20031))


def _random(cell: Int[Tensor, "2 n"], seed: int) -> Float[Tensor, " n"]:
    """A random value, 0 to 1, for each whole cell."""
    x = (cell[0] + 57 * seed) & (_TABLE - 1)
    y = (cell[1] + 131 * seed) & (_TABLE - 1)
    return _table()[y * _TABLE + x]


def _fbm(uv: Tensor, width: Tensor, scale_m: float, octaves: int, seed: int) -> Float[Tensor, " n"]:
    """Smooth noise around 0.5, in octaves from ``scale_m`` downwards, each weaker; unresolved ones are left out."""
    reach = width.amax(dim=0)
    total = torch.full_like(reach, 0.5)
    strength = 0.5
    for octave in range(octaves):
        cell_m = scale_m / 2**octave
        fade = _fade(reach, cell_m)
        if not bool(fade.any()):
            break
        total = total + strength * fade * (_smooth_noise(uv / cell_m, seed + octave) - 0.5)
        strength *= 0.6
    return total.clamp(0.0, 1.0)


def _smooth_noise(xy: Tensor, seed: int) -> Float[Tensor, " n"]:
    """Random values at whole positions, interpolated smoothly between."""
    floor = torch.floor(xy)
    f = xy - floor
    f = f * f * (3 - 2 * f)
    x0, y0 = floor.long() + torch.tensor([[57 * seed], [131 * seed]])
    x0, x1 = x0 & (_TABLE - 1), (x0 + 1) & (_TABLE - 1)
    y0, y1 = (y0 & (_TABLE - 1)) * _TABLE, ((y0 + 1) & (_TABLE - 1)) * _TABLE
    table = _table()
    above = torch.lerp(table[y0 + x0], table[y0 + x1], f[0])
    below = torch.lerp(table[y1 + x0], table[y1 + x1], f[0])
    return torch.lerp(above, below, f[1])
