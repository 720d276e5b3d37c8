"""Small models and views for the tests of whole models."""

from __future__ import annotations

import torch
from torch import nn

from veduta.core import Cameras, Gaussians, Views
from veduta.feedforward import Coarse, DensifierPlan, Drawing, FeedForward, Intake, ObjectDensifier
from veduta.geometry import look_at

SIZE = 32
PLAN = DensifierPlan(channels=(16, 8), heads=(2, 1), drop_path=0.0)


def ring(views: int = 3, *, radius: float = 2.0, size: int = SIZE) -> Cameras:
    """Cameras about the origin, looking at it."""
    angle = torch.arange(views) * (2 * torch.pi / 7)
    eyes = torch.stack([radius * angle.cos(), radius * angle.sin(), torch.full_like(angle, 0.3)], dim=1)
    poses = look_at(eyes, torch.zeros_like(eyes), torch.tensor([0.0, 0.0, 1.0]))
    return Cameras.pinhole(poses, fx=1.5 * size, fy=1.5 * size, cx=size / 2, cy=size / 2, width=size, height=size)


def cloud(count: int, generator: torch.Generator, *, degree: int = 1) -> Gaussians:
    """Gaussians in the object's box."""
    return Gaussians(
        means=torch.rand(count, 3, generator=generator) - 0.5,
        quats=nn.functional.normalize(torch.randn(count, 4, generator=generator), dim=1),
        scales=0.03 + 0.05 * torch.rand(count, 3, generator=generator),
        opacities=0.2 + 0.6 * torch.rand(count, generator=generator),
        sh=0.3 * torch.randn(count, (degree + 1) ** 2, 3, generator=generator),
    )


def pictures(generator: torch.Generator, views: int = 3) -> Views:
    """Photographs of another cloud."""
    cameras = ring(views)
    drawn = Drawing().draw(cloud(60, generator), cameras).color
    return Views.of(cameras, rgb=drawn.clamp(0, 1))


class Stored(nn.Module):
    """A backbone that knows its answer."""

    def __init__(self, gaussians: Gaussians, channels: int = 8) -> None:
        super().__init__()
        self.means = nn.Parameter(gaussians.means.clone())
        for name in ("quats", "scales", "opacities", "sh"):
            self.register_buffer(name, getattr(gaussians, name))
        self.features = nn.Parameter(torch.randn(len(gaussians), channels, generator=torch.Generator().manual_seed(9)))

    def forward(self, views: Views, *, near: float, far: float, generator: torch.Generator | None = None) -> Coarse:
        fields = ("quats", "scales", "opacities", "sh")
        gaussians = Gaussians(self.means, *(self.get_buffer(name) for name in fields))
        sources = torch.zeros(len(self.features), dtype=torch.long, device=self.features.device)
        return Coarse(gaussians, self.features, sources)


def object_model(generator: torch.Generator, *, count: int = 200, budget: int = 40) -> FeedForward:
    """A whole model about a :class:`Stored` backbone."""
    densifier = ObjectDensifier(PLAN, channels=8, heads=2)
    intake = Intake(min_views=2, max_views=4, multiple_px=16, masked=True)
    return FeedForward(Stored(cloud(count, generator)), densifier, intake=intake, drawing=Drawing(), budget=budget)
