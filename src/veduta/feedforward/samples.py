"""What photographs, and the pictures drawn in their places, show where points are."""

from __future__ import annotations

from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import grid_sample

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
