"""``veduta render``: pictures and videos of a scene."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from rich.console import Console
from tyro.conf import Positional, arg

from veduta.cli.terminal import counting, tell
from veduta.cli.verb import OK, Device, Switch
from veduta.core import InputError
from veduta.recipes.captures import names_of
from veduta.recipes.evaluate import file_stems
from veduta.recipes.flights import render_path
from veduta.recipes.paths import OF_PHOTOGRAPHS, PathOptions, camera_path, left_out
from veduta.recipes.runs import open_run
from veduta.render.devices import choose_device


@dataclass(frozen=True, kw_only=True)
class Render:
    """Draw a scene along a path of cameras: a PNG per camera, and an MP4.

    Paths are built from the cameras of the capture that the run was made from.

        veduta render runs/garden                                  # the held-out views
        veduta render runs/garden --path orbit --frames 240 --depth
        veduta render runs/street --path lateral --right-m 2.5     # the cameras' own path, 2.5 to the right
        veduta render scene.ply --capture garden/ -o pictures/
    """

    run_or_scene: Positional[Path]
    """A run's folder, or a file with a scene (.ply, .splat, .safetensors)."""
    path: Literal["held-out", "train", "interpolate", "orbit", "ellipse", "lateral"] = "held-out"
    """Held-out or training views; a smooth flight through all views; around what they look at, on a circle or an
    ellipse; or all views moved sideways."""
    frames: int = 120
    """How many pictures for interpolate, orbit and ellipse."""
    right_m: float = 1.0
    """How far lateral moves to the right, in the capture's unit; negative: to the left."""
    fps: float = 30.0
    """Pictures per second of the video."""
    depth: Switch = False
    """Also draw z depth, near bright and far dark."""
    video: bool = True
    """Also write an MP4."""
    output: Annotated[Path | None, arg(aliases=["-o"])] = None
    """Folder for the pictures; by default RUN/renders/PATH. Pictures of the same names are replaced."""
    capture: Path | None = None
    """The capture that the path is built from; by default the one that the run was made from."""
    backend: str = "auto"
    """Rasteriser; see veduta doctor."""
    device: Device = "auto"
    """Where to compute: auto is a GPU if one can be used; see veduta doctor."""

    def run(self, console: Console) -> int:
        """Draw everything and tell where it is."""
        opened = open_run(self.run_or_scene).to(choose_device(self.device, backend=self.backend))
        out = self.output or (opened.folder / "renders" / self.path if opened.folder is not None else None)
        if out is None:
            raise InputError("where should the pictures go", field="output", expected="a folder", hint="Add -o FOLDER.")
        capture = opened.open_capture(self.capture)
        cameras = camera_path(capture, self.path, PathOptions(frames=self.frames, right_m=self.right_m))
        missed = left_out(capture, self.path)
        if missed is not None:
            tell(console, missed, style="dim")
        names = None
        if self.path in OF_PHOTOGRAPHS:
            photos = names_of(capture.test if self.path == "held-out" else capture.train)
            names = file_stems(photos)
        with counting(console, f"drawing {self.path}") as progress:
            made = render_path(
                opened.scene,
                cameras,
                out,
                backend=self.backend,
                options=opened.raster,
                fps=self.fps,
                video=self.video,
                depth=self.depth,
                names=names,
                on_frame=progress,
            )
        tell(console, f"{out}: {len(made.pictures)} pictures")
        for video in made.videos:
            tell(console, str(video))
        if self.video and not made.videos:
            tell(console, "The views have several sizes, so there is no video.", style="dim")
        return OK
