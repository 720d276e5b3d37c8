"""Ellipses onto pixels, front to back: tiles of 16x16 pixels, each with its own candidates, many tiles at a time.

Tiles change nothing in the result: a Gaussian is left out of a tile only if its alpha is below ``min_alpha`` in all
of it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from veduta.render.reference.cutoffs import Cutoffs
from veduta.render.reference.projection import Splats

TILE = 16
"""Side of a tile in pixels."""
PAIRS_AT_ONCE = 2**22
"""Pairs of a pixel and a Gaussian handled by one batch of tiles: keeps temporaries near the caches."""
GRAPH_BYTES = 2**28
"""Above this many bytes per saved quantity (about six are saved) the backward pass recomputes the forward's batches."""


Collect = Callable[[Int[Tensor, " i"], Float[Tensor, "i 2"]], None]
"""Takes splats' indices (repeats allowed) and amounts to add to each."""


@dataclass(frozen=True)
class Grid:
    """The tiles of c images; tile ids run over images, then rows, then columns."""

    images: int
    width: int
    height: int

    @property
    def columns(self) -> int:
        """Tiles from left to right."""
        return -(-self.width // TILE)

    @property
    def rows(self) -> int:
        """Tiles from top to bottom."""
        return -(-self.height // TILE)

    @property
    def tiles(self) -> int:
        """Tiles in all images."""
        return self.images * self.rows * self.columns


@dataclass(frozen=True, eq=False)
class Batch:
    """b tiles and, for each, up to k splats in depth order."""

    tiles: Int[Tensor, " b"]
    splats: Int[Tensor, "b k"]
    """0 where ``used`` is false."""
    used: Bool[Tensor, "b k"]


def composite(
    splats: Splats,
    camera: Int[Tensor, " m"],
    values: Float[Tensor, "m f"],
    grid: Grid,
    *,
    cutoffs: Cutoffs,
    collect: Collect | None,
) -> tuple[Float[Tensor, "c h w f"], Float[Tensor, "c h w"], Float[Tensor, "c h w"]]:
    """Blended ``values`` over zero, alpha, and transmittance: 1 - alpha, each accurate where it is small.

    Order is by z depth, ties in the order of the rows. The backward pass gives ``collect``, per splat and
    batch of tiles, the sum over pixels of the absolute gradient by the splat's centre.
    """
    batches = list(bin_tiles(splats, camera, grid))
    pairs = sum(batch.splats.numel() for batch in batches) * TILE * TILE
    recompute = torch.is_grad_enabled() and pairs * values.element_size() > GRAPH_BYTES
    values = torch.cat([values, torch.ones_like(values[:, :1])], dim=1)
    pixels = values.new_zeros(grid.tiles, TILE * TILE, values.shape[1] + 1)
    pixels[..., -1] = 1
    arguments = [(splats, values, batch, grid, cutoffs, collect) for batch in batches]
    if recompute:
        blended = [checkpoint(blend, *args, use_reentrant=False, preserve_rng_state=False) for args in arguments]
    else:
        blended = [blend(*args) for args in arguments]
    pixels = pixels.index_copy(0, torch.cat([batch.tiles for batch in batches]), torch.cat(blended))
    images = untiled(pixels, grid)
    return images[..., :-2], images[..., -2], images[..., -1]


def untiled(pixels: Float[Tensor, "t 256 *f"], grid: Grid) -> Float[Tensor, "c h w *f"]:
    """The pixels of all tiles as images."""
    rest = pixels.shape[2:]
    cut = pixels.reshape(grid.images, grid.rows, grid.columns, TILE, TILE, *rest).transpose(2, 3)
    return cut.reshape(grid.images, grid.rows * TILE, grid.columns * TILE, *rest)[:, : grid.height, : grid.width]


def bin_tiles(splats: Splats, camera: Int[Tensor, " m"], grid: Grid) -> Iterator[Batch]:
    """All tiles that any splat touches, batched with others of about as many splats.

    Where there are none, one batch of no tiles, so that the pictures still depend on the inputs (with gradients of 0).
    """
    with torch.no_grad():
        order = torch.argsort(splats.depth, stable=True)
        tile, place = touched_tiles(splats, camera, grid, order)
        tile, by_tile = torch.sort(tile, stable=True)
        place = place[by_tile]
        counts = torch.bincount(tile, minlength=grid.tiles)
        starts = counts.cumsum(0) - counts
        counts, busiest = torch.sort(counts, descending=True, stable=True)
        busiest = busiest[counts > 0]
        if len(busiest) == 0:
            none = busiest.reshape(0, 0)
            yield Batch(tiles=busiest, splats=none, used=none.bool())
        done = 0
        while done < len(busiest):
            depth = int(counts[done])
            tiles = busiest[done : done + max(1, PAIRS_AT_ONCE // (depth * TILE * TILE))]
            slots = torch.arange(depth, device=tile.device)
            used = slots < counts[done : done + len(tiles), None]
            members = place[torch.where(used, starts[tiles, None] + slots, 0)]
            yield Batch(tiles=tiles, splats=torch.where(used, members, 0), used=used)
            done += len(tiles)


def touched_tiles(
    splats: Splats, camera: Int[Tensor, " m"], grid: Grid, order: Int[Tensor, " m"]
) -> tuple[Int[Tensor, " i"], Int[Tensor, " i"]]:
    """Pairs (tile, splat) of every splat's rectangle of extents, splat by splat in the given order."""
    mean, extent = splats.means_px[order], splats.extent_px[order]
    most = mean.new_tensor([grid.columns, grid.rows])
    low = torch.minimum(((mean - extent) / TILE).floor().clamp(min=0), most).long()
    high = torch.minimum(((mean + extent) / TILE).ceil().clamp(min=0), most).long()
    size = (high - low).clamp(min=0)
    counts = size[:, 0] * size[:, 1]
    splat = torch.repeat_interleave(torch.arange(len(order), device=order.device), counts)
    within = torch.arange(len(splat), device=order.device) - (counts.cumsum(0) - counts)[splat]
    column = low[splat, 0] + within % size[splat, 0]
    row = low[splat, 1] + within // size[splat, 0]
    image = camera[order][splat]
    return (image * grid.rows + row) * grid.columns + column, order[splat]


def blend(
    splats: Splats,
    values: Float[Tensor, "m f"],
    batch: Batch,
    grid: Grid,
    cutoffs: Cutoffs,
    collect: Collect | None,
) -> Float[Tensor, "b 256 g"]:
    """The batch's pixels, row-major in each tile: sum of T_i alpha_i value_i (Max 1995), and the final T."""
    seen = look(splats, batch, grid, cutoffs, collect)
    return torch.cat([seen.weights @ values[batch.splats], seen.left], dim=-1)


@dataclass(frozen=True, eq=False)
class Sight:
    """What each pixel of a batch meets, front to back."""

    raw: Float[Tensor, "b 256 k"]
    """alpha before it is cut and clamped."""
    alpha: Float[Tensor, "b 256 k"]
    front: Float[Tensor, "b 256 k"]
    """Transmittance in front of each splat."""
    weights: Float[Tensor, "b 256 k"]
    """front alpha; 0 from where the pixel stopped."""
    left: Float[Tensor, "b 256 1"]
    """Transmittance behind the last splat drawn."""


def look(splats: Splats, batch: Batch, grid: Grid, cutoffs: Cutoffs, collect: Collect | None) -> Sight:
    """Each pixel's splats with the cut-offs applied."""
    power = gaussian_power(splats, batch, grid, collect)
    opacity = torch.where(batch.used, splats.opacity[batch.splats], 0)[:, None, :]
    raw = opacity * torch.exp(power.clamp(max=0))  # above 0 only by rounding
    alpha = torch.where(raw >= cutoffs.min_alpha, raw.clamp(max=cutoffs.max_alpha), 0)
    survival = torch.nn.functional.pad(1 - alpha, (1, 0), value=1.0)
    transmittance = torch.cumprod(survival, dim=-1)
    going_on = transmittance[..., 1:] > cutoffs.min_transmittance  # once false, false for all that lies behind
    front = transmittance[..., :-1]
    return Sight(
        raw=raw,
        alpha=alpha,
        front=front,
        weights=torch.where(going_on, front * alpha, 0),
        left=transmittance.gather(-1, going_on.sum(dim=-1, keepdim=True)),
    )


def offsets(splats: Splats, batch: Batch, grid: Grid) -> tuple[Float[Tensor, "b 1 16 k"], Float[Tensor, "b 16 1 k"]]:
    """From each splat's centre to the centres of the tile's columns and rows of pixels."""
    steps = torch.arange(TILE, device=batch.tiles.device, dtype=splats.conic.dtype) + 0.5
    left = batch.tiles % grid.columns * TILE
    top = batch.tiles // grid.columns % grid.rows * TILE
    centre = splats.means_px[batch.splats]
    dx = ((left[:, None] + steps)[:, :, None] - centre[:, None, :, 0])[:, None, :, :]
    dy = ((top[:, None] + steps)[:, :, None] - centre[:, None, :, 1])[:, :, None, :]
    return dx, dy


def gaussian_power(splats: Splats, batch: Batch, grid: Grid, collect: Collect | None) -> Float[Tensor, "b 256 k"]:
    """-1/2 d^T conic d from each splat's centre to each of the tile's pixel centres."""
    dx, dy = offsets(splats, batch, grid)
    xx, xy, yy = splats.conic[batch.splats][:, None, None].unbind(-1)
    power = (-0.5 * xx * dx * dx + (-xy * dx) * dy) + -0.5 * yy * dy * dy
    if collect is not None and power.requires_grad:
        small = [t.detach() for t in (dx, dy, xx, xy, yy)]

        def report(gradient: Float[Tensor, "b 16 16 k"]) -> None:
            dx, dy, xx, xy, yy = small
            by_x = (gradient * (xx * dx + xy * dy)).abs().sum(dim=(1, 2))
            by_y = (gradient * (xy * dx + yy * dy)).abs().sum(dim=(1, 2))
            collect(batch.splats.flatten(), torch.stack([by_x, by_y], dim=-1).flatten(0, 1))

        power.register_hook(report)
    return power.flatten(1, 2)
