"""What photographs, and the pictures drawn in their places, show where points are."""

from __future__ import annotations

from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.functional import grid_sample

from veduta.core import Cameras
from veduta.geometry import project

SAMPLES = 8
"""Values that a point takes from each photograph: colour, drawn colour, drawn alpha, how far the drawn depth is off."""


def sampled(
    images: Float[Tensor, "v c h w"], places: Float[Tensor, "v n 2"], *, outside: Literal["zeros", "border"] = "zeros"
) -> Float[Tensor, "v c n"]:
    """Bilinear samples at ``places``, -1 to 1 from edge to edge; ``outside`` the picture 0 or its border."""
    return grid_sample(images, places[:, None], padding_mode=outside, align_corners=False)[:, :, 0]


def point_samples(
    places: Float[Tensor, "v n 2"],
    z: Float[Tensor, "v n"],
    *,
    images: Float[Tensor, "v h w 3"],
    drawn: Float[Tensor, "v h w 3"],
    alpha: Float[Tensor, "v h w"],
    depth: Float[Tensor, "v h w"],
    outside: Literal["zeros", "border"] = "zeros",
) -> Float[Tensor, "v 8 n"]:
    """The :data:`SAMPLES` of points that lie at ``places`` and depths ``z`` of each photograph."""
    layers = torch.cat([images, drawn, alpha[..., None], depth[..., None]], dim=-1).permute(0, 3, 1, 2)
    seen = sampled(layers, places, outside=outside)
    return torch.cat([seen[:, :7], (seen[:, 7:] - z[:, None]).abs()], dim=1)


def normalized_places(
    points: Float[Tensor, "n 3"], cameras: Cameras, *, half_pixel_shift: bool = False
) -> tuple[Float[Tensor, "v n 2"], Float[Tensor, "v n"]]:
    """Where points lie in every photograph, -1 to 1 from edge to edge, and their z depths."""
    px, depth = project(points, cameras)
    px = px + (0.5 if half_pixel_shift else 0.0)
    return px / px.new_tensor([cameras.width, cameras.height]) * 2 - 1, depth


class FineFeatures(nn.Module):
    """Features of points that have seen the photographs, and what to add to their SH coefficients (LaRa, sec. 3.4).

    A point's own feature asks, its :data:`SAMPLES` in every photograph answer.
    """

    def __init__(
        self, channels: int = 80, *, heads: int = 16, hidden: int = 80, features: int = 80, sh_numbers: int = 12
    ) -> None:
        super().__init__()
        self.features = features
        self.norm = nn.LayerNorm(channels)
        self.cross_att = nn.MultiheadAttention(
            channels, heads, kdim=SAMPLES, vdim=SAMPLES, bias=False, batch_first=True
        )
        self.mlp_fine = nn.Sequential(nn.Linear(channels, hidden), nn.ReLU(), nn.Linear(hidden, features + sh_numbers))

    def forward(
        self, features: Float[Tensor, "n c"], samples: Float[Tensor, "v s n"]
    ) -> tuple[Float[Tensor, "n f"], Float[Tensor, "n k 3"]]:
        """New features, and the change of the coefficients."""
        query = self.norm(features)[:, None]
        seen = samples.permute(2, 0, 1)
        mixed = self.mlp_fine(self.cross_att(query, seen, seen, need_weights=False)[0][:, 0])
        return mixed[:, : self.features], mixed[:, self.features :].unflatten(1, (-1, 3))
