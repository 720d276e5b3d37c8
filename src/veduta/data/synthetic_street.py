"""A drive along a street in which a car comes the other way."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from veduta.core import Streams, Track
from veduta.data.synthetic_shapes import Box, Cylinder, Ellipsoid, Panel, Shape
from veduta.data.synthetic_stage import Kit, SyntheticScene, plain
from veduta.data.synthetic_textures import (
    Bricks,
    Checker,
    Facade,
    Mottled,
    Patches,
    Planks,
    Rgb,
    Road,
    Stripes,
    Texture,
)
from veduta.data.synthetic_trace import Heavens, Light, World, pose_at
from veduta.geometry import RigidMotion, rigid, so3_exp

RATE_HZ = 10.0
"""Photographs per second of the drive."""
_DRIVE_M = 12.0
_ROAD_HALF_M = 4.4
_WALK_M = 2.4
"""Width of the pavements."""
_CAR: tuple[float, float, float] = (4.2, 1.8, 1.46)
"""Length, width and height of every car (m)."""
_BRICKS: tuple[Rgb, ...] = ((0.62, 0.30, 0.23), (0.72, 0.56, 0.38), (0.55, 0.38, 0.32), (0.76, 0.66, 0.52))
_PLASTER: tuple[Rgb, ...] = ((0.86, 0.76, 0.56), (0.70, 0.76, 0.74), (0.85, 0.62, 0.50), (0.78, 0.78, 0.82))


def street(seed: int = 0) -> SyntheticScene:
    """A street along +x, photographed at 10 Hz from a car's windscreen; a red car comes the other way.

    The red car is the object ``moving_car``; its track is given at the same rate.
    """
    kit = Kit(Streams(seed)("street"))
    _ground(kit)
    for side in (-1, 1):
        _houses(kit, side)
        _furniture(kit, side)
    for i, (x, side) in enumerate(((7.5, -1), (16.5, 1), (25.0, -1), (31.0, 1))):
        paint = ((0.20, 0.32, 0.52), (0.82, 0.80, 0.74), (0.24, 0.38, 0.30), (0.55, 0.55, 0.58))[i]
        pose = pose_at((x, side * (_ROAD_HALF_M - 1.0), _CAR[2] / 2), yaw=math.pi if side > 0 else 0.0)
        _car(kit, "parked_car", pose, paint)
    _car(kit, "moving_car", torch.eye(4, dtype=torch.float64), (0.78, 0.13, 0.12))
    track = _oncoming()
    lights = (Light((-0.45, -0.62, 0.95), (2.1, 1.95, 1.65), 0.035, sun=True),)
    world = World(
        tuple(kit.items),
        lights,
        Heavens(ambient=0.55, seed=kit.seed()),
        {"moving_car": RigidMotion.from_track(track)},
    )
    return SyntheticScene("street", world, _drive, math.radians(72), {"moving_car": track})


def _drive(views: int) -> tuple[Tensor, Tensor]:
    """Forward on the right-hand lane, swaying towards the middle and looking a little to either side."""
    time = torch.arange(views, dtype=torch.float64) / RATE_HZ
    share = torch.arange(views, dtype=torch.float64) / max(views - 1, 1)
    sway = torch.sin(2 * math.pi * 1.5 * share)
    positions = torch.stack([_DRIVE_M * share, -1.2 + 0.4 * sway, 1.5 + 0.1 * torch.cos(7 * share)], dim=-1)
    yaw = 0.28 * torch.sin(2 * math.pi * 2.5 * share)
    level = torch.tensor([[0.0, 0.0, 1.0], [-1.0, 0.0, 0.0], [0.0, -1.0, 0.0]], dtype=torch.float64)
    turn = so3_exp(torch.stack([torch.zeros_like(yaw), torch.full_like(yaw, 0.03), yaw], dim=-1))
    return rigid(turn @ level, positions), time


def _oncoming() -> Track:
    """From 30 m ahead towards -x on the other lane at 5 m/s, swerving a little."""
    times = torch.arange(61, dtype=torch.float64) / RATE_HZ
    x = 28.0 - 5.0 * times
    y = 1.2 + 0.3 * torch.sin(0.9 * times)
    slope = 0.3 * 0.9 * torch.cos(0.9 * times) / -5.0
    yaw = math.pi + torch.atan(slope)
    zero = torch.zeros_like(yaw)
    poses = rigid(so3_exp(torch.stack([zero, zero, yaw], dim=-1)), torch.stack([x, y, zero + _CAR[2] / 2], dim=-1))
    return Track(times, poses, torch.tensor(_CAR, dtype=torch.float64), "car")


def _ground(kit: Kit) -> None:
    kit.floor("road", (30, 0, 0), (100, 2 * _ROAD_HALF_M), Road(_ROAD_HALF_M))
    stone = Checker((0.70, 0.68, 0.64), (0.60, 0.58, 0.55), 0.5, kit.seed())
    kerb = Checker((0.78, 0.76, 0.72), (0.72, 0.70, 0.66), 0.9, kit.seed())
    for side in (-1, 1):
        kit.box("pavement", (30, side * (_ROAD_HALF_M + _WALK_M / 2 + 0.1), 0.06), (100, _WALK_M, 0.12), stone)
        kit.box("pavement", (30, side * (_ROAD_HALF_M + 0.05), 0.06), (100, 0.15, 0.14), kerb)
    grass = Mottled((0.42, 0.56, 0.26), (0.18, 0.30, 0.12), 0.6, 6, kit.seed())
    for side in (-1, 1):
        kit.floor("grass", (30, side * 36.0, 0.0), (100, 60), grass)
    end = Facade(Bricks(_BRICKS[1], seed=3), (3.0, 3.2), (1.4, 1.7), seed=5)
    kit.wall("house", (60, 0, 7.0), (40, 14), end, yaw=-math.pi / 2)


def _houses(kit: Kit, side: int) -> None:
    """A row of boxes with windows, of varied width, height and wall, with a gap now and then."""
    x = -14.0 + kit.random(0, 3)
    number = 0
    while x < 56:
        wide, high, deep = kit.random(6.6, 10.0), kit.random(6.0, 11.5), 8.0
        wall: Texture = Bricks(kit.pick(_BRICKS), seed=kit.seed(), length_m=0.36, height_m=0.13)
        if number % 2:
            wall = plain(kit.pick(_PLASTER), kit.seed(), scale_m=0.9, depth=0.3)
        floors = max(2, round(high / 3.0))
        face = Facade(wall, (wide / max(2, round(wide / 2.4)), high / floors), (1.15, 1.5), seed=kit.seed())
        middle = x + wide / 2
        front = side * (_ROAD_HALF_M + _WALK_M + kit.random(0.15, 1.2))
        kit.box("house", (middle, front + side * deep / 2, high / 2), (wide, deep, high), face)
        trim = plain((0.82, 0.80, 0.74), kit.seed())
        kit.box("house", (middle, front + side * deep / 2, high + 0.12), (wide + 0.4, deep + 0.4, 0.24), trim)
        kit.box("house", (middle, front - side * 0.05, 0.35), (wide, 0.12, 0.7), plain((0.45, 0.43, 0.42), kit.seed()))
        door = Planks(kit.pick(), 2.4, 0.2, kit.seed())
        kit.box("door", (middle + kit.random(-1.0, 1.0), front - side * 0.08, 1.15), (1.1, 0.1, 2.1), door)
        if kit.random() < 0.7:
            awning = Stripes((0.92, 0.90, 0.85), kit.pick(), 0.5, 0.5)
            kit.box("awning", (middle - wide / 4, front - side * 0.45, 2.7), (wide * 0.4, 0.9, 0.10), awning)
        x += wide + (kit.random(1.5, 3.0) if kit.random() < 0.4 else 0.05)
        number += 1


def _furniture(kit: Kit, side: int) -> None:
    kerb = side * (_ROAD_HALF_M + 0.55)
    iron = plain((0.20, 0.24, 0.24), kit.seed())
    for x in (4.0 + 2 * side, 18.0 + 2 * side, 32.0 + 2 * side, 46.0):
        kit.post("lamp_post", (x, kerb, 0.1), 0.06, 4.4, iron)
        kit.post("lamp_post", (x, kerb, 0.1), 0.12, 0.6, iron)
        kit.rod("lamp_post", (x, kerb - side * 0.5, 4.45), 0.04, 1.1, iron)
        bulb = plain((0.97, 0.94, 0.85), 2, depth=0.05)
        kit.ball("lamp_post", (x, kerb - side * 1.0, 4.36), (0.22, 0.22, 0.12), bulb)
    leaf = Mottled((0.46, 0.62, 0.28), (0.10, 0.24, 0.09), 0.30, 5, kit.seed())
    bark = Stripes((0.46, 0.36, 0.27), (0.30, 0.23, 0.17), 0.07, 0.5)
    for x in (-2.0 + 2 * side, 11.5 + 2 * side, 24.5 + 2 * side, 38.5):
        y = kerb + side * 0.3
        kit.post("tree", (x, y, 0.1), 0.14, 2.6, bark)
        for dx, dy, z, r in ((0, 0, 3.6, 1.15), (0.6, 0.3, 3.0, 0.75), (-0.6, -0.2, 3.1, 0.8), (0.1, 0, 4.5, 0.7)):
            kit.ball("tree", (x + dx, y + dy, z), (r, r, 0.9 * r), leaf)
    for x in (9.0 + 4 * side, 21.0 + 4 * side):
        bin_ = Stripes((0.22, 0.40, 0.30), (0.16, 0.30, 0.22), 0.08, 0.6)
        kit.post("bin", (x, kerb + side * 0.2, 0.12), 0.25, 0.9, bin_)
        kit.box("bench", (x + 3.0, kerb + side * 1.2, 0.55), (1.6, 0.45, 0.07), Planks(seed=kit.seed(), width_m=0.09))
        kit.box("bench", (x + 3.0, kerb + side * 1.4, 0.85), (1.6, 0.06, 0.45), Planks(seed=kit.seed(), width_m=0.09))
        for dx in (-0.7, 0.7):
            kit.box("bench", (x + 3.0 + dx, kerb + side * 1.2, 0.33), (0.08, 0.40, 0.42), iron)
    sign = Patches(((0.80, 0.16, 0.14), (0.95, 0.94, 0.90), (0.16, 0.30, 0.55)), 0.55, 7)
    kit.post("sign", (14.0, kerb, 0.1), 0.03, 2.6, iron)
    kit.wall("sign", (13.95, kerb, 2.45), (0.55, 0.55), sign, yaw=-math.pi / 2)


def _car(kit: Kit, name: str, owner_from_car: Tensor, paint: Rgb) -> None:
    """A car about the middle of its box, facing +x, put at a pose in the world (or in a moving object's frame)."""
    body, dark = plain(paint, 3, scale_m=0.8, depth=0.2), plain((0.10, 0.10, 0.11), 4)
    glass = Mottled((0.30, 0.36, 0.42), (0.14, 0.18, 0.22), 0.5, 3, 8)
    white, red = plain((0.95, 0.93, 0.85), 5), plain((0.70, 0.10, 0.10), 6)
    rim = Stripes((0.72, 0.72, 0.74), (0.30, 0.30, 0.32), 0.12, 0.55)
    ground = -_CAR[2] / 2
    side = math.pi / 2

    def put(
        shape: Shape, texture: Texture, at: tuple[float, float, float], *, gloss: float = 0, roll: float = 0
    ) -> None:
        pose = owner_from_car @ pose_at((at[0], at[1], at[2] + ground), roll=roll)
        kit.add(name, shape, texture, pose, gloss=gloss)

    put(Box(2.08, 0.88, 0.26), body, (0, 0, 0.58), gloss=0.5)
    put(Ellipsoid(2.1, 0.86, 0.30), body, (0, 0, 0.74), gloss=0.5)
    put(Box(1.02, 0.76, 0.27), glass, (-0.25, 0, 1.12), gloss=0.6)
    put(Box(0.92, 0.74, 0.03), body, (-0.25, 0, 1.42), gloss=0.5)
    for x in (-1.25, -0.25, 0.75):
        put(Box(0.04, 0.775, 0.28), body, (x, 0, 1.12))
    put(Box(2.1, 0.80, 0.07), dark, (0, 0, 0.38))
    for y in (-0.62, 0.62):
        put(Box(0.03, 0.17, 0.08), white, (2.075, y, 0.66), gloss=0.3)
        put(Box(0.03, 0.15, 0.09), red, (-2.075, y, 0.70))
        put(Box(0.07, 0.12, 0.06), body, (0.62, 1.45 * y, 1.0))
    put(Panel(0.25, 0.06), white, (2.09, 0, 0.5))
    put(Box(0.01, 0.26, 0.06), white, (2.095, 0, 0.50))
    put(Box(0.01, 0.26, 0.06), white, (-2.095, 0, 0.55))
    for x in (-1.28, 1.28):
        for y in (-0.80, 0.80):
            put(Cylinder(0.33, 0.10), dark, (x, y, 0.33), roll=side)
            put(Cylinder(0.20, 0.105), rim, (x, y, 0.33), roll=side)
