"""PSNR and SSIM."""

from __future__ import annotations

from typing import Any

import torch
from jaxtyping import Bool, Float
from torch import Tensor
from torch.autograd.function import once_differentiable

from veduta import kernels
from veduta.kernels.loading import address, module

RADIUS = 5
"""SSIM's window reaches this many pixels: 11x11 (Wang et al. 2004)."""
SIGMA_PX = 1.5
C1, C2 = 0.01**2, 0.03**2


def psnr(
    a: Float[Tensor, "*b h w 3"], b: Float[Tensor, "*b h w 3"], weight: Float[Tensor, "*b h w"] | None = None
) -> Float[Tensor, "*b"]:
    """Peak signal-to-noise ratio in dB of pictures in 0..1 (not clamped here); infinite where they are equal.

    ``weight`` weighs pixels in the mean squared error; all zeros gives NaN.
    """
    square = (a - b).square().mean(dim=-1)
    if weight is None:
        mean = square.mean(dim=(-2, -1))
    else:
        mean = (square * weight).sum(dim=(-2, -1)) / weight.sum(dim=(-2, -1))
    return -10 * torch.log10(mean)


def ssim(
    a: Float[Tensor, "*b h w 3"], b: Float[Tensor, "*b h w 3"], weight: Float[Tensor, "*b h w"] | None = None
) -> Float[Tensor, "*b"]:
    """Structural similarity (Wang et al. 2004): 11x11 Gaussian window, sigma 1.5, mean over channels and pixels.

    Only windows that lie inside the picture count, as in the original; pictures smaller than a window count whole.
    ``weight`` weighs the windows by their centre pixel; all zeros there gives NaN.
    """
    height, width = a.shape[-3:-1]
    local = ssim_map(a, b)
    inside = _inside(height, width)
    local = local[..., *inside]
    if weight is None:
        return local.mean(dim=(-2, -1))
    weight = weight[..., *inside]
    return (local * weight).sum(dim=(-2, -1)) / weight.sum(dim=(-2, -1))


def comparable(weight: Float[Tensor, "*b h w"]) -> tuple[Bool[Tensor, "*b"], Bool[Tensor, "*b"]]:
    """Whether ``weight`` leaves anything for :func:`psnr`, and for :func:`ssim`, which has no windows at the border."""
    inside = weight[..., *_inside(*weight.shape[-2:])]
    return (weight != 0).flatten(-2).any(dim=-1), (inside != 0).flatten(-2).any(dim=-1)


def ssim_map(a: Float[Tensor, "*b h w 3"], b: Float[Tensor, "*b h w 3"]) -> Float[Tensor, "*b h w"]:
    """SSIM at every pixel, mean over channels, with zeros around the pictures; compiled where it can be, else torch."""
    fast = kernels.available() and all(t.dtype == torch.float32 and t.device.type == "cpu" for t in (a, b))
    if not fast or a.requires_grad or b.requires_grad:
        return torch_ssim_map(a, b)
    height, width = a.shape[-3:-1]
    result = torch.empty(a.shape[:-1])
    whole = [t.reshape(-1, height, width, 3).contiguous() for t in (a, b)]
    for one, other, local in zip(*whole, result.view(-1, height, width), strict=True):
        arrays = [address(one, height, width, 3), address(other, height, width, 3)]
        module().photometric(width, height, *arrays, 0, 0.0, 1.0, False, 0, address(local, height, width))
    return result


def torch_ssim_map(a: Float[Tensor, "*b h w 3"], b: Float[Tensor, "*b h w 3"]) -> Float[Tensor, "*b h w"]:
    """The definition of :func:`ssim_map` in plain torch, differentiable, any dtype."""
    offsets = torch.arange(-RADIUS, RADIUS + 1, dtype=a.dtype, device=a.device)
    window = torch.exp(-offsets.square() / (2 * SIGMA_PX**2))
    window = window / window.sum()

    def blur(image: Tensor) -> Tensor:
        planes = image.movedim(-1, -3).reshape(-1, 1, *image.shape[-3:-1])
        planes = _blurred(planes, window) if planes.device.type == "cpu" else _Blur.apply(planes, window)
        return planes.reshape(*image.shape[:-3], 3, *image.shape[-3:-1]).movedim(-3, -1)

    mean_a, mean_b = blur(a), blur(b)
    variances = blur(a * a) + blur(b * b) - mean_a.square() - mean_b.square()
    covariance = blur(a * b) - mean_a * mean_b
    luminance = (2 * mean_a * mean_b + C1) / (mean_a.square() + mean_b.square() + C1)
    return (luminance * (2 * covariance + C2) / (variances + C2)).mean(dim=-1)


def _blurred(planes: Float[Tensor, "p 1 h w"], window: Float[Tensor, " k"]) -> Float[Tensor, "p 1 h w"]:
    planes = torch.nn.functional.conv2d(planes, window.view(1, 1, -1, 1), padding=(RADIUS, 0))
    return torch.nn.functional.conv2d(planes, window.view(1, 1, 1, -1), padding=(0, RADIUS))


class _Blur(torch.autograd.Function):
    """The blur of a GPU in full float32, backwards too: by default its convolutions round to 10 bits (TF32).

    The window is symmetric and there are zeros outside, so the blur is its own adjoint.
    """

    @staticmethod
    def forward(ctx: Any, planes: Tensor, window: Tensor):
        ctx.save_for_backward(window)
        with torch.backends.cudnn.flags(enabled=True, allow_tf32=False):
            return _blurred(planes, window)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor):  # pyright: ignore[reportIncompatibleMethodOverride]
        (window,) = ctx.saved_tensors
        with torch.backends.cudnn.flags(enabled=True, allow_tf32=False):
            return _blurred(gradient.contiguous(), window), None


def _inside(height: int, width: int) -> tuple[slice, slice]:
    return tuple(slice(RADIUS, size - RADIUS) if size > 2 * RADIUS else slice(None) for size in (height, width))  # pyright: ignore[reportReturnType]
