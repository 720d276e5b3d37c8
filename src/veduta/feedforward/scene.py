"""Generative densification of scenes: selected pixels' Gaussians of each view become many finer ones (on MVSplat)."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from veduta.core import Cameras, Gaussians, Views
from veduta.feedforward.coarse import Coarse
from veduta.feedforward.compatibility import Compatibility
from veduta.feedforward.decode import ScenePoints, densified_gaussians
from veduta.feedforward.densify import Densifier, DensifierPlan, Leaves
from veduta.feedforward.lookup import Shown
from veduta.feedforward.samples import SAMPLES, normalized_places, point_samples
from veduta.feedforward.select import Look

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

    Views are densified apart, or with ``together`` as one cloud, in which points of different views see one another.
    """

    def __init__(
        self,
        plan: DensifierPlan = SCENE_PLAN,
        *,
        raw: int = RAW,
        width: int = WIDTH,
        together: bool = False,
        compatibility: Compatibility | None = None,
    ) -> None:
        super().__init__()
        self.together = together
        self.compatibility = Compatibility() if compatibility is None else compatibility
        self.mlp1 = nn.Sequential(nn.Linear(raw, width), nn.ReLU(), nn.Linear(width, width))
        self.norm = nn.LayerNorm(width)
        self.cross_att = nn.MultiheadAttention(width, 16, kdim=SAMPLES, vdim=SAMPLES, bias=False, batch_first=True)
        self.mlp2 = nn.Sequential(nn.Linear(width, width), nn.ReLU(), nn.Linear(width, width))
        self.point_decoder = Densifier(plan)

    def forward(
        self,
        coarse: Coarse,
        chosen: Int[Tensor, " m"],
        views: Views,
        seen: Look,
        *,
        near: float,
        generator: torch.Generator | None = None,
    ) -> Gaussians:
        """View by view the new Gaussians, stage by stage, and those that were not chosen."""
        samples = scene_samples(coarse.gaussians.means, views, seen, near=near, compatibility=self.compatibility)
        rows = rows_by_view(chosen, coarse.sources, len(views))
        made = self.points(
            coarse.gaussians.means,
            coarse.features,
            rows,
            samples,
            views.cameras,
            shown=Shown.of(views, seen) if self.point_decoder.plan.looks else None,
            generator=generator,
        )
        rest = torch.ones_like(coarse.sources, dtype=torch.bool)
        rest[chosen] = False
        union: list[Gaussians] = []
        for view, stages in enumerate(made):
            with torch.autocast(rest.device.type, enabled=False):
                union += [points.gaussians(e3nn_signs=self.compatibility.sh_e3nn_signs) for points in stages]
            union.append(coarse.gaussians[rest & (coarse.sources == view)])
        return Gaussians.cat(union)

    def points(
        self,
        means: Float[Tensor, "n 3"],
        raw: Float[Tensor, "n r"],
        rows: Sequence[Int[Tensor, " _"]],
        samples: Float[Tensor, "v s n"],
        cameras: Cameras,
        *,
        shown: Shown | None = None,
        generator: torch.Generator | None = None,
    ) -> Sequence[Sequence[ScenePoints]]:
        """Per view, the new Gaussians of every stage; ``rows`` are those of each view that are densified."""
        used = torch.cat(list(rows))
        counts = [len(chosen) for chosen in rows]
        owns, fines = (part.split(counts) for part in self.features(raw[used], samples[..., used]))
        given = [torch.cat([own, fines[self._seen_by(counts, i)]], dim=1) for i, own in enumerate(owns)]
        if self.together:
            together = torch.tensor([len(used)], device=means.device)
            stages = self.point_decoder(means[used], torch.cat(given), together, shown=shown, generator=generator)
            views = torch.cat([torch.full_like(chosen, view) for view, chosen in enumerate(rows)])
            parted = [[_of_view(leaves, views[leaves.roots] == view) for leaves in stages] for view in range(len(rows))]
        else:
            parted = [
                self.point_decoder(
                    means[chosen],
                    features,
                    torch.tensor([len(chosen)], device=means.device),
                    shown=shown,
                    generator=generator,
                )
                for chosen, features in zip(rows, given, strict=True)
            ]
        return [[_decoded(leaves, cameras[view]) for leaves in stages] for view, stages in enumerate(parted)]

    def features(
        self, raw: Float[Tensor, "n r"], samples: Float[Tensor, "v s n"]
    ) -> tuple[Float[Tensor, "n c"], Float[Tensor, "n c"]]:
        """A pixel's own features, and finer ones that have seen every photograph."""
        own = self.mlp1(raw)
        seen = samples.permute(2, 0, 1)
        told = self.cross_att(self.norm(own)[:, None], seen, seen, need_weights=False)[0][:, 0]
        return own, self.mlp2(told)

    def _seen_by(self, counts: Sequence[int], view: int) -> int:
        """The view whose fine features are used for a view's points."""
        repeated = self.compatibility.repeated_rows and counts[view] == counts[min(view, 1)]
        return min(view, 1) if repeated else view


def rows_by_view(chosen: Int[Tensor, " m"], sources: Int[Tensor, " n"], views: int) -> list[Int[Tensor, " _"]]:
    """The chosen rows of each view, in their order."""
    return [chosen[sources[chosen] == view] for view in range(views)]


def _of_view(leaves: Leaves, own: Tensor) -> Leaves:
    return leaves.map(lambda t: t[own])


def _decoded(leaves: Leaves, camera: Cameras) -> ScenePoints:
    with torch.autocast(leaves.coords.device.type, enabled=False):
        points = densified_gaussians(leaves.coords, leaves.attributes, camera)
    return points.replace(opacities=points.opacities * leaves.gates)


def scene_samples(
    means: Float[Tensor, "n 3"], views: Views, seen: Look, *, near: float, compatibility: Compatibility
) -> Float[Tensor, "v 8 n"]:
    """What photographs and drawn pictures show where pixels' Gaussians are; depths compared in units of ``near``.

    :attr:`Compatibility.unnormalised_depth`: the drawn depth alone is in units of ``near``.
    """
    places, z = normalized_places(means.detach(), views.cameras)
    if compatibility.unnormalised_depth:
        depth = seen.depth * seen.alpha / near
    else:
        depth, z = seen.depth / near, z / near
    shown = {"images": views.rgb, "drawn": seen.color, "alpha": seen.alpha, "depth": depth}
    return point_samples(places, z, **shown, outside="border").detach()
