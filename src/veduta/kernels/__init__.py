"""The compiled CPU kernels: raw float32 tensors in and out, nothing of veduta's types.

This is a layer of its own, below everything, because rendering, measuring and fitting all need compiled code. Where the
module was not built (no compiler at installation), :func:`available` is False and :func:`reason` says why; every caller
has a slow way in plain torch.
"""

from __future__ import annotations

from veduta.kernels.adam import adam_step_
from veduta.kernels.loading import (
    available,
    held_memory,
    instruction_sets,
    isa,
    reason,
    release_memory,
    set_isa,
    set_threads,
    threads,
)
from veduta.kernels.unknown import unknown

__all__ = [
    "adam_step_",
    "available",
    "held_memory",
    "instruction_sets",
    "isa",
    "reason",
    "release_memory",
    "set_isa",
    "set_threads",
    "threads",
    "unknown",
]
