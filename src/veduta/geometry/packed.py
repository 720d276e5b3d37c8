"""Symmetric matrices by their upper triangle, row by row: half the memory."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor


def pack(matrices: Float[Tensor, "*b k k"]) -> Float[Tensor, "*b p"]:
    """The upper triangles, row by row: p = k (k + 1) / 2."""
    rows, columns = torch.triu_indices(matrices.shape[-1], matrices.shape[-1], device=matrices.device)
    return matrices[..., rows, columns]


def unpack(packed: Float[Tensor, "*b p"]) -> Float[Tensor, "*b k k"]:
    """The full symmetric matrices of :func:`pack`."""
    size = round(((8 * packed.shape[-1] + 1) ** 0.5 - 1) / 2)
    assert size * (size + 1) // 2 == packed.shape[-1], f"{packed.shape[-1]} numbers are no triangle"
    rows, columns = torch.triu_indices(size, size, device=packed.device)
    place = torch.empty(size, size, dtype=torch.long, device=packed.device)
    place[rows, columns] = place[columns, rows] = torch.arange(packed.shape[-1], device=packed.device)
    return packed[..., place]
