"""The photometric loss and its gradient on a GPU, in four kernels."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

BLOCK = 256
"""Numbers per program."""


def photometric(
    a: Tensor,
    b: Tensor,
    weight: Tensor | None,
    *,
    ssim_weight: float,
    window: Sequence[float],
    constants: tuple[float, float],
) -> tuple[Tensor, Tensor]:
    """``(1 - s) L1 + s (1 - SSIM)`` of pictures "h w 3", each a mean weighted by ``weight`` "h w"; its gradient by a.

    Contiguous float32 tensors on the device of :mod:`veduta.kernels.gpu`. ``window`` is SSIM's, of odd length and sum
    1; ``constants`` are its C1 and C2. Takes 32 bytes of scratch memory per number of a picture. Nothing is read back.
    """
    from veduta.kernels.launch import launch, programs
    from veduta.kernels.photometric_kernels import gradient_kernel, products_kernel, similarity_kernel, slopes_kernel

    count, width, radius = a.numel(), a.shape[1], len(window) // 2
    taps = torch.tensor(window, dtype=torch.float32).to(a.device, non_blocking=True)
    if weight is None:
        total, shares, weighted = a.new_full((), count / 3), a, False
    else:
        total, shares, weighted = weight.sum().clamp_min(torch.finfo(weight.dtype).tiny), weight, True
    grid = programs(count, BLOCK)
    planes, slopes, sums = a.new_empty(5, count), a.new_empty(3, count), a.new_empty(grid[0], 2)
    gradient = torch.empty_like(a)
    launch(products_kernel, grid, a, b, taps, planes, count, width, RADIUS=radius, BLOCK=BLOCK)
    launch(
        similarity_kernel, grid,
        a, b, shares, total, planes, taps, slopes, sums, count, width, float(ssim_weight),
        C1=constants[0], C2=constants[1], WEIGHTED=weighted, RADIUS=radius, BLOCK=BLOCK,
    )  # fmt: skip
    launch(slopes_kernel, grid, slopes, taps, planes, count, width, RADIUS=radius, BLOCK=BLOCK)
    launch(
        gradient_kernel, grid,
        a, b, shares, total, planes, taps, gradient, count, width, 1.0 - ssim_weight,
        WEIGHTED=weighted, RADIUS=radius, BLOCK=BLOCK,
    )  # fmt: skip
    l1, similarity = sums.sum(dim=0)
    return (1 - ssim_weight) * l1 + ssim_weight * (1 - similarity), gradient
