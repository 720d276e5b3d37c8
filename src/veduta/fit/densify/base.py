"""What a densification strategy is."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import torch
from jaxtyping import Float, Int
from torch import Tensor

from veduta.core import Edit, Gaussians, Screen

MIN_PERIOD = 10
"""Fewest steps between two events of one kind, however short the run: the optimiser must see what a change did."""
State = dict[str, Tensor]
"""A strategy's statistics: one row per Gaussian, where the Gaussians are; stored in checkpoints."""


@dataclass(frozen=True, kw_only=True)
class Moment:
    """Where in a run a strategy is asked."""

    step: int
    """Optimisation steps done so far, counted from 1."""
    steps: int
    """Of the whole run."""
    schedule_scale: float
    """Multiplies a strategy's step counts, which are given for a run of 7,000 steps."""
    extent: float
    """Radius of the camera rig, in the frame of the fit."""
    max_gaussians: int
    """Never more than this."""
    means_rate: float
    """The centres' learning rate now, in lengths of the frame of the fit."""

    def due(self, every: int, *, offset: int = 0) -> bool:
        """Whether something that happens every so many steps (of 7,000) is due now."""
        period = max(MIN_PERIOD, round(every * self.schedule_scale))
        return self.step % period == offset % period

    def within(self, start: float, stop: float) -> bool:
        """Whether the run is between two shares of its length."""
        return start * self.steps <= self.step <= stop * self.steps


def started(strategy: Densifier, n: int, device: torch.device) -> State:
    """A strategy's statistics before any observation, on the device of the Gaussians."""
    return {name: value.to(device) for name, value in strategy.start(n).items()}


class Densifier(Protocol):
    """A strategy: its settings are its fields. Statistics start anew after every edit."""

    def observes(self, moment: Moment) -> bool:
        """Whether :meth:`observe` is to be called after this step; view-space gradients are only kept then."""
        ...

    @property
    def opacity_reg(self) -> float:
        """Weight of the mean opacity in the loss."""
        ...

    @property
    def scale_reg(self) -> float:
        """Weight of the mean scale in the loss (lengths of the frame of the fit)."""
        ...

    def start(self, n: int) -> State:
        """Statistics of n Gaussians before any observation, on the CPU: they are moved to where the Gaussians are."""
        ...

    def observe(self, state: State, screen: Screen, moment: Moment, *, width: int, height: int) -> None:
        """Add what one backward pass showed on a picture of that size to the statistics, in place."""
        ...

    def due(self, moment: Moment) -> bool:
        """Whether :meth:`propose` is to be asked after this step."""
        ...

    def propose(self, state: State, gaussians: Gaussians, moment: Moment, *, generator: torch.Generator) -> Edit | None:
        """The change of topology after this step, if any is needed; pure but for the generator."""
        ...

    @property
    def drifts(self) -> bool:
        """Whether :meth:`drift` is to be asked after every step."""
        ...

    def drift(
        self, gaussians: Gaussians, moment: Moment, *, generator: torch.Generator
    ) -> tuple[Int[Tensor, " m"], Float[Tensor, "m 3"]]:
        """Rows whose centres move after this step without touching Adam's moments, and by how much."""
        ...
