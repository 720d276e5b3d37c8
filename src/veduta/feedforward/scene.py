"""Generative densification of scenes: selected pixels' Gaussians of each view become many finer ones (on MVSplat)."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from veduta.core import Cameras
from veduta.feedforward.decode import ScenePoints, densified_gaussians
from veduta.feedforward.densify import Densifier, DensifierPlan
from veduta.feedforward.samples import SAMPLES, normalized_places, point_samples

RAW = 163
"""Numbers per pixel that the coarse Gaussians were read from."""
WIDTH = 160
SCENE_PLAN = DensifierPlan(
    channels=(320, 256, 128),
    heads=(40, 32, 16),
    factors=(2, 2, 2),
    ratios=(0.5, 0.8),
    attributes=83,
    grid_size=0.01,
    reach=0.1,
    residual=True,
)
"""The published shape; the published weights also need ``gate="softmax"`` and ``shared_cells="first"``."""


class SceneDensifier(nn.Module):
    """Features of pixels that have seen all photographs, and the densifier that takes them.

    ``repeated_rows``: from the third view on, the features of the second view are used again, as the published weights
    were evaluated.
    """

    def __init__(self, plan: DensifierPlan = SCENE_PLAN, *, repeated_rows: bool = False) -> None:
        super().__init__()
        self.repeated_rows = repeated_rows
        self.mlp1 = nn.Sequential(nn.Linear(RAW, WIDTH), nn.ReLU(), nn.Linear(WIDTH, WIDTH))
        self.norm = nn.LayerNorm(WIDTH)
        self.cross_att = nn.MultiheadAttention(WIDTH, 16, kdim=SAMPLES, vdim=SAMPLES, bias=False, batch_first=True)
        self.mlp2 = nn.Sequential(nn.Linear(WIDTH, WIDTH), nn.ReLU(), nn.Linear(WIDTH, WIDTH))
        self.point_decoder = Densifier(plan)

    def features(
        self, raw: Float[Tensor, "n 163"], samples: Float[Tensor, "v s n"]
    ) -> tuple[Float[Tensor, "n c"], Float[Tensor, "n c"]]:
        """A pixel's own features, and finer ones that have seen every photograph."""
        own = self.mlp1(raw)
        seen = samples.permute(2, 0, 1)
        told = self.cross_att(self.norm(own)[:, None], seen, seen, need_weights=False)[0][:, 0]
        return own, self.mlp2(told)

    def forward(
        self,
        means: Float[Tensor, "v p 3"],
        raw: Float[Tensor, "v p 163"],
        selected: Bool[Tensor, "v p"],
        samples: Float[Tensor, "v s n"],
        cameras: Cameras,
    ) -> Sequence[Sequence[ScenePoints]]:
        """Per view, the new Gaussians of every stage; ``samples`` are those of all n = v p pixels, view by view."""
        own, fine = (part.unflatten(0, means.shape[:2]) for part in self.features(raw.flatten(0, 1), samples))
        made: list[list[ScenePoints]] = []
        for view in range(len(means)):
            chosen = selected[view]
            seen_by = min(view, 1) if self.repeated_rows else view
            given = torch.cat([own[view][chosen], fine[seen_by][selected[seen_by]]], dim=1)
            stages = self.point_decoder(means[view][chosen], given, chosen.sum()[None])
            made.append([densified_gaussians(each.coords, each.attributes, cameras[view]) for each in stages])
        return made


def pixel_samples(
    points: Float[Tensor, "n 3"],
    cameras: Cameras,
    *,
    images: Float[Tensor, "v h w 3"],
    drawn: Float[Tensor, "v h w 3"],
    alpha: Float[Tensor, "v h w"],
    depth: Float[Tensor, "v h w"],
) -> Float[Tensor, "v 8 n"]:
    """What each photograph and the picture drawn there show where points are; the border repeated. No gradient."""
    places, z = normalized_places(points, cameras)
    shown = {"images": images, "drawn": drawn, "alpha": alpha, "depth": depth}
    return point_samples(places, z, **shown, outside="border").detach()
