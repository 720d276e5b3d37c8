"""What is unknown about each pixel, from the covariance of its colour: compiled, for float32 on the CPU."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from veduta.kernels.loading import address, module


def unknown(
    covariance: Tensor,
    clear: Tensor,
    behind: Tensor,
    *,
    axes: Sequence[float],
    pixels: tuple[float, float, float, float],
    tau2: float,
    precision: float,
) -> tuple[Tensor, Tensor]:
    """det(1 + Y / sigma^2) - 1 and tr Y / 3 ("h w"), Y the saturated covariance with the background's variance.

    ``covariance`` is "h w 6" (planes side by side in memory are taken as they are), ``clear`` "h w", ``precision``
    1 / sigma^2. ``behind`` is "rows columns": the variance seen in each direction with nothing before it, as an
    equirectangular map whose level x, level y and up are the rows of ``axes`` (9 numbers) in the camera's axes;
    ``pixels`` is (fx, fy, cx, cy). Only where the kernels are available; the definitions are
    :mod:`veduta.information.maps` and :mod:`veduta.information.directions`.
    """
    planes, clear, behind = covariance.movedim(-1, 0).contiguous(), clear.contiguous(), behind.contiguous()
    excess, variance = clear.new_empty(clear.shape), clear.new_empty(clear.shape)
    height, width = clear.shape
    rows, columns = behind.shape
    given = [address(planes, 6, height, width), address(clear, height, width), address(behind, rows, columns)]
    result = [address(excess, height, width), address(variance, height, width)]
    if clear.numel():
        module().unknown(width, height, rows, columns, given, list(axes), list(pixels), tau2, precision, result)
    return excess, variance
