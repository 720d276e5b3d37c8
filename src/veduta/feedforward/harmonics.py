"""Turning spherical harmonics up to degree 4 in the convention of the scene models' published weights.

Their basis is the usual real one, all signs positive, on axes (z, x, y): degree 1 is (x, y, z), so that its rotation
matrix is the rotation itself.
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

DEGREE = 4
_SAMPLES = 64


def wigner(rotation: Float[Tensor, "3 3"], degree: int) -> Float[Tensor, "m m"]:
    """D with Y(R x) = D Y(x) for the harmonics Y of one degree, from how they change at fixed directions."""
    directions = _directions()
    turned = directions @ rotation.detach().to(directions).T
    before, after = _basis(directions)[degree], _basis(turned)[degree]
    return torch.linalg.lstsq(before, after).solution.T.to(rotation)


def rotate_harmonics(sh: Float[Tensor, "*b 25"], rotation: Float[Tensor, "3 3"]) -> Float[Tensor, "*b 25"]:
    """Coefficients of the function turned by ``rotation``, degree by degree."""
    parts: list[Tensor] = []
    for degree in range(DEGREE + 1):
        own = sh[..., degree**2 : (degree + 1) ** 2]
        parts.append(own if degree == 0 else own @ wigner(rotation, degree).T)
    return torch.cat(parts, dim=-1)


def _directions() -> Float[Tensor, "s 3"]:
    """A spiral over the sphere, float64."""
    step = torch.arange(_SAMPLES, dtype=torch.float64) + 0.5
    z = 1 - 2 * step / _SAMPLES
    azimuth = step * torch.pi * (1 + 5**0.5)
    ring = (1 - z * z).sqrt()
    return torch.stack([ring * azimuth.cos(), ring * azimuth.sin(), z], dim=1)


def _basis(directions: Float[Tensor, "s 3"]) -> list[Float[Tensor, "s m"]]:
    """Harmonics of degrees 0 to 4 at unit directions, m = -l..l; the scale of a degree does not matter."""
    y, z, x = directions.unbind(-1)  # the polar axis is the second
    xx, yy, zz = x * x, y * y, z * z
    half = 3**0.5
    two = [half * x * y, half * y * z, 0.5 * (3 * zz - 1), half * x * z, 0.5 * half * (xx - yy)]
    a, b, c = 10**0.5, 60**0.5, 6**0.5
    three = [
        a * y * (3 * xx - yy),
        2 * b * x * y * z,
        c * y * (5 * zz - 1),
        2 * z * (5 * zz - 3),
        c * x * (5 * zz - 1),
        b * z * (xx - yy),
        a * x * (xx - 3 * yy),
    ]
    d, e, f, g = 35**0.5, 70**0.5, 20**0.5, 10**0.5
    four = [
        4 * d * x * y * (xx - yy),
        2 * e * y * z * (3 * xx - yy),
        2 * f * x * y * (7 * zz - 1),
        2 * g * y * z * (7 * zz - 3),
        35 * zz * zz - 30 * zz + 3,
        2 * g * x * z * (7 * zz - 3),
        f * (xx - yy) * (7 * zz - 1),
        2 * e * x * z * (xx - 3 * yy),
        d * (xx * (xx - 3 * yy) - yy * (3 * xx - yy)),
    ]
    degrees = [[torch.ones_like(x)], [y, z, x], two, three, four]
    return [torch.stack(terms, dim=1) for terms in degrees]
