"""Points look at the photographs where they are: cross-attention to what is seen at their projections."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch.nn.functional import avg_pool2d

from veduta.core import Cameras, TensorRecord, Views
from veduta.feedforward.samples import normalized_places, sampled
from veduta.feedforward.select import Look
from veduta.nets import norm

POOLED = (4, 16)
"""Sides of the squares of pixels, besides the pixel itself, whose means are looked at."""
LOOKED = 6 * (1 + len(POOLED)) + 2
"""Values per photograph: colour and error of the drawn picture at every size, drawn alpha, error of the drawn depth."""


@dataclass(frozen=True, eq=False)
class Shown(TensorRecord):
    """Photographs of one object or scene, and how its coarse Gaussians look in their places."""

    fine: Float[Tensor, "v 6 h w"]
    """Colour, and how much the drawn picture differs from it."""
    medium: Float[Tensor, "v 6 i j"]
    wide: Float[Tensor, "v 6 k l"]
    """The same, averaged."""
    coverage: Float[Tensor, "v 2 h w"]
    """Drawn alpha, and depth times alpha."""
    cameras: Cameras
    scale: float = 1.0
    """Points' coordinates are this many times those of the cameras."""

    @staticmethod
    def of(views: Views, seen: Look, *, scale: float = 1.0) -> Shown:
        """From photographs and how the Gaussians look there."""
        fine = torch.cat([views.rgb, views.rgb - seen.color], dim=-1).permute(0, 3, 1, 2)
        medium, wide = (avg_pool2d(fine, side, ceil_mode=True) for side in POOLED)
        coverage = torch.stack([seen.alpha, seen.alpha * seen.depth], dim=1)
        return Shown(fine, medium, wide, coverage, views.cameras, scale)

    def at(self, points: Float[Tensor, "n 3"]) -> tuple[Float[Tensor, "v s n"], Bool[Tensor, "v n"]]:
        """The :data:`LOOKED` values at points' projections, and which photographs have the point in sight.

        The error of the depth is relative to the point's own, between -1 and 1, and fades where little was drawn.
        """
        places, z = normalized_places(points / self.scale, self.cameras)
        inside = (z > 0) & (places.abs() <= 1).all(dim=-1)
        coverage = sampled(self.coverage, places)
        behind = z.clamp_min(torch.finfo(z.dtype).eps)
        error = ((coverage[:, 1] - coverage[:, 0] * z) / behind).clamp(-1, 1)
        sizes = [sampled(layers, places) for layers in (self.fine, self.medium, self.wide)]
        return torch.cat([*sizes, coverage[:, :1], error[:, None]], dim=1), inside


class Lookup(nn.Module):
    """Adds to the feature of every point what the photographs that see it answer; nothing where none does.

    Starts as the identity: the last layer's weights are 0.
    """

    def __init__(self, channels: int, *, width: int = 64, heads: int = 8) -> None:
        super().__init__()
        self.heads = heads
        self.ask = nn.Linear(channels, width, bias=False)
        self.answer = nn.Sequential(nn.Linear(LOOKED, width), nn.GELU(), nn.Linear(width, 2 * width))
        self.add = nn.Linear(width, channels, bias=False)
        nn.init.zeros_(self.add.weight)

    def forward(
        self, features: Float[Tensor, "n c"], points: Float[Tensor, "n 3"], shown: Shown
    ) -> Float[Tensor, "n c"]:
        """New features of the same points; no gradient flows to where they are."""
        with torch.no_grad():
            samples, inside = shown.at(points.detach().float())
        query = self.ask(norm(features)).unflatten(1, (self.heads, -1))
        answers = self.answer(samples.permute(2, 0, 1).to(features.dtype)).unflatten(2, (self.heads, -1))
        key, value = answers.chunk(2, dim=-1)
        scores = torch.einsum("nhd,nvhd->nvh", query, key) * query.shape[-1] ** -0.5
        seen = inside.T[..., None]
        weights = scores.masked_fill(~seen, -1e4).softmax(dim=1) * seen
        told = torch.einsum("nvh,nvhd->nhd", weights, value).flatten(1)
        return features + self.add(told)
