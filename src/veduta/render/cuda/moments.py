"""Moments of one picture, and the picture that they are of."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from veduta.core import Cameras, ScreenMoments
from veduta.kernels.launch import Tuning, launch_tuned
from veduta.render.cuda import composite as plain
from veduta.render.cuda.binning import RECORD, Tiles, bin_tiles
from veduta.render.cuda.composite import LOG2_MIN_ALPHA
from veduta.render.cuda.linear_map import View
from veduta.render.cuda.moment_kernels import moments_kernel
from veduta.render.reference.compositing import TILE
from veduta.render.reference.cutoffs import MAX_ALPHA
from veduta.render.shared import CLUSTERED, FISHER, SCORE

WALKED = {"LOG2_MIN_ALPHA": LOG2_MIN_ALPHA, "MAX_ALPHA": MAX_ALPHA, "TILE": TILE, "RECORD": RECORD}
SHAPES = Tuning(warps=(1, 2, 4), key=("BEHIND", "TRUST", "SCORE"), resets=("fisher", "score"))


@dataclass(frozen=True, eq=False)
class Picture:
    """One camera's picture over what lies behind, and what a walk back through its tiles' lists needs."""

    tiles: Tiles
    roots: Float[Tensor, "n 4"]
    """See :meth:`veduta.render.cuda.linear_map.View.roots`."""
    plain: plain.Picture
    """Over black."""
    behind: Float[Tensor, "h w 3"] | None
    color: Float[Tensor, "h w 3"]

    @property
    def clear(self) -> Float[Tensor, "h w"]:
        """Transmittance left for what lies behind."""
        return self.plain.clear

    @property
    def grid(self) -> tuple[int]:
        """One program per tile."""
        return (self.tiles.columns * self.tiles.rows,)

    def like(self, image: Tensor | None) -> Tensor | None:
        """An image as kernels take it."""
        return None if image is None else image.detach().to(self.color).contiguous()


def picture_of(view: View, camera: Cameras, behind: Float[Tensor, "h w 3"] | None) -> Picture:
    """Drawn by the very lists that ``rasterize`` draws by."""
    tiles = bin_tiles(view.projected, view.colors, width=camera.width, height=camera.height)
    drawn = plain.composite(tiles)
    back = None if behind is None else behind.detach().to(drawn.color).contiguous()
    color = drawn.color if back is None else torch.addcmul(drawn.color, drawn.clear[..., None], back)
    return Picture(tiles=tiles, roots=view.roots(), plain=drawn, behind=back, color=color)


def moments(
    view: View,
    camera: Cameras,
    *,
    photograph: Float[Tensor, "h w 3"] | None,
    weight: Float[Tensor, "h w"] | None,
    behind: Float[Tensor, "h w 3"] | None,
    clustered: bool,
) -> ScreenMoments:
    """See :func:`veduta.render.screen_moments`; what has no weight may be anything, NaN included."""
    picture = picture_of(view, camera, behind)
    photo, trust, color, tiles = picture.like(photograph), picture.like(weight), picture.color, picture.tiles
    size = 0 if photo is None else CLUSTERED if clustered else SCORE
    fisher, score = (color.new_zeros(len(view.colors), columns) for columns in (FISHER, size))
    launch_tuned(
        moments_kernel, SHAPES, picture.grid,
        tiles.ids, tiles.starts, tiles.records, tiles.values, picture.roots, picture.clear, picture.plain.last,
        color if picture.behind is None else picture.behind, color, color if photo is None else photo,
        picture.clear if trust is None else trust, fisher, score, tiles.width, tiles.height, tiles.columns,
        **WALKED, BEHIND=picture.behind is not None, TRUST=trust is not None, SCORE=size,
    )  # fmt: skip
    return ScreenMoments(color=color, clear=picture.clear, fisher=fisher, score=None if photo is None else score)
