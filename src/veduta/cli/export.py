"""``veduta export``: a scene as a file that other programs open."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from tyro.conf import Positional

from veduta.cli.terminal import tell
from veduta.cli.verb import OK, Switch
from veduta.recipes.export import Up, export_scene
from veduta.recipes.runs import open_run


@dataclass(frozen=True, kw_only=True)
class Export:
    """Write a scene as a PLY (3DGS, opens in SuperSplat and others) or as a .splat file.

    The file is in the capture's own world frame, so that it fits other data of the same place.

        veduta export runs/garden garden.ply
        veduta export runs/garden garden.splat --min-opacity 0.02
        veduta export runs/street street.ply --time 2.5 --rotate-up z --force
    """

    run_or_scene: Positional[Path]
    """A run's folder, or a file with a scene (.ply, .splat, .safetensors)."""
    file: Positional[Path]
    """The file to write; its suffix, .ply or .splat, names the format."""
    time: float = 0.0
    """Seconds since the capture's start at which moving objects are placed."""
    rotate_up: Up = "none"
    """Turn the world, colours with it, so that up becomes this axis; y-down is what viewers of trained PLYs expect."""
    min_opacity: float = 0.0
    """Leave out Gaussians fainter than this, 0 to 1."""
    capture: Path | None = None
    """Where up is read from for --rotate-up; by default the capture that the run was made from."""
    force: Switch = False
    """Replace the file if it exists."""

    def run(self, console: Console) -> int:
        """Export and tell what was written."""
        opened = open_run(self.run_or_scene)
        up = None if self.rotate_up == "none" else opened.open_capture(self.capture).up
        written = export_scene(
            opened.scene,
            self.file,
            time=self.time,
            up=up,
            rotate_up=self.rotate_up,
            min_opacity=self.min_opacity,
            overwrite=self.force,
        )
        size = self.file.stat().st_size / 1e6
        tell(console, f"{self.file}: {len(written):,} Gaussians, {size:.1f} MB")
        if opened.scene.sky is not None:
            tell(console, "The file has no place for the background colour or sky, which is left out.", style="dim")
        return OK
