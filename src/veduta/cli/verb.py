"""What every verb is, and how the program can end."""

from __future__ import annotations

from typing import Annotated, Literal, Protocol

from rich.console import Console
from tyro.conf import FlagCreatePairsOff

OK, USERS_MISTAKE, INTERRUPTED = 0, 2, 130
"""Exit codes: done, something that the user can put right, Ctrl-C."""


Switch = Annotated[bool, FlagCreatePairsOff]
"""A flag that is off unless given; it has no opposite."""
Device = Literal["auto", "cpu", "cuda"]
"""Where to compute; ``auto`` is the GPU where there is one that can be used with the backend."""


class Verb(Protocol):
    """A subcommand: its fields are the options."""

    def run(self, console: Console) -> int:
        """Do it, tell on ``console``, and return the exit code; VedutaError for what the user can put right."""
        ...
