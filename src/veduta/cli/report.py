"""``veduta report``: a page about a run."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from tyro.conf import Positional

from veduta.cli.terminal import tell
from veduta.cli.verb import OK
from veduta.io.runs import RunFolder
from veduta.viewer.report import write_report


@dataclass(frozen=True, kw_only=True)
class Report:
    """Write one HTML page about a run: curves, pictures side by side, scores and settings. It needs no other file.

    `veduta fit` writes it at the end; this writes it again, say after another `veduta eval`.

        veduta report runs/garden
    """

    run_folder: Positional[Path]
    """A run's folder."""

    def run(self, console: Console) -> int:
        """Write the page and tell where it is."""
        RunFolder.open(self.run_folder).record()
        tell(console, str(write_report(self.run_folder)))
        return OK
