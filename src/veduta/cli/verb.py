"""What every verb is, and how the program can end."""

from __future__ import annotations

from typing import Annotated, Literal, Protocol

from rich.console import Console
from tyro.conf import FlagCreatePairsOff

from veduta.core import InputError

OK, USERS_MISTAKE, INTERRUPTED = 0, 2, 130
"""Exit codes: done, something that the user can put right, Ctrl-C."""


Switch = Annotated[bool, FlagCreatePairsOff]
"""A flag that is off unless given; it has no opposite."""
Device = Literal["auto", "cpu", "cuda"]
"""Where to compute; ``auto`` is the GPU where there is one that can be used with the backend."""


def device_kind(device: Device) -> Literal["cpu", "cuda"]:
    """Where networks compute; InputError for a GPU that is not there."""
    import torch

    there = torch.cuda.is_available()
    if device == "cuda" and not there:
        raise InputError("there is no GPU that torch can use", field="device", hint="Take --device cpu.")
    return "cuda" if there and device != "cpu" else "cpu"


class Verb(Protocol):
    """A subcommand: its fields are the options."""

    def run(self, console: Console) -> int:
        """Do it, tell on ``console``, and return the exit code; VedutaError for what the user can put right."""
        ...
