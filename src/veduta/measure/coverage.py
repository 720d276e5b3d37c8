"""Is a predicted standard deviation as large as the errors are? Coverage of intervals, reliability and its summary.

An interval of level q is |e| <= width(q) * std: it should hold the share q of the errors.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from jaxtyping import Bool, Float
from torch import Tensor

Widths = Callable[[Float[Tensor, " l"]], Float[Tensor, " l"]]
"""Levels (between 0 and 1) -> half widths of the central intervals, in standard deviations."""


def normal_widths(levels: Float[Tensor, " l"]) -> Float[Tensor, " l"]:
    """Of a normal distribution: sqrt(2) erfinv(q), 1.96 at 95 %."""
    return math.sqrt(2.0) * torch.erfinv(levels.double())


def laplace_widths(levels: Float[Tensor, " l"]) -> Float[Tensor, " l"]:
    """Of a Laplace distribution, whose tails are heavier: -log(1 - q) / sqrt(2), 2.12 at 95 %."""
    return -torch.log1p(-levels.double()) / math.sqrt(2.0)


def coverage(
    error: Float[Tensor, "*b p"],
    std: Float[Tensor, "*b p"],
    *,
    width: float,
    weight: Float[Tensor, "*b p"] | Bool[Tensor, "*b p"] | None = None,
) -> Float[Tensor, "*b"]:
    """The share of errors (by weight) with |error| <= width * std.

    NaN where nothing counts, or where an error or a std that counts is NaN.
    """
    return _covered(error, std, torch.tensor([width], dtype=torch.float64), weight)[..., 0]


def reliability_curve(
    error: Float[Tensor, "*b p"],
    std: Float[Tensor, "*b p"],
    levels: Float[Tensor, " l"],
    *,
    widths: Widths = normal_widths,
    weight: Float[Tensor, "*b p"] | Bool[Tensor, "*b p"] | None = None,
) -> Float[Tensor, "*b l"]:
    """The empirical coverage of the intervals of each nominal level, strictly between 0 and 1; equal where calibrated.

    Above the level the std is too large (too cautious), below it too small. NaN as in :func:`coverage`.
    """
    assert ((levels > 0) & (levels < 1)).all(), levels
    return _covered(error, std, widths(levels).double(), weight)


def auce(levels: Float[Tensor, " l"], covered: Float[Tensor, "*b l"]) -> Float[Tensor, "*b"]:
    """Area between nominal and empirical coverage, both from 0 to 1: 0 is calibrated and 1/2 the worst.

    ``levels`` rise strictly between 0 and 1; at 0 and at 1 the two agree, between the levels |difference| is taken
    as linear (Gustafsson et al., "Evaluating Scalable Bayesian Deep Learning Methods", CVPRW 2020).
    """
    assert ((levels > 0) & (levels < 1)).all(), levels
    assert (levels.diff() > 0).all(), levels
    ends = levels.new_tensor([0.0, 1.0]).double()
    places = torch.cat([ends[:1], levels.double(), ends[1:]])
    apart = torch.nn.functional.pad((covered.double() - levels.double()).abs(), (1, 1))
    return torch.trapezoid(apart, places, dim=-1)


def sharpness(
    std: Float[Tensor, "*b p"], *, weight: Float[Tensor, "*b p"] | Bool[Tensor, "*b p"] | None = None
) -> Float[Tensor, "*b"]:
    """The mean predicted std (by weight), in the unit of the errors; NaN where nothing counts.

    Of two predictions that are both calibrated, the smaller one says more.
    """
    weight = _weights(std, weight)
    return torch.where(weight > 0, std.double() * weight, 0.0).sum(-1) / weight.sum(-1)


def _covered(
    error: Float[Tensor, "*b p"],
    std: Float[Tensor, "*b p"],
    widths: Float[Tensor, " l"],
    weight: Tensor | None,
) -> Float[Tensor, "*b l"]:
    """Level by level, so that memory stays that of the pictures."""
    weight = _weights(error, weight)
    size, std = error.double().abs(), std.double()
    unknown = ((size.isnan() | std.isnan()) & (weight > 0)).any(-1)
    total = weight.sum(-1)
    shares = [((size <= width * std) * weight).sum(-1) / total for width in widths.tolist()]
    curve = torch.stack(shares, dim=-1) if shares else size.new_zeros((*size.shape[:-1], 0))
    return curve.masked_fill(unknown[..., None], torch.nan)


def _weights(like: Tensor, weight: Tensor | None) -> Tensor:
    return torch.ones_like(like, dtype=torch.float64) if weight is None else weight.double()
