"""One Adam step over all Gaussians."""

from __future__ import annotations

import functools
from collections.abc import Mapping

import torch
from jaxtyping import Float
from torch import Tensor

from veduta.fit.parameters import Parameters
from veduta.fit.plan import AdamPlan, LearningRates
from veduta.kernels import adam_step_


def step_(
    parameters: Parameters,
    gradients: Mapping[str, Tensor],
    *,
    rates: LearningRates,
    means_rate: float,
    adam: AdamPlan,
    step: int,
) -> None:
    """Move every parameter along its raw gradient, in place; ``step`` counts from 1 for Adam's bias correction.

    ``means_rate`` is the centres' learning rate now, in lengths of the frame of the fit.
    """
    per_field: dict[str, float | Tensor] = {
        "means": means_rate,
        "quats": rates.quats,
        "scales": rates.scales,
        "opacities": rates.opacities,
        "sh": sh_rates(rates.sh0, rates.sh_rest, parameters.sh_coefficients, parameters.device),
    }
    for field, column in parameters.columns.items():
        adam_step_(
            column.raw,
            gradients[field],
            column.moment1,
            column.moment2,
            lr=per_field[field],
            beta1=adam.beta1,
            beta2=adam.beta2,
            eps=adam.eps,
            step=step,
        )


@functools.lru_cache(maxsize=8)
def sh_rates(sh0: float, sh_rest: float, coefficients: int, device: torch.device) -> Float[Tensor, " k"]:
    """Learning rate of each coefficient."""
    rates = torch.full((coefficients,), sh_rest, device=device)
    rates[0] = sh0
    return rates
