"""A furnished living room with a window, lit by the sun and a lamp."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from veduta.core import Streams
from veduta.data.synthetic_stage import PAINTS, Kit, SyntheticScene, looking, plain
from veduta.data.synthetic_textures import Bricks, Checker, Mottled, Patches, Planks, Stripes
from veduta.data.synthetic_trace import Heavens, Light, World

LENGTH, WIDTH, HEIGHT = 6.0, 4.6, 2.7
"""Along x, y and z (m); the floor's middle is the origin."""
_WINDOW = (-0.6, 1.0, 1.5, 1.3)
"""In the wall at +y: middle x, sill height, width and height (m)."""
_WOOD = Planks((0.55, 0.36, 0.21), 1.0, 0.11, 3)


def room(seed: int = 0) -> SyntheticScene:
    """A closed room, 6 x 4.6 x 2.7 m; the window shows the sky. Nothing moves."""
    kit = Kit(Streams(seed)("room"))
    _shell(kit)
    _table(kit, 0.35, -0.35)
    _sofa(kit)
    _shelf(kit)
    _pictures(kit)
    _plants(kit)
    lights = (
        Light((-0.5, 1.0, 0.95), (2.3, 2.1, 1.7), 0.03, sun=True),
        Light((0.4, -0.2, 2.2), (1.5, 1.35, 1.1), 0.12),
    )
    heavens = Heavens(horizon=(0.80, 0.83, 0.87), ground=(0.62, 0.56, 0.50), ambient=0.50, seed=kit.seed())
    return SyntheticScene("room", World(tuple(kit.items), lights, heavens), _walk_around, math.radians(75))


def _walk_around(views: int) -> tuple[Tensor, Tensor]:
    """Two rounds near the walls, at two heights, looking across the room."""
    angle = torch.arange(views, dtype=torch.float64) * (4 * math.pi / views) + 0.3
    second = (torch.arange(views) >= views / 2).to(torch.float64)
    wobble = 0.12 * torch.sin(5 * angle)
    positions = torch.stack(
        [
            (1.95 + wobble) * angle.cos(),
            (1.35 + wobble) * angle.sin(),
            1.25 + 0.45 * second + 0.1 * torch.sin(3 * angle),
        ],
        dim=-1,
    )
    targets = torch.stack([-0.9 * angle.cos(), -0.7 * angle.sin(), 0.95 - 0.25 * second], dim=-1)
    return looking(positions, targets), torch.zeros(views, dtype=torch.float64)


def _shell(kit: Kit) -> None:
    kit.floor("floor", (0, 0, 0), (LENGTH, WIDTH), Planks(seed=kit.seed()))
    kit.floor("ceiling", (0, 0, HEIGHT), (LENGTH, WIDTH), plain((0.90, 0.89, 0.86), kit.seed(), scale_m=0.5, depth=0.1))
    mid = HEIGHT / 2
    paper = Stripes((0.78, 0.80, 0.74), (0.60, 0.68, 0.62), 0.24, 0.5)
    kit.wall("wall", (LENGTH / 2, 0, mid), (WIDTH, HEIGHT), Bricks(seed=kit.seed()), yaw=-math.pi / 2)
    kit.wall(
        "wall",
        (-LENGTH / 2, 0, mid),
        (WIDTH, HEIGHT),
        plain((0.36, 0.52, 0.56), kit.seed(), scale_m=0.4),
        yaw=math.pi / 2,
    )
    kit.wall("wall", (0, -WIDTH / 2, mid), (LENGTH, HEIGHT), paper, yaw=math.pi)
    _window_wall(kit, Checker((0.84, 0.80, 0.72), (0.79, 0.73, 0.63), 0.45, kit.seed()))
    board = plain((0.90, 0.88, 0.84), kit.seed())
    for y in (-WIDTH / 2 + 0.01, WIDTH / 2 - 0.01):
        kit.box("skirting", (0, y, 0.05), (LENGTH, 0.02, 0.1), board)
    for x in (-LENGTH / 2 + 0.01, LENGTH / 2 - 0.01):
        kit.box("skirting", (x, 0, 0.05), (0.02, WIDTH, 0.1), board)
    rug = Patches(PAINTS, 0.4, kit.seed())
    kit.box("rug", (0.35, -0.35, 0.006), (2.6, 1.9, 0.012), rug)


def _window_wall(kit: Kit, texture: Checker) -> None:
    x, sill, width, height = _WINDOW
    y, top = WIDTH / 2, sill + height
    left, right = x - width / 2, x + width / 2
    kit.wall("wall", (0, y, sill / 2), (LENGTH, sill), texture)
    kit.wall("wall", (0, y, (top + HEIGHT) / 2), (LENGTH, HEIGHT - top), texture)
    kit.wall("wall", ((left - LENGTH / 2) / 2, y, sill + height / 2), (left + LENGTH / 2, height), texture)
    kit.wall("wall", ((right + LENGTH / 2) / 2, y, sill + height / 2), (LENGTH / 2 - right, height), texture)
    frame = plain((0.93, 0.92, 0.88), kit.seed())
    for z, deep in ((sill, 0.22), (top, 0.10)):
        kit.box("window", (x, y - deep / 2 + 0.06, z), (width + 0.14, deep, 0.06), frame)
    for post in (left, x, right):
        kit.box("window", (post, y, sill + height / 2), (0.06, 0.10, height), frame)
    kit.box("window", (x, y, sill + 0.55 * height), (width, 0.05, 0.05), frame)
    cloth = Stripes((0.85, 0.45, 0.32), (0.72, 0.30, 0.24), 0.12, 0.5)
    for side in (left - 0.28, right + 0.28):
        kit.box("curtain", (side, y - 0.07, 1.32), (0.46, 0.10, 2.45), cloth)


def _table(kit: Kit, x: float, y: float) -> None:
    kit.box("table", (x, y, 0.72), (1.5, 0.85, 0.05), _WOOD, gloss=0.12)
    for dx in (-0.68, 0.68):
        for dy in (-0.36, 0.36):
            kit.box("table", (x + dx, y + dy, 0.35), (0.06, 0.06, 0.70), _WOOD)
    china = Stripes((0.93, 0.93, 0.90), (0.20, 0.35, 0.60), 0.05, 0.7, along=1)
    kit.post("vase", (x - 0.45, y + 0.12, 0.745), 0.07, 0.26, china, gloss=0.3)
    for i in range(5):
        angle = 2.4 * i
        tip = (x - 0.45 + 0.09 * math.cos(angle), y + 0.12 + 0.09 * math.sin(angle), 1.10 + 0.03 * (i % 3))
        kit.ball("flowers", tip, (0.06, 0.06, 0.05), plain(PAINTS[(i * 3) % 4], i, scale_m=0.03, depth=0.6))
    fruit = ((0.85, 0.55, 0.15), (0.75, 0.18, 0.15), (0.55, 0.65, 0.20))
    kit.post("bowl", (x + 0.25, y - 0.1, 0.745), 0.19, 0.05, plain((0.55, 0.35, 0.25), kit.seed()))
    for i in range(3):
        angle = 2.1 * i
        centre = (x + 0.25 + 0.08 * math.cos(angle), y - 0.1 + 0.08 * math.sin(angle), 0.855)
        kit.ball("fruit", centre, (0.065, 0.065, 0.06), plain(fruit[i], i, scale_m=0.03, depth=0.5), gloss=0.25)
    for i in range(3):
        book = Patches((kit.pick(), kit.pick(), (0.9, 0.87, 0.8)), 0.07, kit.seed())
        kit.box(
            "books", (x - 0.05 + 0.02 * i, y + 0.25, 0.765 + 0.04 * i), (0.26, 0.18, 0.038), book, yaw=0.3 - 0.2 * i
        )
    for dx, dy, yaw in ((-0.1, -0.75, 0.2), (0.45, 0.72, math.pi - 0.15), (1.1, -0.05, math.pi / 2)):
        _chair(kit, x + dx, y + dy, yaw)


def _chair(kit: Kit, x: float, y: float, yaw: float) -> None:
    """A chair that faces +y before it is turned."""
    wood = Planks((0.72, 0.55, 0.35), 0.5, 0.06, kit.seed())

    def at(dx: float, dy: float, z: float) -> tuple[float, float, float]:
        return x + dx * math.cos(yaw) - dy * math.sin(yaw), y + dx * math.sin(yaw) + dy * math.cos(yaw), z

    kit.box(
        "chair", at(0, 0, 0.45), (0.42, 0.42, 0.05), plain(kit.pick(), kit.seed(), scale_m=0.06, depth=0.5), yaw=yaw
    )
    for dx in (-0.18, 0.18):
        kit.box("chair", at(dx, 0.18, 0.21), (0.04, 0.04, 0.43), wood, yaw=yaw)
        kit.box("chair", at(dx, -0.18, 0.45), (0.04, 0.04, 0.90), wood, yaw=yaw)
    for z in (0.62, 0.80):
        kit.box("chair", at(0, -0.18, z), (0.36, 0.03, 0.11), wood, yaw=yaw)


def _sofa(kit: Kit) -> None:
    cloth = Checker((0.55, 0.57, 0.62), (0.42, 0.45, 0.52), 0.06, kit.seed())
    x, y = -LENGTH / 2 + 0.48, -0.15
    kit.box("sofa", (x, y, 0.22), (0.85, 1.9, 0.36), cloth)
    kit.box("sofa", (x - 0.33, y, 0.60), (0.20, 1.9, 0.45), cloth)
    for side in (-0.87, 0.87):
        kit.box("sofa", (x, y + side, 0.36), (0.85, 0.18, 0.56), cloth)
    for i, dy in enumerate((-0.5, 0.0, 0.5)):
        pillow = Patches((kit.pick(), kit.pick(), kit.pick()), 0.13, kit.seed())
        kit.box("pillow", (x - 0.12, y + dy, 0.57), (0.13, 0.40, 0.36), pillow, yaw=0.15 * (i - 1))


def _shelf(kit: Kit) -> None:
    """Against the wall at -y, full of books."""
    x, y, width = -0.9, -WIDTH / 2 + 0.17, 1.5
    for side in (-width / 2, width / 2):
        kit.box("shelf", (x + side, y, 0.95), (0.03, 0.30, 1.9), _WOOD)
    for level in range(6):
        kit.box("shelf", (x, y, 0.06 + 0.365 * level), (width, 0.30, 0.03), _WOOD)
    for level in range(5):
        edge = x - width / 2 + 0.03
        stop = x + width / 2 - 0.06 - kit.random(0.0, 0.5)
        while edge < stop:
            thick, high = kit.random(0.035, 0.08), kit.random(0.20, 0.31)
            spine = Stripes(kit.pick(), kit.pick(), kit.random(0.08, 0.2), kit.random(0.6, 0.9), along=1)
            centre = (edge + thick / 2, y + 0.02, 0.075 + 0.365 * level + high / 2)
            kit.box("books", centre, (thick - 0.004, 0.22, high), spine)
            edge += thick


def _pictures(kit: Kit) -> None:
    frame = plain((0.25, 0.17, 0.11), kit.seed())
    x = LENGTH / 2 - 0.03
    for y, z, wide, high in ((-1.1, 1.55, 0.9, 0.7), (0.35, 1.65, 0.6, 0.85), (1.45, 1.5, 0.7, 0.5)):
        kit.box("picture", (x + 0.01, y, z), (0.03, wide + 0.08, high + 0.08), frame)
        kit.wall(
            "picture",
            (x - 0.02, y, z),
            (wide, high),
            Patches(PAINTS, kit.random(0.14, 0.25), kit.seed()),
            yaw=-math.pi / 2,
        )
    art = Patches(PAINTS, 0.22, kit.seed())
    kit.wall("picture", (0.95, -WIDTH / 2 + 0.02, 1.6), (1.1, 0.8), art, yaw=math.pi)


def _plants(kit: Kit) -> None:
    leaf = Mottled((0.45, 0.62, 0.28), (0.10, 0.24, 0.10), 0.10, 5, kit.seed())
    pot = Bricks((0.72, 0.42, 0.30), (0.60, 0.33, 0.24), 0.10, 0.06, 0.006, 0.3, kit.seed())
    x, y = LENGTH / 2 - 0.5, WIDTH / 2 - 0.5
    kit.post("plant", (x, y, 0), 0.2, 0.38, pot)
    kit.post("plant", (x, y, 0.38), 0.03, 0.5, plain((0.4, 0.3, 0.2), 3))
    for dx, dy, z, r in (
        (0, 0, 1.15, 0.30),
        (0.15, -0.12, 0.92, 0.22),
        (-0.17, 0.05, 0.95, 0.2),
        (0.05, 0.12, 1.4, 0.2),
    ):
        kit.ball("plant", (x + dx, y + dy, z), (r, r, 0.85 * r), leaf)
    kit.post("lamp", (0.4, -0.2, 2.3), 0.01, 0.4, plain((0.1, 0.1, 0.1), 1))
    kit.ball("lamp", (0.4, -0.2, 2.2), (0.12, 0.12, 0.12), plain((1.0, 0.95, 0.82), 1, depth=0.05), glow=1.0)
    kit.ball(
        "ball", (1.75, -1.45, 0.2), (0.2, 0.2, 0.2), Checker((0.9, 0.88, 0.82), (0.75, 0.2, 0.2), 0.157, 4), gloss=0.3
    )
