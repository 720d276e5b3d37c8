"""``veduta predict``: a few photographs become Gaussians in one pass of a network."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from rich.console import Console
from tyro.conf import Positional, arg

from veduta.cli.fit_progress import FitProgress
from veduta.cli.sfm import sfm_progress, tell_poses
from veduta.cli.terminal import tell
from veduta.cli.verb import OK, Switch
from veduta.core import InputError, OutputError, Scene
from veduta.fit.threads import use_threads
from veduta.io.images import write_png
from veduta.recipes.captures import CaptureOptions
from veduta.recipes.export import WRITERS, export_scene
from veduta.recipes.predict import Predicted, check_steps, open_model, predict, refine


@dataclass(frozen=True, kw_only=True)
class Predict:
    """Turn a few photographs with poses into a scene in one pass of a network, without fitting.

    The object model that comes with veduta takes two to six photographs of one object that is cut out (RGBA), masked,
    or in front of a plain background. Other models are files that veduta weights import or veduta train made.

        veduta predict chair/ -o chair.ply --picture chair.png
        veduta predict chair/ -o chair.ply --views 6 --guess-masks
        veduta predict chair/ -o chair.ply --refine 500
        veduta predict room/ -o room.ply --model weights/scene.safetensors --views 2
    """

    capture: Positional[Path]
    """Folder of the capture, or its transforms.json."""
    output: Annotated[Path, arg(aliases=["-o"])]
    """The file to write, .ply or .splat."""
    model: str = "object"
    """object: the one that comes with veduta; else a file of weights, or the folder of a training."""
    views: int | None = None
    """How many photographs the model is shown; by default 4 of an object, 2 of a scene."""
    guess_masks: Switch = False
    """Tell the object from the background by the colour along the photographs' borders."""
    refine: int | None = None
    """Fit the result to all photographs for so many steps."""
    masks: Path | None = None
    """Folder of masks, black where a photograph does not show the object; by default CAPTURE/masks if that exists."""
    sfm: bool = True
    """Estimate poses where there are none."""
    picture: Path | None = None
    """Also write a PNG to look at: the photographs as shown to the model, drawn again, and drawn from between them."""
    threads: int | None = None
    """Threads; by default one per core."""
    force: Switch = False
    """Replace files that exist."""

    def run(self, console: Console) -> int:
        """Predict, refine if asked to, write."""
        self._check_output()
        use_threads(self.threads)
        model = open_model(self.model)
        options = CaptureOptions(test_every=0, masks=self.masks)
        with sfm_progress(console) as poses:
            capture = options.open(
                self.capture, sfm=self.sfm, on_progress=poses, on_poses=lambda report: tell_poses(report, console)
            )
        with console.status("looking at the photographs"):
            found = predict(
                capture,
                model,
                views=self.views,
                guess_masks=self.guess_masks,
                picture=self.picture is not None,
            )
        _tell_prediction(console, found)
        gaussians = found.gaussians
        if self.picture is not None and found.picture is not None:
            write_png(self.picture, found.picture)
            tell(console, f"{self.picture}: shown, drawn again, and from between, in rows")
        if self.refine is not None:
            with FitProgress(console) as progress:
                gaussians = refine(capture, gaussians, steps=self.refine, threads=self.threads, on_event=progress.show)
        written = export_scene(Scene(background=gaussians, actors={}), self.output, overwrite=self.force)
        size = self.output.stat().st_size / 1e6
        tell(console, f"{self.output}: {len(written):,} Gaussians, {size:.1f} MB")
        return OK

    def _check_output(self) -> None:
        """What would go wrong at the end is told at the start."""
        if self.refine is not None:
            check_steps(self.refine)
        if self.output.suffix.lower() not in WRITERS:
            expected = f"a name that ends in {' or '.join(WRITERS)}"
            raise InputError("no such kind of file", where=self.output, expected=expected, got=self.output.suffix)
        if self.picture is not None and self.picture.suffix.lower() != ".png":
            got = self.picture.suffix
            raise InputError(
                "no such kind of picture", where=self.picture, expected="a name that ends in .png", got=got
            )
        for file in (self.output, self.picture):
            if file is not None and file.exists() and not self.force:
                hint = "Name another file, or replace it with --force."
                raise OutputError("the file exists and is left as it is", where=file, hint=hint)


def _tell_prediction(console: Console, found: Predicted) -> None:
    shown = f"{len(found.names)} photographs, {found.size_px} x {found.size_px} pixels: {', '.join(found.names)}"
    tell(console, f"shown: {shown}")
    if found.outline == "guessed":
        tell(
            console,
            "The object was told from the background by the colour along the photographs' borders, which may be wrong: "
            "transparent photographs or masks are better.",
            style="yellow",
        )
    if found.masked:
        share = f"{100 * found.masked:.1f}% of the photographs' pixels are masked"
        tell(console, f"{share}: no Gaussians were made of them, and what they hide may be missing.", style="yellow")
    count = len(found.gaussians)
    made = f"{found.coarse:,} coarse Gaussians, {found.densified:,} of them densified: {count:,} in all"
    tell(console, f"{made}, in {found.seconds:.1f} s")
    tell(console, f"the model's own photographs drawn again: {found.input_psnr:.1f} dB", style="dim")
