"""Opening what a fit left, or a scene from elsewhere, and saving scenes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

import torch

from veduta.core import Capture, Gaussians, InputError, OutputError, RasterOptions, Scene
from veduta.fit.config import plan_from_config
from veduta.fit.plan import FitPlan
from veduta.fit.views import fingerprint
from veduta.io.ply import read_ply
from veduta.io.runs import RunFolder
from veduta.io.scenes import load_scene, save_scene
from veduta.io.splat import read_splat
from veduta.recipes.captures import CaptureOptions
from veduta.recipes.export import export_scene

SCENE_SUFFIX = ".safetensors"
"""Of a file with a whole scene."""
ONLY_OF_TRAININGS = "model"
"""A setting that the run of a training has, and that of a fit has not."""
READERS: Mapping[str, Callable[[Path], Gaussians]] = {".ply": read_ply, ".splat": read_splat}
"""Files of Gaussians by suffix; a new format is a line here."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Run:
    """A scene, and what is known about where it came from."""

    scene: Scene
    folder: Path | None = None
    """The run's folder; None for a scene from a file."""
    source: Path | None = None
    """The capture that the run was made from."""
    fingerprint: str | None = None
    """Of the photographs that it was made from."""
    plan: FitPlan | None = None
    """How it was made."""
    options: CaptureOptions = field(default_factory=CaptureOptions)
    """How its capture was opened."""

    def to(self, device: torch.device) -> Run:
        """The same run, its scene on a device."""
        return replace(self, scene=self.scene.to(device))

    @property
    def raster(self) -> RasterOptions:
        """How the scene was drawn while it was fitted, and should be drawn now."""
        return RasterOptions() if self.plan is None else RasterOptions(antialias=self.plan.antialias)

    @property
    def has_capture(self) -> bool:
        """Whether the capture is still where it was."""
        return self.source is not None and self.source.exists()

    def open_capture(self, path: Path | None = None) -> Capture:
        """The capture at ``path``; without one the run's own, opened as for the fit.

        InputError where there is none, or where the run's own is no longer what it was.
        """
        if path is not None:
            return self.options.open(path)
        if self.source is None:
            raise InputError(
                "a scene from a file does not tell which capture it belongs to",
                field="capture",
                expected="the folder of a capture",
                got="none",
                hint="Add --capture FOLDER.",
            )
        if not self.source.exists():
            raise InputError(
                "the capture that the run was made from is gone",
                where=self.source,
                hint="Say where it is now: --capture FOLDER.",
            )
        capture = self.options.open(self.source)
        if self.fingerprint is not None and fingerprint(capture.train) != self.fingerprint:
            raise InputError(
                "the capture is not as it was for the fit",
                where=self.source,
                expected="the same photographs, poses, split and size",
                hint="To use it nevertheless, name it: --capture FOLDER.",
            )
        return capture


def open_run(path: str | Path) -> Run:
    """A run's folder, or a file with a scene: .safetensors, .ply or .splat. InputError for anything else."""
    path = Path(path)
    if not path.is_dir():
        return Run(scene=_scene_in_file(path))
    folder = RunFolder.open(path)
    record = folder.record()
    if ONLY_OF_TRAININGS in record.config:
        raise InputError(
            "the run of a training, in which there is no scene",
            where=path,
            expected="the run of a fit, or a file with a scene",
            hint=f"Make a scene with what it learned: veduta predict PHOTOS -o scene.ply --model {path}",
        )
    if not folder.scene_path.is_file():
        raise InputError(
            "the run is not finished",
            where=path,
            expected=folder.scene_path.name,
            hint=f"Finish it: veduta fit {record.capture} -o {path} --resume",
        )
    return Run(
        scene=load_scene(folder.scene_path),
        folder=path,
        source=Path(record.capture),
        fingerprint=record.fingerprint,
        plan=plan_from_config(record.config, where=str(folder.record_path)),
        options=CaptureOptions.load(path),
    )


def load(path: str | Path) -> Scene:
    """The scene of a run's folder or in a file (.safetensors, .ply, .splat); InputError for anything else."""
    return open_run(path).scene


def save(scene: Scene, path: str | Path, *, overwrite: bool = False) -> None:
    """Write a scene: whole to .safetensors, or its Gaussians at time 0 to .ply or .splat.

    Raises OutputError for an existing file unless ``overwrite``, InputError for an unknown suffix.
    """
    path = Path(path)
    if path.suffix.lower() != SCENE_SUFFIX:
        export_scene(scene, path, overwrite=overwrite)
    elif path.exists() and not overwrite:
        raise OutputError("the file exists and is left as it is", where=path, hint="Pass overwrite=True to replace it.")
    else:
        save_scene(scene, path)


def _scene_in_file(path: Path) -> Scene:
    suffix = path.suffix.lower()
    if path.exists() and suffix == SCENE_SUFFIX:
        return load_scene(path)
    if path.exists() and suffix in READERS:
        return Scene(background=READERS[suffix](path))
    raise InputError(
        "not a scene" if path.exists() else "no such run or scene",
        where=path,
        expected=f"a run's folder, or a file that ends in {', '.join([SCENE_SUFFIX, *READERS])}",
        hint="Make a run: veduta fit CAPTURE -o RUN",
    )
