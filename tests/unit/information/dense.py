"""Every Gaussian in every pixel, written down once more and without any cut-off: what Jacobians of all are taken of."""

from __future__ import annotations

import warnings

import torch
from torch import Tensor

from tests.backends.jacobians import moved
from veduta.core import BLOCK, Cameras, Gaussians
from veduta.geometry import SH_C0, matrix_from_quat, project, rigid_inverse


def dense_picture(gaussians: Gaussians, camera: Cameras) -> Tensor:
    """Colours "h w 3" over black of Gaussians without view-dependent colour, all before the camera."""
    camera_from_world = rigid_inverse(camera.world_from_camera[0])
    px, depth = project(gaussians.means, camera)
    order = torch.argsort(depth[0].detach())
    local = gaussians.means @ camera_from_world[:3, :3].T + camera_from_world[:3, 3]
    x, y, z = local.unbind(-1)
    zero, (fx, fy) = torch.zeros_like(z), torch.diagonal(camera.intrinsics[0])[:2]
    jacobian = torch.stack([fx / z, zero, -fx * x / z**2, zero, fy / z, -fy * y / z**2], dim=-1).reshape(-1, 2, 3)
    half = jacobian @ camera_from_world[:3, :3] @ matrix_from_quat(gaussians.quats) @ torch.diag_embed(gaussians.scales)
    conic = torch.linalg.inv(half @ half.mT + 0.3 * torch.eye(2).double())
    columns, rows = torch.arange(camera.width) + 0.5, torch.arange(camera.height) + 0.5
    pixels = torch.stack(torch.meshgrid(columns.double(), rows.double(), indexing="xy"), dim=-1)
    apart = pixels[:, :, None, :] - px[0]
    power = -0.5 * torch.einsum("hwni,nij,hwnj->hwn", apart, conic, apart)
    alpha = (gaussians.opacities * torch.exp(power))[..., order]
    before = torch.cumprod(torch.cat([torch.ones_like(alpha[..., :1]), 1 - alpha[..., :-1]], dim=-1), dim=-1)
    colors = (0.5 + SH_C0 * gaussians.sh[:, 0]).clamp(min=0)
    return torch.einsum("hwn,nc->hwc", before * alpha, colors[order])


def dense_jacobian(gaussians: Gaussians, camera: Cameras) -> Tensor:
    """d colour / d parameters, "h w 3 n*13"."""
    change = torch.zeros(len(gaussians), BLOCK, dtype=torch.float64)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*torch.jit", category=DeprecationWarning)  # torch's own use of it
        lines = torch.func.jacfwd(lambda by: dense_picture(moved(gaussians, by), camera))(change)
    assert isinstance(lines, Tensor)
    return lines.flatten(-2)
