"""The compressed PLY of PlayCanvas and SuperSplat, read.

Described at https://blog.playcanvas.com/compressing-gaussian-splats and, with the spherical harmonics, in the public
documentation of splat-transform. Gaussians come in chunks of 256, which share the ranges in element ``chunk`` (the
last chunk may be shorter). Each Gaussian has four 32-bit words in element ``vertex``, fields from the top bit down,
each field v of b bits standing for v / (2**b - 1):

- ``packed_position``: x, y, z in 11, 10, 11 bits, from min_x.. to max_x..;
- ``packed_scale``: the same, the logarithms of the scales, from min_scale_x.. to max_scale_x..;
- ``packed_rotation``: 2 bits for which of w, x, y, z is largest in magnitude (and positive), then the other three in
  that order in 10 bits each, from -1/sqrt(2) to 1/sqrt(2);
- ``packed_color``: r, g, b in 8 bits each, from min_r.. to max_r.. where the file has these and from 0 to 1 otherwise,
  shown as 0.5 + SH_C0 * f_dc; then the opacity itself in 8 bits.

Element ``sh``, if there, has bytes ``f_rest_*`` in the order of the float format: 0 stands for -4, 255 for 4, and any
other v for the middle of its bin, 8 * ((v + 0.5) / 256 - 0.5).
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from veduta.core import Gaussians, InputError
from veduta.geometry.sh import SH_C0
from veduta.io.gaussian_rows import gaussians_from_arrays, scale_from_log, unit_quats
from veduta.io.ply_header import Table, truncated

CHUNK = 256
PACKED = ("packed_position", "packed_rotation", "packed_scale", "packed_color")
_BLOCK = 64 * CHUNK
_POSITION_BOUNDS = ("min_x", "min_y", "min_z", "max_x", "max_y", "max_z")
_SCALE_BOUNDS = tuple(name.replace("_", "_scale_") for name in _POSITION_BOUNDS)
_COLOR_BOUNDS = ("min_r", "min_g", "min_b", "max_r", "max_g", "max_b")
_OTHERS = np.array([[1, 2, 3], [0, 2, 3], [0, 1, 3], [0, 1, 2]])  # the three components besides the largest


def unpack(tables: dict[str, Table], where: Path, *, rest: tuple[str, ...]) -> Gaussians:
    """The Gaussians of elements chunk, vertex and sh, whose bytes ``rest`` are f_rest_0 and on."""
    count = tables["vertex"].element.count
    bounds = _bounds(tables, where)
    k = 1 + len(rest) // 3
    means, scales = np.empty((count, 3), np.float32), np.empty((count, 3), np.float32)
    quats, opacities = np.empty((count, 4), np.float32), np.empty(count, np.float32)
    sh = np.empty((count, k, 3), np.float32)
    for start in range(0, count, _BLOCK):
        stop = min(start + _BLOCK, count)
        rows = slice(start, stop)
        packed = {name: tables["vertex"].rows(start, stop)[name].astype(np.uint32) for name in PACKED}
        near = {name: values[np.arange(start, stop) // CHUNK] for name, values in bounds.items()}
        means[rows] = _between(near["position"], _fields(packed["packed_position"], 11, 10, 11))
        scales[rows] = scale_from_log(_between(near["scale"], _fields(packed["packed_scale"], 11, 10, 11)))
        quats[rows] = unit_quats(_rotations(packed["packed_rotation"]))
        rgba = _fields(packed["packed_color"], 8, 8, 8, 8)
        sh[rows, 0] = (_between(near["color"], rgba[:, :3]) - 0.5) / SH_C0
        opacities[rows] = rgba[:, 3]
        if rest:
            sh[rows, 1:] = _harmonics(tables["sh"].rows(start, stop), rest)
    return gaussians_from_arrays(means=means, quats=quats, scales=scales, opacities=opacities, sh=sh)


def _bounds(tables: dict[str, Table], where: Path) -> dict[str, np.ndarray]:
    """Ranges [chunks, 2, 3] (least, most) of positions, logarithms of scales, and colours."""
    count = tables["vertex"].element.count
    if "chunk" not in tables:
        hint = "Export it again."
        raise InputError("the packed Gaussians have no ranges", where=where, expected="element chunk", hint=hint)
    chunk = tables["chunk"]
    needed = -(-count // CHUNK)
    if chunk.element.count < needed:
        raise truncated(where, chunk.element, f"{needed} chunks for {count} Gaussians", f"{chunk.element.count}")
    missing = {*_POSITION_BOUNDS, *_SCALE_BOUNDS} - chunk.element.names
    if missing:
        got = ", ".join(sorted(missing))
        raise InputError("element chunk lacks properties", where=where, expected="min and max of each", got=got)
    rows = chunk.rows(0, needed)

    def columns(names: tuple[str, ...]) -> np.ndarray:
        return np.stack([rows[name].astype(np.float64) for name in names], axis=1).reshape(needed, 2, 3)

    unit = np.broadcast_to(np.array([[0.0], [1.0]]), (needed, 2, 3))
    has_colors = chunk.element.names.issuperset(_COLOR_BOUNDS)
    return {
        "position": columns(_POSITION_BOUNDS),
        "scale": columns(_SCALE_BOUNDS),
        "color": columns(_COLOR_BOUNDS) if has_colors else unit,
    }


def _fields(words: np.ndarray, *bits: int) -> np.ndarray:
    """The bit fields of each word from the top down, 0 to 1: float64 [n, fields]."""
    out, shift = np.empty((len(words), len(bits))), 32
    for column, width in enumerate(bits):
        shift -= width
        top = 2**width - 1
        out[:, column] = ((words >> np.uint32(shift)) & np.uint32(top)) / top
    return out


def _between(bounds: np.ndarray, fraction: np.ndarray) -> np.ndarray:
    with np.errstate(invalid="ignore", over="ignore"):
        return bounds[:, 0] * (1.0 - fraction) + bounds[:, 1] * fraction


def _rotations(words: np.ndarray) -> np.ndarray:
    """Quaternions wxyz [n, 4]."""
    largest = words >> np.uint32(30)
    others = (_fields(words, 2, 10, 10, 10)[:, 1:] - 0.5) * np.sqrt(2.0)
    quats = np.empty((len(words), 4))
    np.put_along_axis(quats, _OTHERS[largest], others, axis=1)
    rest = np.sqrt(np.maximum(0.0, 1.0 - np.square(others).sum(axis=1)))
    np.put_along_axis(quats, largest[:, None].astype(np.intp), rest[:, None], axis=1)
    return quats


def _harmonics(rows: np.ndarray, rest: tuple[str, ...]) -> np.ndarray:
    """Spherical harmonics above degree 0 [n, k - 1, 3] from bytes that go through one channel after the other."""
    values = np.stack([rows[name] for name in rest], axis=1).astype(np.float32)
    fraction = np.where(values == 0, 0.0, np.where(values == 255, 1.0, (values + 0.5) / 256.0))
    return ((fraction - 0.5) * 8.0).reshape(len(rows), 3, -1).swapaxes(1, 2)
