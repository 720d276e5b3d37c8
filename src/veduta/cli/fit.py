"""``veduta fit``: photographs become a scene."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Annotated

from rich.console import Console
from tyro.conf import Positional, arg

from veduta.cli.eval import score_table
from veduta.cli.fit_progress import FitProgress
from veduta.cli.sfm import sfm_progress, tell_poses
from veduta.cli.terminal import counting, tell, tell_stopped
from veduta.cli.verb import INTERRUPTED, OK, Device, Switch
from veduta.core import Capture, RasterOptions, Scene
from veduta.data import READERS
from veduta.fit import Event, FitPlan
from veduta.recipes.captures import CaptureOptions, split_rule
from veduta.recipes.evaluate import evaluate
from veduta.recipes.fitting import fit_capture, stored_settings
from veduta.recipes.presets import PRESETS, Preset
from veduta.render.devices import choose_device
from veduta.viewer.live import LiveViewer
from veduta.viewer.report import write_report


@dataclass(frozen=True, kw_only=True)
class Fit:
    """Turn photographs into a scene of 3D Gaussians, measure it on held-out photographs, and write a report.

    CAPTURE is a COLMAP model with its photographs, a transforms.json of nerfstudio or Blender, or a plain folder of
    photographs, whose poses are then estimated first. Ctrl-C saves; --resume goes on, bit for bit.

        veduta fit garden/ -o runs/garden
        veduta fit garden/ -o runs/look --preset fast --view
        veduta fit garden/ -o runs/fine --steps 15000 --max-size 1200 --plan.max-gaussians 300000
        veduta fit garden/ -o runs/mcmc plan.densify:mcmc
        veduta fit garden/ -o runs/garden --resume
    """

    capture: Positional[Path]
    """Folder of the capture, or its transforms.json."""
    output: Annotated[Path, arg(aliases=["-o"])]
    """Folder for the run: checkpoints, the scene, scores, pictures, report. A folder with anything in it is refused."""
    preset: Preset = "default"
    """Which plan the settings below start from."""
    steps: int | None = None
    """Short for --plan.steps: how many steps; everything that counts steps stretches with it."""
    resume: Switch = False
    """Go on with the run in the folder, with the settings that it was started with."""
    view: Switch = False
    """Show the scene in the browser while it is fitted."""
    port: int = 8080
    """Of the page for --view."""
    test_every: int = 8
    """Hold out every n-th photograph by name; 0 holds out none. A split in the capture wins."""
    max_size: int | None = None
    """Reduce photographs to this many pixels on the longer side."""
    masks: Path | None = None
    """Folder of masks, black where a photograph is not to be trusted; by default CAPTURE/masks if that exists."""
    sfm: bool = True
    """Estimate poses where there are none."""
    evaluate: bool = True
    """Measure the scene on the held-out photographs at the end."""
    backend: str = "auto"
    """Rasteriser; see veduta doctor."""
    device: Device = "auto"
    """Where to compute: auto is a GPU if one can be used; see veduta doctor."""
    threads: int | None = None
    """Threads; by default one per core. Any number gives the same scene, bit for bit (on one instruction set)."""
    plan: FitPlan = field(default_factory=FitPlan)
    """Every setting of the optimisation."""

    def run(self, console: Console) -> int:
        """Fit, evaluate, report; after Ctrl-C say how to go on."""
        plan, options = self._settings()
        _tell_choice(self.capture, console)
        with sfm_progress(console) as poses:
            capture = options.open(
                self.capture, sfm=self.sfm, on_progress=poses, on_poses=lambda report: tell_poses(report, console)
            )
        progress = FitProgress(console)
        try:
            with progress, _page(self, capture, console) as page:
                scene = fit_capture(
                    capture,
                    plan,
                    out=self.output,
                    options=options,
                    resume=self.resume,
                    backend=self.backend,
                    device=self.device,
                    threads=self.threads,
                    command=shlex.join(["veduta", *sys.argv[1:]]),
                    on_event=_both(progress.show, page),
                )
        except KeyboardInterrupt:
            where = [f"--{name}={value}" for name, value in (("backend", self.backend), ("device", self.device))]
            chosen = [option for option in where if not option.endswith("=auto")]
            again = shlex.join(["veduta", "fit", str(self.capture), "-o", str(self.output), *chosen, "--resume"])
            tell_stopped(console, self.output, again)
            return INTERRUPTED
        self._finish(scene, capture, plan, options, console)
        return OK

    def _settings(self) -> tuple[FitPlan, CaptureOptions]:
        """What was asked for; a resumed run brings its own settings, which need not be repeated."""
        plan = self.plan if self.steps is None else replace(self.plan, steps=self.steps)
        options = CaptureOptions(test_every=self.test_every, max_size=self.max_size, masks=self.masks)
        if not self.resume:
            return plan, options
        stored_plan, stored_options = stored_settings(self.output)
        return (
            stored_plan if plan == PRESETS["default"] else plan,
            stored_options if options == CaptureOptions() else options,
        )

    def _finish(self, scene: Scene, capture: Capture, plan: FitPlan, options: CaptureOptions, console: Console) -> None:
        if self.evaluate and len(capture.test) > 0:
            with counting(console, "evaluating") as count:
                result = evaluate(
                    scene.to(choose_device(self.device, backend=self.backend)),
                    capture.test,
                    backend=self.backend,
                    options=RasterOptions(antialias=plan.antialias),
                    out=self.output,
                    split=split_rule(capture, options, "test"),
                    on_view=count,
                )
            console.print(score_table(result))
            tell(console, result.protocol, style="dim")
        tell(console, f"scene:  {self.output / 'scene.safetensors'}")
        tell(console, f"report: {write_report(self.output)}")
        tell(console, f"next:   veduta view {self.output}   or   veduta export {self.output} scene.ply")


def _tell_choice(capture: Path, console: Console) -> None:
    """Which poses are taken where a folder holds several kinds."""
    posed = [name for name in READERS if name != "photos"]
    found = [READERS[name].name for name in posed if READERS[name].recognises(capture)]
    if len(found) > 1:
        tell(
            console,
            f"{capture} holds {' and '.join(found)}: {found[0]} is read (name a file to read that)",
            style="dim",
        )


Show = Callable[[Event], None]


@contextmanager
def _page(fit: Fit, capture: Capture, console: Console) -> Iterator[Show | None]:
    """What follows the fit in the browser, if that was asked for."""
    if not fit.view:
        yield None
        return
    with LiveViewer(port=fit.port, tell=lambda line: tell(console, line, style="yellow")) as viewer:
        viewer.show_capture(capture)
        tell(console, f"view: {viewer.url}")
        yield viewer.on_event


def _both(one: Show, other: Show | None) -> Show:
    def show(event: Event) -> None:
        one(event)
        if other is not None:
            other(event)

    return show
