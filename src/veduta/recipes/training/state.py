"""What changes while a model is trained, and its checkpoint: enough to go on bit for bit."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from veduta.core import InputError
from veduta.io.tensors import load_tensors, require_schema, save_tensors
from veduta.recipes.training.plan import TrainPlan

CHECKPOINT_SCHEMA = 1
"""Raised when a checkpoint's contents change their meaning."""
_FIELD = "veduta_training_schema"
_MOMENTS = ("exp_avg", "exp_avg_sq")


@dataclass(eq=False)
class Progress:
    """A model on its way. Everything random is drawn anew from the seed and the step, so there is no state of it."""

    model: nn.Module
    averaged: dict[str, Tensor]
    """Parameters averaged over the steps, by name; what is scored and kept in the end."""
    optimizer: torch.optim.Optimizer
    step: int = 0
    """Steps done."""
    seconds: float = 0.0
    """Spent in steps."""
    taken: int = 0
    """Parameters that a training that was not resumed began with as they were learned before."""


def begin(model: nn.Module, plan: TrainPlan) -> Progress:
    """A fresh model's progress: every parameter has a gradient of zeros."""
    decayed = {True: [], False: []}
    for name, parameter in model.named_parameters():
        parameter.grad = torch.zeros_like(parameter)
        decayed[decays(name, parameter)].append(parameter)
    groups = [
        {"params": parameters, "weight_decay": plan.weight_decay if decay and plan.optimizer == "adamw" else 0.0}
        for decay, parameters in decayed.items()
        if parameters
    ]
    kind = torch.optim.AdamW if plan.optimizer == "adamw" else torch.optim.Adam
    optimizer = kind(groups, lr=plan.learning_rate, betas=(plan.betas[0], plan.betas[1]))
    averaged = {name: parameter.detach().clone() for name, parameter in model.named_parameters()}
    return Progress(model=model, averaged=averaged, optimizer=optimizer)


def decays(name: str, parameter: Tensor) -> bool:
    """Whether weight decay is for this parameter: not for biases and the gains of norms."""
    return parameter.dim() > 1 and not name.endswith("bias")


def average_(averaged: Mapping[str, Tensor], model: nn.Module, *, memory: float, step: int) -> None:
    """Move averages towards the parameters; the memory is short at first, so that the start is forgotten."""
    share = 1 - min(memory, (1 + step) / (10 + step)) if memory else 1.0
    parameters = dict(model.named_parameters())
    with torch.no_grad():
        for name, mean in averaged.items():
            mean.lerp_(parameters[name], share)


def save_checkpoint(path: Path, progress: Progress) -> None:
    """Write everything, atomically. Raises OutputError."""
    tensors: dict[str, Tensor] = {}
    for name, parameter in progress.model.named_parameters():
        tensors[f"model.{name}"] = parameter
        tensors[f"averaged.{name}"] = progress.averaged[name]
        state = progress.optimizer.state[parameter]
        tensors |= {f"{moment}.{name}": state[moment] for moment in _MOMENTS}
    metadata = {_FIELD: str(CHECKPOINT_SCHEMA), "step": str(progress.step), "seconds": repr(progress.seconds)}
    save_tensors(path, tensors, metadata=metadata)


def load_checkpoint_(path: Path, progress: Progress) -> None:
    """Put a fresh progress where the stored one was. InputError for another model's, or a corrupt file."""
    tensors, metadata = load_tensors(path)
    what, again = "a checkpoint of a training", "train"
    require_schema(metadata, path, field=_FIELD, version=CHECKPOINT_SCHEMA, what=what, again=again)
    parameters = dict(progress.model.named_parameters())
    parts = ("model", "averaged", *_MOMENTS)
    wanted = {f"{part}.{name}": p.shape for part in parts for name, p in parameters.items()}
    _check(path, tensors, wanted)
    try:
        progress.step, progress.seconds = int(metadata["step"]), float(metadata["seconds"])
    except (KeyError, ValueError) as error:
        raise InputError("corrupt checkpoint", where=path, expected="step and seconds", got=error) from error
    with torch.no_grad():
        for name, parameter in parameters.items():
            parameter.copy_(tensors[f"model.{name}"])
            progress.averaged[name].copy_(tensors[f"averaged.{name}"])
            state = {moment: tensors[f"{moment}.{name}"].to(parameter) for moment in _MOMENTS}
            progress.optimizer.state[parameter] = {"step": torch.tensor(float(progress.step)), **state}


def _check(path: Path, tensors: Mapping[str, Tensor], wanted: Mapping[str, Sequence[int]]) -> None:
    for name in sorted(wanted.keys() | tensors.keys()):
        expected = tuple(wanted[name]) if name in wanted else "nothing"
        got = tuple(tensors[name].shape) if name in tensors else "nothing"
        if expected != got:
            raise InputError(
                "the checkpoint is of another model", where=path, field=name, expected=str(expected), got=got
            )
