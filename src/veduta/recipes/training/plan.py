"""Every setting of a feed-forward model's training."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from veduta.core import InputError
from veduta.feedforward.compatibility import Compatibility
from veduta.feedforward.published import Improvements
from veduta.feedforward.small import SmallPlan
from veduta.feedforward.small_densify import SmallDensifierPlan
from veduta.fit.config import record_from_values

NO_EFFECT_ON_RESULT = frozenset({"log_every", "checkpoint_every", "score_every", "score_objects"})
"""Fields that may differ when a run is resumed."""


@dataclass(frozen=True, kw_only=True)
class TrainPlan:
    """What is trained, and how."""

    model: str = "small-object"
    """One of :data:`veduta.recipes.training.NAMES`."""
    coarse: SmallPlan = field(default_factory=SmallPlan)
    """Size of a small model's coarse part; other models have theirs."""
    densifier: SmallDensifierPlan | None = field(default_factory=SmallDensifierPlan)
    """Of a small model's densifier; None: there is none."""
    improvements: Improvements = field(default_factory=Improvements)
    """What a published model has beyond its paper; others have none to switch."""
    compatibility: Compatibility = field(default_factory=Compatibility)
    """Habits of a published model; on where it begins with imported weights."""
    start: str | None = None
    """What it begins with; see :mod:`veduta.recipes.training.start`. None: weights drawn from the seed."""
    steps: int = 10_000
    """Updates of the weights."""
    batch: int = 1
    """Objects or scenes per step, over all processes."""
    optimizer: Literal["adam", "adamw"] = "adamw"
    """With adamw, biases and norms do not decay."""
    learning_rate: float = 1e-3
    """The highest."""
    betas: tuple[float, ...] = (0.9, 0.95)
    """Memories of the gradient's mean and mean square."""
    weight_decay: float = 0.05
    """Of adamw."""
    warmup_steps: int = 200
    """In which the learning rate rises, linearly (``cosine``) or as half a cosine (``onecycle``)."""
    schedule: Literal["cosine", "onecycle"] = "cosine"
    """What follows: half a cosine to 0, or to a 250,000th of the highest rate."""
    clip_norm: float = 0.5
    """Gradients longer than this are shortened to it."""
    ema: float = 0.998
    """Memory of the averaged weights, which are what is saved and scored; 0: the last ones."""
    ssim_weight: float = 0.5
    """Of 1 - MS-SSIM beside the mean squared error; 0: none."""
    ssim_scales: int = 5
    """Of MS-SSIM; five need views of more than 160 pixels. 1: plain SSIM, for which there is a compiled kernel."""
    coarse_weight: float = 1.0
    """Of the coarse Gaussians' loss beside the others'."""
    carve_weight: float = 0.0
    """Of the mean opacity of Gaussians where a view that was not shown is empty; objects only."""
    selection_weight: float = 0.01
    """Of a learned selector's loss: how far its order is from that of the pulls of views that were not shown."""
    backgrounds: tuple[float, ...] = (0.0, 0.5, 1.0)
    """Greys, one of which lies behind the views of an object that the model was not shown."""
    turned: bool = False
    """Whether an object is turned by one of the 24 rotations of a cube, drawn anew each time."""
    bf16: bool = False
    """Whether networks compute in bfloat16; weights, Gaussians and pictures stay in float32."""
    recompute: bool = False
    """Whether activations are worked out again in the backward pass, to need less memory (gradient checkpointing)."""
    seed: int = 0
    """Of everything random."""
    log_every: int = 20
    """Steps between two lines of the log."""
    checkpoint_every: int = 500
    """Steps between two checkpoints."""
    score_every: int = 1000
    """Steps between two evaluations on held-out objects; 0: none."""
    score_objects: int = 8
    """How many of these."""

    def __post_init__(self) -> None:
        bounds = {
            "steps": self.steps >= 1,
            "batch": self.batch >= 1,
            "learning_rate": self.learning_rate > 0,
            "betas": len(self.betas) == 2 and all(0 <= beta < 1 for beta in self.betas),
            "weight_decay": self.weight_decay >= 0,
            "warmup_steps": self.warmup_steps >= 0,
            "clip_norm": self.clip_norm > 0,
            "ema": 0 <= self.ema < 1,
            "ssim_weight": self.ssim_weight >= 0,
            "ssim_scales": 1 <= self.ssim_scales <= 5,
            "coarse_weight": self.coarse_weight >= 0,
            "carve_weight": self.carve_weight >= 0,
            "selection_weight": self.selection_weight >= 0,
            "backgrounds": len(self.backgrounds) > 0 and all(0 <= grey <= 1 for grey in self.backgrounds),
            "log_every": self.log_every >= 1,
            "checkpoint_every": self.checkpoint_every >= 1,
            "score_every": self.score_every >= 0,
            "score_objects": self.score_objects >= 1,
        }
        for name, good in bounds.items():
            if not good:
                raise InputError("setting out of range", where="training plan", field=name, got=getattr(self, name))

    def learning_rate_at(self, step: int) -> float:
        """Of the step after ``step`` others."""
        if step < self.warmup_steps:
            share = (step + 1) / self.warmup_steps
            if self.schedule == "onecycle":
                return self.learning_rate * (
                    ONECYCLE_FIRST + (1 - ONECYCLE_FIRST) * (1 - math.cos(math.pi * share)) / 2
                )
            return self.learning_rate * share
        done = (step - self.warmup_steps) / max(1, self.steps - self.warmup_steps)
        floor = ONECYCLE_LAST if self.schedule == "onecycle" else 0.0
        return self.learning_rate * (floor + (1 - floor) * (1 + math.cos(math.pi * min(1.0, done))) / 2)


ONECYCLE_FIRST, ONECYCLE_LAST = 1 / 25, 1 / 250_000
"""Shares of the highest learning rate at the start and at the end of a one-cycle schedule (Smith & Topin 2019)."""


def config_from_plan(plan: TrainPlan) -> dict[str, Any]:
    """All of a plan as JSON values."""
    return _plain(dataclasses.asdict(plan))


def plan_from_config(config: Mapping[str, Any], *, where: str = "training plan") -> TrainPlan:
    """The inverse; missing settings have their defaults. InputError for unknown names and wrong types."""
    return record_from_values(TrainPlan, config, where=where)


def differences(plan: TrainPlan, config: Mapping[str, Any]) -> list[str]:
    """Names of the settings in which a plan differs from a stored one, save those without effect on the result.

    What is not stored had its default: the plan was stored before there was such a setting.
    """
    mine, theirs = config_from_plan(plan), config_from_plan(plan_from_config(config))
    return [name for name in sorted(mine) if name not in NO_EFFECT_ON_RESULT and mine[name] != theirs[name]]


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _plain(item) for name, item in value.items()}
    return list(value) if isinstance(value, tuple) else value
