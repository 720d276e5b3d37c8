"""The full Jacobian of a picture by autograd in float64: what moments and covariances are tested against."""

from __future__ import annotations

import torch
from torch import Tensor

from veduta.core import BLOCK, Cameras, Gaussians, RasterOptions
from veduta.geometry import quat_multiply
from veduta.render.reference import Reference


def moved(gaussians: Gaussians, change: Tensor) -> Gaussians:
    """The Gaussians with "n 13" changes of their parameters, through the raw values that an optimiser has."""
    w = change[:, 6:9]
    turn = torch.cat([torch.ones_like(w[:, :1]), w / 2], dim=1)
    return Gaussians(
        means=gaussians.means + change[:, :3],
        quats=quat_multiply(gaussians.quats, turn),
        scales=torch.exp(gaussians.scales.log() + change[:, 3:6]),
        opacities=torch.sigmoid(torch.logit(gaussians.opacities) + change[:, 9]),
        sh=torch.cat([gaussians.sh[:, :1] + change[:, None, 10:], gaussians.sh[:, 1:]], dim=1),
    )


def picture_and_jacobian(
    gaussians: Gaussians, camera: Cameras, *, behind: Tensor | None, options: RasterOptions
) -> tuple[Tensor, Tensor]:
    """Colours "h w 3" and their Jacobian "h w 3 n 13"."""
    change = torch.zeros(len(gaussians), BLOCK, dtype=torch.float64, requires_grad=True)
    drawn = Reference().rasterize(moved(gaussians, change), camera, features=None, options=options)
    color = drawn.color[0]
    if behind is not None:
        clear = 1 - drawn.alpha[0]
        color = color + clear[..., None] * behind
    every = torch.eye(color.numel(), dtype=torch.float64).reshape(-1, *color.shape)
    lines = torch.autograd.grad(color, change, every, is_grads_batched=True)[0]
    return color.detach(), lines.reshape(*color.shape, len(gaussians), BLOCK)
