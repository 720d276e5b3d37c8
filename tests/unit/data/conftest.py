"""Small captures on disk, made on the spot, good ones that a test then breaks."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from veduta.core import Cameras
from veduta.geometry.rotations import quat_from_matrix
from veduta.io.colmap import ColmapCamera, ColmapImage, ColmapModel, ColmapPoints, write_model
from veduta.io.images import write_png

WIDTH, HEIGHT = 24, 16


def ring(count: int = 9) -> torch.Tensor:
    """World-from-camera poses (float64) of level cameras on an arc, which look at the origin from z = -4 or so."""
    poses = []
    for i in range(count):
        angle = 0.5 * (i / max(1, count - 1) - 0.5)
        turn = torch.tensor(
            [[torch.cos(a := torch.tensor(angle)), 0, torch.sin(a)], [0, 1, 0], [-torch.sin(a), 0, torch.cos(a)]],
            dtype=torch.float64,
        )
        pose = torch.eye(4, dtype=torch.float64)
        pose[:3, :3] = turn
        pose[:3, 3] = turn @ torch.tensor([0.0, 0.0, -4.0], dtype=torch.float64)
        poses.append(pose)
    return torch.stack(poses) if poses else torch.zeros(0, 4, 4, dtype=torch.float64)


def picture(i: int, width: int = WIDTH, height: int = HEIGHT) -> torch.Tensor:
    """A picture like no other, smooth enough to be resampled."""
    y, x = torch.meshgrid(torch.linspace(0, 1, height), torch.linspace(0, 1, width), indexing="ij")
    return torch.stack([x, y, torch.full_like(x, (i % 10) / 10)], dim=-1)


def world_points(count: int = 20) -> torch.Tensor:
    """Points about the origin, float64."""
    return torch.rand(count, 3, generator=torch.Generator().manual_seed(1), dtype=torch.float64) - 0.5


def colmap_model(
    poses: torch.Tensor,
    *,
    model: str = "PINHOLE",
    params: tuple[float, ...] = (20.0, 21.0, 12.0, 8.0),
    points: int = 20,
) -> ColmapModel:
    """A model in which every camera sees every point."""
    xyz = world_points(points)
    images = {}
    for i, pose in enumerate(poses):
        camera_from_world = torch.linalg.inv(pose)
        images[i + 1] = ColmapImage(
            name=f"{i:03d}.png",
            camera_id=1,
            quat=quat_from_matrix(camera_from_world[:3, :3]),
            translation=camera_from_world[:3, 3],
            points2d=torch.zeros(points, 2, dtype=torch.float64),
            point3d_ids=torch.arange(points) + 5,
        )
    return ColmapModel(
        cameras={1: ColmapCamera(model=model, width=WIDTH, height=HEIGHT, params=params)},
        images=images,
        points=ColmapPoints(
            ids=torch.arange(points) + 5,
            xyz=xyz,
            rgb=torch.full((points, 3), 51, dtype=torch.uint8),
            error_px=torch.linspace(0.1, 2.0, points, dtype=torch.float64),
            track_lengths=torch.full((points,), len(poses)),
        ),
    )


@pytest.fixture
def colmap_capture(tmp_path: Path) -> Callable[..., Path]:
    """Makes a COLMAP capture of ``count`` photographs in a fresh folder; ``**model`` goes to the model."""

    def make(
        count: int = 9, *, name: str = "capture", binary: bool = True, images: str = "images", **model: Any
    ) -> Path:
        folder = tmp_path / name
        write_model(colmap_model(ring(count), **model), folder / "sparse" / "0", binary=binary)
        for i in range(count):
            write_png(folder / images / f"{i:03d}.png", picture(i))
        return folder

    return make


@pytest.fixture
def transforms_capture(tmp_path: Path) -> Callable[..., Path]:
    """Makes a nerfstudio capture of 9 photographs whose JSON ``change`` may have changed; gives the folder."""

    def make(change: Callable[[dict[str, Any]], None] = lambda _: None) -> Path:
        folder = tmp_path / "transforms"
        opengl = torch.diag(torch.tensor([1.0, -1.0, -1.0, 1.0], dtype=torch.float64))
        frames = []
        for i, pose in enumerate(ring()):
            write_png(folder / "images" / f"{i:03d}.png", picture(i))
            frames.append({"file_path": f"./images/{i:03d}.png", "transform_matrix": (pose @ opengl).tolist()})
        content: dict[str, Any] = {"fl_x": 20.0, "fl_y": 21.0, "cx": 12.0, "cy": 8.0, "w": WIDTH, "h": HEIGHT}
        content["frames"] = frames
        change(content)
        (folder / "transforms.json").write_text(json.dumps(content))
        return folder

    return make


@pytest.fixture
def ring_cameras() -> Cameras:
    """What the cameras of the captures above should be read as."""
    return Cameras.pinhole(ring(), fx=20.0, fy=21.0, cx=12.0, cy=8.0, width=WIDTH, height=HEIGHT)
