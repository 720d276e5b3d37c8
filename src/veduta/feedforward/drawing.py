"""How a model's Gaussians are drawn while it looks at its own work, and while it is judged."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from veduta.core import Cameras, Gaussians, RasterOptions, Render
from veduta.geometry import SH_C0, eval_sh
from veduta.render import Backend, rasterize

WHITE, BLACK = (1.0, 1.0, 1.0), (0.0, 0.0, 0.0)


@dataclass(frozen=True, kw_only=True)
class Drawing:
    """What lies behind a model's Gaussians, and how they are looked at."""

    background: tuple[float, float, float] = WHITE
    """Colour behind them."""
    near_m: float = 0.01
    """Gaussians nearer than this are not drawn, in the cameras' unit."""
    clamp: bool = True
    """Whether pictures are clamped to 0..1 before they are compared with photographs to select."""
    mirrored: bool = False
    """Colours are looked up from minus the camera's position (:attr:`Compatibility.neg_campos`)."""

    def draw(
        self, gaussians: Gaussians, cameras: Cameras, *, keep_screen: bool = False, backend: str | Backend = "auto"
    ) -> Render:
        """Pictures from every camera, not clamped; differentiable. ``keep_screen`` asks for one camera if mirrored."""
        behind = torch.tensor(self.background).to(gaussians.means)
        options = RasterOptions(near_m=self.near_m, keep_screen=keep_screen)
        if not self.mirrored:
            return rasterize(gaussians, cameras, background=behind, options=options, backend=backend)
        assert len(cameras) == 1 or not keep_screen
        pictures = [
            rasterize(
                _seen_from(gaussians, -cameras.positions_world[i]),
                cameras[i],
                background=behind,
                options=options,
                backend=backend,
            )
            for i in range(len(cameras))
        ]
        return pictures[0] if len(pictures) == 1 else _joined(pictures)

    def viewable(self, gaussians: Gaussians) -> Gaussians:
        """Gaussians that look, in any renderer, as here (nearly so if mirrored: exactly at the origin).

        Seen from minus the camera's position, the direction to a Gaussian near the origin is about the opposite one.
        """
        if not self.mirrored:
            return gaussians
        sign = [(-1.0) ** degree for degree in range(gaussians.sh_degree + 1) for _ in range(2 * degree + 1)]
        return gaussians.replace(sh=gaussians.sh * gaussians.sh.new_tensor(sign)[:, None])


def _seen_from(gaussians: Gaussians, position: Float[Tensor, "3"]) -> Gaussians:
    """The same with the one colour that each has as seen from there."""
    direction = torch.nn.functional.normalize(gaussians.means - position.to(gaussians.means), dim=1)
    color = eval_sh(gaussians.sh, direction)
    return gaussians.replace(sh=((color - 0.5) / SH_C0)[:, None])


def _joined(pictures: list[Render]) -> Render:
    return Render(
        color=torch.cat([picture.color for picture in pictures]),
        alpha=torch.cat([picture.alpha for picture in pictures]),
        depth=torch.cat([picture.depth for picture in pictures]),
    )
