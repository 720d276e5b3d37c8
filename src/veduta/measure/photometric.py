"""The loss between a rendered and a real picture."""

from __future__ import annotations

import math
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor
from torch.autograd.function import once_differentiable

from veduta import kernels
from veduta.kernels import gpu
from veduta.kernels.loading import address, module
from veduta.kernels.photometric import photometric
from veduta.measure.images import C1, C2, RADIUS, SIGMA_PX, torch_ssim_map


def photometric_loss(
    rendered: Float[Tensor, "h w 3"],
    target: Float[Tensor, "h w 3"],
    weight: Float[Tensor, "h w"] | None = None,
    *,
    ssim_weight: float = 0.2,
) -> Float[Tensor, ""]:
    """``(1 - s) L1 + s (1 - SSIM)``, each a weighted mean over pixels (Kerbl et al. 2023, eq. 7, per-pixel weights).

    SSIM uses an 11x11 Gaussian window with zeros around the picture, as 3DGS does. Differentiable in ``rendered``;
    fused for float32, on the CPU (threaded) and on a GPU where Triton works. A weight that is zero everywhere gives a
    loss of ``s`` and no gradient.
    """
    if rendered.dtype == torch.float32 and rendered.device.type == "cpu" and kernels.available():
        return _Photometric.apply(rendered, target, weight, ssim_weight)
    if rendered.dtype == torch.float32 and rendered.device.type == "cuda" == gpu.device_type():
        return PhotometricOnGpu.apply(rendered, target, weight, ssim_weight)
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


class PhotometricOnGpu(torch.autograd.Function):
    """The loss by Triton's kernels; the host does not wait."""

    @staticmethod
    def forward(ctx: Any, rendered: Tensor, target: Tensor, weight: Tensor | None, ssim_weight: float):
        """Contiguous or not."""
        loss, gradient = photometric(
            rendered.detach().contiguous(),
            target.detach().contiguous(),
            None if weight is None else weight.detach().contiguous(),
            ssim_weight=ssim_weight,
            window=_window(),
            constants=(C1, C2),
        )
        ctx.save_for_backward(gradient)
        return loss

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, v_loss: Tensor):  # pyright: ignore[reportIncompatibleMethodOverride]
        """Worked out in the forward pass already."""
        (gradient,) = ctx.saved_tensors
        return gradient * v_loss, None, None, None


def _window() -> list[float]:
    """SSIM's window along one axis."""
    heights = [math.exp(-(offset**2) / (2 * SIGMA_PX**2)) for offset in range(-RADIUS, RADIUS + 1)]
    return [height / sum(heights) for height in heights]
