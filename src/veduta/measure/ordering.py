"""Sorted values and their ties, for measures that only look at an order."""

from __future__ import annotations

import torch
from jaxtyping import Float, Int
from torch import Tensor


def tie_groups(ordered: Float[Tensor, "*b p"]) -> Int[Tensor, "*b p"]:
    """0, 1, 2, ... along sorted values: equal ones share a number."""
    new = torch.zeros_like(ordered, dtype=torch.long)
    new[..., 1:] = (ordered[..., 1:] != ordered[..., :-1]).long()
    return new.cumsum(-1)


def group_means(
    values: Float[Tensor, "*b p"], groups: Int[Tensor, "*b p"], weight: Float[Tensor, "*b p"]
) -> Float[Tensor, "*b p"]:
    """Each value replaced by its group's weighted mean; 0 in a group of no weight."""
    totals = torch.zeros_like(values).scatter_add(-1, groups, values * weight)
    weights = torch.zeros_like(weight).scatter_add(-1, groups, weight)
    means = torch.where(weights > 0, totals / weights, 0.0)
    return means.gather(-1, groups)
