"""Curves of a training for TensorBoard."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from types import TracebackType

from veduta.core import MissingDependencyError
from veduta.recipes.training.events import TrainingEvent, TrainingScored, TrainingStepped

STEPPED = ("loss", "coarse_psnr", "psnr", "gaussians", "gradient", "learning_rate")
SCORED = ("coarse_psnr", "psnr")
"""Curves of held-out examples, under ``held_out``."""


class Board:
    """Writes the curves of events into a folder; a context manager. Needs the extra ``tensorboard``."""

    def __init__(self, folder: Path) -> None:
        try:
            from torch.utils.tensorboard import SummaryWriter
        except ImportError as error:
            raise MissingDependencyError(
                "TensorBoard is not installed",
                hint='pip install "veduta[tensorboard]"; log.jsonl holds the same numbers',
            ) from error
        self._open = lambda: SummaryWriter(str(folder))
        self._writer: SummaryWriter | None = None

    def __enter__(self) -> Board:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._writer is not None:
            self._writer.close()

    def show(self, event: TrainingEvent) -> None:
        """Add an event's numbers."""
        values = asdict(event)
        if isinstance(event, TrainingStepped):
            curves = {name: values[name] for name in STEPPED}
        elif isinstance(event, TrainingScored):
            curves = {f"held_out/{name}": values[name] for name in SCORED}
        else:
            curves = {}
        if self._writer is None:  # not before there is a run in the folder
            self._writer = self._open()
        for name, value in curves.items():
            self._writer.add_scalar(name, value, event.step)
