"""Pictures for the report: bounded in size, encoded as data URIs; error and depth as colours."""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float
from PIL import Image
from torch import Tensor

from veduta.core import InputError
from veduta.io.images import read_image
from veduta.recipes.colors import colorize

MAX_WIDTH, MAX_HEIGHT = 800, 800
"""Pixels; larger pictures are scaled down."""
JPEG_QUALITY = 85
THUMBNAIL = 96
"""Pixels along the longer side of a thumbnail."""
FULL_ERROR = 0.2
"""The error (mean absolute difference over the channels) that takes the ramp's last colour; the same for all views."""

RAMP: tuple[tuple[int, int, int], ...] = (
    (10, 10, 24),
    (36, 22, 76),
    (86, 28, 108),
    (142, 40, 104),
    (196, 62, 80),
    (234, 105, 52),
    (248, 164, 52),
    (252, 228, 148),
)
"""Of errors: dark to bright in even steps of lightness, so that order is visible without colour."""
DEPTH_RAMP: tuple[tuple[int, int, int], ...] = (
    (10, 14, 36),
    (22, 42, 88),
    (22, 80, 122),
    (30, 120, 136),
    (70, 160, 136),
    (142, 198, 130),
    (218, 228, 148),
    (250, 246, 208),
)
"""Of depth, cool, so that nobody takes the one for the other."""


def error_map(photo: Float[Tensor, "h w 3"], render: Float[Tensor, "h w 3"]) -> Float[Tensor, "h w 3"]:
    """The absolute difference, averaged over the channels, as colours of :data:`RAMP` up to :data:`FULL_ERROR`."""
    return colorize((photo - render).abs().mean(-1) / FULL_ERROR, RAMP)


def depth_map(depth: Float[Tensor, "h w"]) -> Float[Tensor, "h w 3"]:
    """Depth as colours of :data:`DEPTH_RAMP`, near bright (2nd to 98th percentile); 0 (unknown) is black."""
    depth = torch.where(depth.isfinite(), depth, 0.0)
    known = depth[depth > 0]
    if known.numel() == 0:
        return torch.zeros(*depth.shape, 3)
    low, high = np.quantile(known.numpy(), (0.02, 0.98))
    nearness = 1.0 - (depth - float(low)) / max(float(high - low), 1e-12)
    return colorize(nearness.clamp(0.08, 1.0), DEPTH_RAMP) * (depth > 0)[..., None]


def ramp_css(colors: Sequence[tuple[int, int, int]] = RAMP) -> str:
    """A CSS gradient of the colours, left to right."""
    return f"linear-gradient(to right, {', '.join(f'rgb({r} {g} {b})' for r, g, b in colors)})"


def read_rgb(path: Path) -> Float[Tensor, "h w 3"]:
    """The picture's colours, 0 to 1; InputError where it cannot be read."""
    return read_image(path)[0]


def require_same_size(photo: Float[Tensor, "h w 3"], render: Float[Tensor, "h2 w2 3"], *, where: Path) -> None:
    """InputError about ``where``, the render's file, unless it has the photograph's size."""
    if photo.shape != render.shape:
        size = [f"{picture.shape[1]}x{picture.shape[0]}" for picture in (photo, render)]
        raise InputError(
            "the render's size differs from the photograph's",
            where=where,
            expected=size[0],
            got=size[1],
            hint="Evaluate the run again: veduta eval RUN.",
        )


def data_uri(rgb: Float[Tensor, "h w 3"], *, max_size: tuple[int, int] = (MAX_WIDTH, MAX_HEIGHT)) -> str:
    """A JPEG of at most that width and height (its shape kept) as a ``data:`` address."""
    picture = Image.fromarray((rgb.clamp(0.0, 1.0) * 255.0 + 0.5).to(torch.uint8).numpy())
    picture.thumbnail(max_size, Image.Resampling.LANCZOS)
    packed = io.BytesIO()
    picture.save(packed, "JPEG", quality=JPEG_QUALITY, optimize=True)
    return f"data:image/jpeg;base64,{base64.b64encode(packed.getvalue()).decode('ascii')}"


def thumbnail_uri(rgb: Float[Tensor, "h w 3"]) -> str:
    """A small JPEG as a ``data:`` address."""
    return data_uri(rgb, max_size=(THUMBNAIL, THUMBNAIL))
