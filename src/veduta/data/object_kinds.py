"""Kinds of procedural things: groceries, vessels, fruit, animals, vehicles, machines, furniture, and sheer heaps.

Every maker takes a generator and returns a mesh of any size, z up; what it makes is new at every call.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np

from veduta.data.meshes import TexturedMesh
from veduta.data.object_chance import bumps_of, either, gloss_of, one_of, outline_of, rotation_of
from veduta.data.object_creatures import creature
from veduta.data.object_groceries import bottle, can, package
from veduta.data.object_paints import (
    Painter,
    Picture,
    Rgb,
    bricks,
    checks,
    dots,
    marble,
    palette,
    panels,
    patches,
    plain,
    shaded,
    stripes,
    target,
    wood,
)
from veduta.data.object_prints import label
from veduta.data.object_surfaces import (
    Array,
    Surface,
    ball,
    box,
    capsule,
    even_profile,
    ring,
    rounded_profile,
    tube,
    turned,
)

Maker = Callable[[np.random.Generator], TexturedMesh]

COATS: tuple[Painter, ...] = (plain, plain, shaded, stripes, checks, dots, patches, marble, wood, bricks, panels, label)
_PX = 256


def vessel(rng: np.random.Generator) -> TexturedMesh:
    """A thin-walled thing with an open top: mug, bowl, pan, vase, pot, lamp; with or without handles."""
    colors = palette(rng, either(rng, "earth", "metal", "dark"))
    height = rng.choice([0.25, 0.6, 1.0, 1.6])
    knots = rng.uniform(0.3, 0.6, 4)
    z = np.linspace(height, 0, 24)
    outside = np.interp(z, np.linspace(0, height, 4), knots)
    outside = np.convolve(np.pad(outside, 3, mode="edge"), np.ones(7) / 7, mode="valid")
    wall = rng.uniform(0.02, 0.06)
    outline = outline_of(rng)
    outer = np.concatenate([np.stack([outside, z], axis=1), [[1e-6, 0.0]]])
    inner = np.concatenate([[[1e-6, wall]], np.stack([outside - wall, np.maximum(z, wall)], axis=1)[::-1]])
    lip = np.array([[outside[0] - wall, height], [outside[0] - wall / 2, height + wall / 2], [outside[0], height]])
    coat, gloss = _coat(rng, colors, 2 * _PX), gloss_of(rng)
    lining = plain(rng, colors[1:], 64, 64) if rng.random() < 0.7 else coat
    parts = [
        turned(even_profile(outer, 40), outline=outline).painted(coat, gloss=gloss),
        turned(inner, outline=outline).painted(lining, gloss=gloss),
        turned(lip, outline=outline).painted(lining, gloss=gloss),
    ]
    handles = int(rng.integers(0, 3))
    paint = plain(rng, colors[2:], 64, 64)
    for index in range(handles):
        side = 1 if index == 0 else -1
        parts.append(_handle(rng, float(outside.mean()), height, side).painted(paint, gloss=gloss))
    return TexturedMesh.join(parts)


def _handle(rng: np.random.Generator, radius: float, height: float, side: int) -> Surface:
    """A bow beside a vessel, or a long grip."""
    t = np.linspace(0, 1, 16)
    if height < 0.4:
        reach = radius + rng.uniform(0.6, 1.0) * t
        path = np.stack([side * reach, 0 * t, 0.7 * height + 0.1 * t], axis=1)
        return tube(path, 0.06 + 0.02 * np.sin(3 * t)).placed(scale=(1, 1, 0.8))
    bow = np.sin(np.pi * t)
    path = np.stack([side * (radius * 0.85 + 0.35 * bow), 0 * t, height * (0.2 + 0.6 * t)], axis=1)
    return tube(path, np.full(16, rng.uniform(0.03, 0.07)))


def fruit(rng: np.random.Generator) -> TexturedMesh:
    """A round, pear-shaped or bent fruit, whole or cut in half, with a stem."""
    colors = palette(rng, "fruit")
    skin = one_of(rng, shaded, shaded, stripes, patches, plain)(rng, colors, _PX, _PX)
    if rng.random() < 0.35:
        t = np.linspace(-1, 1, 40)
        bend = rng.uniform(0.3, 1.6)
        path = np.stack([np.sin(bend * t) / bend, 0 * t, (np.cos(bend * t) - 1) / bend], axis=1)
        thick = rng.uniform(0.12, 0.3) * (1 - np.abs(t) ** rng.uniform(3, 8)) ** 0.5 + 1e-4
        return tube(path, thick, columns=int(rng.choice([5, 6, 24]))).painted(skin, gloss=gloss_of(rng))
    bumps = bumps_of(rng, int(rng.integers(1, 5)), 0.25)
    radii = (0.5, rng.uniform(0.4, 0.5), rng.uniform(0.35, 0.75))
    whole = ball(radii, bumps=bumps)
    stem = capsule(np.array([0, 0, 0.8 * radii[2]]), np.array([0.05, 0, 1.2 * radii[2]]), (0.04, 0.03))
    bark = plain(rng, palette(rng, "wood"), 32, 32)
    if rng.random() < 0.6:
        return TexturedMesh.join([whole.painted(skin, gloss=gloss_of(rng)), stem.painted(bark)])

    def halved(points: Array) -> Array:
        return np.stack([points[:, 0], np.minimum(points[:, 1], 0.02 * points[:, 1]), points[:, 2]], axis=1)

    face = Surface(
        whole.vertices * [1, 0, 1], np.broadcast_to([0.0, -1.0, 0.0], whole.normals.shape).copy(), whole.uv, whole.faces
    )
    span = np.abs(face.vertices).max(axis=0)
    uv = np.stack([0.5 + 0.5 * face.vertices[:, 0] / span[0], 0.5 - 0.5 * face.vertices[:, 2] / span[2]], axis=1)
    flat = Surface(face.vertices - [0, 0.021, 0], face.normals, uv, face.faces)
    flesh = target(rng, colors[::-1], _PX, _PX)
    stone = ball((0.2, 0.12, 0.22)).placed((0.0, -0.02, -0.1))
    parts = [whole.warped(halved).painted(skin, gloss=gloss_of(rng)), flat.painted(flesh)]
    if rng.random() < 0.6:
        parts.append(stone.painted(shaded(rng, palette(rng, "wood"), 64, 64), gloss=0.2))
    return TexturedMesh.join(parts)


def furniture(rng: np.random.Generator) -> TexturedMesh:
    """A board on legs, with a back, shelves or drawers; wood, cloth or paint."""
    colors = palette(rng, either(rng, "wood", "pastel"))
    coat = one_of(rng, wood, wood, plain, bricks, stripes)(rng, colors, _PX, _PX)
    other = one_of(rng, wood, plain, checks, dots)(rng, colors[::-1], _PX, _PX)
    width, depth, height, thick = (
        rng.uniform(0.7, 1.5),
        rng.uniform(0.5, 1.0),
        rng.uniform(0.3, 1.0),
        rng.uniform(0.04, 0.15),
    )
    slabs = [((width, depth, thick), (0.0, 0.0, height), other)]
    if rng.random() < 0.5:
        slabs.append(((width, thick, rng.uniform(0.5, 1.0)), (0.0, depth / 2 - thick / 2, height + 0.35), coat))
    for level in range(int(rng.integers(0, 3))):
        slabs.append(((width * 0.95, depth * 0.9, thick), (0.0, 0.0, height * (0.2 + 0.35 * level)), coat))
    parts = [s.placed(at).painted(paint) for size, at, paint in slabs for s in box(size, bevel=0.02)]
    round_legs = rng.random() < 0.5
    for x, y in ((-1, -1), (1, -1), (-1, 1), (1, 1)):
        foot = np.array([x * (width / 2 - 0.06), y * (depth / 2 - 0.06), 0.0])
        if round_legs:
            parts.append(capsule(foot, foot * [0.9, 0.9, 1] + [0, 0, height], (0.04, 0.06)).painted(coat))
        else:
            at = (float(foot[0]), float(foot[1]), height / 2)
            parts.extend(s.placed(at).painted(coat) for s in box((0.09, 0.09, height), bevel=0.01))
    return TexturedMesh.join(parts)


def vehicle(rng: np.random.Generator) -> TexturedMesh:
    """A body, a cabin and wheels."""
    colors, dark = palette(rng, either(rng, "toy")), palette(rng, "dark")
    length, width, height = rng.uniform(1.2, 2.0), rng.uniform(0.6, 0.8), rng.uniform(0.35, 0.9)
    side = (label if rng.random() < 0.6 else panels)(rng, colors, _PX, 2 * _PX)
    coats = [
        side,
        panels(rng, colors, 128, 128),
        side,
        panels(rng, colors, 128, 128),
        plain(rng, colors, 64, 64),
        plain(rng, dark, 32, 32),
    ]
    parts = [
        s.painted(c, gloss=0.2)
        for s, c in zip(box((length, width, height), bevel=rng.uniform(0.02, 0.12)), coats, strict=True)
    ]
    cabin = (rng.uniform(0.3, 0.8) * length, 0.94 * width, rng.uniform(0.3, 0.55))
    at = (rng.uniform(-0.25, 0.25) * length, 0.0, height / 2 + cabin[2] / 2 - 0.03)

    def slanted(points: Array) -> Array:
        share = np.clip((points[:, 2:] + cabin[2] / 2) / cabin[2], 0, 1)
        return points * (1 - np.array([[0.3, 0.15, 0.0]]) * share)

    glass = panels(rng, np.stack([dark[1], *colors[:3], dark[0]]), 128, 128)
    parts.extend(s.warped(slanted).placed(at).painted(glass, gloss=0.4) for s in box(cabin, bevel=0.06))
    radius = rng.uniform(0.16, 0.26)
    upright = np.array([[1.0, 0, 0], [0, 0, -1], [0, 1, 0]])
    tyre, hub = plain(rng, dark, 32, 32), target(rng, palette(rng, "metal"), 128, 128)
    for x in (-0.32, 0.32):
        for y in (-1, 1):
            middle = (x * length, y * width / 2, -height / 2)
            parts.append(ring(radius, 0.4 * radius).placed(middle, turn=upright).painted(tyre))
            parts.append(ball((radius, radius, 0.2 * radius)).placed(middle, turn=upright).painted(hub, gloss=0.3))
    return TexturedMesh.join(parts)


def machine(rng: np.random.Generator) -> TexturedMesh:
    """A rounded or boxy hull with plates, pipes, knobs and hoses, alike on both sides: helmets, engines, toys."""
    colors, metal = palette(rng, either(rng, "metal", "dark")), palette(rng, "metal")
    radii = (0.5, rng.uniform(0.4, 0.7), rng.uniform(0.35, 0.7))
    hull = ball(radii, bumps=bumps_of(rng, 4, 0.2, mirrored=True), power=rng.choice([2.0, 2.5, 4.0]))
    parts = [hull.painted(panels(rng, colors, 2 * _PX, 2 * _PX), gloss=gloss_of(rng))]
    for _ in range(int(rng.integers(3, 9))):
        toward = rng.standard_normal(3)
        place = toward / np.linalg.norm(toward) * np.array(radii) * rng.uniform(0.8, 1.05)
        size = rng.uniform(0.06, 0.25, 3)
        paint = one_of(rng, panels, plain, plain, stripes)(rng, one_of(rng, colors, metal), 128, 128)
        gloss = gloss_of(rng)
        for mirror in (1, -1):
            at = (mirror * abs(float(place[0])), float(place[1]), float(place[2]))
            parts.extend(s.painted(paint, gloss=gloss) for s in _knob(rng, size, at))
    t = np.linspace(0, 1, 24)
    for _ in range(int(rng.integers(0, 3))):
        start, end, lift = (rng.uniform(-0.5, 0.5, 3) for _ in range(3))
        path = np.outer(1 - t, start) + np.outer(t, end) + np.outer(np.sin(np.pi * t), 1.6 * lift)
        hose = tube(path, np.full(24, rng.uniform(0.02, 0.06))).painted(stripes(rng, palette(rng, "dark"), 64, 64))
        parts.append(hose)
    return TexturedMesh.join(parts)


def _knob(rng: np.random.Generator, size: Array, at: tuple[float, float, float]) -> list[Surface]:
    kind = rng.integers(4)
    if kind == 0:
        return [s.placed(at) for s in box((float(size[0]), float(size[1]), float(size[2])), bevel=0.02)]
    turn = rotation_of(rng)
    if kind == 1:
        return [ring(float(size[0]), 0.3 * float(size[0])).placed(at, turn=turn)]
    if kind == 2:
        return [ball((1, 1, 1), rows=17, columns=32).placed(at, scale=(float(size[0]), float(size[1]), float(size[2])))]
    return [s.placed(at, turn=turn) for s in _drum(float(size[0]), float(size[1]))]


def heap(rng: np.random.Generator) -> TexturedMesh:
    """A few bodies of any kind, texture and posture that stick in each other."""
    parts: list[TexturedMesh] = []
    colors = palette(rng, one_of(rng, None, None, "toy", "grocery", "pastel", "earth"))
    for _ in range(int(rng.integers(1, 7))):
        own = colors[rng.permutation(len(colors))] if rng.random() < 0.7 else palette(rng)
        coat, gloss = _coat(rng, own, _PX), gloss_of(rng)
        at = rng.normal(0, 0.18, 3)
        turn = rotation_of(rng) if rng.random() < 0.6 else np.eye(3)
        scale = float(rng.uniform(0.22, 0.6))
        for surface in _body(rng):
            parts.append(surface.placed((at[0], at[1], at[2]), turn=turn, scale=scale).painted(coat, gloss=gloss))
    return TexturedMesh.join(parts)


def _body(rng: np.random.Generator) -> list[Surface]:
    """Any single body, about as large as a unit ball."""
    kind = rng.integers(6)
    if kind == 0:
        sides = rng.uniform(0.6, 1.8, 3)
        return box((float(sides[0]), float(sides[1]), float(sides[2])), bevel=float(rng.choice([0.01, 0.1, 0.3])))
    if kind == 1:
        radii = rng.uniform(0.4, 1.0, 3)
        bumps = bumps_of(rng, int(rng.integers(0, 7)), 0.4)
        return [ball((float(radii[0]), float(radii[1]), float(radii[2])), bumps=bumps, power=rng.uniform(1.4, 5))]
    if kind == 2:
        return [ring(0.7, float(rng.uniform(0.1, 0.4)))]
    if kind == 3:
        return _drum(float(rng.uniform(0.4, 0.9)), float(rng.uniform(0.3, 1.8)), outline=outline_of(rng))
    if kind == 4:
        return [
            capsule(
                np.array([0, 0, -0.6]),
                np.array([0, 0, 0.6]),
                (float(rng.uniform(0.1, 0.5)), float(rng.uniform(0.1, 0.5))),
            )
        ]
    t = np.linspace(0, 1, 40)
    turns, radius = rng.uniform(0.5, 3), rng.uniform(0.3, 0.8)
    path = np.stack(
        [radius * np.cos(2 * np.pi * turns * t), radius * np.sin(2 * np.pi * turns * t), 1.6 * t - 0.8], axis=1
    )
    thick = rng.uniform(0.08, 0.2) * np.minimum(1, 12 * np.minimum(t, 1 - t) + 1e-3)
    return [tube(path, thick)]


def _drum(radius: float, height: float, *, outline: Array | None = None) -> list[Surface]:
    """An upright prism with rounded edges."""
    top = height / 2
    corners = np.array([[1e-6, top], [radius, top], [radius, -top], [1e-6, -top]])
    profile = rounded_profile(corners, bevel=0.15 * min(radius, height))
    return [turned(even_profile(profile, 40), outline=outline)]


def _coat(rng: np.random.Generator, colors: Rgb, width: int) -> Picture:
    return COATS[int(rng.integers(len(COATS)))](rng, colors, _PX, width)


KINDS: Mapping[str, tuple[Maker, float]] = {
    "can": (can, 1.0),
    "package": (package, 1.3),
    "bottle": (bottle, 1.2),
    "vessel": (vessel, 1.0),
    "fruit": (fruit, 1.0),
    "furniture": (furniture, 0.4),
    "vehicle": (vehicle, 0.7),
    "machine": (machine, 1.0),
    "heap": (heap, 1.4),
    "creature": (creature, 2.0),
}
"""Makers by name, and how often each is called in proportion to the others."""
