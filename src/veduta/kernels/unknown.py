"""What is unknown about each pixel, from the covariance of its colour: compiled, for float32 on the CPU."""

from __future__ import annotations

from torch import Tensor

from veduta.kernels.loading import address, module


def unknown(
    covariance: Tensor, clear: Tensor, background: Tensor, *, tau2: float, precision: float
) -> tuple[Tensor, Tensor]:
    """det(1 + Y / sigma^2) - 1 and tr Y / 3 ("h w"), Y the saturated covariance with the background's variance.

    ``covariance`` is "h w 6" (planes side by side in memory are taken as they are), ``precision`` 1 / sigma^2. Only
    where the kernels are available; the definition is :mod:`veduta.information.maps`.
    """
    planes, clear, background = covariance.movedim(-1, 0).contiguous(), clear.contiguous(), background.contiguous()
    excess, variance = clear.new_empty(clear.shape), clear.new_empty(clear.shape)
    shape = tuple(clear.shape)
    given = [address(planes, 6, *shape), address(clear, *shape), address(background, *shape)]
    result = [address(excess, *shape), address(variance, *shape)]
    module().unknown(clear.numel(), given, tau2, precision, result)
    return excess, variance
