"""What procedural objects leave to chance."""

from __future__ import annotations

from typing import TypeVar

import numpy as np

from veduta.data.object_surfaces import Array, lobed, squared

_T = TypeVar("_T")


def outline_of(rng: np.random.Generator) -> Array | None:
    """A circle most often, else a squarish or lobed section."""
    kind = rng.integers(5)
    if kind == 0:
        return squared(rng.uniform(3, 8), flat=rng.uniform(0.6, 1))
    if kind == 1:
        return lobed(int(rng.integers(3, 13)), rng.uniform(0.03, 0.25), sharp=rng.uniform(0.5, 3))
    return None


def bumps_of(
    rng: np.random.Generator, count: int, height: float, *, mirrored: bool = False
) -> tuple[tuple[Array, float, float], ...]:
    """Swellings and hollows of a ball, up to ``height``; ``mirrored`` ones are alike on both sides of x = 0."""
    bumps: list[tuple[Array, float, float]] = []
    for _ in range(count):
        toward = rng.standard_normal(3)
        toward /= np.linalg.norm(toward)
        bump = (float(rng.uniform(-height, height)), float(rng.uniform(0.2, 0.8)))
        bumps.append((toward, *bump))
        if mirrored:
            bumps.append((toward * [-1, 1, 1], *bump))
    return tuple(bumps)


def gloss_of(rng: np.random.Generator) -> float:
    """Strength of a highlight; half of all things have none."""
    return float(rng.choice([0.0, 0.0, 0.1, 0.3]))


def either(rng: np.random.Generator, *schemes: str) -> str | None:
    """One of the schemes, or, a third of the time, none."""
    return None if rng.random() < 1 / 3 else schemes[int(rng.integers(len(schemes)))]


def one_of(rng: np.random.Generator, *choices: _T) -> _T:
    """Any of the choices."""
    return choices[int(rng.integers(len(choices)))]


def rotation_of(rng: np.random.Generator) -> Array:
    """A rotation, all alike probable (of a normalised normal quaternion)."""
    w, x, y, z = (q := rng.standard_normal(4)) / np.linalg.norm(q)
    return np.array(
        [
            [1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y)],
            [2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x)],
            [2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)],
        ]
    )
