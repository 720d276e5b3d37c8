"""What a network's raw numbers mean as Gaussians."""

from __future__ import annotations

import math

import torch
from jaxtyping import Float
from torch import Tensor

from veduta.core import Gaussians

OPACITY_SHIFT = -2.1792
"""Added to the logit, so that an untrained network draws an opacity of 0.1."""
COARSE_SCALE = 0.5 * (2 / 64) / 3
"""Standard deviation, in units of the object's box, that the number 0 means for a coarse Gaussian (LaRa)."""
FINE_SCALE = 0.5 * (2 / 64) / 24
"""The same for a densified one."""


def object_gaussians(
    means: Float[Tensor, "n 3"], attributes: Float[Tensor, "n a"], *, unit_scale: float = FINE_SCALE
) -> Gaussians:
    """Gaussians of an object in its box [-0.5, 0.5]^3.

    Attributes are SH (3 (degree + 1)^2, coefficient by coefficient), opacity logit, log-scale (3) above ``unit_scale``,
    quaternion wxyz of any length.
    """
    sh, opacity, log_scale, quats = attributes.split([attributes.shape[1] - 8, 1, 3, 4], dim=1)
    return Gaussians(
        means=means,
        quats=torch.nn.functional.normalize(quats, dim=1),
        scales=torch.exp(log_scale + math.log(unit_scale)),
        opacities=torch.sigmoid(opacity[:, 0] + OPACITY_SHIFT),
        sh=sh.unflatten(1, (-1, 3)),
    )
