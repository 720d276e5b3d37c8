"""Real spherical harmonics up to degree 3, in the sign convention and order of 3D Gaussian splatting.

Colour seen along a unit direction d is ``max(0, 0.5 + basis(d) . sh)`` (Kerbl et al. 2023). The basis is orthonormal on
the sphere; within a degree the order is m = -l .. l and odd m carry a minus sign.
"""

from __future__ import annotations

import math
from functools import cache

import torch
from jaxtyping import Float
from torch import Tensor

MAX_DEGREE = 3

SH_C0 = math.sqrt(1 / (4 * math.pi))
"""Degree 0: 0.28209479."""
_C1 = math.sqrt(3 / (4 * math.pi))  # 0.48860251
_C2 = tuple(math.sqrt(q / math.pi) for q in (15 / 4, 5 / 16, 15 / 16))  # 1.09254843, 0.31539157, 0.54627421
_C3 = tuple(math.sqrt(q / math.pi) for q in (35 / 32, 105 / 4, 21 / 32, 7 / 16, 105 / 16))
# 0.59004359, 2.89061144, 0.45704579, 0.37317633, 1.44530572


def dc_from_rgb(rgb: Float[Tensor, "*b"]) -> Float[Tensor, "*b"]:
    """The degree 0 coefficient that shows ``rgb`` (0 to 1) from everywhere."""
    return (rgb - 0.5) / SH_C0


def rgb_from_dc(dc: Float[Tensor, "*b"]) -> Float[Tensor, "*b"]:
    """The colour that a degree 0 coefficient shows, not clamped."""
    return dc * SH_C0 + 0.5


def sh_basis(directions: Float[Tensor, "*b 3"], degree: int) -> Float[Tensor, "*b k"]:
    """The k = (degree + 1)**2 basis functions at unit directions; differentiable."""
    assert 0 <= degree <= MAX_DEGREE, degree
    x, y, z = directions.unbind(-1)
    values = [torch.full_like(x, SH_C0)]
    if degree >= 1:
        values += [-_C1 * y, _C1 * z, -_C1 * x]
    if degree >= 2:
        values += _degree_2(x, y, z)
    if degree >= 3:
        values += _degree_3(x, y, z)
    return torch.stack(values, dim=-1)


def eval_sh(sh: Float[Tensor, "n k 3"], directions: Float[Tensor, "n 3"]) -> Float[Tensor, "n 3"]:
    """The colour of each row seen along its unit direction: 0.5 + basis . sh, clamped below at 0."""
    return (0.5 + _unclamped(sh, directions)).clamp_min(0.0)


def rotate_sh(sh: Float[Tensor, "n k 3"], rotation: Float[Tensor, "3 3"]) -> Float[Tensor, "n k 3"]:
    """Coefficients of the same colours on the turned object.

    ``eval_sh(rotate_sh(sh, R), R d) == eval_sh(sh, d)`` for every direction d and proper rotation R. Differentiable in
    both; worked out in float64, returned in the dtype of ``sh``.
    """
    degree = round(sh.shape[1] ** 0.5) - 1
    assert (degree + 1) ** 2 == sh.shape[1], sh.shape
    turned = rotation.to(torch.float64)
    parts = [sh[:, :1]]
    for level in range(1, degree + 1):
        rows = slice(level**2, (level + 1) ** 2)
        samples, inverse = _samples(level)
        matrix = inverse.to(turned.device) @ sh_basis(samples.to(turned.device) @ turned, level)[:, rows]
        parts.append(torch.einsum("ij,njc->nic", matrix.to(sh), sh[:, rows]))
    return torch.cat(parts, dim=1)


def _unclamped(sh: Tensor, directions: Tensor) -> Tensor:
    degree = round(sh.shape[1] ** 0.5) - 1
    return torch.einsum("nk,nkc->nc", sh_basis(directions, degree), sh)


def _degree_2(x: Tensor, y: Tensor, z: Tensor) -> list[Tensor]:
    a, b, c = _C2
    return [a * x * y, -a * y * z, b * (2 * z * z - x * x - y * y), -a * x * z, c * (x * x - y * y)]


def _degree_3(x: Tensor, y: Tensor, z: Tensor) -> list[Tensor]:
    a, b, c, d, e = _C3
    xx, yy, zz = x * x, y * y, z * z
    return [
        -a * y * (3 * xx - yy),
        b * x * y * z,
        -c * y * (4 * zz - xx - yy),
        d * z * (2 * zz - 3 * xx - 3 * yy),
        -c * x * (4 * zz - xx - yy),
        e * z * (xx - yy),
        -a * x * (xx - 3 * yy),
    ]


@cache
def _samples(level: int) -> tuple[Tensor, Tensor]:
    """Well spread directions p, and the pseudo-inverse of the basis of this degree at them.

    The turned function at p has the value of the old one at R^T p, so its coefficients are pinv(B(p)) B(R^T p) sh.
    """
    count = 8 * (2 * level + 1)
    index = torch.arange(count, dtype=torch.float64) + 0.5
    z = 1 - 2 * index / count
    angle = math.pi * (1 + math.sqrt(5)) * index  # a Fibonacci lattice on the sphere
    radius = torch.sqrt(1 - z * z)
    points = torch.stack([radius * torch.cos(angle), radius * torch.sin(angle), z], dim=-1)
    basis = sh_basis(points, level)[:, level**2 :]
    return points, torch.linalg.pinv(basis)
