"""Does the uncertainty sort the pixels as their errors do? Sparsification curves and the area between them (AUSE).

Ilg et al., "Uncertainty Estimates and Multi-Hypotheses Networks for Optical Flow", ECCV 2018. Errors are magnitudes:
give |e| for the MAE variant and e^2 for the MSE variant.
"""

from __future__ import annotations

from collections.abc import Iterable

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from veduta.measure.ordering import group_means, tie_groups

FRACTIONS = 100
"""Points of a curve: 0, 1/100, ..., 99/100 of the pixels are taken away."""


def removed_fractions(fractions: int = FRACTIONS) -> Float[Tensor, " f"]:
    """The abscissa of the curves: 0 to 1 - 1/fractions in even steps."""
    return torch.arange(fractions, dtype=torch.float64) / fractions


def sparsification_curve(
    error: Float[Tensor, "*b p"],
    uncertainty: Float[Tensor, "*b p"],
    *,
    weight: Float[Tensor, "*b p"] | Bool[Tensor, "*b p"] | None = None,
    fractions: int = FRACTIONS,
) -> Float[Tensor, "*b f"]:
    """Mean error of what is kept when the most uncertain share of the pixels is taken away, over the mean of all.

    At :func:`removed_fractions`, in float64; 1 at the start. ``error`` is not negative. Pixels of equal uncertainty go
    in equal parts, so that the order of the pixels never matters, and a pixel at the border goes in part: a fraction
    holds exactly. ``weight`` (or a mask) tells how much each pixel counts: one of weight 2 is two pixels, one of weight
    0 is none. The curve is 1 throughout where there is no error at all. It is NaN where nothing counts, or where a
    pixel that counts has an error that is not finite or an uncertainty that is NaN; infinite uncertainty goes first.
    """
    assert fractions >= 1, fractions
    assert not (error < 0).any(), "errors are magnitudes"
    weight = torch.ones_like(error, dtype=torch.float64) if weight is None else weight.double()
    error, uncertainty = (torch.where(weight > 0, value.double(), 0.0) for value in (error, uncertainty))
    unknown = ~(error.isfinite() & ~uncertainty.isnan()).all(-1) | (weight.sum(-1) <= 0)
    if error.shape[-1] == 0:
        return error.new_full((*error.shape[:-1], fractions), torch.nan)
    ordered, order = uncertainty.sort(dim=-1)
    weight = weight.gather(-1, order)
    error = group_means(error.gather(-1, order), tie_groups(ordered), weight)
    mean = _mean_of_first(error, weight, fractions)
    all_of_them = mean[..., :1]
    curve = torch.where(all_of_them > 0, mean / all_of_them, 1.0)
    return curve.masked_fill(unknown[..., None], torch.nan)


def oracle_curve(
    error: Float[Tensor, "*b p"],
    *,
    weight: Float[Tensor, "*b p"] | Bool[Tensor, "*b p"] | None = None,
    fractions: int = FRACTIONS,
) -> Float[Tensor, "*b f"]:
    """The lowest curve there can be: the largest errors go first. Otherwise as :func:`sparsification_curve`."""
    return sparsification_curve(error, error, weight=weight, fractions=fractions)


def ause(
    error: Float[Tensor, "*b p"],
    uncertainty: Float[Tensor, "*b p"],
    *,
    weight: Float[Tensor, "*b p"] | Bool[Tensor, "*b p"] | None = None,
    fractions: int = FRACTIONS,
) -> Float[Tensor, "*b"]:
    """Area under the sparsification error: the curve minus the oracle's, integrated over the fraction taken away.

    By the trapezoidal rule from 0 to 1 - 1/fractions. 0 is a perfect order and a constant uncertainty leaves the area
    between 1 and the oracle's curve. NaN and weights as in :func:`sparsification_curve`.
    """
    curve = sparsification_curve(error, uncertainty, weight=weight, fractions=fractions)
    above = curve - oracle_curve(error, weight=weight, fractions=fractions)
    return torch.trapezoid(above, dx=1.0 / fractions, dim=-1)


def ause_per_view(
    errors: Iterable[Float[Tensor, "..."]],
    uncertainties: Iterable[Float[Tensor, "..."]],
    *,
    weights: Iterable[Float[Tensor, "..."] | Bool[Tensor, "..."]] | None = None,
    fractions: int = FRACTIONS,
) -> Float[Tensor, " v"]:
    """:func:`ause` of each view by itself; its mean tells whether pixels of one picture are sorted well.

    Views may be of any size; those of one view have one shape. ``weights`` as in :func:`sparsification_curve`.
    """
    views = [
        ause(error, uncertainty, weight=weight, fractions=fractions)
        for error, uncertainty, weight in _flat(errors, uncertainties, weights)
    ]
    return torch.stack(views) if views else torch.zeros(0, dtype=torch.float64)


def ause_pooled(
    errors: Iterable[Float[Tensor, "..."]],
    uncertainties: Iterable[Float[Tensor, "..."]],
    *,
    weights: Iterable[Float[Tensor, "..."] | Bool[Tensor, "..."]] | None = None,
    fractions: int = FRACTIONS,
) -> Float[Tensor, ""]:
    """:func:`ause` of the pixels of all views in one order: also asks whether pictures can be compared."""
    views = list(_flat(errors, uncertainties, weights))
    if not views:
        return torch.tensor(torch.nan, dtype=torch.float64)
    error, uncertainty, weight = (torch.cat([view[i].double() for view in views]) for i in range(3))
    return ause(error, uncertainty, weight=weight, fractions=fractions)


def _mean_of_first(
    values: Float[Tensor, "*b p"], weight: Float[Tensor, "*b p"], fractions: int
) -> Float[Tensor, "*b f"]:
    """Weighted means of the first values that hold 1, 1 - 1/f, ..., 1/f of the weight, the last one in part."""
    weights, totals = weight.cumsum(-1), (values * weight).cumsum(-1)
    parts = torch.arange(fractions, 0, -1, dtype=torch.float64, device=values.device)
    wanted = weights[..., -1:] * parts / fractions
    last = torch.searchsorted(weights, wanted).clamp(max=weights.shape[-1] - 1)
    too_much = weights.gather(-1, last) - wanted
    return (totals.gather(-1, last) - too_much * values.gather(-1, last)) / wanted


def _flat(
    errors: Iterable[Tensor], uncertainties: Iterable[Tensor], weights: Iterable[Tensor] | None
) -> Iterable[tuple[Tensor, Tensor, Tensor]]:
    """One row of pixels per view."""
    errors = list(errors)
    weights = [torch.ones_like(error, dtype=torch.float64) for error in errors] if weights is None else weights
    for error, uncertainty, weight in zip(errors, uncertainties, weights, strict=True):
        assert error.shape == uncertainty.shape == weight.shape, (error.shape, uncertainty.shape, weight.shape)
        yield error.reshape(-1), uncertainty.reshape(-1), weight.reshape(-1)
