"""Textures of meshes in ever smaller copies, so that a surface far away or seen aslant does not flicker."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.floating[Any]]

_CODES = np.arange(256, dtype=np.float64) / 255
_LINEAR = np.where(_CODES <= 0.04045, _CODES / 12.92, ((_CODES + 0.055) / 1.055) ** 2.4).astype(np.float32)
"""Linear light of the 256 sRGB codes (IEC 61966-2-1)."""
_STEPS = 4096
_GRID = np.arange(_STEPS + 1, dtype=np.float64) / _STEPS
_ENCODED = np.where(_GRID <= 0.0031308, 12.92 * _GRID, 1.055 * _GRID ** (1 / 2.4) - 0.055).astype(np.float32)


def encoded(linear: Array) -> Array:
    """SRGB encoding of linear light, clamped to 0 to 1; within 4e-4 of the exact curve."""
    position = np.clip(linear, 0, 1).astype(np.float32) * np.float32(_STEPS)
    low = np.minimum(position.astype(np.int32), _STEPS - 1)
    first = _ENCODED[low]
    return first + (position - low.astype(np.float32)) * (_ENCODED[low + 1] - first)


def linear_from_bytes(codes: NDArray[np.floating[Any]]) -> Array:
    """Linear light of sRGB codes 0 to 255, the nearest whole one."""
    return _LINEAR[np.clip(np.rint(codes), 0, 255).astype(np.int64)]


class Mipmaps:
    """Pictures [h, w, 4] of 8 bits and their halvings down to one texel, in one array."""

    def __init__(self, images: tuple[NDArray[np.uint8], ...]) -> None:
        texels: list[NDArray[np.uint8]] = []
        first, sizes, start = [], [], 0
        for image in images:
            first.append(len(sizes))
            level = image
            while True:
                sizes.append((start, level.shape[1], level.shape[0]))
                texels.append(level.reshape(-1, 4))
                start += level.shape[0] * level.shape[1]
                if max(level.shape[:2]) == 1:
                    break
                level = _halved(level)
        self._texels = np.ascontiguousarray(np.concatenate(texels)).view(np.uint32).reshape(-1)
        self._first = np.array(first, dtype=np.int32)
        self._levels = np.diff(np.array([*first, len(sizes)], dtype=np.int32))
        self._start, self._width, self._height = (
            np.array(column, dtype=np.int32) for column in zip(*sizes, strict=True)
        )

    def color(self, which: NDArray[np.int64], uv: Array, texels: Array) -> Array:
        """Linear colour [n, 3] of pictures at positions; ``texels`` is how many of them a ray stands for.

        Bilinear, in the copy whose texels come closest to that size.
        """
        wanted = np.rint(np.log2(np.maximum(texels, 1))).astype(np.int32)
        level = self._first[which] + np.minimum(wanted, self._levels[which] - 1)
        start, width, height = self._start[level], self._width[level], self._height[level]
        x0, fx, x1 = _neighbours(uv[:, 0], width)
        y0, fy, y1 = _neighbours(uv[:, 1], height)
        above, below = start + y0 * width, start + y1 * width
        top = _mix(self._linear(above + x0), self._linear(above + x1), fx)
        bottom = _mix(self._linear(below + x0), self._linear(below + x1), fx)
        return _mix(top, bottom, fy)

    def alpha(self, which: NDArray[np.int64], uv: Array) -> Array:
        """Coverage [n], 0 to 1, of the nearest texel at full size."""
        level = self._first[which]
        width, height = self._width[level], self._height[level]
        x = np.minimum(((uv[:, 0] - np.floor(uv[:, 0])) * width).astype(np.int32), width - 1)
        y = np.minimum(((uv[:, 1] - np.floor(uv[:, 1])) * height).astype(np.int32), height - 1)
        return (self._texels[self._start[level] + y * width + x] >> 24).astype(np.float32) / np.float32(255)

    def _linear(self, index: NDArray[np.int32]) -> Array:
        return _LINEAR[self._texels[index].view(np.uint8).reshape(-1, 4)[:, :3]]


def _neighbours(position: Array, size: NDArray[np.int32]) -> tuple[NDArray[np.int32], Array, NDArray[np.int32]]:
    """The texel before a repeated position, how far the position lies towards the next one, and that one."""
    texel = (position - np.floor(position)) * size.astype(np.float32) - np.float32(0.5)
    low = np.floor(texel).astype(np.int32)
    share = texel - low.astype(np.float32)
    after = low + 1
    return np.where(low < 0, size - 1, low), share, np.where(after >= size, 0, after)


def _mix(first: Array, second: Array, share: Array) -> Array:
    return first + (second - first) * share[:, None]


def _halved(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Means of blocks of 2 x 2; a last odd row or column is left out, a single one kept."""
    total = image.astype(np.uint16)
    for axis in (0, 1):
        count = total.shape[axis]
        if count > 1:
            even = np.take(total, range(0, count - 1, 2), axis=axis)
            odd = np.take(total, range(1, count, 2), axis=axis)
            total = even + odd
        else:
            total = total * 2
    return ((total + 2) // 4).astype(np.uint8)
