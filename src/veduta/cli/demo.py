"""``veduta demo``: everything once, on a capture that is made up for it."""

from __future__ import annotations

import shlex
import shutil
import sys
import tempfile
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated

from rich.console import Console
from rich.table import Table
from rich.text import Text
from tyro.conf import arg

from veduta.cli.eval import score_table
from veduta.cli.fit_progress import FitProgress
from veduta.cli.terminal import counting, tell
from veduta.cli.verb import INTERRUPTED, OK, Device
from veduta.core import Capture, OutputError, Scene
from veduta.data.synthetic import Preset, synthetic_capture, write_capture
from veduta.io.atomic import as_output_error, write_bytes
from veduta.recipes.captures import CaptureOptions, split_rule
from veduta.recipes.evaluate import Evaluation, evaluate
from veduta.recipes.export import export_scene
from veduta.recipes.fitting import fit_capture
from veduta.recipes.flights import render_path
from veduta.recipes.paths import PathOptions, camera_path
from veduta.recipes.presets import PRESETS
from veduta.render.devices import choose_device
from veduta.viewer.report import write_report


@dataclass(frozen=True, kw_only=True)
class Demo:
    """Make photographs of a room that does not exist, and do everything with them that veduta can.

    It takes a few minutes, and ends with a list of what was made. Run again, it goes on where it was.

        veduta demo -o demo
        veduta demo -o small --views 16 --width 160 --height 120 --steps 500
    """

    output: Annotated[Path, arg(aliases=["-o"])] = Path("demo")
    """Folder for everything."""
    preset: Preset = "room"
    """What is photographed."""
    views: int = 32
    """How many photographs."""
    width: int = 320
    """Of a photograph, in pixels."""
    height: int = 240
    """Of a photograph, in pixels."""
    steps: int = 3000
    """Of the fit."""
    frames: int = 90
    """Of the video."""
    backend: str = "auto"
    """Rasteriser; see veduta doctor."""
    device: Device = "auto"
    """Where to compute: auto is a GPU if one can be used; see veduta doctor."""

    def run(self, console: Console) -> int:
        """Capture, fit, evaluate, render, export, report."""
        _refuse_other_folder(self.output)
        options = CaptureOptions()
        try:
            capture = options.open(self._photographs(console))
            scene = self._fitted(capture, options, console)
            scores = self._scores(scene, capture, options, console)
            made = [*self._film(scene, capture, console), self._ply(scene), self._report()]
        except KeyboardInterrupt:
            tell(console, f"stopped; go on with: veduta demo -o {self.output}")
            return INTERRUPTED
        console.print(score_table(scores))
        console.print(_list_of([self.output / "capture", self.output / "run", *made]))
        return OK

    @property
    def _run(self) -> Path:
        return self.output / "run"

    def _photographs(self, console: Console) -> Path:
        """A capture on disk, made unless it is there."""
        folder = self.output / "capture"
        if not folder.is_dir():
            with console.status(f"taking {self.views} photographs of a {self.preset}"):
                made = synthetic_capture(self.preset, views=self.views, width=self.width, height=self.height, seed=0)
                _write_whole(made, folder)
        tell(console, f"{folder}: photographs of a {self.preset}")
        return folder

    def _fitted(self, capture: Capture, options: CaptureOptions, console: Console) -> Scene:
        with FitProgress(console) as progress:
            scene = fit_capture(
                capture,
                replace(PRESETS["fast"], steps=self.steps),
                out=self._run,
                options=options,
                resume=(self._run / "run.json").exists(),
                backend=self.backend,
                device=self.device,
                command=shlex.join(["veduta", *sys.argv[1:]]),
                on_event=progress.show,
            )
        return scene.to(choose_device(self.device, backend=self.backend))

    def _scores(self, scene: Scene, capture: Capture, options: CaptureOptions, console: Console) -> Evaluation:
        with counting(console, "evaluating") as count:
            return evaluate(
                scene,
                capture.test,
                backend=self.backend,
                out=self._run,
                split=split_rule(capture, options, "test"),
                on_view=count,
            )

    def _film(self, scene: Scene, capture: Capture, console: Console) -> list[Path]:
        cameras = camera_path(capture, "interpolate", PathOptions(frames=self.frames))
        out = self._run / "renders" / "interpolate"
        with counting(console, "drawing a flight") as count:
            flight = render_path(scene, cameras, out, backend=self.backend, depth=True, on_frame=count)
        return list(flight.videos)

    def _ply(self, scene: Scene) -> Path:
        path = self.output / "scene.ply"
        export_scene(scene, path, overwrite=True)
        return path

    def _report(self) -> Path:
        path = self.output / "report.html"
        write_bytes(path, write_report(self._run).read_bytes())
        return path


def _write_whole(capture: Capture, folder: Path) -> None:
    """Write a capture so that ``folder`` has all of it or does not exist. COLMAP's layout has no place for times."""
    with as_output_error(folder):
        folder.parent.mkdir(parents=True, exist_ok=True)
        fresh = Path(tempfile.mkdtemp(prefix=".capture-", dir=folder.parent))
        try:
            write_capture(capture, fresh, layout="transforms" if capture.tracks else "colmap")
            fresh.chmod(0o755)
            fresh.rename(folder)
        except BaseException:
            shutil.rmtree(fresh, ignore_errors=True)
            raise


def _refuse_other_folder(folder: Path) -> None:
    """OutputError for a folder with something else than a demo in it."""
    if folder.is_dir() and any(folder.iterdir()) and not (folder / "capture").is_dir():
        raise OutputError(
            "the folder is not empty and holds no demo",
            where=folder,
            hint="Choose a new or empty folder with -o: nothing in this one is touched.",
        )


def _list_of(made: list[Path]) -> Table:
    what = {
        "capture": "photographs with poses, as a capture on disk",
        "run": "the fit: checkpoints, scene, log, scores, pictures",
        "video.mp4": "a flight through the scene",
        "depth.mp4": "the same in colours of depth",
        "scene.ply": "the scene for SuperSplat and other viewers",
        "report.html": "the report: open it in a browser",
    }
    table = Table(box=None, show_header=False, title="The demo is done:", title_justify="left")
    table.add_column(overflow="fold", no_wrap=True)
    for path in made:
        table.add_row(Text(str(path)), what[path.name])
    return table
