"""Small object models as files, and the one that comes with veduta."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from veduta.feedforward.models import FeedForward
from veduta.feedforward.small import SmallPlan
from veduta.feedforward.small_densify import SmallDensifierPlan, small_object_model
from veduta.io.weights import Weights

SMALL_OBJECT = "small-object"
"""The kind of their files."""
EMBEDDED = Path(__file__).parent / "weights" / "object_small.safetensors"
"""Trained on procedural objects only; its settings say how."""


def small_weights(
    model: FeedForward,
    coarse: SmallPlan,
    densifier: SmallDensifierPlan | None,
    *,
    training: Mapping[str, Any] | None = None,
    half: bool = False,
) -> Weights:
    """The content of a small model's file; ``training`` says how it was trained, ``half`` keeps it in float16."""
    settings = {
        "coarse": dataclasses.asdict(coarse),
        "densifier": None if densifier is None else dataclasses.asdict(densifier),
        "training": dict(training or {}),
    }
    state = model.state_dict()
    return Weights(SMALL_OBJECT, settings, {name: value.half() if half else value for name, value in state.items()})


def small_from_settings(settings: Mapping[str, Any]) -> FeedForward:
    """The model of such settings, without its weights. TypeError, KeyError or ValueError for odd ones."""
    second = settings["densifier"]
    if second is not None:
        second = SmallDensifierPlan(**(second | {"factors": tuple(second["factors"])}))
    return small_object_model(SmallPlan(**settings["coarse"]), second)
