"""Models from files: our own, and what becomes of published checkpoints."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from veduta.core import InputError, OutputError, WeightsError
from veduta.feedforward.compatibility import Compatibility
from veduta.feedforward.models import FeedForward
from veduta.feedforward.published import PUBLISHED, Improvements, expected_shapes, from_published
from veduta.feedforward.small_weights import EMBEDDED, SMALL_OBJECT, small_from_settings
from veduta.io.atomic import write_json
from veduta.io.weights import Weights, load_weights, read_checkpoint, save_weights

SHOWN_KEYS = 8
"""Names of wrong tensors that an error lists."""


@dataclass(frozen=True)
class Imported:
    """What became of a published checkpoint."""

    kind: str
    title: str
    path: Path
    """The file of weights that was written."""
    tensors: int
    parameters: int
    """Numbers that were learned."""
    compatibility: Compatibility


def import_checkpoint(
    source: str | Path, out: str | Path, *, kind: str | None = None, overwrite: bool = False
) -> Imported:
    """Turn a published checkpoint into ``out/KIND.safetensors``; nothing in the file is run.

    ``out/KIND.json`` beside it tells what was found.
    ``kind`` is one of :data:`PUBLISHED`; by default it is told from the names of the tensors (and the two object models
    apart by their order). Raises WeightsError for a file that is not such a checkpoint, to the last tensor; OutputError
    for an existing file, of which neither is then written, unless ``overwrite``.
    """
    source, out = Path(source), Path(out)
    state = read_checkpoint(source)
    found = kind_of(state, where=source) if kind is None else kind
    if found not in PUBLISHED:
        raise InputError("no such model", field="kind", expected=", ".join(PUBLISHED), got=repr(found))
    check_state(state, expected_shapes(found), where=source, title=PUBLISHED[found].title)
    path = out / f"{found}.safetensors"
    for file in (path, path.with_suffix(".json")):
        if file.exists() and not overwrite:
            hint = "Name another folder, or --force."
            raise OutputError("the file exists and is left as it is", where=file, hint=hint)
    published = PUBLISHED[found]
    own = {key: value.to(torch.float32) for key, value in from_published(found, state).items()}
    settings = {"compatibility": dataclasses.asdict(published.compatibility)}
    save_weights(path, Weights(found, settings, own))
    learned = {name for name, _ in published.outline().named_parameters()}
    parameters = sum(value.numel() for key, value in own.items() if key in learned)
    told = Imported(found, published.title, path, len(state), parameters, published.compatibility)
    write_json(path.with_suffix(".json"), _report(source, told))
    return told


def _report(source: Path, told: Imported) -> dict[str, object]:
    return {
        "source": source.name,
        "kind": told.kind,
        "title": told.title,
        "tensors": told.tensors,
        "parameters": told.parameters,
        "missing": [],
        "unexpected": [],
        "compatibility": dataclasses.asdict(told.compatibility),
    }


def kind_of(state: Mapping[str, Tensor], *, where: Path) -> str:
    """Which published model a state dict is of. WeightsError for none of them."""
    keys = list(state)
    if any(key.startswith("point_decoder.") for key in keys):
        return "scene"
    if any(key.startswith("net.dec.") for key in keys):
        heads = [i for i, key in enumerate(keys) if key.startswith("net.dec.0.head.")]
        masks = [i for i, key in enumerate(keys) if key.startswith("net.dec.0.mask.")]
        return "object-residual" if heads and masks and heads[0] < masks[0] else "object"
    if any(key.startswith("net.vol_decoder.") for key in keys):
        return "lara"
    if any(key.startswith("encoder.depth_predictor.") for key in keys):
        return "mvsplat"
    raise WeightsError(
        "not a checkpoint of a model that is known here",
        where=where,
        expected="; ".join(each.title for each in PUBLISHED.values()),
        got=f"{len(keys)} tensors, {keys[0]!r} first",
        hint="veduta weights import takes the checkpoints that the models' authors published",
    )


def check_state(
    state: Mapping[str, Tensor], expected: Mapping[str, tuple[int, ...]], *, where: str | Path, title: str
) -> None:
    """WeightsError unless a state has just the expected tensors, all of them floating-point numbers that are finite."""
    missing = [key for key in expected if key not in state]
    unexpected = [key for key in state if key not in expected]
    shapes = [
        f"{key} {_size(state[key].shape)} instead of {_size(shape)}"
        for key, shape in expected.items()
        if key in state and tuple(state[key].shape) != shape
    ]
    kept = [key for key in expected if key in state]
    odd = [f"{key} ({state[key].dtype})" for key in kept if not state[key].is_floating_point()]
    problems = {"missing": missing, "unexpected": unexpected, "of another shape": shapes, "not real numbers": odd}
    if not any(problems.values()):
        broken = [key for key in kept if not bool(state[key].isfinite().all())]
        problems = {"with NaN or infinite values": broken}
    told = [f"{len(keys)} {what}: {_listed(keys)}" for what, keys in problems.items() if keys]
    if told:
        raise WeightsError(
            f"the tensors are not those of {title}",
            where=where,
            expected=f"{len(expected)} tensors",
            got=f"{len(state)} tensors; " + "; ".join(told),
            hint="download the file again, or name the model that it is of with --kind",
        )


def load_model(path: str | Path) -> FeedForward:
    """The model in a file of weights, ready for use, on the CPU.

    Raises InputError for a file of another kind, and WeightsError for weights that do not fit their own model.
    """
    return model_of(load_weights(path), where=path)


def model_of(weights: Weights, *, where: str | Path) -> FeedForward:
    """The model that weights are of, with them, ready for use, on their device. WeightsError if they do not fit."""
    if weights.kind not in MODELS:
        raise WeightsError(
            "weights of a model that is not known here",
            where=where,
            field="kind",
            expected=", ".join(MODELS),
            got=repr(weights.kind),
            hint="update veduta, or import the model's own checkpoint with veduta weights import",
        )
    try:
        with torch.device("meta"):
            model = MODELS[weights.kind](weights.settings)
    except (TypeError, ValueError, KeyError, AttributeError, InputError) as error:
        raise WeightsError("settings that do not fit the model", where=where, field="settings", got=error) from error
    expected = {key: tuple(value.shape) for key, value in model.state_dict().items()}
    check_state(weights.tensors, expected, where=where, title=f"the model {weights.kind!r}")
    model.load_state_dict({key: value.float() for key, value in weights.tensors.items()}, assign=True)
    return model.eval()


def _published(kind: str) -> Callable[[Mapping[str, Any]], FeedForward]:
    return lambda settings: PUBLISHED[kind].build(
        Compatibility(**settings["compatibility"]), Improvements(**settings.get("improvements", {}))
    )


def embedded() -> FeedForward:
    """The object model that comes with veduta: needs no download and no GPU. WeightsError where there is none."""
    return model_of(embedded_weights(), where=EMBEDDED)


def embedded_weights() -> Weights:
    """Those of :func:`embedded`, as they are kept. WeightsError where there are none."""
    if not EMBEDDED.is_file():
        raise WeightsError(
            "no object model comes with this installation",
            where=EMBEDDED.name,
            hint="name a file of weights: veduta train makes one, veduta weights import takes the published ones",
        )
    return load_weights(EMBEDDED)


MODELS: Mapping[str, Callable[[Mapping[str, Any]], FeedForward]] = {
    SMALL_OBJECT: small_from_settings,
    **{kind: _published(kind) for kind in PUBLISHED},
}
"""How a model without weights is made from its settings, by kind."""


def _size(shape: tuple[int, ...]) -> str:
    return "x".join(str(side) for side in shape) or "a single number"


def _listed(keys: list[str]) -> str:
    rest = len(keys) - SHOWN_KEYS
    return ", ".join(keys[:SHOWN_KEYS]) + (f" and {rest} more" if rest > 0 else "")
