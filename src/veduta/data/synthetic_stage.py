"""A finished procedural scene, which photographs are taken of, and the kit of parts that it is built with."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from veduta.core import Cameras, TensorRecord, Track
from veduta.data.synthetic_shapes import Box, Cylinder, Ellipsoid, Panel, Shape
from veduta.data.synthetic_textures import Mottled, Rgb, Texture
from veduta.data.synthetic_trace import Item, World, pose_at, take_picture
from veduta.geometry import look_at

Point = tuple[float, float, float]

PAINTS: tuple[Rgb, ...] = (
    (0.80, 0.25, 0.20),
    (0.91, 0.66, 0.22),
    (0.26, 0.49, 0.66),
    (0.33, 0.55, 0.38),
    (0.92, 0.88, 0.78),
    (0.45, 0.30, 0.50),
    (0.17, 0.22, 0.33),
    (0.83, 0.48, 0.36),
)
UP = (0.0, 0.0, 1.0)


@dataclass(frozen=True, eq=False)
class SyntheticViews(TensorRecord):
    """Pictures of a synthetic scene, and the truth about every pixel's centre."""

    cameras: Cameras
    rgb: Float[Tensor, "v h w 3"]
    """sRGB-encoded, 0 to 1."""
    depth: Float[Tensor, "v h w"]
    """z depth in metres; 0 in the sky."""
    objects: Int[Tensor, "v h w"]
    """Index into ``names``."""
    sky: Bool[Tensor, "v h w"]
    names: tuple[str, ...]
    """Of the scene's objects; the first is ``sky``."""


@dataclass(frozen=True, eq=False)
class SyntheticScene:
    """A world, where photographs of it are taken from, and what moves in it. Metres, seconds, z up."""

    name: str
    world: World
    rig: Callable[[int], tuple[Tensor, Tensor]]
    """For a number of views: poses ``world_from_camera`` "v 4 4" and times " v" (s), float64."""
    field_of_view: float
    """Horizontal, in radians."""
    tracks: Mapping[str, Track] = field(default_factory=dict)
    """Of the objects that move, by their names."""

    @property
    def names(self) -> tuple[str, ...]:
        """Of the objects; the first is ``sky``."""
        return ("sky", *sorted({item.name for item in self.world.items}))

    def cameras(self, views: int, *, width: int, height: int) -> Cameras:
        """The cameras of a capture with so many views."""
        poses, times = self.rig(views)
        focal = 0.5 * width / math.tan(0.5 * self.field_of_view)
        return Cameras.pinhole(
            poses.float(), fx=focal, fy=focal, cx=0.5 * width, cy=0.5 * height, width=width, height=height, time=times
        )

    def render(self, cameras: Cameras, *, supersample: int = 2) -> SyntheticViews:
        """What cameras anywhere see at their times, their lens included; ``supersample``^2 rays per pixel.

        Takes about a second of one core for each 320x240 picture with 2x2 rays.
        """
        numbers = {name: i for i, name in enumerate(self.names)}
        pictures = [take_picture(self.world, cameras[i], supersample=supersample) for i in range(len(cameras))]
        objects = []
        for picture in pictures:
            owners = torch.tensor([*(numbers[item.name] for item in picture.items), 0])
            objects.append(owners[picture.item])  # the sky's -1 picks the last
        return SyntheticViews(
            cameras=cameras,
            rgb=torch.stack([picture.rgb for picture in pictures]),
            depth=torch.stack([picture.depth for picture in pictures]).float(),
            objects=torch.stack(objects),
            sky=torch.stack([picture.item < 0 for picture in pictures]),
            names=self.names,
        )


class Kit:
    """Collects items; sizes are whole lengths in metres, ``yaw`` turns about z in radians, z is up."""

    def __init__(self, generator: torch.Generator) -> None:
        self.items: list[Item] = []
        self._generator = generator

    def random(self, low: float = 0.0, high: float = 1.0) -> float:
        """A random number between two."""
        return low + (high - low) * float(torch.rand((), generator=self._generator))

    def pick(self, choices: Sequence[Rgb] = PAINTS) -> Rgb:
        """A random one of several colours."""
        return choices[int(self.random(0, len(choices) - 1e-6))]

    def seed(self) -> int:
        """A random seed for a texture."""
        return int(self.random(0, 250))

    def add(
        self, name: str, shape: Shape, texture: Texture, pose: Tensor, *, gloss: float = 0, glow: float = 0
    ) -> None:
        """Any shape at any pose."""
        self.items.append(Item(name, shape, texture, pose, gloss, glow))

    def box(self, name: str, centre: Point, size: Point, texture: Texture, *, yaw: float = 0, gloss: float = 0) -> None:
        """A box by its centre."""
        shape = Box(size[0] / 2, size[1] / 2, size[2] / 2)
        self.add(name, shape, texture, pose_at(centre, yaw=yaw), gloss=gloss)

    def ball(
        self, name: str, centre: Point, radii: Point, texture: Texture, *, gloss: float = 0, glow: float = 0
    ) -> None:
        """An ellipsoid by its centre and radii."""
        self.add(name, Ellipsoid(*radii), texture, pose_at(centre), gloss=gloss, glow=glow)

    def post(self, name: str, foot: Point, radius: float, height: float, texture: Texture, *, gloss: float = 0) -> None:
        """An upright cylinder by the middle of its foot."""
        centre = (foot[0], foot[1], foot[2] + height / 2)
        self.add(name, Cylinder(radius, height / 2), texture, pose_at(centre), gloss=gloss)

    def rod(self, name: str, centre: Point, radius: float, length: float, texture: Texture, *, yaw: float = 0) -> None:
        """A lying cylinder along y (turned by yaw) by its centre."""
        pose = pose_at(centre, yaw=yaw, roll=math.pi / 2)
        self.add(name, Cylinder(radius, length / 2), texture, pose)

    def floor(self, name: str, centre: Point, size: tuple[float, float], texture: Texture) -> None:
        """A level rectangle."""
        self.add(name, Panel(size[0] / 2, size[1] / 2), texture, pose_at(centre))

    def wall(
        self, name: str, centre: Point, size: tuple[float, float], texture: Texture, *, yaw: float = 0, gloss: float = 0
    ) -> None:
        """An upright rectangle facing -y, turned by yaw; the texture's u runs along it and v upwards."""
        pose = pose_at(centre, yaw=yaw, roll=math.pi / 2)
        self.add(name, Panel(size[0] / 2, size[1] / 2), texture, pose, gloss=gloss)


def plain(color: Rgb, seed: int = 0, *, scale_m: float = 0.15, depth: float = 0.28) -> Mottled:
    """A painted surface: nearly one colour."""
    light = tuple(min(1.0, c * (1 + depth / 2)) for c in color)
    dark = tuple(c * (1 - depth / 2) for c in color)
    return Mottled((light[0], light[1], light[2]), (dark[0], dark[1], dark[2]), scale_m, 4, seed)


def looking(positions: Tensor, targets: Tensor) -> Tensor:
    """Level poses "v 4 4" at positions, looking at targets, all "v 3" float64."""
    return look_at(positions, targets, torch.tensor(UP, dtype=torch.float64))
