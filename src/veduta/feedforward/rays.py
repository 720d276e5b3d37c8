"""What a network is told about where each pixel looks: Pluecker coordinates, as spherical harmonics."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor, nn

from veduta.feedforward.volume import FINE_EPS


def pluecker(origins: Float[Tensor, "*b 3"], directions: Float[Tensor, "*b 3"]) -> Float[Tensor, "*b 6"]:
    """Unit direction and moment o x d of rays."""
    unit = torch.nn.functional.normalize(directions, dim=-1)
    return torch.cat([unit, torch.linalg.cross(origins, unit)], dim=-1)


def ray_harmonics(rays: Float[Tensor, "*b 6"]) -> Float[Tensor, "*b 32"]:
    """16 harmonics each of a ray's direction and of its moment, which is not a unit: polynomials as they stand."""
    return torch.cat([_harmonics(rays[..., :3]), _harmonics(rays[..., 3:])], dim=-1)


def _harmonics(v: Float[Tensor, "*b 3"]) -> Float[Tensor, "*b 16"]:
    """Degree by degree, m = -l..l, with the constants of the published weights."""
    x, y, z = v.unbind(-1)
    terms = [
        torch.full_like(x, 0.28209479177387814),
        -0.4886025119029199 * y,
        0.4886025119029199 * z,
        -0.4886025119029199 * x,
        1.0925484305920792 * x * y,
        -1.0925484305920792 * y * z,
        0.94617469575756 * z * z - 0.31539156525252,
        -1.0925484305920792 * x * z,
        0.5462742152960396 * (x * x - y * y),
        -0.5900435899266435 * y * (3 * x * x - y * y),
        2.890611442640554 * x * y * z,
        0.3046971820568955 * y * (1.5 - 7.5 * z * z),
        1.2439211095372477 * z * (1.5 * z * z - 0.5) - 0.497568443814899 * z,
        0.3046971820568955 * x * (1.5 - 7.5 * z * z),
        1.445305721320277 * z * (x * x - y * y),
        -0.5900435899266435 * x * (x * x - 3 * y * y),
    ]
    return torch.stack(terms, dim=-1)


class RayNorm(nn.Module):
    """LayerNorm whose gain and shift depend on the ray: LN(f) (1 + scale) + shift."""

    def __init__(self, channels: int = 768, condition: int = 32) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(channels, eps=FINE_EPS)
        self.mlp = nn.Sequential(nn.SiLU(), nn.Linear(condition, 2 * channels))

    def forward(self, features: Float[Tensor, "*b c"], condition: Float[Tensor, "*b e"]) -> Float[Tensor, "*b c"]:
        """Features of as many rays as there are conditions."""
        shift, scale = self.mlp(condition).chunk(2, dim=-1)
        return self.norm(features) * (1 + scale) + shift
