"""Depth as colours."""

from __future__ import annotations

from collections.abc import Iterable
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
        near, far = np.quantile(known.numpy(), QUANTILES)
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
    ramp = torch.tensor(RAMP, dtype=torch.float32) / 255.0
    near, far = 1.0 / spread.near, 1.0 / spread.far
    place = ((near - 1.0 / depth.clamp(min=1e-12)) / (near - far)).clamp(0.0, 1.0) * (len(RAMP) - 1)
    lower = place.floor().clamp(max=len(RAMP) - 2).long()
    part = (place - lower)[..., None]
    colors = ramp[lower] * (1.0 - part) + ramp[lower + 1] * part
    return colors * (alpha >= COVERED)[..., None]
