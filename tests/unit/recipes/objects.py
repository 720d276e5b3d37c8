"""Examples to learn from that cost next to nothing."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from veduta.core import Cameras, Example, Gaussians, Views
from veduta.feedforward.small import SmallPlan
from veduta.feedforward.small_densify import SmallDensifierPlan
from veduta.geometry import SH_C0, look_at
from veduta.recipes.training import TrainPlan
from veduta.render import rasterize

SIZE = 32
PLAN = TrainPlan(
    steps=4,
    batch=2,
    warmup_steps=1,
    ssim_scales=1,
    carve_weight=0.1,
    coarse=SmallPlan(size_px=SIZE, voxels=6, image_channels=8, channels=8, blocks=1),
    densifier=SmallDensifierPlan(budget=12, width=8, map_channels=8, asked=8, drop_path=0.2),
    log_every=1,
    checkpoint_every=2,
    score_every=0,
    score_objects=2,
    turned=True,
)
"""A training of a second or two."""


@dataclass(frozen=True)
class Balls:
    """Balls of two colours, one half each; ``opaque``: photographs without a mask."""

    count: int = 3
    opaque: bool = False

    def __len__(self) -> int:
        return self.count

    def sample(self, index: int, generator: torch.Generator) -> Example:
        return self._example(index, float(torch.rand(1, generator=generator)) * 6)

    def evaluation(self, index: int) -> Example:
        return self._example(index, 0.0)

    def _example(self, index: int, start: float) -> Example:
        own = torch.Generator().manual_seed(index)
        points = torch.nn.functional.normalize(torch.randn(800, 3, generator=own), dim=1) * 0.3
        colors = torch.rand(2, 3, generator=own)[(points[:, 2] > 0).long()]
        ball = Gaussians(
            means=points,
            quats=torch.tensor([1.0, 0, 0, 0]).expand(800, 4).contiguous(),
            scales=torch.full((800, 3), 0.02),
            opacities=torch.full((800,), 0.9),
            sh=((colors - 0.5) / SH_C0)[:, None].contiguous(),
        )
        angle = start + torch.arange(5) * (2 * torch.pi / 5)
        eyes = torch.stack([2 * angle.cos(), 2 * angle.sin(), torch.full_like(angle, 0.3)], dim=1)
        poses = look_at(eyes, torch.zeros_like(eyes), torch.tensor([0.0, 0.0, 1.0]))
        half = SIZE / 2
        cameras = Cameras.pinhole(poses, fx=48.0, fy=48.0, cx=half, cy=half, width=SIZE, height=SIZE)
        drawn = rasterize(ball, cameras)
        rgb = drawn.color if self.opaque else drawn.color / drawn.alpha.clamp_min(1e-3)[..., None]
        rgb = rgb.clamp(0, 1)
        alpha = None if self.opaque else drawn.alpha
        return Example(
            name=f"ball {index}",
            inputs=Views.of(cameras[:3], rgb=rgb[:3]),
            targets=Views.of(cameras[3:], rgb=rgb[3:]),
            near=1.2,
            far=2.8,
            input_alpha=None if alpha is None else alpha[:3],
            target_alpha=None if alpha is None else alpha[3:],
        )
