"""Compositing as an autograd function, one camera each."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.autograd.function import once_differentiable

from veduta.kernels.launch import ROWS, Tuning, launch, launch_tuned, programs
from veduta.render.cuda.backward_kernels import composite_backward_kernel, finish_kernel, gather_kernel
from veduta.render.cuda.binning import RECORD, VALUES, Tiles, bin_tiles
from veduta.render.cuda.composite_kernels import composite_kernel
from veduta.render.cuda.functions import Projected
from veduta.render.reference.compositing import TILE
from veduta.render.reference.cutoffs import MAX_ALPHA, MIN_ALPHA, MIN_TRANSMITTANCE

LOG2_MIN_ALPHA = math.log2(MIN_ALPHA)
SUMS = 16
"""Numbers per row of sums (12 used)."""
GATHERED = 32
"""Gaussians per program that adds up pairs."""
CHECK = 16
"""After how many Gaussians a tile looks whether any of its pixels goes on."""
FORWARD = Tuning(warps=(1, 2, 4), key=("MAIN",))
BACKWARD = Tuning(warps=(1, 2, 4), key=("DEPTH", "ABSGRAD", "FEATURES", "ORDERED"), resets=("sums", "feature_sums"))


@dataclass(frozen=True, eq=False)
class Picture:
    """One camera's picture over black, and what the backward pass and the moments read of it."""

    color: Float[Tensor, "h w 3"]
    alpha: Float[Tensor, "h w"]
    depth: Float[Tensor, "h w"]
    """Alpha-normalised."""
    clear: Float[Tensor, "h w"]
    """Transmittance behind the last Gaussian drawn."""
    last: Int[Tensor, "h w"]
    """One past the place in ``Tiles.ids`` of the last Gaussian drawn; the tile's first place where there is none."""


def composite(tiles: Tiles) -> Picture:
    """Colour and depth of the tiles' lists; not differentiable."""
    size, like = (tiles.height, tiles.width), tiles.values
    picture = Picture(
        color=like.new_empty(*size, 3),
        alpha=like.new_empty(size),
        depth=like.new_empty(size),
        clear=like.new_empty(size),
        last=torch.empty(size, dtype=torch.int32, device=like.device),
    )
    _launch(tiles, tiles.values, picture.color, picture, chunks=1)
    return picture


def composite_features(tiles: Tiles, features: Float[Tensor, "n f"]) -> Float[Tensor, "h w f"]:
    """Any values per Gaussian over zero; not differentiable."""
    mixed = features.new_zeros(tiles.height, tiles.width, features.shape[1])
    if features.numel():
        _launch(tiles, features, mixed, None, chunks=-(-features.shape[1] // VALUES))
    return mixed


def _launch(tiles: Tiles, values: Tensor, image: Tensor, picture: Picture | None, *, chunks: int) -> None:
    outputs = [image] * 4 if picture is None else [picture.depth, picture.alpha, picture.clear, picture.last]
    launch_tuned(
        composite_kernel, FORWARD, (tiles.columns * tiles.rows, chunks),
        tiles.ids, tiles.starts, tiles.records, values, image, *outputs,
        tiles.width, tiles.height, tiles.columns, values.shape[1],
        LOG2_MIN_ALPHA=LOG2_MIN_ALPHA, MAX_ALPHA=MAX_ALPHA, MIN_TRANSMITTANCE=MIN_TRANSMITTANCE, TILE=TILE,
        RECORD=RECORD, MAIN=picture is not None, CHECK=CHECK,
    )  # fmt: skip


class Composite(torch.autograd.Function):
    """What was projected -> colour, alpha, depth (alpha-normalised), transmittance and features.

    ``absgrad`` ("n 2", or None) is added to in the backward pass. ``ordered``: gradients are summed in the same order
    every time (see :class:`~veduta.render.cuda.Cuda`).
    """

    @staticmethod
    def forward(
        ctx: Any,
        means_px: Tensor,
        conics: Tensor,
        opacities: Tensor,
        depths: Tensor,
        colors: Tensor,
        features: Tensor | None,
        extents: Tensor,
        absgrad: Tensor | None,
        size: tuple[int, int],
        ordered: bool,
    ):
        """``size`` is width, height."""
        projected = Projected(
            means_px=means_px, conics=conics, depths=depths, extents=extents, opacities=opacities
        ).detach()
        tiles = bin_tiles(projected, colors.detach(), width=size[0], height=size[1])
        picture = composite(tiles)
        mixed = None if features is None else composite_features(tiles, features)
        ctx.tiles, ctx.absgrad, ctx.ordered, ctx.last = tiles, absgrad, ordered, picture.last
        outputs = picture.alpha, picture.depth, picture.clear
        ctx.save_for_backward(conics, opacities, extents, features, *outputs)
        ctx.set_materialize_grads(False)
        return picture.color, *outputs, mixed

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *given: Tensor | None):  # pyright: ignore[reportIncompatibleMethodOverride]
        """Gradients that nobody asked for arrive as None."""
        conics, opacities, extents, features, alpha, depth, clear = ctx.saved_tensors
        tiles: Tiles = ctx.tiles
        v_color, v_alpha, v_depth, v_clear, v_features = (None if g is None else g.contiguous() for g in given)
        blank = torch.zeros_like(clear) if v_color is None or v_alpha is None or v_clear is None else clear
        v_color = clear.new_zeros(*clear.shape, 3) if v_color is None else v_color
        if features is None or v_features is None:
            v_features, channels = blank, 0
        else:
            v_features, channels = v_features.permute(2, 0, 1).contiguous(), features.shape[1]
        n, slots = len(conics), len(tiles.ids) if ctx.ordered else len(conics)
        sums, feature_sums = clear.new_zeros(slots, SUMS), clear.new_zeros(slots, channels)
        by_depth, absgrad = v_depth is not None, ctx.absgrad is not None
        launch_tuned(
            composite_backward_kernel, BACKWARD, (tiles.columns * tiles.rows,),
            tiles.ids, tiles.starts, tiles.records, tiles.values, sums if features is None else features, tiles.places,
            clear, ctx.last, alpha, depth, v_color, blank if v_depth is None else v_depth,
            blank if v_alpha is None else v_alpha, blank if v_clear is None else v_clear, v_features,
            sums, feature_sums, tiles.width, tiles.height, tiles.columns, channels,
            LOG2_MIN_ALPHA=LOG2_MIN_ALPHA, MAX_ALPHA=MAX_ALPHA, TILE=TILE, RECORD=RECORD,
            DEPTH=by_depth, ABSGRAD=absgrad, FEATURES=channels > 0, ORDERED=ctx.ordered,
        )  # fmt: skip
        if ctx.ordered:
            sums, feature_sums = gathered(tiles, sums), gathered(tiles, feature_sums)
        v_px, v_conics, v_colors = clear.new_empty(n, 2), torch.empty_like(conics), torch.empty_like(conics)
        v_opacities, v_depths = clear.new_empty(n), clear.new_empty(n) if by_depth else clear.new_zeros(n)
        launch(
            finish_kernel, programs(n),
            sums, conics, opacities, extents, v_px, v_conics, v_opacities, v_colors, v_depths,
            ctx.absgrad if absgrad else sums, n, DEPTH=by_depth, ABSGRAD=absgrad, BLOCK=ROWS,
        )  # fmt: skip
        v_mixed = None
        if features is not None:
            v_mixed = feature_sums if channels else torch.zeros_like(features)
        return v_px, v_conics, v_opacities, v_depths, v_colors, v_mixed, None, None, None, None


def gathered(tiles: Tiles, pairs: Float[Tensor, "p s"]) -> Float[Tensor, "n s"]:
    """Per Gaussian the sum of its pairs' rows (by ``Tiles.places``), always in the same order."""
    n, width = len(tiles.order), pairs.shape[1]
    totals = pairs.new_empty(n, width)
    if width:
        grid = *programs(n, GATHERED), -(-width // SUMS)
        launch(gather_kernel, grid, pairs, tiles.order, tiles.ends, totals, n, width, WIDTH=SUMS, BLOCK=GATHERED)
    return totals
