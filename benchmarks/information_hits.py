"""How far down its tile's list a pixel looks, as rasterisers with tiles of 16x16 pixels count it.

FaithFusion divides by this number, whose lists hold every Gaussian whose circle of 3 standard deviations reaches the
tile's square. Which Gaussian is the last that a pixel draws is found with this renderer's own cut-offs.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from veduta.core import Cameras, Gaussians, RasterOptions
from veduta.render.reference.compositing import TILE, Grid, touched_tiles
from veduta.render.reference.cutoffs import MAX_ALPHA, MIN_ALPHA, MIN_TRANSMITTANCE, STANDARD
from veduta.render.reference.projection import Pinholes, Splats, in_camera_axes, project

CHUNK = 32
"""Entries of all lists looked at together."""
TILES_AT_ONCE = 128
STANDARD_DEVIATIONS = 3.0
SPREAD = 0.1
"""px^4: least of the squared half difference of the eigenvalues, in the usual formula of the radius."""


@dataclass(frozen=True, eq=False)
class Lists:
    """Splats by tile, in depth order."""

    members: Int[Tensor, " e"]
    """Depth ranks, tile after tile."""
    starts: Int[Tensor, " t"]
    counts: Int[Tensor, " t"]


@torch.no_grad()
def list_positions(gaussians: Gaussians, camera: Cameras) -> Float[Tensor, "h w"]:
    """Position (from 1) in the tile's list of the last Gaussian that each pixel draws; 0 where it draws none."""
    pinholes = Pinholes.of(camera, gaussians.means.dtype)
    row = torch.arange(len(gaussians))
    depth = in_camera_axes(gaussians.means, pinholes.map(lambda t: t.expand(len(row), *t.shape[1:])))[:, 2]
    row = row[depth >= RasterOptions().near_m]
    splats = project(gaussians, pinholes, torch.zeros_like(row), row, options=RasterOptions(), cutoffs=STANDARD)
    splats = splats.map(lambda t: t[torch.argsort(splats.depth, stable=True)])  # now a splat's row is its depth rank
    grid = Grid(images=1, width=camera.width, height=camera.height)
    last = last_drawn(splats, _lists(splats, grid), grid)
    circles = _lists(splats.replace(extent_px=_radii(splats)[:, None].expand(-1, 2)), grid)
    tile = torch.repeat_interleave(torch.arange(grid.tiles), circles.counts)
    most = len(splats.depth) + 1
    first = torch.arange(grid.tiles)[:, None] * most
    before = torch.searchsorted(tile * most + circles.members, first + last, right=True) - circles.starts[:, None]
    positions = torch.where(last >= 0, before, 0).reshape(grid.rows, grid.columns, TILE, TILE).transpose(1, 2)
    image = positions.reshape(grid.rows * TILE, grid.columns * TILE)
    return image[: grid.height, : grid.width].double()


def last_drawn(splats: Splats, lists: Lists, grid: Grid) -> Int[Tensor, "t 256"]:
    """Depth rank of the last splat that each pixel of each tile draws; -1 for none. ``splats`` are in depth order."""
    clear = _inside(grid).to(splats.opacity)
    last = torch.full(clear.shape, -1)
    for begin in range(0, int(lists.counts.max()) if len(lists.members) else 0, CHUNK):
        going = ((lists.counts > begin) & (clear > 0).any(dim=1)).nonzero()[:, 0]
        for tiles in going.split(TILES_AT_ONCE):
            slots = begin + torch.arange(CHUNK)
            used = slots < lists.counts[tiles, None]
            members = lists.members[(lists.starts[tiles, None] + slots).clamp(max=len(lists.members) - 1)]
            opacity = torch.where(used, splats.opacity[members], 0)[:, None]
            raw = opacity * torch.exp(_power(splats, members, tiles, grid))
            alpha = torch.where(raw >= MIN_ALPHA, raw.clamp(max=MAX_ALPHA), 0)
            after = clear[tiles][..., None] * torch.cumprod(1 - alpha, dim=-1)
            drawn = (after > MIN_TRANSMITTANCE) & (alpha > 0)
            last[tiles] = torch.maximum(last[tiles], torch.where(drawn, members[:, None], -1).amax(dim=-1))
            clear[tiles] = torch.where(after[..., -1] > MIN_TRANSMITTANCE, after[..., -1], 0)
    return last


def _inside(grid: Grid) -> Float[Tensor, "t 256"]:
    """1 for a tile's pixels within the picture, 0 for those beyond it."""
    whole = torch.zeros(grid.rows * TILE, grid.columns * TILE)
    whole[: grid.height, : grid.width] = 1
    return whole.reshape(grid.rows, TILE, grid.columns, TILE).transpose(1, 2).reshape(grid.tiles, TILE * TILE)


def _lists(splats: Splats, grid: Grid) -> Lists:
    every = torch.arange(len(splats.depth))
    tile, member = touched_tiles(splats, torch.zeros_like(every), grid, every)
    tile, order = torch.sort(tile, stable=True)
    counts = torch.bincount(tile, minlength=grid.tiles)
    return Lists(members=member[order], starts=counts.cumsum(0) - counts, counts=counts)


def _radii(splats: Splats) -> Float[Tensor, " m"]:
    xx, xy, yy = splats.conic.double().unbind(-1)
    determinant = (xx * yy - xy * xy).clamp(min=1e-30)
    middle = 0.5 * (xx + yy) / determinant
    largest = middle + (middle.square() - 1 / determinant).clamp(min=SPREAD).sqrt()
    return torch.ceil(STANDARD_DEVIATIONS * largest.sqrt()).to(splats.depth)


def _power(
    splats: Splats, members: Int[Tensor, "b k"], tiles: Int[Tensor, " b"], grid: Grid
) -> Float[Tensor, "b 256 k"]:
    """-1/2 d^T conic d from each splat's centre to each of the tile's pixel centres."""
    steps = torch.arange(TILE).to(splats.depth) + 0.5
    x = (tiles % grid.columns * TILE)[:, None] + steps
    y = (tiles // grid.columns * TILE)[:, None] + steps
    centre = splats.means_px[members]
    dx, dy = x[:, :, None] - centre[:, None, :, 0], y[:, :, None] - centre[:, None, :, 1]
    xx, xy, yy = splats.conic[members][:, None].unbind(-1)
    across, down, both = -0.5 * xx * dx * dx, -0.5 * yy * dy * dy, -xy * dx
    power = (across[:, None] + both[:, None] * dy[:, :, None]) + down[:, :, None]
    return power.clamp(max=0).flatten(1, 2)
