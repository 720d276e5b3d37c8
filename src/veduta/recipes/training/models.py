"""Which models can be trained, by name, and as files."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from veduta.core import InputError, WeightsError
from veduta.feedforward import FeedForward
from veduta.feedforward.checkpoints import embedded_weights, model_of
from veduta.feedforward.published import PUBLISHED
from veduta.feedforward.small_densify import small_object_model
from veduta.feedforward.small_weights import SMALL_OBJECT, small_weights
from veduta.io.runs import RunFolder
from veduta.io.weights import Weights, load_weights
from veduta.measure.reconstruction import smallest_side
from veduta.recipes.training.plan import TrainPlan, plan_from_config
from veduta.recipes.training.state import begin, load_checkpoint_

NAMES = (SMALL_OBJECT, *PUBLISHED)
"""Models that can be trained."""
IMPROVABLE = ("object", "object-residual", "scene")
"""Published models with a densifier; the small one has what helped it built in."""
IMPROVED: Mapping[str, tuple[str, ...]] = {"together": ("scene",)}
"""Switches that fewer models have."""
EMBEDDED_NAME = "embedded"
"""Of the model that comes with veduta."""
CHECKPOINTS = frozenset({".ckpt", ".pt", ".pth", ".bin"})
"""Suffixes of files that others published."""
SCENE_SIZE_PX = 256
"""Width and height of a scene's views in published tables."""


def fresh_model(plan: TrainPlan) -> FeedForward:
    """The untrained model of a plan: the same weights for the same seed. InputError for an unknown name."""
    if plan.model not in NAMES:
        raise _unknown(plan)
    _check_improvements(plan)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(plan.seed)
        if plan.model == SMALL_OBJECT:
            return small_object_model(plan.coarse, plan.densifier)
        return PUBLISHED[plan.model].build(plan.compatibility, plan.improvements)


def size_px_of(plan: TrainPlan) -> int:
    """Width and height of the views that the model of a plan is shown. InputError for an unknown model."""
    if plan.model == SMALL_OBJECT:
        return plan.coarse.size_px
    if plan.model not in PUBLISHED:
        raise _unknown(plan)
    return shown_size_px(PUBLISHED[plan.model].outline())


def check_scales(plan: TrainPlan) -> None:
    """InputError for a plan that compares pictures at more scales than its model's views have room for."""
    if plan.ssim_weight == 0 or plan.ssim_scales == 1:
        return
    side, smallest = size_px_of(plan), smallest_side(plan.ssim_scales)
    if side <= smallest:
        fitting = next(
            scales for scales in range(plan.ssim_scales, 0, -1) if scales == 1 or smallest_side(scales) < side
        )
        raise InputError(
            "views too small for so many scales of MS-SSIM",
            where="training plan",
            field="ssim_scales",
            expected=f"views of more than {smallest} pixels for {plan.ssim_scales}",
            got=f"{side} pixels",
            hint=f"Take larger views, or at most {fitting} {'scale' if fitting == 1 else 'scales'}.",
        )


def shown_size_px(model: FeedForward) -> int:
    """Width and height of the views that a model is shown: its own, or those of published tables of scenes."""
    return SCENE_SIZE_PX if model.intake.size_px is None else model.intake.size_px[0]


def weights_of(model: FeedForward, plan: TrainPlan, *, step: int, data: str, half: bool = False) -> Weights:
    """A trained model as the content of a file, which says how it was trained. ``half``: small ones in float16."""
    training = {"steps": step, "of": plan.steps, "batch": plan.batch, "seed": plan.seed, "data": data}
    if plan.start is not None:
        training["start"] = Path(plan.start).name
    if plan.model == SMALL_OBJECT:
        return small_weights(model, plan.coarse, plan.densifier, training=training, half=half)
    settings = {"compatibility": dataclasses.asdict(plan.compatibility), "training": training}
    settings["improvements"] = dataclasses.asdict(plan.improvements)
    return Weights(plan.model, settings, model.state_dict())


def model_of_run(folder: Path) -> tuple[FeedForward, Weights]:
    """The averaged weights of a training's last checkpoint, finished or not. InputError where there is none."""
    run = RunFolder.open(folder)
    record = run.record()
    plan = plan_from_config(record.config, where=str(run.record_path))
    latest = run.latest_checkpoint()
    if latest is None:
        raise InputError("the training has no checkpoint yet", where=folder, hint="Wait for the first one.")
    progress = begin(fresh_model(plan), plan)
    load_checkpoint_(latest, progress)
    model = fresh_model(plan)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            parameter.copy_(progress.averaged[name])
    return model.eval(), weights_of(model, plan, step=progress.step, data=record.fingerprint)


def how_trained(folder: Path) -> dict[str, Any]:
    """A training's plan, steps, seconds spent in them and data, and the same of the training that it began with.

    Of that the name alone where it is not a training's folder, or is not there any more.
    """
    run = RunFolder.open(folder)
    record = run.record()
    last = {"step": 0, "seconds": 0.0}
    for line in run.log():
        if line["event"] == "TrainingStepped":
            last = line
    config = dict(record.config)
    start = config.pop("start", None)
    told = {"steps": last["step"], "seconds": round(last["seconds"]), "data": record.fingerprint, "config": config}
    if start is not None:
        told["start"] = how_trained(Path(start)) if Path(start).is_dir() else Path(start).name
    return told


def opened_model(name: str) -> tuple[FeedForward, Weights]:
    """A model ready for use, with its weights as they are kept.

    ``name``: the folder of a training, a file of weights, or ``embedded``. Raises InputError and WeightsError.
    """
    if name == EMBEDDED_NAME:
        weights = embedded_weights()
        return model_of(weights, where=name), weights
    path = Path(name)
    if path.is_dir():
        return model_of_run(path)
    if not path.exists():
        expected = f"the run of a training, a file of weights, or {EMBEDDED_NAME}"
        raise InputError("no such model", where=path, expected=expected)
    if path.suffix.lower() in CHECKPOINTS:
        raise WeightsError(
            "a checkpoint that has not been imported",
            where=path,
            expected="a .safetensors file of veduta's",
            hint=f"veduta weights import {path} weights/",
        )
    weights = load_weights(path)
    return model_of(weights, where=path), weights


def _check_improvements(plan: TrainPlan) -> None:
    asked = [name for name, value in dataclasses.asdict(plan.improvements).items() if value]
    refused = [name for name in asked if plan.model not in IMPROVED.get(name, IMPROVABLE)]
    if refused:
        raise InputError(
            f"the model {plan.model!r} has no such switch",
            where="training plan",
            field=f"improvements.{refused[0]}",
            expected=f"a model of {', '.join(IMPROVED.get(refused[0], IMPROVABLE))}",
            got=plan.model,
        )


def _unknown(plan: TrainPlan) -> InputError:
    expected = ", ".join(NAMES)
    return InputError("no such model", where="training plan", field="model", expected=expected, got=plan.model)
