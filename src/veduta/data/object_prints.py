"""Printed labels: bands, logos, words in real letters, small print, bar codes."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from veduta.data.object_paints import Picture, Rgb, noise

_SYLLABLES = (
    "al",
    "ba",
    "co",
    "da",
    "el",
    "fi",
    "go",
    "hu",
    "in",
    "ja",
    "ka",
    "lo",
    "mi",
    "na",
    "or",
    "pu",
    "ra",
    "si",
    "to",
)
_FONT_SIZES = (8, 12, 16, 24, 32, 48, 72)
_BAR_COLUMNS = 29


def label(rng: np.random.Generator, colors: Rgb, height: int, width: int, *, repeats: int = 1) -> Picture:
    """The wrapping of a product; ``repeats`` times side by side, for labels around a can."""
    wide = width // repeats
    image = Image.fromarray(_ground(rng, colors, height, wide))
    draw = ImageDraw.Draw(image)
    for _ in range(int(rng.integers(0, 4))):
        _band(rng, draw, colors, height, wide)
    for _ in range(int(rng.integers(1, 4))):
        _emblem(rng, draw, colors, height, wide)
    for _ in range(int(rng.integers(1, 4))):
        _words(rng, draw, colors, height, wide)
    if rng.random() < 0.5:
        _small_print(rng, draw, colors, height, wide)
    if rng.random() < 0.3:
        _bar_code(rng, draw, height, wide)
    picture = np.asarray(image)
    return np.tile(picture, (1, repeats, 1))[:, :width]


def _ground(rng: np.random.Generator, colors: Rgb, height: int, width: int) -> Picture:
    """One colour, a gradient, or two colours with a wavy edge."""
    v = np.linspace(0, 1, height, dtype=np.float32)[:, None] + np.zeros((1, width), dtype=np.float32)
    kind = rng.integers(3)
    if kind == 0:
        share = 0.15 * noise(rng, height, width, 2)
    elif kind == 1:
        share = v if rng.random() < 0.5 else 1 - v
    else:
        wave = rng.uniform(0.02, 0.1) * np.sin(2 * np.pi * rng.integers(1, 4) * np.linspace(0, 1, width))
        share = (v + wave > rng.uniform(0.3, 0.7)).astype(np.float32)
    mixed = colors[0] + (colors[1] - colors[0]) * share[..., None]
    return np.clip(mixed, 0, 255).astype(np.uint8)


def _band(rng: np.random.Generator, draw: Any, colors: Rgb, height: int, width: int) -> None:
    top = int(rng.integers(-2, height))
    thick = int(height * rng.choice([0.01, 0.03, 0.1, 0.25])) + 1
    if rng.random() < 0.7:
        draw.rectangle((0, top, width, top + thick), fill=_ink(rng, colors))
    else:
        slant = int(rng.integers(-height // 2, height // 2 + 1))
        corners = [(0, top), (width, top + slant), (width, top + slant + thick), (0, top + thick)]
        draw.polygon(corners, fill=_ink(rng, colors))


def _emblem(rng: np.random.Generator, draw: Any, colors: Rgb, height: int, width: int) -> None:
    """A disc, a rounded plate, a burst, a mountain, or scattered pieces."""
    x, y = rng.uniform(0.2, 0.8, 2) * (width, height)
    w, h = rng.uniform(0.08, 0.4, 2) * (width, height)
    area = (x - w, y - h, x + w, y + h)
    kind = rng.integers(5)
    if kind == 0:
        draw.ellipse(area, fill=_ink(rng, colors), outline=_ink(rng, colors), width=int(rng.integers(1, 5)))
    elif kind == 1:
        draw.rounded_rectangle(area, radius=float(min(w, h)) * 0.4, fill=_ink(rng, colors), outline=_ink(rng, colors))
    elif kind == 2:
        points = int(rng.integers(8, 24))
        angle = np.arange(2 * points) * np.pi / points
        reach = np.where(np.arange(2 * points) % 2 == 0, 1.0, rng.uniform(0.5, 0.85))
        draw.polygon(
            [(x + w * r * np.cos(a), y + h * r * np.sin(a)) for a, r in zip(angle, reach, strict=True)],
            fill=_ink(rng, colors),
        )
    elif kind == 3:
        draw.polygon(
            [(x - w, y + h), (x - 0.2 * w, y - h), (x + 0.3 * w, y), (x + 0.6 * w, y - 0.4 * h), (x + w, y + h)],
            fill=_ink(rng, colors),
        )
    else:
        size = min(w, h) * 0.4
        for _ in range(int(rng.integers(6, 30))):
            a, b = rng.uniform(0, 1, 2) * (width, height)
            r = size * rng.uniform(0.3, 1.0)
            draw.ellipse((a - r, b - 0.7 * r, a + r, b + 0.7 * r), fill=_ink(rng, colors))


def _words(rng: np.random.Generator, draw: Any, colors: Rgb, height: int, width: int) -> None:
    """One large word, sometimes with an outline or a shadow."""
    word = _word(rng)
    wanted = width * rng.uniform(0.35, 0.9)
    size = max(s for s in _FONT_SIZES if s == _FONT_SIZES[0] or 0.6 * s * len(word) <= wanted)
    font = _font(size)
    left = (width - draw.textlength(word, font=font)) / 2 + rng.normal(0, 0.04) * width
    top = rng.uniform(0.03, 0.8) * height
    ink, edge = _ink(rng, colors), _ink(rng, colors)
    if rng.random() < 0.3:
        draw.text((left + size / 16, top + size / 16), word, fill=edge, font=font)
        draw.text((left, top), word, fill=ink, font=font)
    else:
        draw.text((left, top), word, fill=ink, font=font, stroke_width=int(rng.choice([0, 1, 2])), stroke_fill=edge)


def _small_print(rng: np.random.Generator, draw: Any, colors: Rgb, height: int, width: int) -> None:
    """A box of text too small to be read from afar."""
    x, y = rng.uniform(0.0, 0.65, 2) * (width, height)
    lines = int(rng.integers(3, 12))
    draw.rectangle((x, y, x + 0.33 * width, y + 9 * lines + 3), fill=_ink(rng, colors))
    ink = _ink(rng, colors)
    for line in range(lines):
        text = " ".join(_word(rng) for _ in range(int(rng.integers(1, 4))))
        draw.text((x + 2, y + 9 * line), text[: max(2, int(0.33 * width / 5))], fill=ink, font=_font(8))


def _bar_code(rng: np.random.Generator, draw: Any, height: int, width: int) -> None:
    x, y = int(rng.uniform(0.02, 0.7) * width), int(rng.uniform(0.5, 0.8) * height)
    tall = int(0.15 * height)
    draw.rectangle((x, y, x + 2 * _BAR_COLUMNS + 3, y + tall + 3), fill=(250, 250, 248))
    for column in np.flatnonzero(rng.random(_BAR_COLUMNS) < 0.5):
        draw.rectangle((x + 2 + 2 * int(column), y + 2, x + 3 + 2 * int(column), y + tall), fill=(10, 10, 12))


def _word(rng: np.random.Generator) -> str:
    word = "".join(rng.choice(_SYLLABLES, size=int(rng.integers(1, 4))))
    return (word.upper, word.title, word.lower)[int(rng.integers(3))]()


def _ink(rng: np.random.Generator, colors: Rgb) -> tuple[int, int, int]:
    """One of the colours, or nearly black or white."""
    if rng.random() < 0.25:
        return (248, 247, 244) if rng.random() < 0.6 else (22, 20, 24)
    red, green, blue = colors[int(rng.integers(len(colors)))].astype(int).tolist()
    return red, green, blue


@cache
def _font(size: int) -> Any:
    return ImageFont.load_default(size)
