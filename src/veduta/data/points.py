"""Point clouds in PLY files, as nerfstudio and others put beside their poses."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import torch
from plyfile import PlyData, PlyElement, PlyParseError

from veduta.core import InputError, PointCloud
from veduta.io.paths import input_error, require_file

MAX_HEADER_BYTES = 65536
GREY = 0.5


def read_points(path: str | Path) -> PointCloud:
    """The vertices of a PLY file, text or binary; their colours from ``red green blue`` (8 bits or 0 to 1), else grey.

    InputError for a file that is damaged or truncated, lacks x, y or z, or has positions that are not finite.
    """
    path = require_file(path, what="a PLY file of points")
    try:
        _check_counts(path)
        vertices = next((e for e in PlyData.read(str(path)).elements if e.name == "vertex"), None)
    except OSError as error:
        raise input_error(error, path) from error
    except (PlyParseError, ValueError, UnicodeDecodeError, EOFError) as error:
        raise InputError(
            "cannot read the points",
            where=path,
            expected="a complete PLY file",
            got=str(error),
            hint="Export it again.",
        ) from error
    names = [] if vertices is None else [p.name for p in vertices.properties]
    missing = [name for name in ("x", "y", "z") if name not in names]
    if vertices is None or missing:
        raise InputError(
            "no positions of points",
            where=path,
            field=" ".join(missing),
            expected="an element vertex with x, y and z",
            got=" ".join(names[:8]) or "no element vertex",
        )
    xyz = _columns(vertices, ("x", "y", "z"))
    if not np.isfinite(xyz).all():
        raise InputError(
            "positions that are not finite",
            where=path,
            field=f"vertex {int(np.argmin(np.isfinite(xyz).all(axis=1)))}",
            expected="finite numbers",
            got="NaN or infinity",
            hint="Remove such points.",
        )
    return PointCloud(xyz=torch.from_numpy(xyz), rgb=_colours(vertices, names))


def _check_counts(path: Path) -> None:
    """Every row takes a byte at least: refuse counts beyond that before anything is allocated."""
    with path.open("rb") as file:
        header = file.read(MAX_HEADER_BYTES)
    for match in re.finditer(rb"^element\s+(\w+)\s+(\d+)", header, re.MULTILINE):
        if int(match[2]) > path.stat().st_size:
            raise InputError(
                "the file is truncated, or its header wrong",
                where=path,
                field=f"element {match[1].decode('ascii', 'replace')}",
                expected=f"at most {path.stat().st_size} rows in a file of that many bytes",
                got=match[2].decode(),
                hint="Export it again.",
            )


def _columns(vertices: PlyElement, names: tuple[str, str, str]) -> np.ndarray:
    return np.stack([np.asarray(vertices[name], dtype=np.float32) for name in names], axis=1)


def _colours(vertices: PlyElement, names: list[str]) -> torch.Tensor:
    channels = ("red", "green", "blue")
    if not all(channel in names for channel in channels):
        return torch.full((vertices.count, 3), GREY)
    whole = vertices["red"].dtype.kind in "ui"
    colours = _columns(vertices, channels) / (np.float32(255) if whole else np.float32(1))
    return torch.from_numpy(colours).nan_to_num(GREY).clamp(0, 1)
