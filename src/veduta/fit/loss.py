"""What a fit minimises besides the photographs' own difference (:func:`veduta.measure.photometric_loss`)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import torch
from jaxtyping import Float
from torch import Tensor

from veduta.core import Render

MIN_ALPHA = 0.5
"""Depth is compared only where the picture is at least this opaque: elsewhere it says little."""


@runtime_checkable
class HasSparseDepth(Protocol):
    """A source of photographs that knows the depth of some of their pixels."""

    def sparse_depth(self, i: int, /) -> tuple[Float[Tensor, "m 2"], Float[Tensor, " m"], Float[Tensor, " m"]] | None:
        """Pixels, z depths in the capture's unit and weights of the i-th photograph; None if nothing is known."""
        ...


@dataclass(frozen=True, eq=False)
class SparseDepth:
    """Known depths of one photograph."""

    uv: Float[Tensor, "m 2"]
    """Positions as shares of the width and height."""
    depth: Float[Tensor, " m"]
    """z depth in the frame of the fit, > 0."""
    weight: Float[Tensor, " m"]
    """Trust."""


def depth_loss(render: Render, known: SparseDepth) -> Float[Tensor, ""]:
    """Weighted mean absolute difference of inverse depths, in inverse lengths of the frame of the fit."""
    height, width = render.depth.shape[1:]
    column = (known.uv[:, 0] * width).long().clamp(0, width - 1)
    row = (known.uv[:, 1] * height).long().clamp(0, height - 1)
    depth = render.depth[0, row, column]
    weight = known.weight * (render.alpha.detach()[0, row, column] >= MIN_ALPHA)
    inverse = 1.0 / torch.where(depth > 0.0, depth, known.depth)
    return (weight * (inverse - 1.0 / known.depth).abs()).sum() / weight.sum().clamp(min=1e-6)
