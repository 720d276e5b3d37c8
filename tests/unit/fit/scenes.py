"""Tiny captures, made by drawing known Gaussians."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch

from veduta.core import Cameras, Capture, Gaussians, PointCloud, Track, Views
from veduta.geometry import dc_from_rgb, quat_normalize
from veduta.render import rasterize

SIZE = 32


@dataclass(frozen=True)
class Photographs:
    """A list in memory is a ViewSource."""

    views: tuple[Views, ...]

    def __len__(self) -> int:
        return len(self.views)

    def __getitem__(self, i: int, /) -> Views:
        return self.views[i]


def some_gaussians(n: int, *, seed: int = 0, degree: int = 0, spread: float = 0.6) -> Gaussians:
    """Opaque blobs around the origin."""
    generator = torch.Generator().manual_seed(seed)
    sh = 0.1 * torch.randn(n, (degree + 1) ** 2, 3, generator=generator)
    sh[:, 0] = dc_from_rgb(torch.rand(n, 3, generator=generator))
    return Gaussians(
        means=spread * (2 * torch.rand(n, 3, generator=generator) - 1),
        quats=quat_normalize(torch.randn(n, 4, generator=generator)),
        scales=0.05 + 0.1 * torch.rand(n, 3, generator=generator),
        opacities=0.3 + 0.6 * torch.rand(n, generator=generator),
        sh=sh,
    )


def some_cameras(count: int = 8, *, size: int = SIZE) -> Cameras:
    """Around the origin, 2 units away, looking at it."""
    angle = torch.arange(count) * (2 * torch.pi / count)
    position = 2.0 * torch.stack([angle.cos(), angle.sin(), 0.3 * torch.ones(count)], dim=1)
    forward = torch.nn.functional.normalize(-position, dim=1)
    right = torch.nn.functional.normalize(
        torch.linalg.cross(forward, torch.tensor([[0.0, 0, 1]]).expand(count, 3)), dim=1
    )
    down = torch.linalg.cross(forward, right)
    pose = torch.eye(4).repeat(count, 1, 1)
    pose[:, :3, :3] = torch.stack([right, down, forward], dim=2)
    pose[:, :3, 3] = position
    return Cameras.pinhole(pose, fx=1.1 * size, fy=1.1 * size, cx=size / 2, cy=size / 2, width=size, height=size)


def photographs_of(gaussians: Gaussians, cameras: Cameras) -> Photographs:
    """One view per camera."""
    with torch.no_grad():
        return Photographs(
            tuple(
                Views.of(cameras[i], rgb=rasterize(gaussians, cameras[i]).color.clamp(0, 1), names=(f"{i}.png",))
                for i in range(len(cameras))
            )
        )


def capture_of(
    train: Photographs,
    test: Photographs,
    *,
    points: PointCloud | None,
    tracks: dict[str, Track] | None = None,
    background: torch.Tensor | None = None,
) -> Capture:
    """A still, unmeasured capture of these photographs."""
    views = [*train.views, *test.views]
    return Capture(
        train=train,
        test=test,
        cameras={"camera": Cameras.cat([v.cameras for v in views])},
        points=points,
        tracks=tracks or {},
        up=torch.tensor([0.0, 0.0, 1.0]),
        metric=False,
        source=Path("nowhere"),
        background=background,
    )
