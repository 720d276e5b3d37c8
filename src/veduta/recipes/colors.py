"""Depth and information as colours."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

COVERED = 0.5
"""Pixels with less alpha than this have no depth worth showing."""
QUANTILES = (0.02, 0.98)
"""The share of depths that the colours span; nearer and farther ones take the ends."""
RAMP = (
    (252, 246, 190),
    (250, 190, 90),
    (228, 110, 70),
    (170, 50, 100),
    (96, 28, 120),
    (30, 18, 70),
)
"""Near to far, bright to dark in even steps of lightness."""
INFORMATION_RAMP = (
    (13, 15, 24),
    (36, 23, 90),
    (81, 28, 149),
    (139, 46, 192),
    (197, 83, 214),
    (242, 131, 221),
    (255, 186, 224),
    (254, 237, 242),
)
"""Known to unknown, dark to bright in even steps of OKLab (Ottosson 2020): equal gains look equally far apart.
Violet, which photographs seldom are and no other ramp here is."""
OVERLAY = 0.9
"""How much of the picture the colours of nothing known cover."""
FADED_COLOR, FADED_LIGHT = 0.3, 0.7
"""What an overlay leaves of the picture's saturation and brightness, so that the ramp's colours are nothing else's."""
LUMA = (0.2126, 0.7152, 0.0722)  # ITU-R BT.709


@dataclass(frozen=True, kw_only=True)
class DepthRange:
    """The z depths that take the first and the last colour, in the capture's unit."""

    near: float
    far: float

    @staticmethod
    def of(depth: Float[Tensor, "h w"], alpha: Float[Tensor, "h w"]) -> DepthRange | None:
        """The range that nearly all covered pixels lie in; None if nothing is covered."""
        known = depth[(alpha >= COVERED) & (depth > 0)]
        if known.numel() == 0:
            return None
        near, far = np.quantile(known.cpu().numpy(), QUANTILES)
        return DepthRange(near=float(near), far=float(far))

    @staticmethod
    def merged(ranges: Iterable[DepthRange | None]) -> DepthRange:
        """The range of several pictures, so that they can be compared; 1 to 2 if all of them are empty."""
        known = [span for span in ranges if span is not None]
        if not known:
            return DepthRange(near=1.0, far=2.0)
        near, far = min(span.near for span in known), max(span.far for span in known)
        return DepthRange(near=near, far=max(far, near * (1.0 + 1e-6)))


def depth_colors(
    depth: Float[Tensor, "h w"], alpha: Float[Tensor, "h w"], spread: DepthRange
) -> Float[Tensor, "h w 3"]:
    """Colours of :data:`RAMP` by inverse depth, in which near things keep their shape; uncovered pixels are black."""
    near, far = 1.0 / spread.near, 1.0 / spread.far
    place = (near - 1.0 / depth.clamp(min=1e-12)) / (near - far)
    return colorize(place, RAMP) * (alpha >= COVERED)[..., None]


def information_colors(gain: Float[Tensor, "h w"], top: float) -> Float[Tensor, "h w 3"]:
    """Colours of :data:`INFORMATION_RAMP` from a gain of 0 to one of ``top`` nats and more; NaN is black."""
    assert 0.0 < top < float("inf"), top
    return colorize(gain.nan_to_num(posinf=top) / top, INFORMATION_RAMP) * (~gain.isnan())[..., None]


def information_overlay(
    color: Float[Tensor, "h w 3"], gain: Float[Tensor, "h w"], top: float
) -> Float[Tensor, "h w 3"]:
    """The picture, paler, covered by :func:`information_colors` the more the less is known.

    Nothing of it at a gain of 0, :data:`OVERLAY` of it at ``top`` nats, half that at a quarter; NaN covers nothing.
    """
    color = color.float()
    grey = (color @ color.new_tensor(LUMA))[..., None]
    paler = FADED_LIGHT * (grey + FADED_COLOR * (color - grey))
    share = OVERLAY * (gain.nan_to_num(posinf=top) / top).clamp(0.0, 1.0).sqrt()[..., None].float()
    return paler * (1.0 - share) + information_colors(gain, top) * share


def colorize(value: Float[Tensor, "h w"], colors: Sequence[tuple[int, int, int]]) -> Float[Tensor, "h w 3"]:
    """Values from 0 to 1 (clamped) as colours between the first and the last of ``colors`` (8 bit, evenly spaced)."""
    ramp = torch.tensor(colors, dtype=torch.float32, device=value.device) / 255.0
    place = value.float().clamp(0.0, 1.0) * (len(ramp) - 1)
    lower = place.floor().clamp(max=len(ramp) - 2).long()
    part = (place - lower)[..., None]
    return ramp[lower] * (1.0 - part) + ramp[lower + 1] * part
