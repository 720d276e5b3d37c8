"""Everything that a run needs to go on bit for bit, in one file."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from veduta.core import InputError, Streams
from veduta.fit.backdrop import Backdrop
from veduta.fit.densify import State
from veduta.fit.exposure import Exposures
from veduta.fit.frame import Frame
from veduta.fit.parameters import Parameters, columns_from_tensors, tensors_from_columns
from veduta.fit.views import ViewOrder
from veduta.io.tensors import load_tensors, save_tensors

CHECKPOINT_SCHEMA = 1
"""Raised when a checkpoint's contents change their meaning."""
BACKDROP = ("up", "texture", "moment1", "moment2")
"""Fields of a backdrop that are kept; ``up`` is the capture's, which all cameras have a say in, or an older sky's."""


@dataclass(eq=False)
class Progress:
    """What changes while a run goes on."""

    parameters: Parameters
    statistics: State
    backdrop: Backdrop
    exposures: Exposures | None
    streams: Streams
    order: ViewOrder
    step: int = 0
    """Steps done."""
    seconds: float = 0.0
    """Spent in steps."""


def save_checkpoint(path: Path, progress: Progress, frame: Frame) -> None:
    """Write everything, atomically, with the frame that it is in. Raises OutputError."""
    tensors = tensors_from_columns(progress.parameters.columns) | frame.tensors()
    tensors |= {f"statistics.{name}": value for name, value in progress.statistics.items()}
    tensors |= {f"stream.{name}": value for name, value in progress.streams.state().items()}
    tensors |= {f"backdrop.{name}": getattr(progress.backdrop, name) for name in BACKDROP}
    if progress.exposures is not None:
        names = ("matrices", "moment1", "moment2", "moves")
        tensors |= {f"exposure.{name}": getattr(progress.exposures, name) for name in names}
    tensors["order"] = progress.order.order
    metadata = {
        "schema": str(CHECKPOINT_SCHEMA),
        "step": str(progress.step),
        "seconds": repr(progress.seconds),
        "order_position": str(progress.order.position),
        "counts": json.dumps(progress.parameters.counts),
        "streams": json.dumps(sorted(progress.streams.state())),
    }
    save_tensors(path, tensors, metadata=metadata)


def load_checkpoint(path: Path, fresh: Progress) -> Progress:
    """The stored progress of the run that ``fresh`` is the beginning of, on its device.

    A run that goes on on another kind of device than before is as good, but draws other random numbers there.

    Raises InputError where the file is corrupt, of another schema, or of another run.
    """
    device = fresh.parameters.device
    tensors, metadata = load_tensors(path)
    if metadata.get("schema") != str(CHECKPOINT_SCHEMA):
        raise InputError(
            "the checkpoint was written by another version of veduta",
            where=path,
            field="schema",
            expected=str(CHECKPOINT_SCHEMA),
            got=metadata.get("schema", "none"),
            hint="Resume with the version that wrote it, or fit again into a new folder.",
        )
    try:
        counts = tuple(int(count) for count in json.loads(metadata["counts"]))
        parameters = Parameters(columns=columns_from_tensors(tensors), counts=counts).to(device)
        progress = Progress(
            parameters=parameters,
            statistics={name: tensors[f"statistics.{name}"].to(device) for name in fresh.statistics},
            backdrop=_backdrop(fresh.backdrop, named(tensors, "backdrop.")),
            exposures=None if fresh.exposures is None else Exposures(**named(tensors, "exposure.")).to(device),
            streams=Streams(fresh.streams.seed),
            order=fresh.order,
            step=int(metadata["step"]),
            seconds=float(metadata["seconds"]),
        )
        states = {name: tensors[f"stream.{name}"] for name in json.loads(metadata["streams"])}
        progress.streams.restore(states, device)
        progress.order.order = tensors["order"]
        progress.order.position = int(metadata["order_position"])
    except (KeyError, TypeError, ValueError, RuntimeError) as error:
        raise InputError("corrupt checkpoint", where=path, expected="all of a run's progress", got=error) from error
    _check(path, progress, fresh)
    return progress


def named(tensors: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    """The tensors whose names start with ``prefix``, without it."""
    return {name.removeprefix(prefix): value for name, value in tensors.items() if name.startswith(prefix)}


def _backdrop(fresh: Backdrop, stored: Mapping[str, Tensor]) -> Backdrop:
    if stored["texture"].shape != fresh.texture.shape:
        raise ValueError(f"a backdrop of shape {tuple(stored['texture'].shape)}")
    return Backdrop(
        plan=fresh.plan,
        up=stored.get("up", fresh.up).to(fresh.up.device),  # checkpoints were without it once
        texture=stored["texture"].to(fresh.texture.device),
        moment1=stored["moment1"].to(fresh.texture.device),
        moment2=stored["moment2"].to(fresh.texture.device),
    )


def _check(path: Path, progress: Progress, fresh: Progress) -> None:
    """InputError unless all shapes fit together and to the run."""
    count = len(progress.parameters)
    shapes = {
        "means": (count, 3),
        "quats": (count, 4),
        "scales": (count, 3),
        "opacities": (count,),
        "sh": (count, progress.parameters.sh_coefficients, 3),
    }
    for field, column in progress.parameters.columns.items():
        for name, tensor in (("raw", column.raw), ("moment1", column.moment1), ("moment2", column.moment2)):
            if tuple(tensor.shape) != shapes[field] or tensor.dtype != torch.float32:
                got = f"{tensor.dtype} {tuple(tensor.shape)}"
                raise InputError(
                    "corrupt checkpoint", where=path, field=f"{name}.{field}", expected=f"{shapes[field]}", got=got
                )
    owners, expected = len(progress.parameters.counts), len(fresh.parameters.counts)
    if owners != expected:
        raise InputError(
            "the checkpoint has other moving objects than the capture",
            where=path,
            expected=str(expected - 1),
            got=owners - 1,
        )
