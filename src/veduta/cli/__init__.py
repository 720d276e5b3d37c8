"""The command line: one file per verb, each a frozen dataclass that parses itself and runs a recipe."""

from __future__ import annotations

import os

# Before torch is loaded: its threads otherwise spin while they wait for each other, which makes two threads many times
# slower than one on a computer that has other work to do.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

from veduta.cli.main import main

__all__ = ["main"]
