"""Pictures for the surfaces of procedural objects: prints, patterns, grains, coats. All repeat to the right.

Every painter takes a generator, colours (sRGB, 0 to 255) and a size, and returns 8-bit sRGB [h, w, 3].
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from veduta.data.object_chance import one_of

Rgb = NDArray[np.floating[Any]]
Picture = NDArray[np.uint8]
Painter = Callable[[np.random.Generator, Rgb, int, int], Picture]

_BANK = 24
_BANK_PX = 256

SCHEMES: dict[str, tuple[tuple[int, int, int], ...]] = {
    "grocery": ((200, 30, 30), (245, 240, 225), (25, 60, 140), (250, 200, 40), (40, 110, 60), (20, 20, 25)),
    "wood": ((120, 75, 45), (90, 55, 32), (160, 110, 70), (60, 40, 28), (185, 140, 95)),
    "metal": ((70, 74, 80), (110, 114, 120), (160, 163, 168), (45, 47, 52), (200, 202, 205)),
    "earth": ((140, 110, 80), (95, 80, 60), (175, 155, 125), (70, 60, 50), (120, 60, 45)),
    "fruit": ((70, 110, 35), (225, 190, 50), (195, 45, 35), (235, 130, 40), (130, 160, 60), (95, 60, 30)),
    "animal": ((235, 225, 215), (60, 50, 45), (150, 105, 70), (215, 170, 120), (235, 160, 150), (110, 110, 112)),
    "toy": ((245, 205, 25), (220, 50, 45), (40, 120, 210), (60, 170, 85), (245, 245, 240), (235, 120, 30)),
    "dark": ((28, 28, 32), (55, 52, 50), (80, 80, 85), (18, 20, 24), (100, 90, 80)),
    "pastel": ((235, 205, 210), (200, 220, 235), (215, 232, 205), (245, 235, 205), (220, 210, 235)),
}
"""Colours that things tend to have; :func:`palette` varies them."""


def palette(rng: np.random.Generator, scheme: str | None = None, count: int = 5) -> Rgb:
    """Colours [count, 3] that go together; of any hue where no scheme is named."""
    if scheme is None:
        hue = rng.random() + rng.choice([0.0, 0.5, 0.33, 0.08], size=count) + rng.normal(0, 0.03, count)
        saturation = np.clip(rng.beta(1.6, 1.8) + rng.normal(0, 0.15, count), 0, 1)
        value = np.clip(rng.beta(2.2, 1.3, count), 0.06, 0.97)
        wave = np.abs((hue[:, None] + np.array([0, 2 / 3, 1 / 3])) % 1 * 6 - 3) - 1
        return (255 * value[:, None] * (1 - saturation[:, None] * (1 - np.clip(wave, 0, 1)))).astype(np.float32)
    base = np.array(SCHEMES[scheme], dtype=np.float32)
    chosen = (
        base[rng.permutation(len(base))[:count]] if count <= len(base) else base[rng.integers(len(base), size=count)]
    )
    cast = rng.normal(1, 0.07, 3) * rng.uniform(0.8, 1.12)
    return np.clip(chosen * cast + rng.normal(0, 9, chosen.shape), 4, 250).astype(np.float32)


def plain(rng: np.random.Generator, colors: Rgb, height: int, width: int) -> Picture:
    """One colour, with a faint mottling."""
    grain = noise(rng, height, width, one_of(rng, 1, 2, 4)) - 0.5
    return _bytes(colors[0] * (1 + rng.uniform(0, 0.25) * grain[..., None]))


def shaded(rng: np.random.Generator, colors: Rgb, height: int, width: int) -> Picture:
    """From one colour at the top to others further down, with speckles: fruit, sunsets, glazes."""
    v = np.linspace(0, 1, height)[:, None] + 0.3 * (noise(rng, height, width, 1) - 0.5)
    stops = np.sort(rng.random(3))
    ramp = np.stack([np.interp(v, stops, colors[:3, c]) for c in range(3)], axis=2)
    specks = noise(rng, height, width, 8) < rng.uniform(0.1, 0.3)
    return _bytes(_mix(ramp, colors[3], 0.6 * specks * rng.integers(0, 2)))


def stripes(rng: np.random.Generator, colors: Rgb, height: int, width: int) -> Picture:
    """Bands of several widths, straight or slanted, sharp or soft, sometimes wavy."""
    u, v = _grid(height, width)
    across = int(rng.integers(0, 7))
    phase = across * u + rng.integers(0 if across else 1, 9) * v
    phase = phase + rng.choice([0.0, 0.0, 0.25]) * noise(rng, height, width, 2)
    edges = np.sort(rng.random(rng.integers(2, 5)))
    pick = np.searchsorted(edges, phase % 1)
    return _bytes(_grained(rng, colors[pick % len(colors)]))


def checks(rng: np.random.Generator, colors: Rgb, height: int, width: int) -> Picture:
    """A chess board, or tartan-like crossing bands."""
    u, v = _grid(height, width)
    count = 2 * rng.integers(2, 9)
    a, b = np.floor(u * count) % 2, np.floor(v * rng.integers(4, 16)) % 2
    mixed = np.abs(a - b) if rng.random() < 0.6 else (a + b) / 2
    return _bytes(_grained(rng, _mix(colors[0], colors[1], mixed)))


def dots(rng: np.random.Generator, colors: Rgb, height: int, width: int) -> Picture:
    """Discs in rows, staggered, some of another colour."""
    u, v = _grid(height, width)
    columns, rows = int(rng.integers(3, 12)), int(rng.integers(3, 12))
    row = np.floor(v * rows)
    x = u * columns + 0.5 * (row % 2)
    column = np.floor(x) % columns
    near = np.hypot(x % 1 - 0.5, (v * rows) % 1 - 0.5) < rng.uniform(0.18, 0.42)
    kind = 1 + ((column * 7 + row * 3) % rng.integers(1, 4)).astype(np.int64)
    return _bytes(_grained(rng, np.where(near[..., None], colors[kind % len(colors)], colors[0])))


def patches(rng: np.random.Generator, colors: Rgb, height: int, width: int) -> Picture:
    """Irregular spots with clear edges: cows, maps, camouflage."""
    field = noise(rng, height, width, one_of(rng, 1, 1, 2, 3), octaves=3)
    low, high = np.quantile(field, np.sort(rng.uniform(0.2, 0.9, 2)))
    first = _mix(colors[0], colors[1], _step(field - high, 0.01))
    return _bytes(_grained(rng, _mix(first, colors[2], _step(low - field, 0.01) * rng.integers(0, 2))))


def marble(rng: np.random.Generator, colors: Rgb, height: int, width: int) -> Picture:
    """Veins: a wave bent by noise."""
    u, v = _grid(height, width)
    bend = noise(rng, height, width, 1) * rng.uniform(2, 7)
    wave = 0.5 + 0.5 * np.sin(2 * np.pi * (rng.integers(0, 4) * u + rng.integers(1, 5) * v + bend))
    return _bytes(_grained(rng, _mix(colors[0], colors[1], wave ** rng.uniform(0.5, 5))))


def wood(rng: np.random.Generator, colors: Rgb, height: int, width: int) -> Picture:
    """Planks with grain along v."""
    u, v = _grid(height, width)
    planks = int(rng.integers(1, 16))
    plank = np.floor(u * planks) % planks
    tone = rng.uniform(0.75, 1.15, planks)[plank.astype(np.int64)]
    stretched = noise(rng, max(height // 8, 8), width, 6)
    grain = stretched[(np.arange(height) * len(stretched)) // height]
    ringed = 0.5 + 0.5 * np.sin(2 * np.pi * (grain * 4 + 0.3 * v))
    color = _mix(colors[0], colors[1], 0.6 * ringed + 0.4 * grain) * tone[..., None]
    gap = np.minimum((u * planks) % 1, 1 - (u * planks) % 1) < 0.02 * min(planks, 4)
    return _bytes(color * (1 - 0.6 * gap[..., None] * (planks > 1)))


def bricks(rng: np.random.Generator, colors: Rgb, height: int, width: int) -> Picture:
    """Bricks, tiles, scales or weaving: staggered cells with joints, each in its own tone."""
    u, v = _grid(height, width)
    columns, rows = int(rng.integers(3, 16)), int(rng.integers(3, 24))
    row = np.floor(v * rows)
    x = (u * columns + rng.choice([0.0, 0.5]) * (row % 2)) % columns
    cell = (np.floor(x) * 31 + row * 17).astype(np.int64) % 97
    tone = rng.uniform(0.7, 1.2, 97)[cell]
    joint = np.minimum(np.minimum(x % 1, 1 - x % 1), np.minimum(v * rows % 1, 1 - v * rows % 1)) < rng.uniform(
        0.02, 0.12
    )
    chosen = np.where(rng.random(97)[cell][..., None] < 0.75, colors[0], colors[2])
    return _bytes(_grained(rng, np.where(joint[..., None], colors[1], chosen * tone[..., None])))


def panels(rng: np.random.Generator, colors: Rgb, height: int, width: int) -> Picture:
    """Plates of machines: nested rectangles with seams, bolts, worn edges."""
    picture = np.empty((height, width, 3), dtype=np.float32)
    picture[:] = colors[0]
    for _ in range(int(rng.integers(6, 22))):
        h, w = (int(extent * rng.uniform(0.06, 0.5)) + 2 for extent in (height, width))
        y, x = int(rng.integers(0, height - h + 1)), int(rng.integers(0, width - w + 1))
        tone = colors[rng.choice(len(colors), p=_falling(len(colors)))] * rng.uniform(0.85, 1.1)
        picture[y : y + h, x : x + w] = tone * 0.35
        picture[y + 1 : y + h - 1, x + 1 : x + w - 1] = tone
        if rng.random() < 0.3:
            picture[y + 2 : y + h - 2 : max(2, h // 6), x + 2 : x + w - 2] = tone * 0.5
    worn = noise(rng, height, width, 4, octaves=4) > rng.uniform(0.65, 0.95)
    return _bytes(_grained(rng, _mix(picture, colors[-1], 0.5 * worn)))


def target(rng: np.random.Generator, colors: Rgb, height: int, width: int) -> Picture:
    """Rings about the middle, for flat caps: lids, cut fruit, wheels."""
    u, v = _grid(height, width)
    radius = np.hypot(u - 0.5, v - 0.5) * 2 + 0.03 * (noise(rng, height, width, 3) - 0.5)
    edges = np.sort(rng.uniform(0.1, 0.98, rng.integers(1, 6)))
    color = colors[np.searchsorted(edges, radius) % len(colors)]
    spokes = int(rng.choice([0, 0, 5, 8, 12]))
    if spokes:
        angle = np.arctan2(v - 0.5, u - 0.5)
        hit = (np.cos(spokes * angle) > 0.6) & (radius < 0.8) & (radius > 0.3)
        color = np.where(hit[..., None], colors[-1], color)
    return _bytes(_grained(rng, color))


def noise(
    rng: np.random.Generator, height: int, width: int, frequency: int = 1, *, octaves: int | None = None
) -> NDArray[np.floating[Any]]:
    """Smooth noise, 0 to 1, about 0.5; repeats; ``frequency`` counts its largest features per side, about fourfold."""
    field = _noise_bank()[int(rng.integers(_BANK)), 0 if octaves is None or octaves > 3 else 1]
    y = (np.arange(height) * frequency * _BANK_PX // height + rng.integers(_BANK_PX)) % _BANK_PX
    x = (np.arange(width) * frequency * _BANK_PX // width + rng.integers(_BANK_PX)) % _BANK_PX
    return field[y[:, None], x]


@cache
def _noise_bank() -> NDArray[np.floating[Any]]:
    """Fields [bank, rough or smooth, px, px] of repeating noise, made by filtering white noise; 0 to 1."""
    rng = np.random.default_rng(7919)
    frequency = np.fft.fftfreq(_BANK_PX) * _BANK_PX
    radius = np.hypot(frequency[:, None], frequency)
    fields = []
    for falloff, cut in ((1.6, 80.0), (2.2, 14.0)):
        gain = np.where(radius > 0, np.maximum(radius, 3.0) ** -falloff * np.exp(-((radius / cut) ** 2)), 0)
        white = np.fft.fft2(rng.standard_normal((_BANK, _BANK_PX, _BANK_PX)))
        field = np.real(np.fft.ifft2(white * gain))
        fields.append(np.clip(0.5 + field / (5 * field.std(axis=(1, 2), keepdims=True)), 0, 1))
    return np.stack(fields, axis=1).astype(np.float32)


def _grained(rng: np.random.Generator, color: Rgb) -> Rgb:
    """Dirt and wear, faint or strong."""
    dirt = noise(rng, color.shape[0], color.shape[1], int(rng.integers(1, 3))) - 0.5
    return color * (1 + rng.choice([0.0, 0.1, 0.3]) * dirt[..., None])


def _grid(height: int, width: int) -> tuple[NDArray[np.floating[Any]], NDArray[np.floating[Any]]]:
    u = (np.arange(width, dtype=np.float32) + 0.5) / width
    v = (np.arange(height, dtype=np.float32) + 0.5) / height
    return np.broadcast_to(u, (height, width)), np.broadcast_to(v[:, None], (height, width))


def _mix(first: Rgb, second: Rgb, share: NDArray[Any]) -> Rgb:
    return first + (second - first) * np.asarray(share, dtype=np.float32)[..., None]


def _step(x: NDArray[np.floating[Any]], soft: float) -> NDArray[np.floating[Any]]:
    return np.clip(x / soft + 0.5, 0, 1)


def _falling(count: int) -> NDArray[np.float64]:
    weights = 0.5 ** np.arange(count)
    return weights / weights.sum()


def _bytes(color: Rgb) -> Picture:
    return np.clip(color + 0.5, 0, 255).astype(np.uint8)
