"""Generative densification of objects (on LaRa): the chosen coarse Gaussians become many finer ones, the rest stay."""

from __future__ import annotations

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from veduta.core import Gaussians, Views
from veduta.feedforward.coarse import Coarse
from veduta.feedforward.compatibility import Compatibility
from veduta.feedforward.decode import FINE_SCALE, object_gaussians
from veduta.feedforward.densify import Densifier, DensifierPlan, Leaves
from veduta.feedforward.lookup import Shown
from veduta.feedforward.samples import FineFeatures, normalized_places, point_samples
from veduta.feedforward.select import Look


class ObjectDensifier(nn.Module):
    """Looks at the photographs where the coarse Gaussians are, densifies the chosen ones, recolours the others.

    ``channels`` is the width of the coarse features; the plan's first stage takes twice as many.
    """

    def __init__(
        self,
        plan: DensifierPlan | None = None,
        *,
        channels: int = 80,
        heads: int = 16,
        sh_numbers: int = 12,
        unit_scale: float = FINE_SCALE,
        compatibility: Compatibility | None = None,
    ) -> None:
        super().__init__()
        self.compatibility = Compatibility() if compatibility is None else compatibility
        self.unit_scale = unit_scale
        self.fine = FineFeatures(channels, heads=heads, features=channels, sh_numbers=sh_numbers)
        self.densifier = Densifier(plan)
        assert self.densifier.plan.channels[0] == 2 * channels, self.densifier.plan.channels

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
        """The new Gaussians, stage by stage, then those that were not chosen in their order."""
        samples = object_samples(coarse.gaussians.means, views, seen, self.compatibility)
        told, change = self.fine(coarse.features, samples)
        scale = 2.0 if self.compatibility.coords_x2 else 1.0
        stages = self.densifier(
            coarse.gaussians.means[chosen] * scale,
            torch.cat([told[chosen], coarse.features[chosen]], dim=1),
            torch.tensor([len(chosen)], device=chosen.device),
            shown=Shown.of(views, seen, scale=scale) if self.densifier.plan.looks else None,
            generator=generator,
        )
        made = [self._decoded(leaves, scale) for leaves in stages]
        return Gaussians.cat([*made, recoloured(coarse.gaussians, change)[unchosen(chosen, len(change))]])

    def _decoded(self, leaves: Leaves, scale: float) -> Gaussians:
        made = object_gaussians(leaves.coords / scale, leaves.attributes, unit_scale=self.unit_scale)
        return made.replace(opacities=made.opacities * leaves.gates)


class Recolouring(nn.Module):
    """The original LaRa's second step: coarse Gaussians take colours from the photographs; none is added."""

    def __init__(self, channels: int = 80, *, compatibility: Compatibility | None = None) -> None:
        super().__init__()
        self.compatibility = Compatibility() if compatibility is None else compatibility
        self.fine = FineFeatures(channels, heads=8, hidden=64, features=0)

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
        """All coarse Gaussians, recoloured; ``chosen`` ones are treated like the others."""
        samples = object_samples(coarse.gaussians.means, views, seen, self.compatibility)
        return recoloured(coarse.gaussians, self.fine(coarse.features, samples)[1])


def object_samples(
    means: Float[Tensor, "n 3"], views: Views, seen: Look, compatibility: Compatibility
) -> Float[Tensor, "v s n"]:
    """What photographs and drawn pictures show where the Gaussians are."""
    places, z = normalized_places(means.detach(), views.cameras, half_pixel_shift=compatibility.half_pixel_shift)
    depth = seen.depth * seen.alpha if compatibility.unnormalised_depth else seen.depth
    return point_samples(places, z, images=views.rgb, drawn=seen.color, alpha=seen.alpha, depth=depth)


def recoloured(gaussians: Gaussians, change: Float[Tensor, "n k 3"]) -> Gaussians:
    """With ``change`` added to the SH coefficients."""
    return gaussians.replace(sh=gaussians.sh + change)


def unchosen(chosen: Int[Tensor, " m"], count: int) -> Int[Tensor, " r"]:
    """All other rows of ``count``, ascending."""
    rest = torch.ones(count, dtype=torch.bool, device=chosen.device)
    rest[chosen] = False
    return rest.nonzero()[:, 0]
