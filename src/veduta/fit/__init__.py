"""Per-scene optimisation: a capture in, a scene out."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from pathlib import Path

import torch

from veduta.core import Capture, Scene
from veduta.fit.config import config_from_plan, plan_from_config
from veduta.fit.densify import DENSIFIERS, Adaptive, Densifier, Fixed, Mcmc
from veduta.fit.events import Edited, Event, Saved, Scored, Started, Stepped
from veduta.fit.initial import initial_scene
from veduta.fit.loop import train
from veduta.fit.plan import AdamPlan, BackdropPlan, ExposurePlan, FitPlan, InitialPlan, LearningRates

__all__ = [
    "DENSIFIERS",
    "AdamPlan",
    "Adaptive",
    "BackdropPlan",
    "Densifier",
    "Edited",
    "Event",
    "ExposurePlan",
    "FitPlan",
    "Fixed",
    "InitialPlan",
    "LearningRates",
    "Mcmc",
    "Saved",
    "Scored",
    "Started",
    "Stepped",
    "config_from_plan",
    "fit",
    "initial_scene",
    "plan_from_config",
    "train",
]


def fit(
    capture: Capture,
    plan: FitPlan | None = None,
    *,
    initial: Scene | None = None,
    out: str | Path | None = None,
    resume: bool = False,
    backend: str = "auto",
    device: str | torch.device = "auto",
    threads: int | None = None,
    command: str = "veduta.fit",
    on_event: Callable[[Event], None] | None = None,
) -> Scene:
    """Fit a scene to a capture and return it, in the capture's frame; see :func:`train` for all but ``on_event``.

    ``on_event`` is called with every event.
    """
    events = train(
        capture,
        plan,
        initial=initial,
        out=out,
        resume=resume,
        backend=backend,
        device=device,
        threads=threads,
        command=command,
    )
    with contextlib.closing(events):
        while True:
            try:
                event = next(events)
            except StopIteration as end:
                return end.value
            if on_event is not None:
                on_event(event)
