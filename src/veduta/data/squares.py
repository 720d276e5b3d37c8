"""Photographs made square for models: cut in the middle, or turned towards an object; intrinsics follow exactly."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import torch
from jaxtyping import Float
from PIL import Image
from torch import Tensor

from veduta.core import Cameras, Views
from veduta.data.resample import area_resize
from veduta.data.scene_pictures import covering_size
from veduta.geometry import project, rigid, sample_bilinear, so3_exp
from veduta.io.images import to_bytes

Resize = Callable[..., Float[Tensor, "h2 w2 c"]]
"""``resize(image, width=, height=)``."""


def square(views: Views, size_px: int, *, resize: Resize = area_resize) -> Views:
    """The middle of every view as a square: the shorter side becomes ``size_px``, the longer one is cut.

    Colour, weight and alpha are kept, depth and sky are not. Cameras must be pinholes.
    """
    cameras = views.cameras
    assert cameras.lens is None, "views are squared after their lens is straightened"
    wide, high = covering_size(cameras.width, cameras.height, to_width=size_px, to_height=size_px)
    left, top = (wide - size_px) // 2, (high - size_px) // 2

    def cut(image: Float[Tensor, "h w c"]) -> Float[Tensor, "s s c"]:
        small = image if (wide, high) == (cameras.width, cameras.height) else resize(image, width=wide, height=high)
        return small[top : top + size_px, left : left + size_px]

    matrices = (
        cameras.intrinsics * cameras.intrinsics.new_tensor([wide / cameras.width, high / cameras.height, 1])[:, None]
    )
    matrices[:, 0, 2] -= left
    matrices[:, 1, 2] -= top
    alpha = views.alpha
    return Views.of(
        cameras.replace(intrinsics=matrices, width=size_px, height=size_px),
        rgb=torch.stack([cut(rgb) for rgb in views.rgb]),
        weight=torch.stack([cut(weight[..., None])[..., 0] for weight in views.weight]),
        names=views.names,
    ).replace(alpha=None if alpha is None else torch.stack([cut(a[..., None])[..., 0] for a in alpha]))


def lanczos_resize(image: Float[Tensor, "h w c"], *, width: int, height: int) -> Float[Tensor, "h2 w2 c"]:
    """By LANCZOS, with 8 bits per channel in between, as the protocols of scene models reduce."""
    planes = [Image.fromarray(plane.numpy()) for plane in to_bytes(image).permute(2, 0, 1).contiguous()]
    small = [np.asarray(plane.resize((width, height), Image.Resampling.LANCZOS)) for plane in planes]
    return torch.from_numpy(np.stack(small, axis=-1).astype(np.float32) / np.float32(255))


def aimed_camera(camera: Cameras, centre: Float[Tensor, "3"], *, radius: float, size_px: int) -> Cameras:
    """One square pinhole in the same place, turned the short way to look at ``centre``, that a ball just fits into.

    Raises ValueError where the ball of this radius reaches the camera.
    """
    position = camera.positions_world[0].double()
    offset = centre.double() - position
    distance = float(offset.norm())
    if distance <= radius:
        raise ValueError(f"the camera is {distance:.3g} from the middle of a ball of radius {radius:.3g}")
    rotation = camera.world_from_camera[0, :3, :3].double()
    turn = _shortest_turn(rotation[:, 2], offset / distance)
    half = size_px / 2
    focal = half / math.tan(math.asin(radius / distance))
    pose = rigid((turn @ rotation)[None], position[None]).to(camera.world_from_camera)
    aimed = Cameras.pinhole(pose, fx=focal, fy=focal, cx=half, cy=half, width=size_px, height=size_px)
    return aimed.replace(time=camera.time)


def turned_image(image: Float[Tensor, "h w c"], camera: Cameras, wanted: Cameras) -> Float[Tensor, "h2 w2 c"]:
    """What ``wanted``, in the place of ``camera``, sees of its picture; 0 where that shows nothing. Both are pinholes.

    Bilinear, after a reduction by area to about the scale of the wanted picture.
    """
    old, new = float(camera.intrinsics[0, 0, 0]), float(wanted.intrinsics[0, 0, 0])
    factor = min(1.0, new / old)
    width, height = (max(1, math.ceil(size * factor)) for size in (camera.width, camera.height))
    small = area_resize(image, width=width, height=height)
    y, x = torch.meshgrid(
        *(torch.arange(n, dtype=torch.float64) + 0.5 for n in (wanted.height, wanted.width)), indexing="ij"
    )
    matrix = wanted.intrinsics[0].double()
    local = torch.stack(
        [(x - matrix[0, 2]) / matrix[0, 0], (y - matrix[1, 2]) / matrix[1, 1], torch.ones_like(x)], dim=-1
    )
    wanted_pose = wanted.world_from_camera[0].double()
    points = local.reshape(-1, 3) @ wanted_pose[:3, :3].T + wanted_pose[:3, 3]
    exact = camera.replace(world_from_camera=camera.world_from_camera.double(), intrinsics=camera.intrinsics.double())
    pixels, depth = project(points, exact)
    pixels = pixels[0] * pixels.new_tensor([width / camera.width, height / camera.height])
    seen = sample_bilinear(small, pixels.reshape(*x.shape, 2))
    return torch.where((depth[0] > 0).reshape(*x.shape, 1), seen, 0.0)


def _shortest_turn(start: Float[Tensor, "3"], end: Float[Tensor, "3"]) -> Float[Tensor, "3 3"]:
    """The smallest rotation that takes one unit vector to another."""
    axis = torch.linalg.cross(start, end)
    sine, cosine = float(axis.norm()), float(start @ end)
    if sine < 1e-12:
        if cosine > 0:
            return torch.eye(3, dtype=start.dtype)
        axis = torch.linalg.cross(start, torch.eye(3, dtype=start.dtype)[int(start.abs().argmin())])
    unit = torch.nn.functional.normalize(axis, dim=0)
    return so3_exp(unit[None] * math.atan2(sine, cosine))[0]
