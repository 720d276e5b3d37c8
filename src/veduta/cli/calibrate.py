"""``veduta calibrate``: are predicted standard deviations as large as errors are?"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from rich.console import Console
from rich.table import Table
from tyro.conf import Positional, arg

from veduta import information
from veduta.cli.knowing import gathered, learned_errors
from veduta.cli.terminal import counting, tell
from veduta.cli.verb import OK, Device, Switch
from veduta.information import Calibration
from veduta.io.information import Sparsification
from veduta.recipes.captures import split_rule
from veduta.recipes.information import Kind, Subject, noise_line, open_subject, posterior_of, warp_of
from veduta.recipes.information_calibration import keep_calibration, reliability_of, require_held_out
from veduta.recipes.information_record import check_maps, update_record

LEVELS = (0.5, 0.8, 0.9, 0.95, 0.99)
"""Of the intervals that are printed."""


@dataclass(frozen=True, kw_only=True)
class Calibrate:
    """Make predicted standard deviations as large as errors are, by the photographs that were held out.

    Finds one factor, keeps it for `veduta gain`, and tells how many errors the intervals of each level hold before and
    after. It holds for views like the held-out ones; far from all photographs errors are larger than any factor from
    here says. The report (`veduta report`) shows the curves.

        veduta calibrate runs/garden
        veduta calibrate runs/garden --warp            # for maps with --warp
        veduta calibrate any.ply --capture garden/ -o maps/
    """

    run_or_scene: Positional[Path]
    """A run's folder, or a file with a scene (.ply, .splat, .safetensors)."""
    posterior: Kind | None = None
    """As of `veduta gain`: a calibration is for one kind."""
    warp: Switch = False
    """Calibrate maps drawn with --warp."""
    errors: Switch = False
    """Calibrate maps drawn with --errors: predicted errors take the place of one noise for all pixels."""
    capture: Path | None = None
    """The photographs and poses that the scene was made from; by default those of the run."""
    output: Annotated[Path | None, arg(aliases=["-o"])] = None
    """For a scene from a file: the folder of its maps, where evidence and calibration are kept."""
    backend: str = "auto"
    """Rasteriser; see veduta doctor."""
    device: Device = "auto"
    """Where to compute: auto is a GPU if one can be used; see veduta doctor."""

    def run(self, console: Console) -> int:
        """Calibrate, print what came of it and keep it."""
        subject = open_subject(
            self.run_or_scene,
            capture=self.capture,
            folder=self._folder(),
            device=self.device,
            backend=self.backend,
        )
        require_held_out(subject)
        evidence = gathered(subject, console, backend=self.backend)
        posterior = posterior_of(subject, evidence, self.posterior)
        tell(console, noise_line(posterior.noise, posterior.kind))
        warp = warp_of(subject, backend=self.backend) if self.warp else None
        errors = learned_errors(subject, console, backend=self.backend) if self.errors else None
        with counting(console, "calibrating") as progress:
            found = information.calibrate(
                subject.scene,
                posterior,
                subject.capture.test,
                options=subject.run.raster,
                backend=self.backend,
                warp=warp,
                errors=errors,
                on_view=progress,
            )
        with counting(console, "sorting pixels") as progress:
            order, maps = check_maps(
                subject, posterior, backend=self.backend, calibration=found, warp=warp, errors=errors, on_view=progress
            )
        console.print(coverage_table(found))
        if order is not None:
            tell(console, order_line(order))
        path = keep_calibration(subject, found)
        if path is not None:
            tell(console, f"{path}: standard deviations times {found.scale:.2f}")
        if subject.run.folder is not None:
            update_record(
                subject.run.folder,
                posterior=posterior.kind,
                noise=posterior.noise,
                sparsification=order,
                reliability=reliability_of(found),
                maps=maps,
                protocol=protocol(subject, found),
            )
        return OK

    def _folder(self) -> Path | None:
        return None if (self.run_or_scene / "run.json").is_file() else self.output


def coverage_table(found: Calibration) -> Table:
    """A row per level: the share of the errors that its intervals hold."""
    table = Table()
    for name in ("interval", "holds, as predicted", "calibrated", "differs by view"):
        table.add_column(name, justify="right")
    for level in LEVELS:
        after = found.after
        row = (
            ("", "")
            if after is None
            else (f"{100 * after.at(level):.1f} %", f"{100 * after.deviation[after.levels.index(level)]:.1f}")
        )
        table.add_row(f"{100 * level:g} %", f"{100 * found.before.at(level):.1f} %", *row)
    return table


def order_line(order: Sparsification) -> str:
    """How well the maps sort pixels by their errors, in a line."""
    shown = ", ".join(f"{curve.name} {curve.ause:.3f}" for curve in order.curves)
    return f"order of the pixels by error (AUSE, 0 is perfect, {order.views} views): {shown}"


def protocol(subject: Subject, found: Calibration) -> str:
    """How the numbers came about, in sentences."""
    views = "1 view" if found.before.views == 1 else f"{found.before.views} views"
    halves = (
        "Calibrated coverage is of each half of the views by a calibration on the other half. "
        if found.after is not None
        else "With one view there is no other to measure calibrated coverage on. "
    )
    split = split_rule(subject.capture, subject.run.options, "test")
    return (
        f"{split} Errors are those of {views}, of renders clamped to 0..1, channel by channel, masked pixels left out. "
        f"{halves}Sparsification is of the mean absolute error over RGB, view by view, then averaged."
    )
