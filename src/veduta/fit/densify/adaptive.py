"""Clone, split, prune and opacity reset by the view-space gradient (Kerbl 2023, section 5.2; AbsGS, Ye 2024)."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from veduta.core import Edit, Gaussians, Screen
from veduta.fit.densify.base import Moment, State
from veduta.geometry.rotations import matrix_from_quat


@dataclass(frozen=True, kw_only=True)
class Adaptive:
    """Gaussians that the loss wants to move are cloned where small and split where large; faint ones go."""

    start_share: float = 0.02
    """Share of the run before which nothing changes."""
    stop_share: float = 0.5
    """Share of the run after which nothing changes."""
    every: int = 100
    """Steps (of 7,000) between changes."""
    gradient_threshold: float = 2e-4
    """Mean view-space gradient above which a Gaussian is cloned or split; loss per half picture width or height."""
    absolute: bool = False
    """Sum absolute gradients over pixels, so that opposite pulls do not cancel (AbsGS); wants a higher threshold."""
    split_extent_share: float = 0.01
    """A Gaussian whose largest scale exceeds this share of the extent is split, a smaller one cloned."""
    split_shrink: float = 1.6
    """A split Gaussian's two halves are smaller by this factor."""
    revise_opacity: bool = False
    """Give both copies 1 - sqrt(1 - opacity), so that together they cover what one did (Rota Bulo 2024)."""
    min_opacity: float = 0.005
    """Fainter Gaussians are removed."""
    max_extent_share: float = 0.1
    """After the first opacity reset, Gaussians larger than this share of the extent are removed."""
    reset_every: int = 3000
    """Steps (of 7,000) between opacity resets, one step after a change; 0: never."""
    reset_opacity: float = 0.01
    """Opacities are lowered to this at a reset."""
    opacity_reg: float = 0.0
    """Weight of the mean opacity in the loss."""
    scale_reg: float = 0.0
    """Weight of the mean scale in the loss."""

    def observes(self, moment: Moment) -> bool:
        """Until the last change."""
        return moment.step <= self.stop_share * moment.steps

    def start(self, n: int) -> State:
        """Sums of gradient norms and how often each Gaussian was seen."""
        return {"gradient_sum": torch.zeros(n), "seen": torch.zeros(n)}

    def observe(self, state: State, screen: Screen, moment: Moment, *, width: int, height: int) -> None:
        """Add the view-space gradients of one picture, in place."""
        gradient = screen.absgrad if self.absolute else screen.means_px.grad
        assert gradient is not None, "the backend must keep the gradient of means_px"
        x, y = gradient[..., 0] * (0.5 * width), gradient[..., 1] * (0.5 * height)
        norm = (x * x + y * y).sqrt()
        visible = screen.visible
        state["gradient_sum"] += (norm * visible).sum(dim=0)
        state["seen"] += visible.sum(dim=0)

    def due(self, moment: Moment) -> bool:
        """Every so many steps, and one step after an opacity reset is due."""
        return moment.within(self.start_share, self.stop_share) and (moment.due(self.every) or self._reset_due(moment))

    def propose(self, state: State, gaussians: Gaussians, moment: Moment, *, generator: torch.Generator) -> Edit | None:
        """A densification and pruning, or one step after one an opacity reset."""
        if moment.due(self.every):
            return self._densified(state, gaussians, moment, generator)
        return self._reset(gaussians)

    @property
    def drifts(self) -> bool:
        """Never."""
        return False

    def drift(
        self, gaussians: Gaussians, moment: Moment, *, generator: torch.Generator
    ) -> tuple[Int[Tensor, " m"], Float[Tensor, "m 3"]]:
        """Nothing moves."""
        return torch.zeros(0, dtype=torch.int64), torch.zeros(0, 3)

    def _reset_due(self, moment: Moment) -> bool:
        return self.reset_every > 0 and moment.step > 1 and moment.due(self.reset_every, offset=1)

    def _densified(self, state: State, gaussians: Gaussians, moment: Moment, generator: torch.Generator) -> Edit | None:
        kept = ~self._useless(gaussians, moment)
        if not bool(kept.any()):
            return None  # better faint Gaussians than none
        mean_gradient = state["gradient_sum"] / state["seen"].clamp(min=1.0)
        room = moment.max_gaussians - int(kept.sum())
        wanted = strongest(mean_gradient, kept & (mean_gradient >= self.gradient_threshold), room)
        large = gaussians.scales.amax(dim=1) > self.split_extent_share * moment.extent
        split, clone = wanted & large, wanted & ~large
        if bool(kept.all()) and not bool(wanted.any()):
            return None
        stay = torch.nonzero(kept & ~wanted).squeeze(1)
        cloned = torch.nonzero(clone).squeeze(1)
        halved = torch.nonzero(split).squeeze(1)
        source = torch.cat([stay, cloned, cloned, halved, halved])
        # Without revised opacities a clone is a bit-for-bit copy: only the halves change.
        first_changed = len(stay) if self.revise_opacity else len(stay) + 2 * len(cloned)
        changed = torch.arange(len(source), device=source.device) >= first_changed
        copies = 2 * len(cloned) if self.revise_opacity else 0
        return Edit(
            source=source,
            changed=changed,
            values=self._copies(gaussians[source[changed]], copies, generator),
            fields=("means", "scales", "opacities") if self.revise_opacity else ("means", "scales"),
            reason="densify",
        )

    def _useless(self, gaussians: Gaussians, moment: Moment) -> Bool[Tensor, " n"]:
        useless = gaussians.opacities < self.min_opacity
        if self.reset_every > 0 and moment.step > self.reset_every * moment.schedule_scale:
            useless |= gaussians.scales.amax(dim=1) > self.max_extent_share * moment.extent
        return useless

    def _copies(self, copies: Gaussians, clones: int, generator: torch.Generator) -> Gaussians:
        """New values: the first ``clones`` rows keep place and size, the others are halves drawn from their parent."""
        scales = copies.scales.clone()
        means = copies.means.clone()
        parents = copies[slice(clones, None)]
        own = torch.randn(len(parents), 3, generator=generator, device=means.device) * parents.scales
        means[clones:] += torch.einsum("nij,nj->ni", matrix_from_quat(parents.quats), own)
        scales[clones:] /= self.split_shrink
        opacities = 1.0 - (1.0 - copies.opacities).sqrt() if self.revise_opacity else copies.opacities
        return copies.replace(means=means, scales=scales, opacities=opacities)

    def _reset(self, gaussians: Gaussians) -> Edit:
        everyone = torch.arange(len(gaussians), device=gaussians.means.device)
        return Edit(
            source=everyone,
            changed=torch.ones_like(everyone, dtype=torch.bool),
            values=gaussians.replace(opacities=gaussians.opacities.clamp(max=self.reset_opacity)),
            fields=("opacities",),
            reason="opacity reset",
        )


def strongest(value: Float[Tensor, " n"], candidates: Bool[Tensor, " n"], room: int) -> Bool[Tensor, " n"]:
    """The at most ``room`` candidates of the largest value; ties go to the lower row."""
    if room <= 0:
        return torch.zeros_like(candidates)
    if int(candidates.sum()) <= room:
        return candidates
    order = torch.argsort(torch.where(candidates, value, -math.inf), descending=True, stable=True)
    chosen = torch.zeros_like(candidates)
    chosen[order[:room]] = True
    return chosen
