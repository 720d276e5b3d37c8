"""``veduta next-view``: where to photograph next."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from rich.console import Console
from rich.table import Table
from rich.text import Text
from tyro.conf import Positional, arg

from veduta.cli.knowing import gathered
from veduta.cli.terminal import counting, tell
from veduta.cli.verb import OK, Device, Switch
from veduta.core import InputError
from veduta.recipes.information import open_subject
from veduta.recipes.information_views import Plan, check_target, plan_views, write_plan

FILE = Path("next-view") / "transforms.json"


@dataclass(frozen=True, kw_only=True)
class NextView:
    """Say where to photograph next: candidate cameras, ranked by how much their photographs are expected to tell.

    Each is chosen given those before it, so that they do not tell the same twice. The file, in nerfstudio's form, has a
    frame per camera, the best first, with its gain in nats; the photographs are yours to take.

        veduta next-view runs/garden
        veduta next-view runs/garden --candidates 200 --count 12 -o plan/transforms.json
        veduta next-view runs/garden --cameras reachable/transforms.json
        veduta next-view any.ply --capture garden/ -o plan.json
    """

    run_or_scene: Positional[Path]
    """A run's folder, or a file with a scene (.ply, .splat, .safetensors)."""
    candidates: int = 64
    """How many cameras are considered: near the capture's own, where there is room to stand."""
    count: int = 8
    """How many of them are chosen."""
    cameras: Path | None = None
    """A transforms.json with the candidates, such as places that can be reached, instead of random ones."""
    seed: int = 0
    """Of the random candidates."""
    capture: Path | None = None
    """The photographs and poses that the scene was made from; by default those of the run."""
    output: Annotated[Path | None, arg(aliases=["-o"])] = None
    """The file to write; by default RUN/information/next-view/transforms.json, which is replaced."""
    force: Switch = False
    """Replace the file that -o names if it exists."""
    backend: str = "auto"
    """Rasteriser; see veduta doctor."""
    device: Device = "auto"
    """Where to compute: auto is a GPU if one can be used; see veduta doctor."""

    def run(self, console: Console) -> int:
        """Rank the candidates, print a table and write the file."""
        subject = open_subject(self.run_or_scene, capture=self.capture, device=self.device, backend=self.backend)
        out = self.output or (None if subject.folder is None else subject.folder / FILE)
        if out is None:
            raise InputError("where should the plan go", field="output", expected="a file", hint="Add -o FILE.json.")
        check_target(out, overwrite=self.force or self.output is None)
        evidence = gathered(subject, console, backend=self.backend)
        with counting(console, "ranking candidates") as progress:
            plan = plan_views(
                subject,
                evidence,
                candidates=self.candidates,
                count=self.count,
                given=self.cameras,
                seed=self.seed,
                backend=self.backend,
                on_view=progress,
            )
        write_plan(plan, out, overwrite=self.force or self.output is None)
        console.print(plan_table(plan))
        tell(console, f"of {plan.candidates} candidates; the middle one would tell {plan.typical:,.0f} nats by itself")
        tell(console, str(out))
        tell(console, f"look at them: veduta gain {self.run_or_scene} --cameras {out}", style="dim")
        return OK


def plan_table(plan: Plan) -> Table:
    """A row per camera, in order."""
    table = Table()
    table.add_column("photograph")
    table.add_column("gain, nats", justify="right")
    table.add_column("alone", justify="right")
    table.add_column("position", justify="right")
    positions = plan.cameras.positions_world.tolist()
    for name, gain, alone, (x, y, z) in zip(plan.names, plan.gains, plan.alone, positions, strict=True):
        table.add_row(Text(name), f"{gain:,.0f}", f"{alone:,.0f}", f"{x:.3g}, {y:.3g}, {z:.3g}")
    return table
