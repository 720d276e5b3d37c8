"""Trainings that begin with weights that were learned before.

A tensor is taken where the model has one of its name and shape; the others are drawn from the seed. So a densifier is
put on a coarse part that was trained alone, a published model is trained further, and a finished training goes on for
longer. Imported weights keep the habits that they were trained with.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from pathlib import Path

import torch

from veduta.core import WeightsError
from veduta.feedforward import Compatibility, FeedForward
from veduta.io.runs import RunFolder
from veduta.io.weights import Weights
from veduta.recipes.training.models import EMBEDDED_NAME, opened_model
from veduta.recipes.training.plan import TrainPlan, plan_from_config

MIN_SHARE = 0.9
"""Of the numbers of a model's coarse part; weights that fit less of it are of another model."""


@dataclass(frozen=True)
class Taken:
    """What a model begins with."""

    parameters: int
    """Numbers that were learned before."""
    afresh: tuple[str, ...]
    """Tensors that begin with numbers drawn from the seed."""


def starting_from(plan: TrainPlan, name: str) -> TrainPlan:
    """The plan, beginning with weights, see :func:`~veduta.recipes.training.models.opened_model`, and their habits."""
    _, weights = opened_model(name)
    return replace(plan, start=_place(name), compatibility=_habits(weights))


def as_started(plan: TrainPlan, run: Path, *, start: str | None = None) -> TrainPlan:
    """The plan with what the training in ``run`` began with; ``start``: if it is told again, as it was told then.

    What it began with is not opened: the run has its own weights.
    """
    folder = RunFolder.open(run)
    began = plan_from_config(folder.record().config, where=str(folder.record_path))
    place = began.start if start is None else _place(start)
    return replace(plan, start=place, compatibility=began.compatibility)


def start_(model: FeedForward, plan: TrainPlan) -> Taken:
    """Put the weights that a plan starts from in the place of a fresh model's.

    Raises InputError where there are none, WeightsError for those of another model or of other habits.
    """
    assert plan.start is not None
    _, weights = opened_model(plan.start)
    if _habits(weights) != plan.compatibility:
        raise WeightsError(
            "weights of a model with other habits",
            where=plan.start,
            field="compatibility",
            expected=_told(plan.compatibility),
            got=_told(_habits(weights)),
            hint="Give the plan the compatibility of the weights, or name them with --start, which does.",
        )
    own = model.state_dict()
    fitting = {name: value for name, value in weights.tensors.items() if name in own and own[name].shape == value.shape}
    _check_coarse(model, set(fitting), where=plan.start)
    with torch.no_grad():
        for name, value in fitting.items():
            own[name].copy_(value)
    learned = {name for name, _ in model.named_parameters()}
    parameters = sum(value.numel() for name, value in fitting.items() if name in learned)
    return Taken(parameters, tuple(name for name in own if name not in fitting))


def _place(name: str) -> str:
    return name if name == EMBEDDED_NAME else str(Path(name).resolve())


def _habits(weights: Weights) -> Compatibility:
    return Compatibility(**weights.settings.get("compatibility", {}))


def _told(habits: Compatibility) -> str:
    return ", ".join(name for name, on in asdict(habits).items() if on) or "none"


def _check_coarse(model: FeedForward, fitting: set[str], *, where: str) -> None:
    sizes = {name: value.numel() for name, value in model.state_dict().items() if name.startswith("backbone.")}
    share = sum(sizes[name] for name in sizes.keys() & fitting) / sum(sizes.values())
    if share < MIN_SHARE:
        raise WeightsError(
            "weights of another model, or of another size",
            where=where,
            expected=f"tensors that fit at least {MIN_SHARE:.0%} of the coarse part",
            got=f"{share:.0%}",
            hint="Train from weights of the same coarse part, in the size that the plan says.",
        )
