"""Which coarse Gaussians to densify: those that the photographs pull at the hardest (view-space gradients).

A model draws its coarse Gaussians in the places of the photographs it was shown; the gradient of the difference with
respect to a Gaussian's centre on the screen says how much there is to be gained by moving or splitting it (Kerbl et al.
2023; absolute values summed over pixels: Ye et al. 2024, AbsGS).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Protocol, runtime_checkable

import torch
from jaxtyping import Float, Int
from torch import Tensor

from veduta.core import Gaussians, TensorRecord, Views
from veduta.feedforward.coarse import Coarse
from veduta.feedforward.drawing import Drawing
from veduta.render import Backend


@dataclass(frozen=True, eq=False)
class Look(TensorRecord):
    """Gaussians as drawn in the places of v photographs, and how these pull at their centres; no gradients inside."""

    color: Float[Tensor, "v h w 3"]
    alpha: Float[Tensor, "v h w"]
    depth: Float[Tensor, "v h w"]
    """Alpha-normalised z depth."""
    signed: Float[Tensor, "n 2"]
    """Gradient of the summed errors of all photographs with respect to centres in normalised device coordinates."""
    absolute: Float[Tensor, "n 2"]
    """The same with absolute values summed over pixels and photographs."""

    def scores(self, *, signed: bool) -> Float[Tensor, " n"]:
        """How hard each Gaussian is pulled at."""
        return (self.signed if signed else self.absolute).norm(dim=1)


def look(gaussians: Gaussians, views: Views, drawing: Drawing, *, backend: str | Backend = "auto") -> Look:
    """Draw Gaussians of one object or scene from its own photographs, and only these, and compare.

    The error of a photograph is the mean over its pixels and channels of the squared difference times the pixel's
    weight; photographs add up.
    """
    size = views.rgb.new_tensor([views.cameras.width, views.cameras.height]) / 2
    still = gaussians.detach()
    signed, absolute = torch.zeros_like(still.means[:, :2]), torch.zeros_like(still.means[:, :2])
    color, alpha, depth = [], [], []
    for i in range(len(views)):
        with torch.enable_grad(), torch.autocast(still.means.device.type, enabled=False):
            means = still.means.clone().requires_grad_()
            seen = drawing.draw(still.replace(means=means), views.cameras[i], keep_screen=True, backend=backend)
            shown = seen.color[0].clamp(0, 1) if drawing.clamp else seen.color[0]
            error = (views.weight[i][..., None] * (shown - views.rgb[i]).square()).mean()
            assert seen.screen is not None
            (pull,) = torch.autograd.grad(error, seen.screen.means_px)
        signed = signed + pull[0] * size
        absolute = absolute + seen.screen.absgrad[0] * size
        color.append(shown.detach())
        alpha.append(seen.alpha[0].detach())
        depth.append(seen.depth[0].detach())
    return Look(torch.stack(color), torch.stack(alpha), torch.stack(depth), signed.detach(), absolute.detach())


def view_space_scores(
    gaussians: Gaussians,
    views: Views,
    *,
    signed: bool,
    clamp: bool = True,
    drawing: Drawing | None = None,
    backend: str | Backend = "auto",
) -> Float[Tensor, " n"]:
    """How hard the photographs pull at each Gaussian: the length of the summed (or absolute) view-space gradient."""
    shown = replace(Drawing() if drawing is None else drawing, clamp=clamp)
    return look(gaussians, views, shown, backend=backend).scores(signed=signed)


def select(scores: Float[Tensor, " n"], k: int, *, sources: Int[Tensor, " n"] | None = None) -> Int[Tensor, " m"]:
    """Rows of the k highest scores, ascending; of every source apart where ``sources`` are given.

    Of equal scores the lower rows are taken; all rows where there are not k.
    """
    groups = torch.zeros_like(scores, dtype=torch.long) if sources is None else sources
    chosen: list[Tensor] = []
    for source in groups.unique().tolist():
        rows = (groups == source).nonzero()[:, 0]
        best = scores[rows].argsort(descending=True, stable=True)[:k]
        chosen.append(rows[best])
    return torch.cat(chosen).sort().values if chosen else groups


@runtime_checkable
class Selector(Protocol):
    """Says how much there is to be gained by densifying each coarse Gaussian; the highest are chosen."""

    def __call__(self, coarse: Coarse, seen: Look, *, generator: torch.Generator | None = None) -> Float[Tensor, " n"]:
        """Scores, comparable among Gaussians of one source."""
        ...


@dataclass(frozen=True, kw_only=True)
class ByGradient:
    """The length of the view-space gradient."""

    signed: bool = False
    """Gradients of pixels may cancel; else absolute values are summed."""

    def __call__(self, coarse: Coarse, seen: Look, *, generator: torch.Generator | None = None) -> Float[Tensor, " n"]:
        """See :class:`Selector`; nothing random."""
        return seen.scores(signed=self.signed)


@dataclass(frozen=True)
class AtRandom:
    """Any, to compare with."""

    def __call__(self, coarse: Coarse, seen: Look, *, generator: torch.Generator | None = None) -> Float[Tensor, " n"]:
        """See :class:`Selector`; drawn from ``generator``, which is on the CPU."""
        return torch.rand(len(coarse.sources), generator=generator).to(coarse.features.device)


SELECTORS: dict[str, Selector] = {
    "gradient": ByGradient(),
    "signed-gradient": ByGradient(signed=True),
    "random": AtRandom(),
}
"""By name."""
