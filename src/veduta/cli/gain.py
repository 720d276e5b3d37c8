"""``veduta gain``: how much the photographs say about each pixel of other views."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from rich.console import Console
from tyro.conf import Positional, arg

from veduta.cli.knowing import gathered, learned_errors
from veduta.cli.terminal import counting, tell
from veduta.cli.verb import OK, Device, Switch
from veduta.core import Cameras, InputError
from veduta.data import read_cameras
from veduta.recipes.captures import names_of
from veduta.recipes.evaluate import file_stems
from veduta.recipes.information import (
    Kind,
    Subject,
    noise_line,
    open_subject,
    posterior_of,
    warp_of,
)
from veduta.recipes.information_calibration import kept_calibration
from veduta.recipes.information_maps import draw_maps, unknown_gain
from veduta.recipes.information_record import update_record
from veduta.recipes.paths import OF_PHOTOGRAPHS, PathOptions, camera_path, left_out


@dataclass(frozen=True, kw_only=True)
class Gain:
    """Map how much a photograph would tell, pixel by pixel, along any path: numbers, pictures and a video.

    Gain, in nats, is what a photograph taken there is expected to tell: near 0 where the photographs say it all. The
    standard deviation of the colour (colours are 0 to 1) says how far the render may be off for what they left open.

        veduta gain runs/garden                                    # the held-out views
        veduta gain runs/street --path lateral --right-m 1         # the cameras' own path, 1 to the right
        veduta gain runs/garden --path orbit --frames 240 --exr
        veduta gain --splat any.ply --capture garden/ -o maps/     # a splat of any trainer, and its posed photographs
        veduta gain runs/garden --cameras plan/transforms.json     # cameras of one's own
    """

    run_or_scene: Positional[Path | None] = None
    """A run's folder, or a file with a scene (.ply, .splat, .safetensors)."""
    splat: Path | None = None
    """The same, for a scene of any trainer; it needs --capture and -o."""
    capture: Path | None = None
    """The photographs and poses that the scene was made from; by default those of the run. Of a capture whose
    photographs are missing, the cameras serve."""
    path: Literal["held-out", "train", "interpolate", "orbit", "ellipse", "lateral"] = "held-out"
    """Held-out or training views; a smooth flight through all views; around what they look at, on a circle or an
    ellipse; or all views moved sideways."""
    cameras: Path | None = None
    """A transforms.json whose cameras are taken instead of a path."""
    frames: int = 120
    """How many pictures for interpolate, orbit and ellipse."""
    right_m: float = 1.0
    """How far lateral moves to the right, in the capture's unit; negative: to the left."""
    fps: float = 30.0
    """Pictures per second of the video."""
    posterior: Kind | None = None
    """sandwich: from how the pictures depend on each Gaussian and how well they agree; block: without the latter, needs
    no photographs; diagonal: parameters one by one. By default sandwich, or block where photographs are missing."""
    warp: Switch = False
    """Raise the standard deviation where renders of the nearest training views disagree; several times slower."""
    errors: Switch = False
    """Also predict errors from those in the training photographs, which are gone through eight times the first time."""
    calibrated: bool = True
    """Scale the standard deviation by what `veduta calibrate` found, if it was run."""
    exr: Switch = False
    """Also write gain, std and RGB as EXR (32-bit floats)."""
    video: bool = True
    """Also write an MP4 of the pictures under the map."""
    output: Annotated[Path | None, arg(aliases=["-o"])] = None
    """Folder for what is made; by default RUN/information/PATH. Files of the same names are replaced."""
    backend: str = "auto"
    """Rasteriser; see veduta doctor."""
    device: Device = "auto"
    """Where to compute: auto is a GPU if one can be used; see veduta doctor."""

    def run(self, console: Console) -> int:
        """Gather what is known, draw all maps and tell where they are."""
        subject = open_subject(
            self._scene_path(),
            capture=self.capture,
            folder=self._folder(),
            device=self.device,
            backend=self.backend,
        )
        out = self.output or (None if subject.folder is None else subject.folder / self._path_name())
        if out is None:
            raise InputError("where should the maps go", field="output", expected="a folder", hint="Add -o FOLDER.")
        cameras, names = self._views(subject, console)
        evidence = gathered(subject, console, backend=self.backend)
        posterior = posterior_of(subject, evidence, self.posterior)
        tell(console, noise_line(posterior.noise, posterior.kind))
        if subject.run.folder is not None:
            update_record(subject.run.folder, posterior=posterior.kind, noise=posterior.noise)
        errors = learned_errors(subject, console, backend=self.backend) if self.errors else None
        calibration = None
        if self.calibrated:
            calibration = kept_calibration(subject, posterior.kind, warp=self.warp, errors=self.errors)
        with counting(console, f"mapping {self._path_name()}") as progress:
            made = draw_maps(
                subject.scene,
                posterior,
                cameras,
                out,
                options=subject.run.raster,
                backend=self.backend,
                calibration=calibration,
                warp=warp_of(subject, backend=self.backend) if self.warp else None,
                errors=errors,
                exr=self.exr,
                video=self.video,
                fps=self.fps,
                names=names,
                on_frame=progress,
            )
        tell(
            console,
            f"mean gain {made.gain:.2f} nats (nothing known: {unknown_gain(posterior.noise):.2f}), standard deviation "
            f"{made.std:.3f}{' (calibrated)' if calibration is not None else ''}, "
            f"{100 * made.unknown:.0f} % of the pixels more unknown than known",
        )
        if self.calibrated and calibration is None:
            tell(console, f"not calibrated: {self._calibration_command(subject)}", style="dim")
        tell(console, f"{out}: {len(made.arrays)} maps (maps/*.npz, gain/, std/, overlay/)")
        if made.video is not None:
            tell(console, str(made.video))
        elif self.video:
            tell(console, "The views have several sizes, so there is no video.", style="dim")
        return OK

    def _calibration_command(self, subject: Subject) -> str:
        """What to run, with the settings of this command that a calibration is for."""
        words = ["veduta calibrate", str(self._scene_path())]
        if subject.run.folder is None:
            words += ["--capture", str(self.capture), "-o", str(self.output)]
        elif self.capture is not None:
            words += ["--capture", str(self.capture)]
        words += [] if self.posterior is None else ["--posterior", self.posterior]
        return " ".join([*words, *(["--warp"] if self.warp else []), *(["--errors"] if self.errors else [])])

    def _scene_path(self) -> Path:
        given = [path for path in (self.run_or_scene, self.splat) if path is not None]
        if len(given) != 1:
            raise InputError(
                "no scene" if not given else "two scenes",
                field="splat",
                expected="a run's folder, or --splat FILE",
                got="neither" if not given else " and ".join(map(str, given)),
                hint="veduta gain RUN, or veduta gain --splat FILE.ply --capture FOLDER -o MAPS",
            )
        return given[0]

    def _folder(self) -> Path | None:
        """Where evidence about a scene's file is kept; a run has its own place."""
        return None if (self._scene_path() / "run.json").is_file() else self.output

    def _path_name(self) -> str:
        if self.cameras is None:
            return self.path
        return self.cameras.stem if self.cameras.stem != "transforms" else self.cameras.resolve().parent.name

    def _views(self, subject: Subject, console: Console) -> tuple[list[Cameras], list[str] | None]:
        """The cameras, and names for their files where they have names."""
        if self.cameras is not None:
            names, cameras = read_cameras(self.cameras)
            return cameras, file_stems(names)
        options = PathOptions(frames=self.frames, right_m=self.right_m)
        cameras = camera_path(subject.capture, self.path, options)
        missed = left_out(subject.capture, self.path)
        if missed is not None:
            tell(console, missed, style="dim")
        if self.path not in OF_PHOTOGRAPHS:
            return cameras, None
        source = subject.capture.test if self.path == "held-out" else subject.capture.train
        return cameras, file_stems(names_of(source))
