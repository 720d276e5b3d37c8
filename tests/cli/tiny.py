"""A capture so small that everything can be done with it in a second: renders of known Gaussians, and their truth."""

from __future__ import annotations

from pathlib import Path

import torch

from veduta.core import Cameras, Gaussians, Scene
from veduta.geometry import look_at
from veduta.geometry.rotations import quat_from_matrix
from veduta.io.colmap import ColmapCamera, ColmapImage, ColmapModel, ColmapPoints, write_model
from veduta.io.images import write_png
from veduta.render import render_scene

WIDTH, HEIGHT, FOCAL = 40, 32, 40.0
UP = torch.tensor([0.0, 0.0, 1.0], dtype=torch.float64)


def tiny_scene(count: int = 40, *, sh_degree: int = 1) -> Scene:
    """Gaussians about the origin, in all colours."""
    generator = torch.Generator().manual_seed(3)
    sh = torch.randn(count, (sh_degree + 1) ** 2, 3, generator=generator) * 0.15
    sh[:, 0] = torch.randn(count, 3, generator=generator)
    return Scene(
        background=Gaussians(
            means=torch.rand(count, 3, generator=generator) - 0.5,
            quats=torch.nn.functional.normalize(torch.randn(count, 4, generator=generator), dim=1),
            scales=0.03 + 0.12 * torch.rand(count, 3, generator=generator),
            opacities=0.3 + 0.6 * torch.rand(count, generator=generator),
            sh=sh,
        )
    )


def tiny_cameras(count: int = 9) -> Cameras:
    """Level cameras on an arc about the origin (z is up), two units away."""
    angles = torch.linspace(-0.6, 0.6, count, dtype=torch.float64)
    positions = torch.stack([2 * torch.sin(angles), -2 * torch.cos(angles), torch.full_like(angles, 0.4)], dim=1)
    poses = look_at(positions, torch.zeros_like(positions), UP)
    return Cameras.pinhole(poses.float(), fx=FOCAL, fy=FOCAL, cx=WIDTH / 2, cy=HEIGHT / 2, width=WIDTH, height=HEIGHT)


def write_capture(folder: Path, *, views: int = 9) -> Path:
    """The scene's pictures as a COLMAP capture in text, whose lines a test may break."""
    scene, cameras = tiny_scene(), tiny_cameras(views)
    xyz = scene.background.means.double()
    images = {}
    for i in range(views):
        write_png(folder / "images" / f"{i:03d}.png", render_scene(scene, cameras[i]).color[0])
        camera_from_world = torch.linalg.inv(cameras.world_from_camera[i].double())
        images[i + 1] = ColmapImage(
            name=f"{i:03d}.png",
            camera_id=1,
            quat=quat_from_matrix(camera_from_world[:3, :3]),
            translation=camera_from_world[:3, 3],
            points2d=torch.zeros(0, 2, dtype=torch.float64),
            point3d_ids=torch.zeros(0, dtype=torch.int64),
        )
    model = ColmapModel(
        cameras={1: ColmapCamera("PINHOLE", WIDTH, HEIGHT, (FOCAL, FOCAL, WIDTH / 2, HEIGHT / 2))},
        images=images,
        points=ColmapPoints(
            ids=torch.arange(len(xyz)) + 1,
            xyz=xyz,
            rgb=torch.full((len(xyz), 3), 128, dtype=torch.uint8),
            error_px=torch.ones(len(xyz), dtype=torch.float64),
            track_lengths=torch.zeros(len(xyz), dtype=torch.int64),
        ),
    )
    write_model(model, folder / "sparse" / "0", binary=False)
    return folder
