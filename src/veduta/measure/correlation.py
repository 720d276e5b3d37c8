"""How alike two quantities are, pixel by pixel."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from veduta.measure.ordering import group_means, tie_groups


def pearson(a: Float[Tensor, "*b p"], b: Float[Tensor, "*b p"]) -> Float[Tensor, "*b"]:
    """Linear correlation, -1 to 1, in float64.

    NaN where one of them is constant, holds a value that is not finite, or has fewer than two values.
    """
    constant = torch.full(a.shape[:-1], True, device=a.device)
    if a.shape[-1] > 0:
        constant = (a.amax(-1) == a.amin(-1)) | (b.amax(-1) == b.amin(-1))
    a, b = (value.double() - value.double().mean(-1, keepdim=True) for value in (a, b))
    correlation = (a * b).sum(-1) / (a.square().sum(-1).sqrt() * b.square().sum(-1).sqrt())
    return correlation.clamp(-1.0, 1.0).masked_fill(constant, torch.nan)


def spearman(a: Float[Tensor, "*b p"], b: Float[Tensor, "*b p"]) -> Float[Tensor, "*b"]:
    """Correlation of the ranks, -1 to 1; equal values share the mean of their ranks.

    Infinite values have a rank. NaN where one of them is constant, holds a NaN, or has fewer than two values.
    """
    return pearson(_ranks(a), _ranks(b))


def _ranks(values: Float[Tensor, "*b p"]) -> Float[Tensor, "*b p"]:
    """From 0, ties averaged; all NaN where one value is NaN."""
    ordered, order = values.sort(dim=-1)
    places = torch.arange(values.shape[-1], dtype=torch.float64, device=values.device).expand(values.shape)
    means = group_means(places, tie_groups(ordered), torch.ones_like(places))
    ranks = torch.empty_like(means).scatter_(-1, order, means)
    return ranks.masked_fill(values.isnan().any(-1, keepdim=True), torch.nan)
