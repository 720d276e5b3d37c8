"""Named trainings."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from veduta.core import InputError
from veduta.feedforward.small import SmallPlan
from veduta.feedforward.small_densify import SmallDensifierPlan
from veduta.io.runs import read_json_object
from veduta.recipes.training.plan import TrainPlan, config_from_plan, plan_from_config

SMALL = TrainPlan(
    steps=15_000,
    learning_rate=1e-3,
    betas=(0.9, 0.99),
    ssim_weight=0.1,
    ssim_scales=1,
    carve_weight=0.1,
    checkpoint_every=250,
)
"""A small object model: an hour and a quarter of one core; the one that comes with veduta."""
SMALL_COARSE = replace(SMALL, steps=25_500, densifier=None)
"""Its coarse part alone, for as long on the clock: a step takes 0.59 times as long."""
TINY = replace(
    SMALL,
    steps=200,
    warmup_steps=20,
    coarse=SmallPlan(size_px=64, voxels=8, image_channels=8, channels=16, blocks=1),
    densifier=SmallDensifierPlan(budget=64, width=16, map_channels=8, asked=8),
    checkpoint_every=50,
    score_every=0,
)
"""Half a minute, to see that everything works."""
OBJECT = TrainPlan(
    model="object",
    steps=105_000,
    batch=24,
    learning_rate=4e-4,
    betas=(0.9, 0.95),
    weight_decay=0.05,
    warmup_steps=1000,
    clip_norm=0.5,
    ema=0.0,
    bf16=True,
    recompute=True,
    score_every=5000,
)
"""Generative Densification of objects as published (50 epochs of a fifth of Gobjaverse), its code's slips mended."""
SCENE = TrainPlan(
    model="scene",
    steps=300_001,
    batch=4,
    optimizer="adam",
    learning_rate=2e-4,
    betas=(0.9, 0.999),
    warmup_steps=3000,
    schedule="onecycle",
    clip_norm=0.5,
    ema=0.0,
    ssim_weight=0.0,
    recompute=True,
    score_every=10_000,
)
"""Generative Densification of scenes as published, but for what is not ours to give and what is not here.

There is no LPIPS in the loss. The backbone begins with weights drawn from the seed, not UniMatch's (``start`` takes
other weights). The inputs are 45 to 192 frames apart from the first step on, where the published gap grows over 100,000
steps (:func:`veduta.data.warmed_gap`). 150,001 more steps at a restarted learning rate are a training of their own.
"""

TRAININGS: Mapping[str, TrainPlan] = {
    "small": SMALL,
    "small-coarse": SMALL_COARSE,
    "tiny": TINY,
    "object": OBJECT,
    "object-residual": replace(OBJECT, model="object-residual"),
    "lara": replace(OBJECT, model="lara", steps=63_000),
    "scene": SCENE,
    "mvsplat": replace(SCENE, model="mvsplat", batch=14),
}
"""A new one is a line here."""


def training_plan(name_or_file: str) -> TrainPlan:
    """A named training, or the one in a JSON file of settings, which may name one as its ``base``. InputError."""
    if name_or_file in TRAININGS:
        return TRAININGS[name_or_file]
    if Path(name_or_file).suffix == ".json":
        return _written(Path(name_or_file))
    expected = f"{', '.join(TRAININGS)}, or a .json file of settings"
    raise InputError("no such training", field="config", expected=expected, got=repr(name_or_file))


def _written(path: Path) -> TrainPlan:
    """A file's settings, over those of the named training that it gives as its base, if it does."""
    settings = read_json_object(path)
    base = settings.pop("base", None)
    if base is None:
        return plan_from_config(settings, where=str(path))
    if not isinstance(base, str) or base not in TRAININGS:
        raise InputError("no such training", where=path, field="base", expected=", ".join(TRAININGS), got=repr(base))
    return plan_from_config(_changed(config_from_plan(TRAININGS[base]), settings), where=str(path))


def _changed(config: Mapping[str, Any], settings: Mapping[str, Any]) -> dict[str, Any]:
    """Settings over others, group by group."""
    changed = dict(config)
    for name, value in settings.items():
        own = config.get(name)
        changed[name] = _changed(own, value) if isinstance(own, dict) and isinstance(value, dict) else value
    return changed
