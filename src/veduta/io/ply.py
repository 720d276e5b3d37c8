"""Gaussians in PLY files: the layout of 3DGS, read from and written for every viewer, and PlayCanvas' compressed one.

The float layout has one element ``vertex`` with ``x y z`` (the mean), ``nx ny nz`` (unused), ``f_dc_0..2`` (SH of
degree 0), ``f_rest_*`` (the higher degrees, all of red, then green, then blue), ``opacity`` (a logit), ``scale_0..2``
(logarithms) and ``rot_0..3`` (a quaternion wxyz of any length). This and its neighbours are the only places that know.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
from jaxtyping import Float
from torch import Tensor

from veduta.core import MAX_SH_DEGREE, Gaussians, InputError
from veduta.io import ply_compressed
from veduta.io.atomic import atomic_path
from veduta.io.gaussian_rows import (
    gaussians_from_arrays,
    log_from_scale,
    logit_from_opacity,
    only_finite,
    opacity_from_logit,
    scale_from_log,
    unit_quats,
)
from veduta.io.paths import input_error, require_file
from veduta.io.ply_header import Element, Table, open_tables, read_header

_MEAN = ("x", "y", "z")
_NORMAL = ("nx", "ny", "nz")
_DC = ("f_dc_0", "f_dc_1", "f_dc_2")
_OPACITY = ("opacity",)
_SCALE = ("scale_0", "scale_1", "scale_2")
_QUAT = ("rot_0", "rot_1", "rot_2", "rot_3")
_REST_COUNTS = tuple(3 * ((degree + 1) ** 2 - 1) for degree in range(MAX_SH_DEGREE + 1))
_BLOCK = 8192  # rows at a time: two megabytes, which fit into a processor's cache


def read_ply(path: str | Path, *, drop_invalid: bool = False) -> Gaussians:
    """The Gaussians of a PLY file, as float32 physical values with unit quaternions (the identity for zero ones).

    Reads the 3DGS layout (properties in any order and of any type, degrees 0 to 3, ascii or binary of either byte
    order; what else the file holds is passed over) and PlayCanvas' compressed layout. Rows that are not finite raise
    InputError, or are left out with ``drop_invalid``; so does a file that is corrupt, truncated or of something else,
    before anything is allocated for it.
    """
    path = require_file(path, what="a PLY file of Gaussians")
    try:
        with path.open("rb") as file:
            header = read_header(file, path)
            vertex = header.element("vertex")
            if vertex is None:
                got = ", ".join(element.name for element in header.elements) or "no elements"
                raise InputError("no Gaussians", where=path, expected="element vertex", got=got)
            if vertex.names.issuperset(ply_compressed.PACKED):
                sh = header.element("sh")
                rest = () if sh is None else _rest_names(sh, path)
                if header.format == "ascii" or (sh is not None and sh.count != vertex.count):
                    expected = "binary rows, as many in element sh as in element vertex"
                    raise InputError("corrupt compressed PLY", where=path, expected=expected)
                tables = open_tables(file, header, path, ("chunk", "vertex", "sh"))
                gaussians = ply_compressed.unpack(tables, path, rest=rest)
            else:
                _require_properties(vertex, path)
                gaussians = _read_floats(open_tables(file, header, path, ("vertex",))["vertex"], path)
    except OSError as error:
        raise input_error(error, path) from error
    return only_finite(gaussians, path, drop_invalid=drop_invalid)


def write_ply(
    gaussians: Gaussians,
    path: str | Path,
    *,
    comments: Sequence[str] = (),
    extra: Mapping[str, Float[Tensor, " n"]] | None = None,
) -> None:
    """Write Gaussians in the 3DGS layout, little-endian float32, atomically. Raises OutputError.

    ``extra`` adds float properties of these names after the standard ones, one value per Gaussian; viewers ignore
    them. Reading the file gives the same float32 values but for the rounding of logarithms and logits.
    """
    extra = {} if extra is None else extra
    rest = tuple(f"f_rest_{i}" for i in range(3 * (gaussians.sh.shape[1] - 1)))
    names = (*_MEAN, *_NORMAL, *_DC, *rest, *_OPACITY, *_SCALE, *_QUAT, *extra)
    if len(set(names)) < len(names) or not all(re.fullmatch(r"[A-Za-z_]\w*", name, re.ASCII) for name in extra):
        raise ValueError(f"extra: expected new property names, got {list(extra)}")
    if not all("\n" not in comment and "\r" not in comment and comment.isascii() for comment in comments):
        raise ValueError("comments: expected single lines of ASCII")
    lines = ["ply", "format binary_little_endian 1.0", *(f"comment {comment}" for comment in comments)]
    lines += [f"element vertex {len(gaussians)}", *(f"property float {name}" for name in names), "end_header"]
    with atomic_path(path) as temporary, temporary.open("wb") as file:
        file.write(("\n".join(lines) + "\n").encode("ascii"))
        for block in _raw_blocks(gaussians, extra):
            file.write(block.data)


def _raw_blocks(gaussians: Gaussians, extra: Mapping[str, Tensor]) -> Iterator[np.ndarray]:
    """The rows of the file, some thousand at a time: little-endian float32 [m, properties]."""
    gaussians = gaussians.detach().to("cpu")
    columns = [values.detach().cpu() for values in extra.values()]
    for start in range(0, len(gaussians), _BLOCK):
        part = gaussians[start : start + _BLOCK]
        count, sh = len(part), part.sh.numpy()
        fields = [
            part.means.numpy(),
            np.zeros((count, 3)),
            sh[:, 0],
            sh[:, 1:].swapaxes(1, 2).reshape(count, -1),
            logit_from_opacity(part.opacities.numpy())[:, None],
            log_from_scale(part.scales.numpy()),
            part.quats.numpy(),
            *(values[start : start + _BLOCK].numpy()[:, None] for values in columns),
        ]
        yield np.ascontiguousarray(np.concatenate(fields, axis=1, dtype=np.dtype("<f4"), casting="same_kind"))


def _require_properties(vertex: Element, path: Path) -> None:
    """InputError that names what a 3DGS file would have and this one lacks."""
    missing = [name for name in (*_MEAN, *_DC, *_OPACITY, *_SCALE, *_QUAT) if name not in vertex.names]
    if missing:
        cloud = vertex.names.issuperset(_MEAN) and not vertex.names.intersection(_DC)
        raise InputError(
            "element vertex lacks properties",
            where=path,
            field=missing[0],
            expected="a PLY file of Gaussians with " + ", ".join(missing),
            got=", ".join(name for name, _ in vertex.properties[:12]) or "none",
            hint="This is a point cloud or a mesh, not a scene of Gaussians." if cloud else "Export the scene again.",
        )


def _rest_names(element: Element, path: Path) -> tuple[str, ...]:
    """f_rest_0 to the last, of which there must be as many as some degree has."""
    found = {name for name in element.names if re.fullmatch(r"f_rest_\d{1,3}", name, re.ASCII)}
    names = tuple(f"f_rest_{i}" for i in range(len(found)))
    if len(found) not in _REST_COUNTS or found != set(names):
        expected = f"{', '.join(map(str, _REST_COUNTS))} of them, numbered from 0"
        raise InputError("unknown number of harmonics", where=path, field="f_rest", expected=expected, got=len(found))
    return names


def _read_floats(table: Table, path: Path) -> Gaussians:
    """The Gaussians of the float layout's element vertex."""
    count, rest = table.element.count, _rest_names(table.element, path)
    means, scales = np.empty((count, 3), np.float32), np.empty((count, 3), np.float32)
    quats, opacities = np.empty((count, 4), np.float32), np.empty(count, np.float32)
    sh = np.empty((count, 1 + len(rest) // 3, 3), np.float32)

    def columns(rows: np.ndarray, names: tuple[str, ...]) -> np.ndarray:
        out = np.empty((len(rows), len(names)), np.float32)
        with np.errstate(over="ignore", invalid="ignore"):  # doubles beyond float32 become infinite and are reported
            for column, name in enumerate(names):
                out[:, column] = rows[name]
        return out

    for start in range(0, count, _BLOCK):
        stop = min(start + _BLOCK, count)
        rows, block = table.rows(start, stop), slice(start, stop)
        means[block] = columns(rows, _MEAN)
        sh[block, 0] = columns(rows, _DC)
        sh[block, 1:] = columns(rows, rest).reshape(stop - start, 3, -1).swapaxes(1, 2)
        opacities[block] = opacity_from_logit(columns(rows, _OPACITY)[:, 0])
        scales[block] = scale_from_log(columns(rows, _SCALE))
        quats[block] = unit_quats(columns(rows, _QUAT))
    return gaussians_from_arrays(means=means, quats=quats, scales=scales, opacities=opacities, sh=sh)
