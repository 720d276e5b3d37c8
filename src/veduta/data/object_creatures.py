"""Procedural creatures: bodies grown together from limbs, with eyes, ears, beaks, hooves and tails."""

from __future__ import annotations

import numpy as np

from veduta.data.meshes import TexturedMesh
from veduta.data.object_blends import Limb, blended
from veduta.data.object_paints import Rgb, noise, palette, patches, plain, stripes
from veduta.data.object_surfaces import Surface, ball

_COAT_PX = 256


def creature(rng: np.random.Generator) -> TexturedMesh:
    """An animal or mascot: on four legs, sitting, bird-like, or a bodiless head; alike on both sides, facing -y."""
    colors = palette(rng, (None, "animal", "animal", "toy", "dark")[int(rng.integers(5))])
    plan = (_walker, _sitter, _bird, _head_alone)[int(rng.integers(4))]
    limbs, head, size = plan(rng, colors)
    limbs = limbs + _headgear(rng, head, size, colors)
    body = blended(
        limbs, coat=_fur(rng), softness=float(rng.uniform(0.04, 0.16)), color_softness=float(rng.uniform(0.01, 0.06))
    )
    return TexturedMesh.join([body, *_eyes(rng, head, size)])


Point = tuple[float, float, float]


def _walker(rng: np.random.Generator, colors: Rgb) -> tuple[list[Limb], Point, float]:
    """Body along y on four legs."""
    length, thick, legs = rng.uniform(0.25, 0.5), rng.uniform(0.16, 0.3), rng.uniform(0.15, 0.45)
    size = rng.uniform(0.14, 0.26)
    head = (0.0, -length - rng.uniform(0.0, 0.2), thick + rng.uniform(0.05, 0.35))
    limbs = [
        Limb((0, -length, 0), (0, length, 0), (thick, thick * rng.uniform(0.8, 1.2)), colors[0]),
        Limb((0, -length, 0.05), head, (thick * 0.7, size * 0.7), colors[0]),
        Limb(head, _plus(head, (0, -0.12, -0.02)), (size, size * 0.8), colors[0]),
        Limb((0, length, 0.1), (0, length + 0.2, rng.uniform(-0.2, 0.3)), (0.05, 0.03), colors[int(rng.integers(3))]),
    ]
    for y in (-length, length):
        leg = Limb((thick * 0.6, y, -0.1), (thick * 0.7, y, -thick - legs), (0.1, 0.07), colors[0])
        hoof = Limb(leg.end, _plus(leg.end, (0, -0.03, -0.05)), (0.075, 0.08), colors[1])
        limbs += [leg, leg.mirrored(), hoof, hoof.mirrored()]
    return limbs, head, size


def _sitter(rng: np.random.Generator, colors: Rgb) -> tuple[list[Limb], Point, float]:
    """Upright body with arms and feet."""
    tall, thick, size = rng.uniform(0.2, 0.5), rng.uniform(0.2, 0.32), rng.uniform(0.18, 0.3)
    head = (0.0, -0.05, tall + size + rng.uniform(0, 0.15))
    arm = Limb((thick * 0.8, -0.05, tall * 0.7), (thick * 1.2, -0.2, rng.uniform(-0.1, 0.5)), (0.08, 0.07), colors[0])
    foot = Limb((0.15, 0, -0.15), (0.22, -0.3, -0.2), (0.13, 0.1), colors[int(rng.integers(2))])
    limbs = [
        Limb((0, 0, 0), (0, 0, tall), (thick, thick * 0.7), colors[0]),
        Limb((0, -thick * 0.5, 0.05), (0, -thick * 0.5, tall * 0.6), (thick * 0.62, thick * 0.4), colors[2]),
        Limb((0, 0, tall), head, (thick * 0.5, size), colors[0]),
        arm,
        arm.mirrored(),
        foot,
        foot.mirrored(),
    ]
    return limbs, head, size


def _bird(rng: np.random.Generator, colors: Rgb) -> tuple[list[Limb], Point, float]:
    """A plump body with a tail, wings and a beak."""
    size = rng.uniform(0.2, 0.28)
    head = (0.0, -0.28, rng.uniform(0.35, 0.55))
    wing = Limb((0.3, -0.1, 0.05), (0.28, 0.25, 0.1), (0.12, 0.05), colors[int(rng.integers(2))])
    beak = Limb(
        _plus(head, (0, -size, -0.05)),
        _plus(head, (0, -size - rng.uniform(0.08, 0.25), -0.07)),
        (0.08, 0.04),
        colors[1],
    )
    limbs = [
        Limb((0, -0.1, 0), (0, 0.2, 0.02), (rng.uniform(0.3, 0.36), 0.28), colors[0]),
        Limb((0, 0.3, 0.05), (0, 0.5, 0.2), (0.15, 0.04), colors[int(rng.integers(2))]),
        Limb((0, -0.2, 0.2), head, (0.16, size), colors[0]),
        wing,
        wing.mirrored(),
        beak,
    ]
    return limbs, head, size


def _head_alone(rng: np.random.Generator, colors: Rgb) -> tuple[list[Limb], Point, float]:
    """A large head with cheeks, a snout and a brow."""
    size = rng.uniform(0.35, 0.45)
    cheek = Limb((0.2, -0.2, -0.15), (0.22, -0.25, -0.1), (0.16, 0.12), colors[int(rng.integers(2))])
    brow = Limb((0.08, -size, 0.22), (0.28, -size + 0.1, rng.uniform(0.18, 0.3)), (0.06, 0.04), colors[0])
    limbs = [
        Limb((0, 0, 0), (0, 0.1, 0.1), (size, size), colors[0]),
        Limb((0, -size, -0.1), (0, -size - rng.uniform(0.02, 0.2), -0.15), (0.16, 0.12), colors[2]),
        cheek,
        cheek.mirrored(),
        brow,
        brow.mirrored(),
    ]
    return limbs, (0.0, 0.0, 0.05), size


def _headgear(rng: np.random.Generator, head: Point, size: float, colors: Rgb) -> list[Limb]:
    """Ears or horns, and a snout."""
    out, up = rng.uniform(0.3, 0.9), rng.uniform(0.5, 1.0)
    base = _plus(head, (out * size * 0.8, 0.0, up * size * 0.8))
    tip = _plus(base, (rng.uniform(0.0, 0.2), rng.uniform(-0.1, 0.1), rng.uniform(0.0, 0.35)))
    ear = Limb(base, tip, (rng.uniform(0.05, 0.12), rng.uniform(0.02, 0.1)), colors[int(rng.integers(len(colors)))])
    gear = [ear, ear.mirrored()] if rng.random() < 0.85 else []
    if rng.random() < 0.5:
        start = _plus(head, (0, -size * 0.8, -size * 0.3))
        gear.append(Limb(start, _plus(start, (0, -0.1, -0.02)), (size * 0.5, size * 0.4), colors[int(rng.integers(3))]))
    return gear


def _eyes(rng: np.random.Generator, head: Point, size: float) -> list[TexturedMesh]:
    """Two eyes with pupils that look forward."""
    radius = size * rng.uniform(0.14, 0.3)
    x, z = size * rng.uniform(0.35, 0.55), size * rng.uniform(0.1, 0.45)
    y = -np.sqrt(max(size**2 - x**2 - z**2, 0.01)) * rng.uniform(0.9, 1.05)
    picture = _eye_picture(rng)
    eyeball = ball((1, rng.uniform(0.4, 1.0), rng.uniform(1.0, 1.5)), rows=17, columns=32)
    return [_eye(eyeball, _plus(head, (s * x, y, z)), radius).painted(picture, gloss=0.3) for s in (1, -1)]


def _eye(eyeball: Surface, at: Point, radius: float) -> Surface:
    return eyeball.placed(at, scale=radius)


def _eye_picture(rng: np.random.Generator) -> np.ndarray:
    """White, iris and pupil about the middle of the picture, which faces forward."""
    white, iris = np.array([245, 244, 240], dtype=np.float32), palette(rng)[0]
    pupil = np.array([15, 13, 14], dtype=np.float32)
    u, v = np.meshgrid((np.arange(64) + 0.5) / 64 - 0.5, (np.arange(64) + 0.5) / 64 - 0.5)
    radius = np.hypot(2 * u, v) * np.pi
    wide = rng.uniform(0.4, 1.0)
    inner = wide * rng.uniform(0.4, 1.0)
    ring = np.where((radius < wide)[..., None], iris, white if rng.random() < 0.8 else pupil)
    return np.where((radius < inner)[..., None], pupil, ring).astype(np.uint8)


def _fur(rng: np.random.Generator) -> np.ndarray:
    """A light coat that leaves the limbs' colours as they are, or spots and stripes on them."""
    light, dark = np.full(3, 250, dtype=np.float32), palette(rng, "dark")[0] * rng.uniform(1, 3)
    colors = np.stack([light, np.minimum(dark, 250), light, dark])
    kind = rng.integers(5)
    if kind == 0:
        return patches(rng, colors, _COAT_PX, _COAT_PX)
    if kind == 1:
        return stripes(rng, colors[:2], _COAT_PX, _COAT_PX)
    if kind == 2:
        grain = 0.6 + 0.4 * noise(rng, _COAT_PX, _COAT_PX, 8)
        return (250 * np.repeat(grain[..., None], 3, axis=2)).astype(np.uint8)
    return plain(rng, colors, 64, 64)


def _plus(a: Point, b: tuple[float, float, float]) -> Point:
    return a[0] + b[0], a[1] + b[1], a[2] + b[2]
