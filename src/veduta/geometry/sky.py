"""Looking up the sky: an equirectangular texture infinitely far away.

Row 0 looks along ``up``, the last row along ``-up``; columns run as in a panorama, to the right as one turns to the
right. Column 0's left edge is the world's x axis made level (its y axis where ``up`` is within 26 degrees of x).
"""

from __future__ import annotations

import math

import torch
from jaxtyping import Float
from torch import Tensor

from veduta.core import Cameras, Sky
from veduta.geometry.projection import unproject_rays
from veduta.geometry.similarity import Similarity

_TOO_STEEP = 0.9


def sky_color(sky: Sky, cameras: Cameras) -> Float[Tensor, "c h w 3"]:
    """What every pixel would show with nothing in front of the sky; differentiable in the texture."""
    if sky.texture.shape[:2] == (1, 1):
        return sky.texture.expand(len(cameras), cameras.height, cameras.width, 3)
    _, directions = unproject_rays(cameras.to(sky.texture.device))
    return sky_lookup(sky, directions)


def sky_lookup(sky: Sky, directions: Float[Tensor, "*b 3"]) -> Float[Tensor, "*b 3"]:
    """The sky along unit world directions, bilinearly, wrapping around horizontally; differentiable in the texture."""
    height, width = sky.texture.shape[:2]
    level_x, level_y, up = sky_axes(sky.up.to(directions.dtype))
    azimuth = torch.atan2(directions @ level_y, directions @ level_x)
    polar = torch.acos((directions @ up).clamp(-1.0, 1.0))
    column = torch.remainder(azimuth / (2 * math.pi), 1.0) * width + 1.0  # one wrapped column on either side
    row = polar / math.pi * height
    wrapped = torch.cat([sky.texture[:, -1:], sky.texture, sky.texture[:, :1]], dim=1)
    grid = torch.stack([2 * column / (width + 2) - 1, 2 * row / height - 1], dim=-1)
    taken = torch.nn.functional.grid_sample(
        wrapped.permute(2, 0, 1)[None],
        grid.reshape(1, 1, -1, 2).to(sky.texture.dtype),
        mode="bilinear",
        padding_mode="border",
        align_corners=False,
    )
    return taken[0, :, 0].T.reshape(*directions.shape[:-1], 3)


def sky_axes(up: Float[Tensor, "3"]) -> Float[Tensor, "3 3"]:
    """Rows: the level directions of column 0 and of a quarter turn to the right of it, and ``up``."""
    axes = torch.eye(3, dtype=up.dtype, device=up.device)
    start = torch.where(up[0].abs() < _TOO_STEEP, axes[0], axes[1])
    level_x = torch.nn.functional.normalize(start - (start @ up) * up, dim=0)
    return torch.stack([level_x, torch.linalg.cross(level_x, up), up])


def transform_sky(sky: Sky, sim: Similarity) -> Sky:
    """The sky of the transformed world; the texture is shifted sideways (linearly) where the rotation asks for it."""
    rotation = sim.rotation.to(sky.up)
    up = rotation @ sky.up
    level_x, level_y, _ = sky_axes(up)
    old_start = rotation @ sky_axes(sky.up)[0]
    shift = float(torch.atan2(old_start @ level_y, old_start @ level_x)) / (2 * math.pi) * sky.texture.shape[1]
    whole = math.floor(shift)
    fraction = shift - whole
    texture = torch.roll(sky.texture, whole, dims=1)
    if min(fraction, 1 - fraction) > 1e-6:
        texture = (1 - fraction) * texture + fraction * torch.roll(texture, 1, dims=1)
    elif fraction > 0.5:
        texture = torch.roll(texture, 1, dims=1)
    return Sky(texture=texture, up=up)
