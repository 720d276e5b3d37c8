"""What backends share: sizes of moments and forms, cameras as numbers, what is refused alike, pictures put together."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from veduta.core import Cameras, Gaussians, RasterOptions, Render, Screen, UnsupportedError

FISHER, SCORE, CLUSTERED, FORMS = 34, 39, 9, 39
"""Numbers per Gaussian of each kind of moments (:class:`~veduta.core.ScreenMoments`), and of forms."""


def require_pinhole(cameras: Cameras, *, backend: str) -> None:
    """UnsupportedError for cameras with a lens."""
    if cameras.lens is not None:
        raise UnsupportedError(
            "rendering through a lens is not supported",
            where=f"backend {backend!r}",
            field="cameras.lens",
            expected="pinhole cameras (lens=None)",
            got=cameras.lens.model,
            hint="render with pinhole cameras; veduta.geometry.pinhole_for(cameras) gives them",
        )


def require_float32(
    gaussians: Gaussians, features: Tensor | None, *, backend: str, device_type: str, device: str, hint: str
) -> None:
    """UnsupportedError, with the hint, for tensors that are not float32 on the device (``device``: its name)."""
    named = {"means": gaussians.means, "quats": gaussians.quats, "scales": gaussians.scales}
    named |= {"opacities": gaussians.opacities, "sh": gaussians.sh}
    if features is not None:
        named["features"] = features
    for name, tensor in named.items():
        if tensor.dtype != torch.float32 or tensor.device.type != device_type:
            raise UnsupportedError(
                f"only float32 on the {device} is supported",
                where=f"backend {backend!r}",
                field=name,
                expected=f"torch.float32 on {device_type}",
                got=f"{tensor.dtype} on {tensor.device}",
                hint=hint,
            )


def used_sh_degree(gaussians: Gaussians, options: RasterOptions) -> int:
    """The degree that is drawn: what there is, at most what was asked for."""
    have = gaussians.sh_degree
    return have if options.sh_degree is None else min(have, options.sh_degree)


def camera_numbers(cameras: Cameras) -> Float[Tensor, "c 21"]:
    """As kernels take them, in float64: camera_from_world (9 + 3), position, fx, fy, cx, cy, width, height."""
    world = cameras.world_from_camera.detach().to(torch.float64)
    rotation = world[:, :3, :3].transpose(1, 2)
    position = world[:, :3, 3]
    translation = -(rotation @ position[:, :, None])[..., 0]
    k = cameras.intrinsics.detach().to(world)
    inner = torch.stack([k[:, 0, 0], k[:, 1, 1], k[:, 0, 2], k[:, 1, 2]], dim=1)
    size = torch.ones_like(inner[:, :2])
    size[:, 0] *= cameras.width
    size[:, 1] *= cameras.height
    return torch.cat([rotation.reshape(-1, 9), translation, position, inner, size], dim=1)


def screen_of(means_px: Float[Tensor, "c n 2"], extents: list[Tensor]) -> Screen:
    """Where Gaussians appear; gradients by ``means_px`` are kept, extents ("n 2" each) are 0 where nothing is drawn."""
    if means_px.requires_grad:
        means_px.retain_grad()
    reach = stacked(extents, torch.zeros_like(means_px))
    radii = torch.maximum(reach[..., 0], reach[..., 1])  # amax along a short axis is many times slower
    return Screen(means_px=means_px, absgrad=torch.zeros_like(means_px), radii_px=radii, visible=radii > 0)


def render_of(
    pictures: list[tuple[Tensor, Tensor, Tensor, Tensor, Tensor | None]],
    screen: Screen | None,
    background: Tensor | None,
    features: Tensor | None,
    blank: Float[Tensor, "0 h w 3"],
) -> Render:
    """Each camera's colour, alpha, depth, transmittance and features in one; ``blank``: the colours of no picture."""
    color = stacked([p[0] for p in pictures], blank)
    clear = stacked([p[3] for p in pictures], blank[..., 0])
    mixed = None
    if features is not None:
        layers = [p[4] for p in pictures if p[4] is not None]
        mixed = stacked(layers, blank.new_zeros(*blank.shape[:3], features.shape[1]))
    return Render(
        color=color if background is None else color + clear[..., None] * background,
        alpha=stacked([p[1] for p in pictures], blank[..., 0]),
        depth=stacked([p[2] for p in pictures], blank[..., 0]),
        features=mixed,
        screen=screen,
    )


def stacked(parts: list[Tensor], empty: Tensor) -> Tensor:
    """Along a new first axis, without a copy where there is one part only; ``empty`` where there is none."""
    if not parts:
        return empty
    return parts[0].unsqueeze(0) if len(parts) == 1 else torch.stack(parts)
