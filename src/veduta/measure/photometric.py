"""The loss between a rendered and a real picture."""

from __future__ import annotations

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor
from torch.autograd.function import once_differentiable

from veduta import kernels
from veduta.kernels.loading import address, module
from veduta.measure.images import torch_ssim_map


def photometric_loss(
    rendered: Float[Tensor, "h w 3"],
    target: Float[Tensor, "h w 3"],
    weight: Float[Tensor, "h w"] | None = None,
    *,
    ssim_weight: float = 0.2,
) -> Float[Tensor, ""]:
    """``(1 - s) L1 + s (1 - SSIM)``, each a weighted mean over pixels (Kerbl et al. 2023, eq. 7, per-pixel weights).

    SSIM uses an 11x11 Gaussian window with zeros around the picture, as 3DGS does. Differentiable in ``rendered``;
    fused and threaded for float32 on the CPU. A weight that is zero everywhere gives a loss of ``s`` and no gradient.
    """
    fast = kernels.available() and rendered.dtype == torch.float32 and rendered.device.type == "cpu"
    if fast:
        return _Photometric.apply(rendered, target, weight, ssim_weight)
    return torch_photometric_loss(rendered, target, weight, ssim_weight=ssim_weight)


def torch_photometric_loss(
    rendered: Float[Tensor, "h w 3"],
    target: Float[Tensor, "h w 3"],
    weight: Float[Tensor, "h w"] | None = None,
    *,
    ssim_weight: float = 0.2,
) -> Float[Tensor, ""]:
    """The definition of :func:`photometric_loss` in plain torch."""
    weight = torch.ones_like(rendered[..., 0]) if weight is None else weight
    share = weight / weight.sum().clamp_min(torch.finfo(weight.dtype).tiny)
    l1 = ((rendered - target).abs().mean(dim=-1) * share).sum()
    similarity = (torch_ssim_map(rendered, target) * share).sum()
    return (1 - ssim_weight) * l1 + ssim_weight * (1 - similarity)


class _Photometric(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, rendered: Tensor, target: Tensor, weight: Tensor | None, ssim_weight: float):
        height, width = rendered.shape[:2]
        rendered, target = rendered.contiguous(), target.contiguous()
        weight = None if weight is None else weight.contiguous()
        gradient = torch.empty_like(rendered)
        l1, similarity = module().photometric(
            width,
            height,
            address(rendered, height, width, 3),
            address(target, height, width, 3),
            address(weight, height, width),
            1 - ssim_weight,
            ssim_weight,
            False,
            address(gradient, height, width, 3),
            0,
        )
        ctx.save_for_backward(gradient)
        return rendered.new_tensor((1 - ssim_weight) * l1 + ssim_weight * (1 - similarity))

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, v_loss: Tensor):  # pyright: ignore[reportIncompatibleMethodOverride]
        (gradient,) = ctx.saved_tensors
        return gradient * v_loss, None, None, None
