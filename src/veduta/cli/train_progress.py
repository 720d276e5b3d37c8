"""The live display of a training."""

from __future__ import annotations

from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskProgressColumn, TextColumn

from veduta.cli.fit_progress import LINES_WITHOUT_TERMINAL, clock
from veduta.cli.terminal import tell
from veduta.recipes.training import TrainingEvent, TrainingSaved, TrainingScored, TrainingStarted, TrainingStepped


class TrainProgress:
    """Shows events as they come; a context manager, so that the terminal is as before when it ends."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._bar = Progress(
            TextColumn("training"),
            BarColumn(),
            TaskProgressColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[facts]}"),
            console=console,
            transient=True,
            disable=not console.is_terminal,
        )
        self._task = self._bar.add_task("train", total=None, facts="")
        self._told_share = 0

    def __enter__(self) -> Self:
        self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bar.stop()

    def show(self, event: TrainingEvent) -> None:
        """Tell of one event."""
        if isinstance(event, TrainingStarted):
            tell(self._console, started_line(event))
        elif isinstance(event, TrainingStepped):
            self._stepped(event)
        elif isinstance(event, TrainingScored):
            tell(self._console, f"step {event.step:,}: held out {event.psnr:.2f} dB, coarse {event.coarse_psnr:.2f} dB")
        else:
            assert isinstance(event, TrainingSaved)
            if event.path.parent.name != "checkpoints":
                tell(self._console, f"model:  {event.path}")

    def _stepped(self, event: TrainingStepped) -> None:
        facts = (
            f"ETA {clock(event.eta_seconds)}, loss {event.loss:.4f}, PSNR {event.psnr:.2f} dB "
            f"(coarse {event.coarse_psnr:.2f}), {event.gaussians:,.0f} Gaussians"
        )
        self._bar.update(self._task, completed=event.step, total=event.steps, facts=facts)
        share = LINES_WITHOUT_TERMINAL * event.step // event.steps
        if not self._console.is_terminal and share > self._told_share:
            self._told_share = share
            tell(self._console, f"step {event.step:,} of {event.steps:,}: {facts}")


def started_line(event: TrainingStarted) -> str:
    """What is about to happen."""
    begin = f"going on from step {event.step:,} of {event.steps:,}" if event.step else f"{event.steps:,} steps"
    supply = "an endless supply of objects" if event.examples > 10**9 else f"{event.examples:,} examples"
    others = "" if event.processes == 1 else f", {event.processes} processes"
    taken = f", {event.taken / 1e6:.1f} of them from {event.start}" if event.taken else ""
    return f"{begin} on {supply}, {event.parameters / 1e6:.1f} million parameters{taken}{others}"
