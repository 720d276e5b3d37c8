"""COLMAP sparse models, binary and text, read and written."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import torch

from veduta.core import InputError, OutputError
from veduta.io import colmap_binary, colmap_text
from veduta.io.atomic import write_bytes
from veduta.io.colmap_model import (
    MODEL_NAMES,
    NO_POINT,
    PARAMETERS,
    ColmapCamera,
    ColmapImage,
    ColmapModel,
    ColmapPoints,
)
from veduta.io.paths import input_error

__all__ = [
    "MODEL_NAMES",
    "NO_POINT",
    "PARAMETERS",
    "ColmapCamera",
    "ColmapImage",
    "ColmapModel",
    "ColmapPoints",
    "has_model",
    "read_model",
    "write_model",
]

_PARTS = ("cameras", "images", "points3D")
_LATER_PARTS = ("rigs", "frames")  # written by COLMAP 3.12 and later; images hold the same poses


def has_model(folder: str | Path) -> bool:
    """Whether the folder holds a model's cameras and images, binary or text."""
    return _suffix(Path(folder)) is not None


def read_model(folder: str | Path) -> ColmapModel:
    """The model in ``folder``: the binary one if there is one, else the text.

    A missing ``points3D`` file means no points. Everything malformed raises InputError with the file and its line or
    byte. Image names are returned as they are: join them with :func:`veduta.io.paths.inside`.
    """
    folder = Path(folder)
    suffix = _suffix(folder)
    if suffix is None:
        raise InputError(
            "no COLMAP model",
            where=folder,
            expected="cameras.bin and images.bin, or cameras.txt and images.txt",
            got="no such folder" if not folder.is_dir() else _some_names(folder),
            hint="Name the folder that holds them, often sparse/0.",
        )
    codec = colmap_binary if suffix == ".bin" else colmap_text
    points_path = folder / f"points3D{suffix}"
    try:
        cameras = codec.read_cameras(folder / f"cameras{suffix}")
        images = codec.read_images(folder / f"images{suffix}")
        points = codec.read_points(points_path) if points_path.exists() else _no_points()
    except OSError as error:
        raise input_error(error, error.filename or folder) from error
    _check_links(folder / f"images{suffix}", cameras, images)
    return ColmapModel(cameras=cameras, images=images, points=points)


def write_model(model: ColmapModel, folder: str | Path, *, binary: bool = True) -> None:
    """Write the model's three files into ``folder``, which must not hold a model yet (else OutputError).

    Tracks are gathered from the images' keypoints; ``track_lengths`` is not used.
    """
    folder = Path(folder)
    taken = [
        folder / f"{part}{suffix}"
        for part in (*_PARTS, *_LATER_PARTS)
        for suffix in (".bin", ".txt")
        if (folder / f"{part}{suffix}").exists()
    ]
    if taken:
        hint = "Choose another folder, or move the old model away."
        raise OutputError("there is a model already", where=folder, got=taken[0].name, hint=hint)
    files = (colmap_binary if binary else colmap_text).encode(model)
    for name, data in sorted(files.items(), reverse=True):  # cameras last: without them it is no model yet
        write_bytes(folder / name, data)


def _suffix(folder: Path) -> str | None:
    """``.bin`` or ``.txt``, whichever the folder's model has; None without a model."""
    for suffix in (".bin", ".txt"):
        if all((folder / f"{part}{suffix}").is_file() for part in _PARTS[:2]):
            return suffix
    return None


def _some_names(folder: Path) -> str:
    names = sorted(entry.name for entry in folder.iterdir())
    return "an empty folder" if not names else ", ".join(names[:5]) + (", ..." if len(names) > 5 else "")


def _no_points() -> ColmapPoints:
    whole, real = torch.zeros(0, dtype=torch.int64), torch.zeros(0, dtype=torch.float64)
    rgb = torch.zeros(0, 3, dtype=torch.uint8)
    return ColmapPoints(ids=whole, xyz=real.reshape(0, 3), rgb=rgb, error_px=real, track_lengths=whole)


def _check_links(where: Path, cameras: dict[int, ColmapCamera], images: dict[int, ColmapImage]) -> None:
    """InputError for an image whose camera is missing, or for two images of one name."""
    for image in images.values():
        if image.camera_id not in cameras:
            known = ", ".join(str(camera_id) for camera_id in list(cameras)[:5]) or "none"
            raise InputError(
                f"image {image.name!r} was taken by an unknown camera",
                where=where,
                field="camera_id",
                expected=f"one of the model's cameras ({known})",
                got=image.camera_id,
            )
    name, times = Counter(image.name for image in images.values()).most_common(1)[0] if images else ("", 1)
    if times > 1:
        raise InputError("an image occurs twice", where=where, field="name", got=repr(name))
