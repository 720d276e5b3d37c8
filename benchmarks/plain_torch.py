"""Compositing as one vectorised expression of torch: what `benchmarks/raster.py` compares the kernels with.

All tiles at once, each with a list as long as the longest, every step a tensor "tile pixel place" that autograd keeps:
how alpha blending is written where no kernel is at hand. veduta's own `reference` backend composites the same with
less memory and time: tiles with lists of like lengths in batches that stay near the caches, powers by rows and columns.
"""

from __future__ import annotations

import torch
from jaxtyping import Float, Int
from torch import Tensor

from veduta.render.reference import STANDARD
from veduta.render.reference.compositing import TILE, Grid, touched_tiles, untiled
from veduta.render.reference.projection import Splats


def composite_at_once(splats: Splats, camera: Int[Tensor, " m"], grid: Grid) -> Float[Tensor, "h w 5"]:
    """Colour, depth (not normalised) and alpha of one camera's splats, over black."""
    members, used = lists_of(splats, camera, grid)
    tile = torch.arange(grid.tiles)
    pixel = torch.arange(TILE * TILE)
    x = (tile % grid.columns * TILE)[:, None] + pixel % TILE + 0.5
    y = (tile // grid.columns * TILE)[:, None] + pixel // TILE + 0.5
    centre, conic = splats.means_px[members], splats.conic[members]
    dx = x[:, :, None] - centre[:, None, :, 0]
    dy = y[:, :, None] - centre[:, None, :, 1]
    xx, xy, yy = conic[:, None].unbind(-1)
    power = -0.5 * (xx * dx * dx + yy * dy * dy) - xy * dx * dy
    raw = torch.where(used, splats.opacity[members], 0)[:, None] * torch.exp(power.clamp(max=0))
    alpha = torch.where(raw >= STANDARD.min_alpha, raw.clamp(max=STANDARD.max_alpha), 0)
    behind = torch.cumprod(1 - alpha, dim=-1)
    front = torch.cat([torch.ones_like(behind[..., :1]), behind[..., :-1]], dim=-1)
    weights = torch.where(behind > STANDARD.min_transmittance, front * alpha, 0)
    values = torch.cat([splats.color, splats.depth[:, None], torch.ones_like(splats.depth)[:, None]], dim=1)
    return untiled(weights @ values[members], grid)[0]


def lists_of(splats: Splats, camera: Int[Tensor, " m"], grid: Grid) -> tuple[Tensor, Tensor]:
    """Per tile its splats, front to back, and which places are taken: both "tile place"."""
    with torch.no_grad():
        tile, place = touched_tiles(splats, camera, grid, torch.argsort(splats.depth, stable=True))
        tile, by_tile = torch.sort(tile, stable=True)
        place = place[by_tile]
        counts = torch.bincount(tile, minlength=grid.tiles)
        slots = torch.arange(int(counts.max()))
        used = slots < counts[:, None]
        starts = counts.cumsum(0) - counts
        return place[torch.where(used, starts[:, None] + slots, 0)], used
