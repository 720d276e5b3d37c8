"""Which models can be trained, by name."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch

from veduta.core import InputError
from veduta.feedforward import FeedForward
from veduta.feedforward.small_densify import small_object_model
from veduta.recipes.training.plan import TrainPlan

MODELS: Mapping[str, Callable[[TrainPlan], FeedForward]] = {
    "small-object": lambda plan: small_object_model(plan.coarse, plan.densifier),
}
"""A new model is a line here."""


def fresh_model(plan: TrainPlan) -> FeedForward:
    """The untrained model of a plan: the same weights for the same seed. InputError for an unknown name."""
    if plan.model not in MODELS:
        raise InputError(
            "no such model", where="training plan", field="model", expected=", ".join(MODELS), got=plan.model
        )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(plan.seed)
        return MODELS[plan.model](plan)
