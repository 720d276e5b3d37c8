"""Maps as pictures that explain themselves: colours, with a bar beneath that says what they mean."""

from __future__ import annotations

import numpy as np
import torch
from jaxtyping import Float
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

from veduta.recipes.colors import INFORMATION_RAMP, colorize, information_colors, information_overlay

LEAST_WIDTH = 300
"""Pixels; narrower pictures get margins, so that the bar's words fit."""
_PAPER, _INK = (13, 15, 24), (235, 235, 240)
_BAR_SHARE = 0.4
"""Of the strip's height that the colours take."""


def gain_picture(gain: Float[Tensor, "h w"], *, top: float) -> Float[Tensor, "h2 w2 3"]:
    """A map of gains (nats) in colours of 0 to ``top``, the gain where nothing is known, and their bar."""
    return with_bar(information_colors(gain, top), top=top, title="gain, nats", end="nothing known")


def std_picture(
    std: Float[Tensor, "h w"], *, top: float, title: str = "standard deviation of the colour"
) -> Float[Tensor, "h2 w2 3"]:
    """A map of standard deviations of the colour, which is 0 to 1, in colours of 0 to ``top``, and their bar."""
    return with_bar(information_colors(std, top), top=top, title=title, end="")


def overlay_picture(
    color: Float[Tensor, "h w 3"], gain: Float[Tensor, "h w"], *, top: float
) -> Float[Tensor, "h2 w2 3"]:
    """The picture, covered the more the less is known, and the bar of gains (nats)."""
    return with_bar(
        information_overlay(color.clamp(0.0, 1.0), gain, top), top=top, title="gain, nats", end="nothing known"
    )


def with_bar(picture: Float[Tensor, "h w 3"], *, top: float, title: str, end: str) -> Float[Tensor, "h2 w2 3"]:
    """A picture over a strip with the ramp from 0 to ``top``, numbers beneath it, and what its end means."""
    height, width = picture.shape[:2]
    wide = max(width, LEAST_WIDTH)
    strip = max(30, min(round(wide / 16), 72))
    paper = torch.tensor(_PAPER, dtype=torch.float32) / 255.0
    page = paper.expand(height + strip, wide, 3).clone()
    left = (wide - width) // 2
    page[:height, left : left + width] = picture.float()
    page[height:] = _bar(wide, strip, top=top, title=title, end=end)
    return page


def _bar(width: int, height: int, *, top: float, title: str, end: str) -> Float[Tensor, "h w 3"]:
    margin, thick = round(0.3 * height), round(_BAR_SHARE * height)
    inner = width - 2 * margin
    ramp = colorize(torch.linspace(0.0, 1.0, inner).expand(thick, inner), INFORMATION_RAMP)
    image = Image.new("RGB", (width, height), _PAPER)
    image.paste(Image.fromarray((ramp * 255.0 + 0.5).to(torch.uint8).numpy()), (margin, round(0.12 * height)))
    pen = ImageDraw.Draw(image)
    font = ImageFont.load_default(size=0.34 * height)
    below = round(0.12 * height) + thick + 1
    pen.text((margin, below), "0", font=font, fill=_INK)
    pen.text((width / 2, below), title, font=font, fill=_INK, anchor="ma")
    last = f"{top:.2g}: {end}" if end else f"{top:.2g}"
    pen.text((width - margin, below), last, font=font, fill=_INK, anchor="ra")
    return torch.from_numpy(np.asarray(image, dtype=np.float32) / np.float32(255))
