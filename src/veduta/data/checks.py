"""What every reader asks of poses, intrinsics, names and photographs before it hands them on."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor

from veduta.core import InputError
from veduta.io.images import ImageHeader, image_header, read_image

MIN_PHOTOS = 2
ROUNDING_TOLERANCE = 1e-2
"""Rotations written with few digits are this far from orthonormal at most; anything farther is a mistake."""
POSE_HINT = "Remove this photograph from the model, or estimate its pose again (veduta sfm)."
LISTED_NAMES = 3
"""How many names an error about many photographs gives."""
TAIL_BYTES = 65536
END_MARKS = {".jpg": b"\xff\xd9", ".jpeg": b"\xff\xd9", ".png": b"IEND"}


def listed(names: Sequence[str]) -> str:
    """``a, b, c and 14 more``."""
    shown = ", ".join(names[:LISTED_NAMES])
    return shown if len(names) <= LISTED_NAMES else f"{shown} and {len(names) - LISTED_NAMES} more"


def rigid_pose(
    matrix: Float[Tensor, "4 4"], *, where: str | Path, field: str, hint: str = POSE_HINT
) -> Float[Tensor, "4 4"]:
    """The pose with rounding removed from its rotation; InputError if it is not finite or not rigid."""
    pose = matrix.double()
    if not torch.isfinite(pose).all():
        raise InputError(
            "the pose is not finite",
            where=where,
            field=field,
            expected="finite numbers",
            got="NaN or infinity",
            hint=hint,
        )
    rotation = pose[:3, :3]
    determinant = float(torch.linalg.det(rotation))
    if abs(determinant) < ROUNDING_TOLERANCE:
        raise InputError(
            "the pose cannot be inverted",
            where=where,
            field=field,
            expected="a rotation, with determinant 1",
            got=f"determinant {determinant:.3g}",
            hint=hint,
        )
    error = float((rotation.T @ rotation - torch.eye(3, dtype=pose.dtype)).abs().max())
    last_row_error = float((pose[3] - pose.new_tensor([0.0, 0.0, 0.0, 1.0])).abs().max())
    if determinant < 0 or error > ROUNDING_TOLERANCE or last_row_error > ROUNDING_TOLERANCE:
        raise InputError(
            "the pose is not a rigid motion",
            where=where,
            field=field,
            expected="orthonormal, right-handed axes and a last row 0 0 0 1",
            got=f"determinant {determinant:.3g}, axes off by {error:.2g}, last row off by {last_row_error:.2g}",
            hint="Remove scale, shear and mirroring from the matrix.",
        )
    u, _, vh = torch.linalg.svd(rotation)
    rigid = torch.eye(4, dtype=pose.dtype)
    rigid[:3, :3] = u @ vh
    rigid[:3, 3] = pose[:3, 3]
    return rigid


def checked_focal(value: float, *, where: str | Path, field: str) -> float:
    """A focal length in pixels; InputError unless it is positive and finite."""
    if not (math.isfinite(value) and value > 0):
        raise InputError(
            "a focal length that no lens has",
            where=where,
            field=field,
            expected="a positive number of pixels",
            got=f"{value:g}",
            hint="Correct the camera's intrinsics, or estimate them again (veduta sfm).",
        )
    return value


def checked_number(value: float, *, where: str | Path, field: str) -> float:
    """A finite number."""
    if not math.isfinite(value):
        raise InputError("not a finite number", where=where, field=field, expected="a finite number", got=f"{value}")
    return value


def enough_photos(count: int, *, where: str | Path) -> None:
    """InputError for fewer photographs than anything can be reconstructed from."""
    if count == 0:
        raise InputError(
            "the model is empty",
            where=where,
            expected=f"at least {MIN_PHOTOS} photographs with poses",
            got="none",
            hint="Estimate poses again (veduta sfm), with more overlap between photographs.",
        )
    if count < MIN_PHOTOS:
        raise InputError(
            "too few photographs",
            where=where,
            expected=f"at least {MIN_PHOTOS} with poses",
            got=str(count),
            hint="Add photographs that overlap with these.",
        )


def existing_photos(paths: Sequence[tuple[str, Path]], *, where: str | Path, hint: str) -> None:
    """InputError that names the photographs, given as (name, path), which are not on disk."""
    missing = [name for name, path in paths if not path.is_file()]
    if missing:
        raise InputError(
            f"{len(missing)} of {len(paths)} photographs are missing",
            where=where,
            expected=f"them in {paths[0][1].parent}" if len(missing) == len(paths) else "every photograph on disk",
            got=f"no {listed(missing)}",
            hint=hint,
        )


def checked_photo(path: Path, *, width: int, height: int, model: str | Path) -> ImageHeader:
    """The photograph's header; InputError unless it can be read and gives the model's size."""
    header = checked_header(path)
    size = (header.width, header.height)
    if size != (width, height):
        turned = size == (height, width)
        raise InputError(
            "image size contradicts the model",
            where=path,
            expected=f"{width} x {height} as in {model}",
            got=f"{size[0]} x {size[1]}",
            hint="The photograph was turned after its pose was estimated: undo the rotation."
            if turned
            else "Give the photographs that the model was made from; to fit at a lower resolution use max_size.",
        )
    return header


def checked_header(path: Path) -> ImageHeader:
    """The photograph's header; InputError unless it can be read and the file's end is there.

    Only the header and the last bytes are read; a file that lacks its format's end mark is decoded in full.
    """
    header = image_header(path)
    mark = END_MARKS.get(path.suffix.lower())
    if mark is not None and mark not in _tail(path):
        read_image(path)
    return header


def _tail(path: Path) -> bytes:
    with path.open("rb") as file:
        file.seek(0, 2)
        file.seek(max(0, file.tell() - TAIL_BYTES))
        return file.read()
