"""``veduta VERB ...``: finds the verb, runs it, and turns errors into one line and an exit code."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Sequence

from rich.console import Console
from rich.text import Text

from veduta import __version__
from veduta.cli.verb import INTERRUPTED, OK, USERS_MISTAKE
from veduta.core import VedutaError

TRACEBACK_VARIABLE = "VEDUTA_TRACEBACK"
"""With this environment variable set, an error also shows where in the program it arose."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command line (without the program's name) and return the exit code."""
    args = list(sys.argv[1:] if argv is None else argv)
    console, errors = Console(), Console(stderr=True)
    if args in (["--version"], ["-V"]):
        console.print(f"veduta {__version__}", highlight=False)
        return OK
    try:
        from veduta.cli.parsing import parse  # brings torch, which --version does without

        return parse(args).run(console)
    except SystemExit as stop:  # of the parser: help was asked for, or the command line was wrong and that was told
        return stop.code if isinstance(stop.code, int) else USERS_MISTAKE
    except VedutaError as error:
        if os.environ.get(TRACEBACK_VARIABLE):
            errors.print_exception()
        _tell(error, errors)
        return USERS_MISTAKE
    except RuntimeError as error:
        told = _full_gpu(error)
        if told is None:
            raise
        _tell(told, errors)
        return USERS_MISTAKE
    except BrokenPipeError:  # whoever read the output has gone, as in `veduta --help | head`
        with contextlib.suppress(OSError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return OK
    except KeyboardInterrupt:
        errors.print("stopped", highlight=False)
        return INTERRUPTED


def _full_gpu(error: RuntimeError) -> VedutaError | None:
    """What to tell where a GPU's memory was full; None for any other error."""
    import torch

    if not isinstance(error, torch.OutOfMemoryError):
        return None
    from veduta.render.devices import memory_full

    return memory_full(error, hint="Free some of it (nvidia-smi lists who holds it), or use --device cpu.")


def _tell(error: VedutaError, console: Console) -> None:
    """One line for the problem and one for the hint, never wrapped, so that they can be copied and searched for."""
    console.print(Text.assemble(("error: ", "bold red"), error.line()), soft_wrap=True)
    if error.hint is not None:
        console.print(Text.assemble(("hint: ", "bold cyan"), error.hint), soft_wrap=True)
