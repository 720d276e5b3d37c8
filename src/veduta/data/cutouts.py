"""Cut-out pictures of objects, as data sets store them, made into the views of an example."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from veduta.core import Cameras, Example, Views
from veduta.data.object_views import DEPTH_MARGIN, align_to_first
from veduta.data.resample import area_resize

_NOTHING = 1e-6


@dataclass(frozen=True, eq=False)
class Cutout:
    """One picture with its camera."""

    name: str
    rgba: UInt8[Tensor, "h w 4"]
    """Straight sRGB colour and coverage."""
    camera: Cameras
    """One pinhole camera of the picture's size."""
    depth: Float[Tensor, "h w"] | None = None
    """z depth, 0 where it is not known."""


def cutout_example(
    name: str,
    inputs: Sequence[Cutout],
    targets: Sequence[Cutout],
    *,
    size_px: int,
    depths: tuple[float, float] | None = None,
) -> Example:
    """Cut-outs as an example in the frame of the first input, at ``size_px`` square.

    ``depths`` are near and far; None: 0.8 before and behind the distance of the first camera (Gobjaverse). Pictures of
    another size are reduced by area, colour weighted by coverage.
    """
    (shown, input_alpha), (judged, target_alpha) = (_views(part, size_px) for part in (inputs, targets))
    distance = float(shown.cameras.positions_world[0].norm())
    near, far = (distance - DEPTH_MARGIN, distance + DEPTH_MARGIN) if depths is None else depths
    example = Example(
        name=name,
        inputs=shown,
        targets=judged,
        near=near,
        far=far,
        input_alpha=input_alpha,
        target_alpha=target_alpha,
    )
    return align_to_first(example)


def fov_camera(
    world_from_camera: Float[Tensor, "4 4"], fov_rad: tuple[float, float], *, width: int, height: int
) -> Cameras:
    """A pinhole camera given by its angles of view, its principal point in the middle."""
    return Cameras.pinhole(
        world_from_camera.float()[None],
        fx=width / (2 * math.tan(fov_rad[0] / 2)),
        fy=height / (2 * math.tan(fov_rad[1] / 2)),
        cx=width / 2,
        cy=height / 2,
        width=width,
        height=height,
    )


def resized_cutout(
    rgb: Float[Tensor, "h w 3"], alpha: Float[Tensor, "h w"], *, width: int, height: int
) -> tuple[Float[Tensor, "h2 w2 3"], Float[Tensor, "h2 w2"]]:
    """Means over areas: of coverage, and of colour weighted by coverage; black where nothing is covered."""
    if rgb.shape[:2] == (height, width):
        return rgb, alpha
    spread = area_resize(torch.cat([rgb * alpha[..., None], alpha[..., None]], dim=2), width=width, height=height)
    covered = spread[..., 3:]
    straight = torch.where(covered > _NOTHING, spread[..., :3] / covered.clamp_min(_NOTHING), 0.0)
    return straight.clamp(0, 1), covered[..., 0].clamp(0, 1)


def _views(cutouts: Sequence[Cutout], size_px: int) -> tuple[Views, Float[Tensor, "v h w"]]:
    from veduta.geometry import scale_cameras

    colours, coverages, cameras = [], [], []
    for cutout in cutouts:
        values = cutout.rgba.float() / 255
        rgb, alpha = resized_cutout(values[..., :3], values[..., 3], width=size_px, height=size_px)
        colours.append(rgb)
        coverages.append(alpha)
        cameras.append(scale_cameras(cutout.camera, width=size_px, height=size_px))
    views = Views.of(Cameras.cat(cameras), rgb=torch.stack(colours), names=tuple(c.name for c in cutouts))
    known = [c.depth for c in cutouts if c.depth is not None and c.depth.shape == (size_px, size_px)]
    if len(known) == len(cutouts):
        depth = torch.stack(known)
        views = views.replace(depth=depth, depth_valid=depth > 0)
    return views, torch.stack(coverages)
