"""How verbs speak, and what is shown while something takes its time."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from veduta.io.runs import RunFolder


def tell(console: Console, text: str, *, style: str | None = None) -> None:
    """One line as it is: no markup, which names of files could contain, and no wrapping, so that it can be copied."""
    console.print(text, style=style, markup=False, highlight=False, soft_wrap=True)


def tell_stopped(console: Console, run: Path, again: str, *, means: str = "with") -> None:
    """After Ctrl-C: what is on the disk, and the command that goes on from there; ``means``: by what it is started."""
    folder = RunFolder(run)
    if checkpoints := folder.checkpoints():
        tell(console, f"stopped after step {checkpoints[-1][0]:,} and saved; go on {means}: {again}")
    elif folder.record_path.exists():
        tell(console, f"stopped before the first checkpoint; start again {means}: {again}")
    else:
        tell(console, "stopped before the first step; nothing was written")


@contextmanager
def counting(console: Console, what: str) -> Iterator[Callable[[int, int], None]]:
    """A bar; the function it gives is told how many are done, and of how many. Nothing without a terminal."""
    columns = (TextColumn("{task.description}", markup=False), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress:
        task = progress.add_task(what, total=None)

        def show(done: int, total: int) -> None:
            progress.update(task, completed=done, total=total)

        yield show
