"""``veduta view``: a scene in the browser."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from tyro.conf import Positional

from veduta.cli.terminal import tell
from veduta.cli.verb import OK, Device
from veduta.viewer.viewing import view_run


@dataclass(frozen=True, kw_only=True)
class View:
    """Show a scene in the browser, with the cameras of its capture.

    Where things move there is a slider over time. The page is served by this program and needs no network.

        veduta view runs/garden
        veduta view scene.ply --port 9000
    """

    run_or_scene: Positional[Path]
    """A run's folder, or a file with a scene (.ply, .splat, .safetensors)."""
    capture: Path | None = None
    """The capture whose cameras are shown; by default the one that the run was made from."""
    host: str = "127.0.0.1"
    """Address to listen on: 127.0.0.1 is this computer only, 0.0.0.0 everybody who can reach it."""
    port: int = 8080
    """Port to listen on; the next free one if it is taken."""
    device: Device = "auto"
    """Where gain maps are drawn: auto is a GPU if one can be used; see veduta doctor."""

    def run(self, console: Console) -> int:
        """Serve until Ctrl-C."""
        with view_run(
            self.run_or_scene, capture=self.capture, host=self.host, port=self.port, device=self.device
        ) as viewer:
            tell(console, f"{viewer.url}  (Ctrl-C ends)")
            viewer.wait()
        return OK
