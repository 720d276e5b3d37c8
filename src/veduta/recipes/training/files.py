"""Trained models as files."""

from __future__ import annotations

from pathlib import Path

from veduta.feedforward import FeedForward
from veduta.feedforward.small_weights import save_small
from veduta.recipes.training.plan import TrainPlan


def save_model(path: Path, model: FeedForward, plan: TrainPlan, *, step: int) -> None:
    """Write the weights and what they are. Raises OutputError."""
    notes = {"steps": str(step), "seed": str(plan.seed)}
    save_small(path, model, plan.coarse, plan.densifier, notes=notes)
