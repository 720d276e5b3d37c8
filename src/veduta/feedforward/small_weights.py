"""Files of small object models, and the one that comes with veduta."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from veduta.core import InputError, WeightsError
from veduta.feedforward.models import FeedForward
from veduta.feedforward.small import SmallPlan
from veduta.feedforward.small_densify import SmallDensifierPlan, small_object_model
from veduta.io.tensors import load_tensors, require_schema, save_tensors

SCHEMA = 1
"""Raised when the tensors of a file change their meaning."""
FIELD = "veduta_small_object_schema"
EMBEDDED = Path(__file__).parent / "weights" / "object_small.safetensors"
"""Trained on procedural objects only; its model card is in the documentation."""


def save_small(
    path: Path,
    model: FeedForward,
    coarse: SmallPlan,
    densifier: SmallDensifierPlan | None,
    *,
    notes: Mapping[str, str] | None = None,
    half: bool = False,
) -> None:
    """Write a small model, with what it is; ``half``: in float16, which costs less than 0.01 dB. Raises OutputError."""
    plan = {
        "coarse": dataclasses.asdict(coarse),
        "densifier": None if densifier is None else dataclasses.asdict(densifier),
    }
    tensors = {
        name: value.half() if half and value.is_floating_point() else value
        for name, value in model.state_dict().items()
    }
    save_tensors(path, tensors, metadata={FIELD: str(SCHEMA), "plan": json.dumps(plan), **(notes or {})})


def load_small(path: Path) -> FeedForward:
    """A small model from its file, for use. WeightsError for weights that do not fit, InputError for another file."""
    tensors, metadata = load_tensors(path)
    require_schema(metadata, path, field=FIELD, version=SCHEMA, what="a small object model", again="train it")
    try:
        plan: dict[str, Any] = json.loads(metadata["plan"])
        coarse = SmallPlan(**plan["coarse"])
        second = plan["densifier"]
        densifier = None if second is None else SmallDensifierPlan(**(second | {"factors": tuple(second["factors"])}))
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise InputError("corrupt", where=path, field="plan", expected="a small model's sizes", got=error) from error
    model = small_object_model(coarse, densifier)
    wanted = {name: tuple(value.shape) for name, value in model.state_dict().items()}
    for name in sorted(wanted.keys() | tensors.keys()):
        expected = wanted.get(name, "nothing")
        got = tuple(tensors[name].shape) if name in tensors else "nothing"
        if expected != got:
            raise WeightsError("the weights do not fit", where=path, field=name, expected=str(expected), got=got)
    model.load_state_dict({name: value.to(torch.float32) for name, value in tensors.items()})
    return model.eval()


def embedded() -> FeedForward:
    """The object model that comes with veduta: needs no download and no GPU."""
    return load_small(EMBEDDED)
