"""Writing a capture that is in memory as a folder like those that people have."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import torch
from jaxtyping import Float, Int
from torch import Tensor

from veduta.core import Cameras, Capture, OutputError, PointCloud, Views, ViewSource
from veduta.data.depths import KnownDepth, depth_file, write_depth
from veduta.data.moving import write_times, write_tracks
from veduta.data.points import write_points
from veduta.data.units import METRIC, write_units
from veduta.geometry import project, quat_from_matrix, rigid_inverse
from veduta.io.atomic import as_output_error, write_json
from veduta.io.colmap import write_model
from veduta.io.colmap_model import ColmapCamera, ColmapImage, ColmapModel, ColmapPoints
from veduta.io.images import to_bytes, write_png

SAME_SURFACE = 0.01
"""A point is seen where it projects if the exact depth there differs by less than this share."""


def write_capture(capture: Capture, folder: str | Path, *, layout: Literal["colmap", "transforms"] = "colmap") -> Path:
    """Write photographs, poses, points and split into a new or empty folder, and return it.

    ``images/NAME`` as PNG; poses and points as ``sparse/0`` (COLMAP, binary) or ``transforms.json`` with
    ``points.ply``; ``splits.json``. Beside those: known depths as ``depth/STEM.npz`` (``depth``, ``valid``), tracks as
    ``tracks.json`` (by name ``category``, ``size_m``, ``times``, ``world_from_object``), and, since COLMAP's format has
    no times, ``times.json`` ({"NAME": seconds}) where any is not 0. That lengths are in metres is said by the key
    ``metric`` of ``transforms.json``, and by ``units.json`` beside a COLMAP model. :func:`veduta.data.open_capture`
    reads all of them.
    The model comes last, so that a folder cut short is not taken for a capture. OutputError if the folder holds
    anything already.
    """
    folder = Path(folder)
    with as_output_error(folder):
        taken = next(folder.iterdir(), None) if folder.is_dir() else None
    if taken is not None:
        hint = "Choose a new or an empty folder."
        raise OutputError("the folder is not empty", where=folder, got=taken.name, hint=hint)
    views = sorted((view for source in (capture.train, capture.test) for view in _each(source)), key=lambda v: v.names)
    for view in views:
        write_png(folder / "images" / view.names[0], view.rgb[0])
        if view.depth is not None and view.depth_valid is not None:
            write_depth(depth_file(folder, view.names[0]), KnownDepth(view.depth[0], view.depth_valid[0]))
    split = {part: [v.names[0] for v in _each(getattr(capture, part))] for part in ("train", "test")}
    write_json(folder / "splits.json", split)
    if capture.tracks:
        write_tracks(folder, capture.tracks)
    times = {view.names[0]: float(view.cameras.time[0]) for view in views}
    if layout == "colmap" and any(times.values()):
        write_times(folder, times)
    if layout == "colmap":
        if capture.metric:
            write_units(folder, metric=True)
        write_model(_colmap_model(views, capture.points), folder / "sparse" / "0")
    else:
        _write_transforms(views, capture.points, folder, metric=capture.metric)
    return folder


def seen_points(
    xyz: Float[Tensor, "p 3"], view: Views
) -> tuple[Int[Tensor, " m"], Float[Tensor, "m 2"], Float[Tensor, " m"]]:
    """Which points one photograph shows (rows), where (pixels) and how deep; it must know its depth."""
    assert view.depth is not None, view.names
    pixels, depths = project(xyz, view.cameras)
    px, depth = pixels[0], depths[0]
    height, width = view.rgb.shape[1:3]
    inside = (depth > 0) & (px > 0).all(dim=-1) & (px < px.new_tensor([width, height])).all(dim=-1)
    column, row = torch.where(inside[:, None], px, 0.0).long().unbind(-1)
    seen = inside & ((view.depth[0, row, column] - depth).abs() < SAME_SURFACE * depth)
    rows = torch.nonzero(seen).squeeze(1)
    return rows, px[rows], depth[rows]


def _each(source: ViewSource) -> list[Views]:
    return [source[i] for i in range(len(source))]


def _colmap_model(views: list[Views], points: PointCloud | None) -> ColmapModel:
    cloud = PointCloud(torch.zeros(0, 3), torch.zeros(0, 3)) if points is None else points
    cameras: dict[int, ColmapCamera] = {}
    numbers: dict[ColmapCamera, int] = {}
    images: dict[int, ColmapImage] = {}
    found = torch.zeros(len(cloud), dtype=torch.int64)
    for i, view in enumerate(views):
        camera = _colmap_camera(view.cameras)
        number = numbers.setdefault(camera, len(numbers) + 1)
        cameras[number] = camera
        rows, px = torch.zeros(0, dtype=torch.int64), torch.zeros(0, 2)
        if view.depth is not None:
            rows, px, _ = seen_points(cloud.xyz, view)
        found[rows] += 1
        pose = rigid_inverse(view.cameras.world_from_camera[0].to(torch.float64))
        images[i + 1] = ColmapImage(
            name=view.names[0],
            camera_id=number,
            quat=quat_from_matrix(pose[:3, :3]),
            translation=pose[:3, 3],
            points2d=px.to(torch.float64),
            point3d_ids=rows + 1,
        )
    known = ColmapPoints(
        ids=torch.arange(len(cloud)) + 1,
        xyz=cloud.xyz.to(torch.float64),
        rgb=to_bytes(cloud.rgb),
        error_px=torch.zeros(len(cloud), dtype=torch.float64),
        track_lengths=found,
    )
    return ColmapModel(cameras=cameras, images=images, points=known)


def _colmap_camera(camera: Cameras) -> ColmapCamera:
    matrix = camera.intrinsics[0].to(torch.float64)
    params = tuple(float(v) for v in (matrix[0, 0], matrix[1, 1], matrix[0, 2], matrix[1, 2]))
    return ColmapCamera(model="PINHOLE", width=camera.width, height=camera.height, params=params)


def _write_transforms(views: list[Views], points: PointCloud | None, folder: Path, *, metric: bool) -> None:
    """Poses in OpenGL's axes, as nerfstudio wants them; every frame with its own intrinsics and time."""
    content: dict[str, object] = {"camera_model": "PINHOLE"}
    if metric:
        content[METRIC] = True
    if points is not None:
        write_points(points, folder / "points.ply")
        content["ply_file_path"] = "points.ply"
    content["frames"] = [_frame(view) for view in views]
    write_json(folder / "transforms.json", content)


def _frame(view: Views) -> dict[str, object]:
    camera = _colmap_camera(view.cameras)
    flip = torch.diag(torch.tensor([1.0, -1.0, -1.0, 1.0], dtype=torch.float64))
    pose = view.cameras.world_from_camera[0].to(torch.float64) @ flip
    lengths = dict(zip(("fl_x", "fl_y", "cx", "cy"), camera.params, strict=True))
    time = float(view.cameras.time[0])
    name = f"images/{view.names[0]}"
    size = {"w": camera.width, "h": camera.height}
    return {"file_path": name, "time": time, **size, **lengths, "transform_matrix": pose.tolist()}
