"""Cameras as a ``transforms.json``, for other programs and for :func:`veduta.data.read_cameras`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import torch

from veduta.core import Cameras
from veduta.io.atomic import write_json


def write_cameras(
    path: str | Path,
    cameras: Sequence[Cameras],
    *,
    names: Sequence[str],
    facts: Sequence[Mapping[str, object]] | None = None,
) -> None:
    """Write pinhole cameras, one each, in nerfstudio's form, atomically. Raises OutputError.

    ``names`` are where their photographs are or will be, relative to the file (``file_path``). ``facts`` are further
    fields of each frame, plain JSON values. Poses are written in OpenGL's axes (x right, y up, z backward), as the form
    demands.
    """
    assert len(names) == len(cameras), (len(names), len(cameras))
    assert all(len(camera) == 1 and camera.lens is None for camera in cameras), "pinholes, one each"
    further = [{}] * len(cameras) if facts is None else facts
    frames = [
        {"file_path": name, **_frame(camera), **more}
        for name, camera, more in zip(names, cameras, further, strict=True)
    ]
    write_json(path, {"camera_model": "PINHOLE", "frames": frames})


def _frame(camera: Cameras) -> dict[str, object]:
    opencv_from_opengl = torch.diag(torch.tensor([1.0, -1.0, -1.0, 1.0], dtype=torch.float64))
    matrix = camera.intrinsics[0].double()
    return {
        "fl_x": float(matrix[0, 0]),
        "fl_y": float(matrix[1, 1]),
        "cx": float(matrix[0, 2]),
        "cy": float(matrix[1, 2]),
        "w": camera.width,
        "h": camera.height,
        "time": float(camera.time[0]),
        "transform_matrix": (camera.world_from_camera[0].double() @ opencv_from_opengl).tolist(),
    }
