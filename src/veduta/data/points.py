"""Point clouds in PLY files, as nerfstudio and others put beside their poses."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from veduta.core import InputError, PointCloud
from veduta.io.atomic import write_bytes
from veduta.io.images import to_bytes
from veduta.io.paths import input_error, require_file
from veduta.io.ply_header import Element, Header, open_tables, read_header

GREY = 0.5
_POSITION = ("x", "y", "z")
_COLOUR = ("red", "green", "blue")


def read_points(path: str | Path) -> PointCloud:
    """The vertices of a PLY file, text or binary; their colours from ``red green blue`` (8 bits or 0 to 1), else grey.

    InputError for a file that is damaged or truncated, lacks x, y or z, has positions that are not finite, or has lists
    (such as faces) in or, if binary, before its vertices.
    """
    path = require_file(path, what="a PLY file of points")
    try:
        with path.open("rb") as file:
            header = read_header(file, path)
            _check_counts(header, path)
            vertex = _vertex(header, path)
            rows = open_tables(file, header, path, ("vertex",))["vertex"].rows(0, vertex.count)
    except OSError as error:
        raise input_error(error, path) from error
    xyz = _columns(rows, _POSITION)
    if not np.isfinite(xyz).all():
        raise InputError(
            "positions that are not finite",
            where=path,
            field=f"vertex {int(np.argmin(np.isfinite(xyz).all(axis=1)))}",
            expected="finite numbers",
            got="NaN or infinity",
            hint="Remove such points.",
        )
    return PointCloud(xyz=torch.from_numpy(xyz), rgb=_colours(rows, vertex))


def write_points(points: PointCloud, path: str | Path) -> None:
    """Write points as binary PLY, positions in float32 and colours in 8 bits, atomically. Raises OutputError."""
    columns = [*((name, "<f4") for name in _POSITION), *((name, "u1") for name in _COLOUR)]
    rows = np.empty(len(points), dtype=columns)
    for i, name in enumerate(_POSITION):
        rows[name] = points.xyz[:, i].numpy()
    for i, name in enumerate(_COLOUR):
        rows[name] = to_bytes(points.rgb[:, i]).numpy()
    lines = ["ply", "format binary_little_endian 1.0", f"element vertex {len(points)}"]
    lines += [f"property float {name}" for name in _POSITION]
    lines += [f"property uchar {name}" for name in _COLOUR]
    write_bytes(path, ("\n".join([*lines, "end_header"]) + "\n").encode("ascii") + rows.tobytes())


def _check_counts(header: Header, path: Path) -> None:
    """Every row takes a byte at least: refuse counts beyond that before anything is allocated."""
    size = path.stat().st_size
    for element in header.elements:
        if element.count > size:
            raise InputError(
                "the file is truncated, or its header wrong",
                where=path,
                field=f"element {element.name}",
                expected=f"at most {size} rows in a file of that many bytes",
                got=element.count,
                hint="Export it again.",
            )


def _vertex(header: Header, path: Path) -> Element:
    """The element that holds the points."""
    vertex = header.element("vertex")
    names = [] if vertex is None else [name for name, _ in vertex.properties]
    missing = [name for name in _POSITION if name not in names]
    if vertex is None or missing:
        raise InputError(
            "no positions of points",
            where=path,
            field=" ".join(missing),
            expected="an element vertex with x, y and z",
            got=" ".join(names[:8]) or "no element vertex",
        )
    return vertex


def _columns(rows: np.ndarray, names: tuple[str, str, str]) -> np.ndarray:
    with np.errstate(over="ignore", invalid="ignore"):  # doubles beyond float32 become infinite and are reported
        return np.stack([rows[name].astype(np.float32) for name in names], axis=1)


def _colours(rows: np.ndarray, vertex: Element) -> torch.Tensor:
    if not vertex.names.issuperset(_COLOUR):
        return torch.full((vertex.count, 3), GREY)
    whole = dict(vertex.properties)["red"][0] in "ui"  # what the header says: rows of ascii are all float64
    colours = _columns(rows, _COLOUR) / (np.float32(255) if whole else np.float32(1))
    return torch.from_numpy(colours).nan_to_num(GREY).clamp(0, 1)
