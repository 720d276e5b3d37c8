"""No change of topology."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from veduta.core import Edit, Gaussians, Screen
from veduta.fit.densify.base import Moment, State


@dataclass(frozen=True, kw_only=True)
class Fixed:
    """The Gaussians of the start, and no others."""

    opacity_reg: float = 0.0
    """Weight of the mean opacity in the loss."""
    scale_reg: float = 0.0
    """Weight of the mean scale in the loss."""

    def observes(self, moment: Moment) -> bool:
        """Never."""
        return False

    def start(self, n: int) -> State:
        """No statistics."""
        return {}

    def observe(self, state: State, screen: Screen, moment: Moment, *, width: int, height: int) -> None:
        """Nothing is observed."""

    def due(self, moment: Moment) -> bool:
        """Never."""
        return False

    def propose(self, state: State, gaussians: Gaussians, moment: Moment, *, generator: torch.Generator) -> Edit | None:
        """Nothing changes."""
        return None

    @property
    def drifts(self) -> bool:
        """Never."""
        return False

    def drift(
        self, gaussians: Gaussians, moment: Moment, *, generator: torch.Generator
    ) -> tuple[Int[Tensor, " m"], Float[Tensor, "m 3"]]:
        """Nothing moves."""
        return torch.zeros(0, dtype=torch.int64), torch.zeros(0, 3)
