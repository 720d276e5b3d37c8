"""Compositing as an autograd function, one camera each."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from veduta.render.cuda.binning import RECORD, VALUES, Tiles
from veduta.render.cuda.composite_kernels import composite_kernel
from veduta.render.cuda.launch import launch
from veduta.render.reference.compositing import TILE
from veduta.render.reference.cutoffs import MAX_ALPHA, MIN_ALPHA, MIN_TRANSMITTANCE

LOG2_MIN_ALPHA = math.log2(MIN_ALPHA)


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
    mixed = features.new_empty(tiles.height, tiles.width, features.shape[1])
    if features.shape[1]:
        _launch(tiles, features, mixed, None, chunks=-(-features.shape[1] // VALUES))
    return mixed


def _launch(tiles: Tiles, values: Tensor, image: Tensor, picture: Picture | None, *, chunks: int) -> None:
    outputs = [image] * 4 if picture is None else [picture.depth, picture.alpha, picture.clear, picture.last]
    launch(
        composite_kernel, (tiles.columns * tiles.rows, chunks),
        tiles.ids, tiles.starts, tiles.records, values, image, *outputs,
        tiles.width, tiles.height, tiles.columns, values.shape[1],
        LOG2_MIN_ALPHA=LOG2_MIN_ALPHA, MAX_ALPHA=MAX_ALPHA, MIN_TRANSMITTANCE=MIN_TRANSMITTANCE, TILE=TILE,
        RECORD=RECORD, MAIN=picture is not None, CHECK=16, warps=1,
    )  # fmt: skip
