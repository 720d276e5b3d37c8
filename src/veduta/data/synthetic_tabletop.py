"""Toys and china on a garden table."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from veduta.core import Streams
from veduta.data.synthetic_stage import PAINTS, Kit, SyntheticScene, looking, plain
from veduta.data.synthetic_textures import Bricks, Checker, Mottled, Patches, Planks, Stripes
from veduta.data.synthetic_trace import Heavens, Light, World

TOP = 0.75
"""Height of the table (m); its middle is above the origin."""


def tabletop(seed: int = 0) -> SyntheticScene:
    """Objects of 5 to 30 cm on a round table in a walled garden. Nothing moves."""
    kit = Kit(Streams(seed)("tabletop"))
    _garden(kit)
    _table(kit)
    _toys(kit)
    _china(kit)
    lights = (Light((0.6, -0.45, 1.0), (2.0, 1.85, 1.55), 0.04, sun=True),)
    return SyntheticScene(
        "tabletop", World(tuple(kit.items), lights, Heavens(ambient=0.5, seed=kit.seed())), _rings, math.radians(52)
    )


def _rings(views: int) -> tuple[Tensor, Tensor]:
    """Two rings around the table, at two heights, one view after the other alternating."""
    count = torch.arange(views, dtype=torch.float64)
    angle = count * (2 * math.pi / views)
    high = torch.remainder(count, 2)
    radius = 1.45 - 0.3 * high + 0.05 * torch.sin(7 * angle)
    positions = torch.stack([radius * angle.cos(), radius * angle.sin(), TOP + 0.45 + 0.5 * high], dim=-1)
    targets = torch.tensor([0.0, 0.0, TOP + 0.06], dtype=torch.float64).expand(views, 3)
    return looking(positions, targets), torch.zeros(views, dtype=torch.float64)


def _garden(kit: Kit) -> None:
    grass = Mottled((0.42, 0.58, 0.24), (0.16, 0.30, 0.10), 0.5, 6, kit.seed())
    kit.floor("grass", (0, 0, -0.001), (60, 60), grass)
    kit.post("terrace", (0, 0, 0), 2.2, 0.02, Checker((0.76, 0.72, 0.66), (0.60, 0.56, 0.52), 0.4, kit.seed()))
    wall = Bricks(seed=kit.seed())
    for x, y, long, yaw in ((0, 6, 12, 0.0), (6, 0, 12, -math.pi / 2), (-6, 0, 12, math.pi / 2), (0, -6, 12, math.pi)):
        kit.wall("wall", (x, y, 0.9), (long, 1.8), wall, yaw=yaw)
    for i in range(10):
        angle = 2 * math.pi * (i + kit.random(0.0, 0.6)) / 10
        x, y = 4.6 * math.cos(angle), 4.6 * math.sin(angle)
        leaf = Mottled((0.48, 0.64, 0.30), (0.08, 0.22, 0.08), 0.25, 5, kit.seed())
        r = kit.random(0.5, 0.9)
        kit.ball("bush", (x, y, 0.6 * r), (r, r, r), leaf)
        kit.ball("bush", (x + 0.4 * r, y - 0.3 * r, 1.4 * r), (0.6 * r, 0.6 * r, 0.6 * r), leaf)


def _table(kit: Kit) -> None:
    cloth = Checker((0.90, 0.88, 0.84), (0.66, 0.22, 0.20), 0.08, kit.seed())
    kit.post("table", (0, 0, TOP - 0.03), 0.62, 0.03, cloth)
    kit.post("table", (0, 0, 0.02), 0.05, TOP - 0.05, plain((0.3, 0.3, 0.32), 4), gloss=0.2)
    kit.post("table", (0, 0, 0.02), 0.28, 0.03, plain((0.3, 0.3, 0.32), 5))
    for angle in (0.5, 2.6, 4.7):
        x, y = 1.05 * math.cos(angle), 1.05 * math.sin(angle)
        wood = Planks((0.66, 0.48, 0.30), 0.4, 0.05, kit.seed())
        kit.post("stool", (x, y, 0.42), 0.19, 0.05, wood)
        for leg in range(3):
            a = angle + 2.1 * leg
            kit.post("stool", (x + 0.13 * math.cos(a), y + 0.13 * math.sin(a), 0.02), 0.018, 0.40, wood)


def _toys(kit: Kit) -> None:
    spot = ((0.28, 0.14), (0.30, 0.24), (0.22, 0.21))
    for i, (x, y) in enumerate(spot):
        block = Patches((kit.pick(), kit.pick(), (0.95, 0.92, 0.85)), 0.04, kit.seed())
        kit.box("blocks", (x, y, TOP + 0.04), (0.08, 0.08, 0.08), block, yaw=0.3 + 0.9 * i)
    kit.box("blocks", (0.265, 0.19, TOP + 0.12), (0.08, 0.08, 0.08), Patches(PAINTS, 0.04, kit.seed()), yaw=0.7)
    ball = Stripes((0.92, 0.90, 0.85), kit.pick(), 0.1571, 0.5)
    kit.ball("ball", (-0.30, 0.22, TOP + 0.10), (0.10, 0.10, 0.10), ball, gloss=0.35)
    _engine(kit, -0.05, -0.30, 0.35)
    for i in range(5):
        radius = 0.075 - 0.012 * i
        ring = plain(PAINTS[i % len(PAINTS)], i, scale_m=0.02, depth=0.35)
        kit.post("tower", (0.02, 0.33, TOP + 0.035 * i), radius, 0.033, ring, gloss=0.2)


def _engine(kit: Kit, x: float, y: float, yaw: float) -> None:
    """A wooden locomotive."""

    def at(dx: float, dy: float, z: float) -> tuple[float, float, float]:
        c, s = math.cos(yaw), math.sin(yaw)
        return x + dx * c - dy * s, y + dx * s + dy * c, TOP + z

    red, dark = plain((0.78, 0.20, 0.17), 1, scale_m=0.03, depth=0.4), plain((0.15, 0.17, 0.22), 2)
    wood = Planks((0.75, 0.56, 0.34), 0.2, 0.02, 8)
    kit.box("engine", at(0, 0, 0.045), (0.30, 0.11, 0.03), wood, yaw=yaw)
    kit.rod("engine", at(0.06, 0, 0.105), 0.045, 0.16, red, yaw=yaw - math.pi / 2)
    kit.box("engine", at(-0.09, 0, 0.12), (0.10, 0.11, 0.12), red, yaw=yaw)
    kit.box("engine", at(-0.09, 0, 0.19), (0.13, 0.13, 0.015), dark, yaw=yaw)
    kit.post("engine", at(0.10, 0, 0.14), 0.018, 0.07, dark)
    wheel = Stripes((0.85, 0.70, 0.25), (0.15, 0.15, 0.18), 0.05, 0.3)
    for dx in (-0.10, 0.0, 0.10):
        for dy in (-0.065, 0.065):
            kit.rod("engine", at(dx, dy, 0.035), 0.035, 0.02, wheel, yaw=yaw)


def _china(kit: Kit) -> None:
    blue = Stripes((0.95, 0.95, 0.92), (0.22, 0.38, 0.62), 0.04, 0.72, along=1)
    pot = (-0.12, 0.02)
    kit.ball("teapot", (*pot, TOP + 0.09), (0.11, 0.11, 0.09), blue, gloss=0.4)
    kit.ball("teapot", (*pot, TOP + 0.195), (0.02, 0.02, 0.02), blue, gloss=0.4)
    kit.rod("teapot", (pot[0] + 0.12, pot[1], TOP + 0.11), 0.018, 0.10, blue, yaw=-math.pi / 2)
    for angle in (0.2, 3.6, 5.2):
        x, y = 0.40 * math.cos(angle), 0.40 * math.sin(angle)
        plate = Stripes((0.94, 0.93, 0.90), (0.80, 0.72, 0.55), 0.05, 0.8)
        kit.post("plate", (x, y, TOP), 0.09, 0.012, plate, gloss=0.3)
        kit.post(
            "cup",
            (x, y, TOP + 0.012),
            0.04,
            0.075,
            Patches((kit.pick(), (0.94, 0.93, 0.9)), 0.05, kit.seed()),
            gloss=0.4,
        )
    lemon = Mottled((0.93, 0.82, 0.25), (0.80, 0.62, 0.15), 0.02, 3, 6)
    for dx, dy in ((0.0, 0.0), (0.075, 0.03), (0.02, 0.085)):
        kit.ball("lemons", (-0.42 + dx, -0.08 + dy, TOP + 0.035), (0.048, 0.036, 0.035), lemon, gloss=0.2)
