"""The ``.splat`` files of web viewers: 32 bytes for each Gaussian, no header, colour of SH degree 0 alone.

The layout, as published with https://github.com/antimatter15/splat: mean and scales as little-endian float32, colour
and opacity as bytes of 0 to 1 (red, green, blue, alpha), rotation wxyz as bytes (b - 128) / 128; the most important
Gaussians (opacity times volume) first, so that a viewer can show a file while it loads.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from veduta.core import Gaussians, InputError
from veduta.geometry.sh import SH_C0
from veduta.io.atomic import atomic_path
from veduta.io.gaussian_rows import SMALLEST, gaussians_from_arrays, only_finite, unit_quats
from veduta.io.paths import input_error, require_file

_ROW = np.dtype([("mean", "<f4", 3), ("scale", "<f4", 3), ("rgba", "u1", 4), ("quat", "u1", 4)])


def read_splat(path: str | Path, *, drop_invalid: bool = False) -> Gaussians:
    """The Gaussians of a .splat file, SH degree 0.

    A file that is no whole number of rows, or rows that are not finite (left out with ``drop_invalid``), raise
    InputError. Any other bytes are Gaussians: the format cannot say more.
    """
    path = require_file(path, what="a .splat file")
    try:
        data = path.read_bytes()
    except OSError as error:
        raise input_error(error, path) from error
    if len(data) % _ROW.itemsize:
        expected = f"{_ROW.itemsize} bytes for each Gaussian"
        hint = "The file is truncated or of another kind: export it again."
        raise InputError("not a .splat file", where=path, expected=expected, got=f"{len(data)} bytes", hint=hint)
    rows = np.frombuffer(data, dtype=_ROW)
    rgba = rows["rgba"].astype(np.float64) / 255.0
    with np.errstate(invalid="ignore"):
        scales = np.maximum(np.abs(rows["scale"]), np.float32(SMALLEST))
    gaussians = gaussians_from_arrays(
        means=rows["mean"].astype(np.float32),
        quats=unit_quats((rows["quat"].astype(np.float64) - 128.0) / 128.0),
        scales=scales,
        opacities=rgba[:, 3].astype(np.float32),
        sh=((rgba[:, None, :3] - 0.5) / SH_C0).astype(np.float32),
    )
    return only_finite(gaussians, path, drop_invalid=drop_invalid)


def write_splat(gaussians: Gaussians, path: str | Path) -> None:
    """Write Gaussians as a .splat file, most important first, atomically. Raises OutputError.

    The format has no place for SH above degree 0 and holds colour, opacity and rotation to 8 bits.
    """
    gaussians = gaussians.detach().to("cpu")
    importance = torch.log(gaussians.opacities.double()) + torch.log(gaussians.scales.double()).sum(dim=1)
    ordered = gaussians[torch.argsort(importance, descending=True, stable=True)]
    rows = np.empty(len(ordered), dtype=_ROW)
    rows["mean"] = ordered.means.numpy()
    rows["scale"] = ordered.scales.numpy()
    rows["rgba"][:, :3] = _to_byte((0.5 + SH_C0 * ordered.sh[:, 0].numpy()) * 255.0)
    rows["rgba"][:, 3] = _to_byte(ordered.opacities.numpy() * 255.0)
    rows["quat"] = _to_byte(torch.nn.functional.normalize(ordered.quats, dim=1).numpy() * 128.0 + 128.0)
    with atomic_path(path) as temporary:
        temporary.write_bytes(rows.tobytes())


def _to_byte(values: np.ndarray) -> np.ndarray:
    return np.clip(np.rint(values), 0, 255).astype(np.uint8)
