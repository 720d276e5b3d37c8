"""Densification as sampling: relocation, growth to a cap, and noise (Kheradmand 2024, '3DGS as MCMC').

o -> opacities, Sigma -> covariances, N -> copies: how many Gaussians one becomes.
"""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from veduta.core import Edit, Gaussians, Screen
from veduta.fit.densify.base import Moment, State
from veduta.geometry.rotations import matrix_from_quat

MAX_COPIES = 51
"""More copies of one Gaussian than this are treated as this many (Kheradmand 2024)."""
CLOSED_GATE = 7.0
"""sigmoid(-7) is about 1e-3: noise is left out beyond."""


@dataclass(frozen=True, kw_only=True)
class Mcmc:
    """Dead Gaussians move onto living ones, which share their opacity so that the picture stays; the set grows."""

    start_share: float = 0.02
    """Share of the run before which nothing changes."""
    stop_share: float = 0.83
    """Share of the run after which nothing changes."""
    every: int = 50
    """Steps (of 7,000) between changes."""
    growth: float = 0.05
    """Share of Gaussians added at each change until the cap is reached."""
    min_opacity: float = 0.005
    """Gaussians at most this opaque are dead and are relocated."""
    noise: float = 5e5
    """Noise on the centres: this times their learning rate times the covariance; 0: none."""
    noise_opacity: float = 0.005
    """Opacity at which the noise is half as strong; more opaque Gaussians hardly move."""
    noise_steepness: float = 100.0
    """How sharply the noise ends above that opacity."""
    opacity_reg: float = 0.01
    """Weight of the mean opacity in the loss; lets useless Gaussians die."""
    scale_reg: float = 0.01
    """Weight of the mean scale in the loss."""

    def observes(self, moment: Moment) -> bool:
        """Never: opacities decide."""
        return False

    def start(self, n: int) -> State:
        """No statistics."""
        return {}

    def observe(self, state: State, screen: Screen, moment: Moment, *, width: int, height: int) -> None:
        """Nothing is observed."""

    def due(self, moment: Moment) -> bool:
        """Every so many steps."""
        return moment.within(self.start_share, self.stop_share) and moment.due(self.every)

    def propose(self, state: State, gaussians: Gaussians, moment: Moment, *, generator: torch.Generator) -> Edit | None:
        """Relocation of the dead and growth towards the cap, in one edit."""
        n = len(gaussians)
        dead = gaussians.opacities <= self.min_opacity
        dead_rows = torch.nonzero(dead).squeeze(1)
        grown = max(0, min(moment.max_gaussians, math.ceil(n * (1.0 + self.growth))) - n)
        drawn = len(dead_rows) + grown
        if drawn == 0 or len(dead_rows) == n:
            return None
        chances = torch.where(dead, 0.0, gaussians.opacities)
        targets = torch.multinomial(chances, drawn, replacement=True, generator=generator)
        source = torch.cat([torch.arange(n, device=targets.device), targets[len(dead_rows) :]])
        source[dead_rows] = targets[: len(dead_rows)]
        copies = 1 + torch.bincount(targets, minlength=n)
        changed = copies[source] > 1
        rows = source[changed]
        opacities, scales = shared(gaussians.opacities[rows], gaussians.scales[rows], copies[rows])
        opacities = opacities.clamp(min=self.min_opacity)
        return Edit(
            source=source,
            changed=changed,
            values=gaussians[rows].replace(opacities=opacities, scales=scales),
            fields=("opacities", "scales"),
            reason="relocate",
        )

    @property
    def drifts(self) -> bool:
        """Whether there is noise."""
        return self.noise > 0.0

    def drift(
        self, gaussians: Gaussians, moment: Moment, *, generator: torch.Generator
    ) -> tuple[Int[Tensor, " m"], Float[Tensor, "m 3"]]:
        """Noise of the shape of each Gaussian, gated by its opacity; what would hardly move stays."""
        most = self.noise_opacity + CLOSED_GATE / self.noise_steepness
        moves = gaussians.opacities < most
        if gaussians.means.device.type == "cpu":
            rows = torch.nonzero(moves).squeeze(1)
            gate = torch.sigmoid(-self.noise_steepness * (gaussians.opacities[rows] - self.noise_opacity))
        else:  # counting rows would make the host wait for the device at every step
            rows = torch.arange(len(gaussians), device=gaussians.means.device)
            gate = torch.sigmoid(-self.noise_steepness * (gaussians.opacities - self.noise_opacity)) * moves
        axes = matrix_from_quat(gaussians.quats[rows])
        drawn = torch.randn(len(rows), 3, generator=generator, device=rows.device)
        variances = gaussians.scales[rows].square()
        own = torch.einsum("nij,ni->nj", axes, drawn) * variances
        strength = (self.noise * moment.means_rate) * gate[:, None]
        return rows, strength * torch.einsum("nij,nj->ni", axes, own)


def shared(
    opacities: Float[Tensor, " m"], scales: Float[Tensor, "m 3"], copies: Int[Tensor, " m"]
) -> tuple[Float[Tensor, " m"], Float[Tensor, "m 3"]]:
    """Opacity and scales of each of ``copies`` Gaussians that together look like one (Kheradmand 2024, eq. 9).

    With o' = 1 - (1 - o)^(1/N), the covariance shrinks by (o / D)^2, where D = sum over i = 1..N and k = 0..i-1 of
    C(i-1, k) (-1)^k o'^(k+1) / sqrt(k+1); summing over i first turns C(i-1, k) into C(N, k+1) (hockey-stick identity).
    """
    copies = copies.clamp(max=MAX_COPIES)
    whole = opacities.double().clamp(max=1.0 - 1e-7)
    share = -torch.expm1(torch.log1p(-whole) / copies)
    exponents = torch.arange(1, MAX_COPIES + 1, device=copies.device)
    terms = coefficients().to(copies.device)[copies] * share[:, None] ** exponents
    factor = whole / terms.sum(dim=1)
    return share.to(opacities.dtype), (scales.double() * factor[:, None]).to(scales.dtype)


@functools.cache
def coefficients() -> Float[Tensor, "copies powers"]:
    """Row N, column j: (-1)^j C(N, j + 1) / sqrt(j + 1), in float64."""
    rows = [
        [(-1.0) ** j * math.comb(n, j + 1) / math.sqrt(j + 1) for j in range(MAX_COPIES)] for n in range(MAX_COPIES + 1)
    ]
    return torch.tensor(rows, dtype=torch.float64)
