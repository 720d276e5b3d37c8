"""Procedural groceries: cans, boxes, cartons, bottles, with printed labels."""

from __future__ import annotations

import numpy as np

from veduta.data.meshes import TexturedMesh
from veduta.data.object_chance import either, gloss_of
from veduta.data.object_paints import palette, plain, shaded, target
from veduta.data.object_prints import label
from veduta.data.object_surfaces import Array, Surface, box, disc, even_profile, lobed, rounded_profile, squared, turned

_PX = 256


def can(rng: np.random.Generator) -> TexturedMesh:
    """A cylinder with rims and a printed label around it."""
    colors, metal = palette(rng, either(rng, "grocery")), palette(rng, "metal")
    height, radius = rng.uniform(0.7, 2.6), 0.5
    lip = rng.uniform(0.01, 0.05)
    top = height / 2
    body = np.array([[radius, top - 2 * lip], [radius, -top + 2 * lip]])
    wrapping = label(rng, colors, _PX, 2 * _PX, repeats=int(rng.integers(1, 3)))
    steel = plain(rng, metal, 64, 64)
    rim = np.array([[radius * 0.94, top - lip], [radius * 0.97, top], [radius, top - lip], [radius, top - 2 * lip]])
    parts = [
        turned(even_profile(body, 5)).painted(wrapping, gloss=gloss_of(rng)),
        turned(rim).painted(steel, gloss=0.4),
        turned(-rim[::-1] * np.array([[-1, 1]])).painted(steel, gloss=0.4),
        disc(radius * 0.94, top - lip).painted(target(rng, metal, 128, 128), gloss=0.3),
        disc(radius * 0.94, -top + lip, down=True).painted(target(rng, metal, 64, 64)),
    ]
    return TexturedMesh.join(parts)


def package(rng: np.random.Generator) -> TexturedMesh:
    """A printed box: front and back, sides, top and bottom; sometimes a gabled carton."""
    colors = palette(rng, either(rng, "grocery"))
    size = (rng.uniform(0.5, 1.4), rng.uniform(0.2, 0.9), rng.uniform(0.6, 1.6))
    prints = [label(rng, colors[rng.permutation(len(colors))], _PX, _PX) for _ in range(4)]
    gabled = rng.random() < 0.25
    parts = []
    for side, surface in enumerate(box(size, bevel=rng.choice([0.005, 0.02, 0.06]))):
        picture = prints[(0, 1, 2, 1, 3, 3)[side]]
        parts.append(surface.painted(picture, gloss=gloss_of(rng)))
    if gabled:
        parts.extend(s.painted(prints[3]) for s in _gable(size))
    return TexturedMesh.join(parts)


def _gable(size: tuple[float, float, float]) -> list[Surface]:
    """A roof on a box, with a ridge."""
    width, depth, height = size
    rise = 0.5 * depth

    def narrowed(points: Array) -> Array:
        share = np.clip((points[:, 2:] - height / 2) / rise, 0, 1)
        return points * np.concatenate([np.ones_like(share), 1 - 0.95 * share, np.ones_like(share)], axis=1)

    at = (0.0, 0.0, height / 2 + rise / 2)
    roof = [surface.placed(at).warped(narrowed) for surface in box((width, depth, rise), bevel=0.005)]
    ridge = [s.placed((0.0, 0.0, height / 2 + 1.1 * rise)) for s in box((width, 0.04, 0.3 * rise), bevel=0.005)]
    return roof + ridge


def bottle(rng: np.random.Generator) -> TexturedMesh:
    """A bottle or jar of round, oval or squarish section, with a cap and a label."""
    colors = palette(rng, either(rng, "grocery"))
    outline = squared(rng.choice([2.0, 2.0, 2.5, 4.0]), flat=rng.choice([1.0, 1.0, 0.65]))
    waist, neck = rng.uniform(0.32, 0.5), rng.uniform(0.12, 0.3)
    shoulder, tall = rng.uniform(0.5, 1.2), rng.uniform(1.3, 2.0)
    corners = np.array(
        [
            [neck, tall],
            [neck, shoulder + 0.25],
            [waist * 1.05, shoulder - 0.1],
            [waist, 0.3],
            [0.48, 0.0],
            [0.44, -0.05],
            [1e-6, -0.05],
        ]
    )
    profile = even_profile(rounded_profile(corners, bevel=0.25), 40)
    band = (profile[:, 1] < shoulder - 0.12) & (profile[:, 1] > 0.08)
    wide = profile[band] + np.array([0.004, 0.0])
    cap = rounded_profile(
        np.array([[1e-6, tall + 0.25], [neck * 1.15, tall + 0.25], [neck * 1.15, tall - 0.05]]), bevel=0.04
    )
    coat = (plain if rng.random() < 0.6 else shaded)(rng, colors, 128, 128)
    ribs = lobed(int(rng.integers(20, 40)), 0.03) if rng.random() < 0.5 else None
    parts = [
        turned(profile, outline=outline).painted(coat, gloss=gloss_of(rng)),
        turned(even_profile(cap, 10), outline=ribs).painted(plain(rng, colors[1:], 64, 64), gloss=gloss_of(rng)),
    ]
    if rng.random() < 0.85 and len(wide) > 2:
        repeats = int(rng.integers(1, 3))
        wrapping = label(rng, colors[rng.permutation(len(colors))], _PX, 2 * _PX, repeats=repeats)
        parts.append(turned(wide, outline=outline).painted(wrapping, gloss=gloss_of(rng)))
    return TexturedMesh.join(parts)
