"""``veduta weights import``: published checkpoints become files of weights."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

from rich.console import Console
from tyro.conf import Positional

from veduta.cli.terminal import tell
from veduta.cli.verb import OK, Switch
from veduta.feedforward.checkpoints import import_checkpoint

Kind = Literal["auto", "object", "object-residual", "scene", "lara", "mvsplat"]


@dataclass(frozen=True, kw_only=True)
class WeightsVerb:
    """Turn a checkpoint that a model's authors published into a file of weights for veduta predict.

    Takes those of Generative Densification (objects, objects with residual attributes, scenes), LaRa and MVSplat. Every
    tensor is checked by name and shape; nothing in the file is run.

        veduta weights import epoch=49.ckpt weights/
        veduta predict chair/ -o chair.ply --model weights/object.safetensors
    """

    action: Positional[Literal["import"]]
    """What to do."""
    checkpoint: Positional[Path]
    """The published file (.ckpt)."""
    out: Positional[Path]
    """Folder for KIND.safetensors and KIND.json, which tells what was found."""
    kind: Kind = "auto"
    """Which model it is; by default told from the tensors' names."""
    force: Switch = False
    """Replace files that exist."""

    def run(self, console: Console) -> int:
        """Import and tell what was found."""
        kind = None if self.kind == "auto" else self.kind
        with console.status("checking every tensor"):
            told = import_checkpoint(self.checkpoint, self.out, kind=kind, overwrite=self.force)
        tell(console, f"{told.title}: {told.tensors} tensors, {told.parameters:,} parameters, all as published")
        switched = [name for name, value in asdict(told.compatibility).items() if value]
        tell(console, f"habits of these weights that are kept: {', '.join(switched)}", style="dim")
        tell(console, f"weights: {told.path} ({told.path.stat().st_size / 1e6:.0f} MB)")
        tell(console, f"next:    veduta predict PHOTOS -o out.ply --model {told.path}")
        return OK
