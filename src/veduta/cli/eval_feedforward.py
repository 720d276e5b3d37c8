"""``veduta eval-feedforward``: scores of a feed-forward model by the protocols of published tables."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from rich.console import Console
from rich.table import Table
from rich.text import Text
from tyro.conf import Positional, arg

from veduta.cli.terminal import counting, tell
from veduta.cli.verb import OK, Switch, device_kind
from veduta.core import OutputError
from veduta.io.atomic import write_json
from veduta.recipes.training import Scores, evaluate_feedforward, opened_model
from veduta.recipes.training.data import SYNTHETIC, TEST_DATA, DataOptions, open_examples
from veduta.recipes.training.models import shown_size_px


@dataclass(frozen=True, kw_only=True)
class EvalFeedforward:
    """Measure a feed-forward model on examples that it was not trained on.

    Numbers are those of the densified Gaussians; --oracle gives the better of coarse and densified by the truth, as
    some published tables do. Objects: views that were not shown, side by side; scenes: view by view.

        veduta eval-feedforward embedded --data meshes --path objects/
        veduta eval-feedforward runs/small -o scores.json
        veduta eval-feedforward weights/scene.safetensors --data re10k --path re10k/ --oracle
    """

    model: Positional[str]
    """The run of a training, a file of weights, or: embedded."""
    data: str = SYNTHETIC
    """Layout of the examples."""
    path: Path | None = None
    """Their file or folder; procedural objects need none."""
    count: int | None = None
    """Only the first so many."""
    output: Annotated[Path | None, arg(aliases=["-o"])] = None
    """JSON file for the scores."""
    oracle: Switch = False
    """Take the better of coarse and densified, by the truth."""
    device: Literal["auto", "cpu", "cuda"] = "auto"
    """Where networks compute."""
    backend: str = "auto"
    """Rasteriser; see veduta doctor."""

    def run(self, console: Console) -> int:
        """Evaluate and print a table."""
        if self.output is not None and self.output.exists():
            raise OutputError("the file exists and is left as it is", where=self.output, hint="Name another one.")
        device = device_kind(self.device)
        model = opened_model(self.model)[0].to(device)
        options = DataOptions(path=self.path, size_px=shown_size_px(model))
        examples = open_examples(TEST_DATA, self.data, options)
        count = len(examples) if self.count is None else min(self.count, len(examples))
        with counting(console, "evaluating") as progress:
            scores = evaluate_feedforward(
                model,
                examples,
                protocol="object" if model.intake.masked else "scene",
                indices=range(count),
                oracle=self.oracle,
                backend=self.backend,
                on_example=progress,
            )
        console.print(score_table(scores))
        tell(console, f"memory at most {scores.memory_bytes / 1e6:,.0f} MB", style="dim")
        tell(console, scores.protocol, style="dim")
        if self.output is not None:
            write_json(self.output, scores.as_dict() | {"model": self.model, "data": self.data})
            tell(console, f"\nwritten: {self.output}")
        return OK


def score_table(scores: Scores) -> Table:
    """A row per example; means with standard errors below."""
    columns = {
        "PSNR, dB": ("psnr", 2),
        "SSIM": ("ssim", 4),
        "coarse PSNR": ("coarse_psnr", 2),
        "coarse SSIM": ("coarse_ssim", 4),
        "Gaussians": ("gaussians", 0),
        "coarse": ("coarse_gaussians", 0),
        "seconds": ("seconds", 2),
    }
    table = Table(show_footer=True, footer_style="bold")
    table.add_column("example", footer="mean" if not scores.oracle else "mean (oracle)")
    for title, (name, digits) in columns.items():
        footer = f"{scores.mean(name):,.{digits}f}"
        if len(scores.examples) > 1 and "psnr" in name:
            footer += f" +- {scores.error(name):.{digits}f}"
        table.add_column(title, footer=footer, justify="right")
    for one in scores.examples:
        table.add_row(Text(one.name), *(f"{getattr(one, name):,.{digits}f}" for name, digits in columns.values()))
    return table
