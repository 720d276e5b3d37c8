"""The live display of a fit: it consumes events and holds nothing else."""

from __future__ import annotations

from types import TracebackType
from typing import Self

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskProgressColumn, TextColumn
from rich.table import Table

from veduta.cli.terminal import tell
from veduta.fit.events import Edited, Event, Saved, Scored, Started, Stepped

LINES_WITHOUT_TERMINAL = 20
"""Progress lines of a whole run where the output is a file or a pipe."""


class FitProgress:
    """Shows events as they come; a context manager, so that the terminal is as before when it ends."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._bar = Progress(
            TextColumn("fitting"), BarColumn(bar_width=None), TaskProgressColumn(), MofNCompleteColumn(), expand=True
        )
        self._task = self._bar.add_task("fit", total=None)
        self._live = Live(console=console, refresh_per_second=4, transient=True)
        self._speed = Speed()
        self._held_out = ""
        self._told_share = 0
        self.last_step = 0
        """Steps done, as far as told."""

    def __enter__(self) -> Self:
        if self._console.is_terminal:
            self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._live.stop()

    def show(self, event: Event) -> None:
        """Tell of one event."""
        if isinstance(event, Started):
            self.last_step = event.step
            tell(self._console, started_line(event))
        elif isinstance(event, Stepped):
            self.last_step = event.step
            self._stepped(event)
        elif isinstance(event, Scored):
            self._held_out = f"{event.psnr:.2f} dB"
            tell(self._console, f"step {event.step:,}: held out {event.psnr:.2f} dB, SSIM {event.ssim:.4f}")
        else:
            assert isinstance(event, Saved | Edited)  # nothing to tell, and shown by the number of Gaussians

    def _stepped(self, event: Stepped) -> None:
        rate = self._speed.measure(event)
        if self._console.is_terminal:
            self._bar.update(self._task, completed=event.step, total=event.steps)
            self._live.update(Group(self._bar, self._table(event, rate)))
            return
        share = LINES_WITHOUT_TERMINAL * event.step // max(1, event.steps)
        if share > self._told_share:
            self._told_share = share
            facts = ", ".join(f"{name} {value}" for name, value in readings(event, rate).items() if value)
            tell(self._console, f"step {event.step:,} of {event.steps:,}: {facts}")

    def _table(self, event: Stepped, rate: float | None) -> RenderableType:
        shown = readings(event, rate) | ({"held out": self._held_out} if self._held_out else {})
        table = Table(box=None, expand=True, header_style="dim", padding=(0, 1))
        for name in shown:
            table.add_column(name, justify="right")
        table.add_row(*shown.values())
        return table


class Speed:
    """Steps per second between two events."""

    def __init__(self) -> None:
        self._before: tuple[int, float] | None = None

    def measure(self, event: Stepped) -> float | None:
        """Since the last event; None at the first."""
        before, self._before = self._before, (event.step, event.seconds)
        if before is None or event.seconds <= before[1]:
            return None
        return (event.step - before[0]) / (event.seconds - before[1])


def started_line(event: Started) -> str:
    """What is about to happen, and the memory that it will take."""
    begin = f"going on from step {event.step:,} of {event.steps:,}" if event.step else f"{event.steps:,} steps"
    return (
        f"{begin} on {event.views} photographs ({event.held_out} held out), {event.gaussians:,} Gaussians, "
        f"backend {event.backend}, {'GPU memory' if event.device == 'cuda' else 'memory'} at most "
        f"{event.memory.total / 1e9:.2f} GB"
    )


def readings(event: Stepped, rate: float | None) -> dict[str, str]:
    """What the display shows of a step, by name."""
    memory = {} if event.memory_bytes is None else {"memory": f"{event.memory_bytes / 1e6:,.0f} MB"}
    return {
        "ETA": clock(event.eta_seconds),
        "it/s": "" if rate is None else f"{rate:.1f}",
        "loss": f"{event.loss:.4f}",
        "PSNR": f"{event.psnr:.2f} dB",
        "Gaussians": f"{event.gaussians:,}",
        "picture": f"{event.width}x{event.height}",
        **memory,
    }


def clock(seconds: float) -> str:
    """A duration as minutes and seconds, ``2:05``, or with hours, ``1:02:05``."""
    whole = max(0, round(seconds))
    hours, minutes, rest = whole // 3600, whole // 60 % 60, whole % 60
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"
