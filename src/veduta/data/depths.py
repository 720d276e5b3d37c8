"""Depth that is known beside photographs, as ``depth/STEM.npz``; the files are anybody's and are not trusted."""

from __future__ import annotations

import io
import struct
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from veduta.core import InputError
from veduta.data.resample import nearest_pixels
from veduta.io.atomic import write_bytes
from veduta.io.paths import input_error

FOLDER = "depth"
MAX_BYTES_PER_PIXEL = 64
"""Of a whole file on disk, which may hold more than is read here; its index is read at once."""
SMALL_FILE_BYTES = 2**20
"""Files up to this size are read whatever their picture's."""
_HEADERS: dict[tuple[int, int], Callable[[zipfile.ZipExtFile], tuple[tuple[int, ...], bool, np.dtype]]] = {
    (1, 0): np.lib.format.read_array_header_1_0,
    (2, 0): np.lib.format.read_array_header_2_0,
}
_DAMAGE = (ValueError, EOFError, RuntimeError, SyntaxError, struct.error, zipfile.BadZipFile, zlib.error)
"""What numpy and zipfile raise for files that they cannot read; encrypted ones are a RuntimeError."""


@dataclass(frozen=True, eq=False)
class KnownDepth:
    """z depth of one picture, in the capture's unit, where it is known."""

    depth: Float[Tensor, "h w"]
    """0 where not ``valid``."""
    valid: Bool[Tensor, "h w"]

    @property
    def nbytes(self) -> int:
        """Memory taken."""
        return self.depth.nbytes + self.valid.nbytes

    def resampled(self, grid: Float[Tensor, "h2 w2 2"] | None, *, width: int, height: int) -> KnownDepth:
        """Undistorted, then reduced, each pixel taking the depth of the nearest: means would lie between surfaces.

        ``grid`` is where to sample for the lens, as ``grid_sample`` counts; None: a pinhole. z depth is the same in the
        undistorted picture, whose axes are the camera's. What the distorted picture does not show is not valid.
        """
        old_height, old_width = self.depth.shape
        flat_height, flat_width = self.depth.shape if grid is None else grid.shape[:2]
        rows, columns = nearest_pixels(flat_height, height), nearest_pixels(flat_width, width)
        if grid is None:
            return KnownDepth(self.depth[rows][:, columns], self.valid[rows][:, columns])
        size = grid.new_tensor([old_width, old_height])
        px = (grid[rows][:, columns] + 1) / 2 * size
        shown = ((px >= 0) & (px < size)).all(dim=-1)
        column, row = torch.where(shown[..., None], px, 0.0).long().unbind(-1)
        valid = shown & self.valid[row, column]
        return KnownDepth(torch.where(valid, self.depth[row, column], 0.0), valid)


def depth_file(capture: Path, name: str) -> Path:
    """Where the depth of the photograph ``name`` is kept, if anywhere: ``depth/front/0001.npz`` of front/0001.jpg."""
    return capture / FOLDER / PurePosixPath(name).with_suffix(".npz")


def write_depth(path: Path, known: KnownDepth) -> None:
    """Write ``depth`` (float32) and ``valid`` (bool), both (height, width), compressed. Raises OutputError."""
    buffer = io.BytesIO()
    np.savez_compressed(buffer, depth=known.depth.numpy(), valid=known.valid.numpy())
    write_bytes(path, buffer.getvalue())


def check_depth(path: Path, *, width: int, height: int) -> None:
    """InputError unless the headers of both arrays tell the picture's size; the arrays themselves are not read."""
    with _opened(path, width * height) as archive:
        for field, kind, meaning in (("depth", "f", "floating-point numbers"), ("valid", "b", "bool")):
            with _array(archive, path, field) as stream:
                shape, dtype = _header(stream, path, field)
            if dtype.kind != kind:
                raise InputError("not an array of the right type", where=path, field=field, expected=meaning, got=dtype)
            if shape != (height, width):
                raise InputError(
                    "the array's shape contradicts the photograph",
                    where=path,
                    field=field,
                    expected=f"{(height, width)} as (height, width)",
                    got=shape,
                    hint="Give the depth of the photograph as it lies on disk, neither undistorted nor reduced.",
                )


def read_depth(path: Path, *, width: int, height: int) -> KnownDepth:
    """The depth of a picture of that size. InputError for a file that is damaged or holds anything else.

    Nothing is allocated before the headers agree with the picture, and no more than they say.
    """
    check_depth(path, width=width, height=height)
    arrays: dict[str, Tensor] = {}
    with _opened(path, width * height) as archive:
        for field, dtype in (("depth", np.float32), ("valid", np.bool_)):
            with _array(archive, path, field) as stream, _damage_named(path, field):
                # Not np.load: arrays are read one at a time, to their end, where the checksum is.
                array = np.lib.format.read_array(stream, allow_pickle=False)
                if stream.read(1):
                    raise ValueError("more bytes than the array has")
            with np.errstate(over="ignore"):  # too far for float32 is infinity, which is refused below
                arrays[field] = torch.from_numpy(np.ascontiguousarray(array, dtype))
    depth, valid = arrays["depth"], arrays["valid"]
    wrong = valid & ~(torch.isfinite(depth) & (depth > 0))
    if wrong.any():
        row, column = torch.nonzero(wrong)[0].tolist()
        raise InputError(
            "a depth that no surface has",
            where=path,
            field=f"depth[{row}, {column}]",
            expected="a positive, finite number where valid",
            got=f"{float(depth[row, column]):g}",
            hint="Mark unknown depths as not valid.",
        )
    return KnownDepth(torch.where(valid, depth, 0.0), valid)


@contextmanager
def _opened(path: Path, pixels: int) -> Iterator[zipfile.ZipFile]:
    try:
        size, most = path.stat().st_size, max(SMALL_FILE_BYTES, MAX_BYTES_PER_PIXEL * pixels)
        if size > most:
            raise InputError("the file is too large", where=path, expected=f"at most {most} bytes", got=size)
    except OSError as error:
        raise input_error(error, path) from error
    with _damage_named(path, None):
        archive = zipfile.ZipFile(path)
    with archive:
        yield archive


@contextmanager
def _array(archive: zipfile.ZipFile, path: Path, field: str) -> Iterator[zipfile.ZipExtFile]:
    name = f"{field}.npy"
    if name not in archive.namelist():
        raise InputError(
            "an array is missing",
            where=path,
            field=field,
            expected="arrays depth and valid",
            got=", ".join(sorted(entry.removesuffix(".npy") for entry in archive.namelist())[:5]) or "none",
        )
    with _damage_named(path, field):
        stream = archive.open(name)
    assert isinstance(stream, zipfile.ZipExtFile)
    with stream:
        yield stream


def _header(stream: zipfile.ZipExtFile, path: Path, field: str) -> tuple[tuple[int, ...], np.dtype]:
    with _damage_named(path, field):
        version = np.lib.format.read_magic(stream)
        if version not in _HEADERS:
            raise ValueError(f"an array of version {version}")
        shape, _, dtype = _HEADERS[version](stream)
    return shape, dtype


@contextmanager
def _damage_named(path: Path, field: str | None) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise input_error(error, path) from error
    except _DAMAGE as error:
        raise InputError(
            "cannot read the depths",
            where=path,
            field=field,
            expected="a whole .npz file of numpy arrays",
            got=(str(error).splitlines() or [type(error).__name__])[0][:120],
            hint="Write the file again, or remove it.",
        ) from error
