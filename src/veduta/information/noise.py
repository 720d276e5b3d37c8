"""What was left unexplained: how large residuals are, and how much neighbours repeat one another.

Residuals of a fitted scene are neither as many as there are pixels (the fit has used some up) nor independent (a
misplaced edge is wrong over many pixels). Both are measured from sums that add up over photographs.
"""

from __future__ import annotations

import math
from typing import cast

import torch
from jaxtyping import Float
from scipy.fft import next_fast_len
from torch import Tensor

from veduta.core import LAG, Noise, ResidualSums

ASSUMED_NOISE = Noise(sigma=0.03, kappa=8.0, tau=0.25, assumed=True)
"""Where no photographs are at hand. Fits of real captures at some hundred pixels leave sigma 0.02 to 0.04 and kappa 6
to 10; values spread evenly over 0 to 1 would have tau 0.29, photographs have a little less."""
MIN_SIGMA = 1 / (255 * math.sqrt(12))
"""What rounding to 8 bits leaves: photographs cannot be reproduced better than this, nor be known to vary less."""
LAGS = 2 * LAG + 1
_NO_PAIRS = 1e-9
"""Share of the pixels below which a number of pairs is rounding of the Fourier transform."""


def residual_sums(
    residual: Float[Tensor, "h w 3"], photograph: Float[Tensor, "h w 3"], weight: Float[Tensor, "h w"] | None = None
) -> ResidualSums:
    """The sums of one photograph; ``weight`` is the trust per pixel, 1 where it is None.

    With w the trust and r the residual, ``lagged`` at lag l is the sum over pixels x and channels of
    w(x) r(x) w(x + l) r(x + l), and ``lagged_count`` the same without r: nothing wraps around.
    """
    residual, photograph = residual.double(), photograph.double()
    trust = torch.ones_like(residual[..., 0]) if weight is None else weight.double()
    weighted = trust[..., None] * photograph
    return ResidualSums(
        squares=(trust[..., None] * residual.square()).sum(),
        count=3 * trust.sum(),
        lagged=_autocorrelation((trust[..., None] * residual).permute(2, 0, 1)),
        lagged_count=3 * _autocorrelation(trust[None]),
        colors=weighted.sum(),
        colors_squared=(weighted * photograph).sum(),
    )


def no_residuals() -> ResidualSums:
    """The sums of no photographs."""
    zero = torch.zeros((), dtype=torch.float64)
    lags = torch.zeros(LAGS, LAGS, dtype=torch.float64)
    return ResidualSums(squares=zero, count=zero, lagged=lags, lagged_count=lags, colors=zero, colors_squared=zero)


def add_residuals(a: ResidualSums, b: ResidualSums) -> ResidualSums:
    """The sums of all photographs of both."""
    return ResidualSums(
        squares=a.squares + b.squares,
        count=a.count + b.count,
        lagged=a.lagged + b.lagged,
        lagged_count=a.lagged_count + b.lagged_count,
        colors=a.colors + b.colors,
        colors_squared=a.colors_squared + b.colors_squared,
    )


def noise_of(sums: ResidualSums, *, parameters: int) -> Noise:
    """The noise that sums over photographs tell; :data:`ASSUMED_NOISE` where there were none.

    ``parameters`` is how many numbers were fitted to the photographs. A fit that explains n values with k numbers
    leaves residuals with n - k degrees of freedom: sigma^2 = squares / (n - k). At most half of the values are taken
    off, because Gaussians outnumber what few photographs can determine (their priors held the rest), and dividing by
    next to nothing would call a perfect fit pure noise. kappa is the sum over lags up to ``LAG`` of the residuals'
    autocorrelation: n pixels of correlated noise tell as much as n / kappa independent ones. It is at least 1 and at
    most the number of lags. sigma and tau are at least :data:`MIN_SIGMA`.
    """
    assert parameters >= 0, parameters
    count = float(sums.count)
    if count <= 0:
        return ASSUMED_NOISE
    sigma = math.sqrt(float(sums.squares) / max(count - parameters, count / 2))
    mean = float(sums.colors) / count
    variance = float(sums.colors_squared) / count - mean * mean
    return Noise(sigma=max(sigma, MIN_SIGMA), kappa=_kappa(sums), tau=max(math.sqrt(max(variance, 0.0)), MIN_SIGMA))


def _kappa(sums: ResidualSums) -> float:
    """The sum of the autocorrelation, each lag by its own number of pairs."""
    some = sums.lagged_count > _NO_PAIRS * sums.lagged_count[LAG, LAG]
    covariance = torch.where(some, sums.lagged / torch.where(some, sums.lagged_count, 1), 0)
    variance = float(covariance[LAG, LAG])
    if variance <= 0:
        return 1.0
    return min(max(float(covariance.sum()) / variance, 1.0), float(LAGS * LAGS))


def _autocorrelation(pictures: Float[Tensor, "c h w"]) -> Float[Tensor, "l l"]:
    """Sum over pictures and pixels of the product of values (dy - LAG, dx - LAG) apart, zero beyond the edges."""
    height, width = (cast(int, next_fast_len(side + LAG, real=True)) for side in pictures.shape[1:])
    power = torch.fft.rfft2(pictures, s=(height, width)).abs().square().sum(dim=0)
    products = torch.fft.irfft2(power, s=(height, width))
    rows, columns = (torch.arange(-LAG, LAG + 1, device=pictures.device) % side for side in (height, width))
    return products[rows][:, columns]
