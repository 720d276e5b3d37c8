"""Likeness at several scales, and the loss that feed-forward models are trained with."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import avg_pool2d

from veduta.core import InputError
from veduta.measure.images import C1, C2, RADIUS, SIGMA_PX
from veduta.measure.photometric import photometric_loss

SCALE_WEIGHTS = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)
"""Exponents of the scales, the finest first (Wang et al. 2003)."""
TILE = 32
"""Means worked out by one product, from as many pixels and as many after them."""
SSIM_WEIGHT = 0.5
"""Of 1 - MS-SSIM beside the mean squared error (LaRa)."""


def ms_ssim(
    a: Float[Tensor, "*b h w 3"], b: Float[Tensor, "*b h w 3"], *, scales: int = len(SCALE_WEIGHTS)
) -> Float[Tensor, "*b"]:
    """Multi-scale structural similarity (Wang et al. 2003) of pictures in 0..1, mean over channels; differentiable.

    11x11 Gaussian window, sigma 1.5, only windows inside the picture; each scale has half the size of the one before.
    With fewer than five ``scales``, the weights of the finest ones are stretched to sum to 1. InputError for pictures
    in which the coarsest scale has no room for a window.
    """
    side = min(a.shape[-3:-1])
    smallest = smallest_side(scales)
    if side <= smallest:
        expected = f"more than {smallest} pixels along each side"
        raise InputError("pictures too small for so many scales", field="scales", expected=expected, got=side)
    weights = torch.tensor(SCALE_WEIGHTS[:scales])
    total = weights.sum() if scales < len(SCALE_WEIGHTS) else 1.0  # the published five do not sum to 1 exactly
    x, y = (t.movedim(-1, -3).reshape(-1, 3, *t.shape[-3:-1]) for t in (a, b))
    product = x.new_ones(len(x), 3)
    for scale, weight in enumerate((weights / total).tolist()):
        luminance, structure = _likeness(x, y)
        own = luminance * structure if scale == scales - 1 else structure
        product = product * own.mean(dim=(-2, -1)).relu() ** weight
        x, y = (avg_pool2d(t, 2, padding=(t.shape[-2] % 2, t.shape[-1] % 2)) for t in (x, y))
    return product.mean(dim=1).reshape(a.shape[:-3])


def smallest_side(scales: int) -> int:
    """Pixels along a side that are too few for MS-SSIM at so many scales; one more is enough."""
    return 2 * RADIUS * 2 ** (scales - 1)


def reconstruction_loss(
    rendered: Float[Tensor, "*b h w 3"],
    target: Float[Tensor, "*b h w 3"],
    *,
    ssim_weight: float = SSIM_WEIGHT,
    scales: int = len(SCALE_WEIGHTS),
) -> Float[Tensor, ""]:
    """Mean of squared error + ``ssim_weight`` (1 - MS-SSIM); LaRa joins the views of an object to one strip first.

    One scale is plain SSIM with zeros around the pictures, which is compiled for float32 on the CPU.
    """
    loss = (rendered - target).square().mean()
    if ssim_weight == 0:
        return loss
    if scales == 1:
        pictures = zip(*(t.reshape(-1, *t.shape[-3:]) for t in (rendered, target)), strict=True)
        parts = [photometric_loss(one, other, ssim_weight=1.0) for one, other in pictures]
        return loss + ssim_weight * torch.stack(parts).mean()
    return loss + ssim_weight * (1 - ms_ssim(rendered, target, scales=scales).mean())


def _likeness(x: Float[Tensor, "b c h w"], y: Float[Tensor, "b c h w"]) -> tuple[Tensor, Tensor]:
    """Luminance, and contrast times structure, of every window."""

    def blur(planes: Tensor) -> Tensor:
        return _means(_means(planes).mT).mT

    mean_x, mean_y = blur(x), blur(y)
    variances = blur(x * x) + blur(y * y) - mean_x.square() - mean_y.square()
    covariance = blur(x * y) - mean_x * mean_y
    luminance = (2 * mean_x * mean_y + C1) / (mean_x.square() + mean_y.square() + C1)
    return luminance, (2 * covariance + C2) / (variances + C2)


def _means(lines: Float[Tensor, "*b s"]) -> Float[Tensor, "*b m"]:
    """Windowed means of lines of pixels: products of tiles with a band matrix, faster than a convolution."""
    offsets = torch.arange(-RADIUS, RADIUS + 1, dtype=lines.dtype, device=lines.device)
    window = torch.exp(-offsets.square() / (2 * SIGMA_PX**2))
    starts = torch.arange(TILE, device=lines.device)
    band = lines.new_zeros(2 * TILE, TILE)
    band[starts + torch.arange(2 * RADIUS + 1, device=lines.device)[:, None], starts] = (window / window.sum())[:, None]
    count = lines.shape[-1] - 2 * RADIUS
    tiles = -(-count // TILE)
    padded = torch.nn.functional.pad(lines, (0, (tiles + 1) * TILE - lines.shape[-1]))
    cut = padded.unflatten(-1, (tiles + 1, TILE))
    own, following = cut[..., :-1, :] @ band[:TILE], cut[..., 1:, :] @ band[TILE:]
    return (own + following).flatten(-2)[..., :count]
