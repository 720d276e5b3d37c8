"""``veduta trust``: how far each Gaussian can be trusted, and what pruning by it costs."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.table import Table
from tyro.conf import Positional

from veduta.cli.knowing import gathered
from veduta.cli.terminal import tell
from veduta.cli.verb import OK, Device, Switch
from veduta.information import PruneRow
from veduta.recipes.information import Kind, noise_line, open_subject, posterior_of
from veduta.recipes.information_trust import Score, check_target, prune_costs, trust_of, write_trust


@dataclass(frozen=True, kw_only=True)
class Trust:
    """Write a PLY with the confidence of each Gaussian, prune what the photographs do not need, and say what it costs.

    Property `confidence` is the share of what was unknown about a Gaussian that photographs settled: 0 was never seen,
    near 1 is well known. Property `removal_cost` is how much the training pictures change without it (summed squared
    difference). Viewers ignore both; the file is otherwise that of `veduta export`.

        veduta trust runs/garden garden.ply                  # all Gaussians, and a table of what pruning would cost
        veduta trust runs/garden small.ply --keep 0.5        # the half that the pictures need most
        veduta trust runs/garden sure.ply --keep 0.8 --by confidence
        veduta trust any.ply trusted.ply --capture garden/
    """

    run_or_scene: Positional[Path]
    """A run's folder, or a file with a scene (.ply, .splat, .safetensors)."""
    file: Positional[Path]
    """The PLY to write."""
    keep: float = 1.0
    """Share of the Gaussians that stays, 0 to 1."""
    by: Score = "cost"
    """What is pruned first: what the pictures need least (cost), or what is known least (confidence)."""
    posterior: Kind | None = None
    """As of `veduta gain`."""
    time: float = 0.0
    """Seconds since the capture's start at which moving objects are placed."""
    capture: Path | None = None
    """The photographs and poses that the scene was made from; by default those of the run."""
    force: Switch = False
    """Replace the file if it exists."""
    backend: str = "auto"
    """Rasteriser; see veduta doctor."""
    device: Device = "auto"
    """Where to compute: auto is a GPU if one can be used; see veduta doctor."""

    def run(self, console: Console) -> int:
        """Weigh every Gaussian, write the file and print what each share costs."""
        check_target(self.file, keep=self.keep, overwrite=self.force)
        subject = open_subject(self.run_or_scene, capture=self.capture, device=self.device, backend=self.backend)
        evidence = gathered(subject, console, backend=self.backend)
        posterior = posterior_of(subject, evidence, self.posterior)
        tell(console, noise_line(posterior.noise, posterior.kind))
        trust = trust_of(subject, evidence, posterior)
        written = write_trust(
            subject, trust, self.file, keep=self.keep, by=self.by, time=self.time, overwrite=self.force
        )
        spread = np.quantile(trust.confidence.numpy(), (0.1, 0.5, 0.9)).tolist()
        tell(console, "confidence: a tenth below {:.2f}, half below {:.2f}, nine tenths below {:.2f}".format(*spread))
        rows, where = prune_costs(subject, trust, by=self.by, backend=self.backend)
        if rows:
            console.print(cost_table(rows, by=self.by))
            tell(console, f"PSNR on {where}", style="dim")
        size = self.file.stat().st_size / 1e6
        tell(console, f"{self.file}: {len(written):,} Gaussians, {size:.1f} MB, with confidence and removal_cost")
        return OK


def cost_table(rows: tuple[PruneRow, ...], *, by: Score) -> Table:
    """A row per share that stays."""
    table = Table()
    for name in ("keep", "Gaussians", f"least {by}", "PSNR, dB", "change", "PLY, MB"):
        table.add_column(name, justify="right")
    for row in rows:
        least = "" if math.isinf(row.threshold) else f"{row.threshold:.3g}"
        change = row.psnr - rows[0].psnr
        table.add_row(
            f"{row.keep:g}", f"{row.gaussians:,}", least, f"{row.psnr:.2f}", f"{change:+.2f}", f"{row.bytes / 1e6:.1f}"
        )
    return table
