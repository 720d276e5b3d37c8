"""The command line: one file per verb, each a frozen dataclass that parses itself and runs a recipe."""

from veduta.cli.main import main

__all__ = ["main"]
