"""``veduta sfm``: poses of photographs."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from tyro.conf import Positional, arg

from veduta.cli.terminal import tell
from veduta.cli.verb import OK
from veduta.data.sfm import SfmReport, reconstruct


@dataclass(frozen=True, kw_only=True)
class Sfm:
    """Estimate the poses of photographs: structure from motion by pycolmap, on the CPU.

    Neighbours by name are matched first, then all pairs, then everything is tried at once (global mapping), until
    nearly all photographs have a pose; the best model is kept. After an interruption the same command goes on.

        veduta sfm photos/
        veduta sfm photos/ -o capture/ --matcher exhaustive
        veduta sfm photos/ --camera-model OPENCV_FISHEYE --max-image-size 2000
    """

    photos: Positional[Path]
    """Folder of photographs."""
    output: Annotated[Path | None, arg(aliases=["-o"])] = None
    """Folder for the capture; by default PHOTOS itself, where `veduta fit PHOTOS` finds the poses."""
    max_image_size: int = 1600
    """Features are found in photographs reduced to this many pixels on the longer side."""
    camera_model: Literal[
        "auto", "SIMPLE_PINHOLE", "PINHOLE", "SIMPLE_RADIAL", "RADIAL", "OPENCV", "FULL_OPENCV", "OPENCV_FISHEYE"
    ] = "auto"
    """COLMAP's name of the lens model; auto: SIMPLE_RADIAL for few photographs, OPENCV for many."""
    matcher: Literal["auto", "sequential", "exhaustive", "global"] = "auto"
    """Photographs with their neighbours by name, all with all, all poses at once; auto tries them in this order."""
    seed: int = 0
    """A fixed seed gives the same model on one machine with --threads 1, nearly the same with more."""
    threads: int | None = None
    """Threads; by default one per core."""

    def run(self, console: Console) -> int:
        """Reconstruct and tell how many photographs have poses."""
        with sfm_progress(console) as progress:
            report = reconstruct(
                self.photos,
                out=self.output,
                max_image_size=self.max_image_size,
                camera_model=self.camera_model,
                matcher=self.matcher,
                seed=self.seed,
                threads=self.threads,
                on_progress=progress,
            )
        tell_poses(report, console)
        tell(console, f"next: veduta fit {report.capture} -o RUN")
        return OK


@contextmanager
def sfm_progress(console: Console) -> Iterator[Callable[[str, int, int], None]]:
    """A bar per stage; the function it gives is told the stage, how many are done, and of how many."""
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console, disable=not console.is_terminal) as progress:
        stages = {}

        def show(stage: str, done: int, total: int) -> None:
            if stage not in stages:
                stages[stage] = progress.add_task(stage, total=total)
            progress.update(stages[stage], completed=done, total=total)

        yield show


def tell_poses(report: SfmReport, console: Console) -> None:
    """How many photographs have poses, how well, and what to do about the others."""
    tell(
        console,
        f"{report.registered} of {report.total} photographs have a pose ({100.0 * report.share:.0f} %): "
        f"{report.points:,} points, reprojection error {report.reprojection_px:.2f} px, by {report.method} matching",
    )
    advice = report.advice()
    if advice is not None:
        tell(console, advice, style="yellow")
