"""What the live page shows of what is known: a colour per Gaussian, and the gain map that the browser's camera has."""

from __future__ import annotations

import math
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
import torch
from jaxtyping import Float
from numpy.typing import NDArray
from torch import Tensor

from veduta import information
from veduta.core import BLOCK, Cameras, Posterior, RasterOptions, Scene, VedutaError
from veduta.geometry.rotations import matrix_from_quat
from veduta.geometry.sh import SH_C0
from veduta.recipes.colors import INFORMATION_RAMP, colorize, information_overlay
from veduta.recipes.information_maps import unknown_gain
from veduta.viewer.overlay import Overlay
from veduta.viewer.splats import Frame

if TYPE_CHECKING:
    import viser

OWN_COLOR = "colour"
"""The first choice of the page's list: Gaussians as they are."""
LEGEND = "Grey: a photograph from here would tell nothing new. Violet to white: up to {top:.1f} nats, nothing known."
MAP_WIDTH = 400
"""Pixels of a map drawn for the browser, which stretches it over the page: maps are smooth and computers differ."""


@dataclass(frozen=True, eq=False)
class ShownKnowledge:
    """A scene's posterior and how the scene is drawn, with what the page makes of them (worked out when asked for)."""

    scene: Scene
    posterior: Posterior
    options: RasterOptions

    @cached_property
    def paints(self) -> Mapping[str, Float[Tensor, "n 3"]]:
        """Colours of all Gaussians of ``scene.local()`` by the name in the page's list; bright is unknown."""
        return {name: _paint(value(self.posterior)) for name, value in VALUES.items()}

    @property
    def top(self) -> float:
        """The gain, in nats, that takes the last colour."""
        return unknown_gain(self.posterior.noise)

    def overlay(self, camera: Cameras) -> Float[Tensor, "h w 3"]:
        """The render, covered the more the less is known."""
        found = information.map(self.scene, self.posterior, camera, options=self.options)
        return information_overlay(found.color[0].clamp(0.0, 1.0), found.gain[0], self.top)


_DC = [row * BLOCK - row * (row - 1) // 2 for row in (10, 11, 12)]
"""Where the variances of the constant colour are in a packed block."""


def _unsettled(posterior: Posterior) -> Float[Tensor, " n"]:
    return 1.0 - information.confidence(posterior).float()


def _color_std(posterior: Posterior) -> Float[Tensor, " n"]:
    """Standard deviation of the Gaussian's own colour (mean over channels) over tau, that of a colour never seen."""
    variance = posterior.covariance[:, _DC].float().mean(dim=1).clamp(min=0.0)
    return SH_C0 * variance.sqrt() / posterior.noise.tau


VALUES: Mapping[str, Callable[[Posterior], Float[Tensor, " n"]]] = {
    "confidence (dark: well known)": _unsettled,
    "uncertainty of the colour": _color_std,
}
"""What Gaussians can be coloured by: 0 (known) to 1; a new one is a line here."""


def page_camera(
    frame: Frame,
    *,
    wxyz: Float[Tensor, "4"],
    position: Float[Tensor, "3"],
    fov: float,
    aspect: float,
    time: float,
    width: int = MAP_WIDTH,
) -> Cameras:
    """The browser's camera in the world.

    ``position`` is in the page, ``fov`` vertical (radians), ``aspect`` width over height, ``time`` in seconds.
    """
    height = max(1, round(width / aspect))
    pose = torch.eye(4, dtype=torch.float64)
    pose[:3, :3] = matrix_from_quat(wxyz.double())
    pose[:3, 3] = position.double() / frame.scale + torch.tensor(frame.center, dtype=torch.float64)
    focal = height / (2.0 * math.tan(fov / 2.0))
    return Cameras.pinhole(
        pose[None].float(),
        fx=focal,
        fy=focal,
        cx=width / 2,
        cy=height / 2,
        width=width,
        height=height,
        time=torch.tensor([time], dtype=torch.float64),
    )


class KnowledgePanel:
    """The page's list of colourings and the switch of the gain map, for one scene.

    What they need is worked out when one of them is first used, by ``make``. ``redraw`` is called when the Gaussians'
    colours change; ``splats`` is their node, shown while ``shown`` is on and no map covers the page.
    """

    def __init__(
        self,
        server: viser.ViserServer,
        make: Callable[[], ShownKnowledge],
        *,
        frame: Callable[[], Frame],
        time: Callable[[], float],
        behind: Callable[[], NDArray[np.uint8]],
        redraw: Callable[[], None],
        splats: viser.SceneNodeHandle,
        shown: viser.GuiInputHandle[bool],
        tell: Callable[[str], None],
    ) -> None:
        self._make, self._frame, self._time = make, frame, time
        self._splats, self._shown, self._redraw, self._tell = splats, shown, redraw, tell
        self._lock = threading.Lock()
        self._known: ShownKnowledge | None = None
        self._overlay = Overlay(server, self._draw, behind=behind, rested=self._hide_splats, failed=self._fail)
        self._paint = server.gui.add_dropdown("Colour by", (OWN_COLOR, *VALUES), initial_value=OWN_COLOR)
        hint = "How much a photograph from here would tell; drawn whenever you stand still."
        self._switch = server.gui.add_checkbox("Gain map", initial_value=False, hint=hint)
        self._legend = server.gui.add_markdown("")
        self._paint.on_update(lambda _: self._paint_anew())
        self._switch.on_update(lambda _: self._switched())

    @property
    def rgb(self) -> Float[Tensor, "n 3"] | None:
        """The colours that Gaussians have now, rows as of ``scene.local()``; None: their own."""
        return None if self._paint.value == OWN_COLOR else self._knowledge().paints[self._paint.value]

    def refresh(self) -> None:
        """Draw the map again: the time has changed."""
        self._overlay.refresh()

    def close(self) -> None:
        """End the thread that draws."""
        self._overlay.close()

    def _knowledge(self) -> ShownKnowledge:
        with self._lock:
            if self._known is None:
                self._known = self._make()
            return self._known

    def _draw(self, client: viser.ClientHandle) -> Float[Tensor, "h w 3"]:
        camera = client.camera
        seen = page_camera(
            self._frame(),
            wxyz=torch.from_numpy(camera.wxyz),
            position=torch.from_numpy(camera.position),
            fov=camera.fov,
            aspect=camera.aspect,
            time=self._time(),
        )
        return self._knowledge().overlay(seen)

    def _paint_anew(self) -> None:
        try:
            self._redraw()
        except VedutaError as error:
            self._fail(str(error))

    def _switched(self) -> None:
        self._overlay.switch(self._switch.value)
        self._legend.content = ""
        if self._switch.value:
            try:
                self._legend.content = LEGEND.format(top=self._knowledge().top)
            except VedutaError as error:
                self._fail(str(error))

    def _hide_splats(self, hidden: bool) -> None:
        self._splats.visible = self._shown.value and not hidden

    def _fail(self, problem: str) -> None:
        self._legend.content = f"What is known cannot be shown: {problem}"
        self._tell(f"what is known cannot be shown ({problem})")


def _paint(value: Float[Tensor, " n"]) -> Float[Tensor, "n 3"]:
    return colorize(value[None], INFORMATION_RAMP)[0].cpu()
