"""``veduta eval``: scores on photographs that were held out."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from rich.console import Console
from rich.table import Table
from rich.text import Text
from tyro.conf import Positional, arg

from veduta.cli.terminal import counting, tell
from veduta.cli.verb import OK, Device
from veduta.recipes.captures import split_rule
from veduta.recipes.evaluate import Evaluation, evaluate
from veduta.recipes.runs import open_run
from veduta.render.devices import choose_device


@dataclass(frozen=True, kw_only=True)
class Eval:
    """Measure a scene against photographs: PSNR and SSIM per view and on average, and depth error where depth is known.

    How the numbers were measured is printed with them. A run gets eval.json and pictures under eval/.

        veduta eval runs/garden
        veduta eval scene.ply --capture garden/ -o scores/
    """

    run_or_scene: Positional[Path]
    """A run's folder, or a file with a scene (.ply, .splat, .safetensors)."""
    capture: Path | None = None
    """The capture; by default the one that the run was made from."""
    output: Annotated[Path | None, arg(aliases=["-o"])] = None
    """Folder for eval.json and pictures; by default the run's."""
    split: Literal["test", "train"] = "test"
    """Held-out photographs, or those that the scene was made from."""
    backend: str = "auto"
    """Rasteriser; see veduta doctor."""
    device: Device = "auto"
    """Where to compute: auto is a GPU if one can be used; see veduta doctor."""
    pictures: bool = True
    """Also write photograph, render and depth of every view."""

    def run(self, console: Console) -> int:
        """Evaluate and print a table."""
        opened = open_run(self.run_or_scene).to(choose_device(self.device, backend=self.backend))
        capture = opened.open_capture(self.capture)
        source = capture.test if self.split == "test" else capture.train
        out = self.output or opened.folder
        if out is not None and self.split == "train":
            out = out / "train"  # beside the scores on held-out photographs, not in their place
        with counting(console, "evaluating") as progress:
            result = evaluate(
                opened.scene,
                source,
                backend=self.backend,
                options=opened.raster,
                out=out,
                pictures=self.pictures,
                split=split_rule(capture, opened.options, self.split),
                on_view=progress,
            )
        console.print(score_table(result))
        tell(console, result.protocol, style="dim")
        if out is not None:
            tell(console, f"\nwritten: {out / 'eval.json'}")
        return OK


def score_table(result: Evaluation) -> Table:
    """A row per view, and the means; a dash where a mask leaves nothing to compare."""
    with_depth = result.depth_error is not None
    table = Table(show_footer=True, footer_style="bold")
    table.add_column("view", footer="mean")
    table.add_column("PSNR, dB", footer=_told(result.psnr, ".2f"), justify="right")
    table.add_column("SSIM", footer=_told(result.ssim, ".4f"), justify="right")
    if with_depth:
        table.add_column("depth error", footer=_told(result.depth_error, ".4g"), justify="right")
    for view in result.views:
        row = [Text(view.name), _told(view.psnr, ".2f"), _told(view.ssim, ".4f")]
        table.add_row(*row, *([_told(view.depth_error, ".4g", nothing="")] if with_depth else []))
    return table


def _told(value: float | None, form: str, *, nothing: str = "-") -> str:
    return nothing if value is None else f"{value:{form}}"
