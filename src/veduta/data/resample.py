"""Reduction of images: by exact area, or by the nearest pixel."""

from __future__ import annotations

import torch
from jaxtyping import Float, Int
from torch import Tensor


def fitted_size(width: int, height: int, max_size: int | None) -> tuple[int, int]:
    """(width, height) with the longer side at most ``max_size`` px and the shape kept; never enlarged."""
    longest = max(width, height)
    if max_size is None or longest <= max_size:
        return width, height
    return max(1, round(width * max_size / longest)), max(1, round(height * max_size / longest))


def area_resize(image: Float[Tensor, "h w c"], *, width: int, height: int) -> Float[Tensor, "h2 w2 c"]:
    """Each new pixel is the exact mean of the area that it covers, also where the factor is not a whole number."""
    return _area_means(_area_means(image, height, dim=0), width, dim=1)


def nearest_pixels(old: int, new: int) -> Int[Tensor, " n"]:
    """Along an axis of ``old`` pixels cut into ``new``: the old pixel in which each new one's centre lies."""
    return ((torch.arange(new, dtype=torch.float64) + 0.5) * (old / new)).long().clamp(max=old - 1)


def _area_means(image: Float[Tensor, "h w c"], count: int, *, dim: int) -> Float[Tensor, "h2 w2 c"]:
    """Means along one axis: each new pixel sums the old ones that it touches by the length that it covers of them."""
    old = image.shape[dim]
    if old == count:
        return image
    edges = torch.arange(count + 1, dtype=torch.float64) * (old / count)
    start, end = edges[:-1], edges[1:]
    first = start.floor()
    shape = [1, 1, 1]
    shape[dim] = count
    means = image.new_zeros([count if axis == dim else size for axis, size in enumerate(image.shape)])
    for tap in range(int((end.ceil() - first).max())):
        position = first + tap
        covered = (torch.minimum(position + 1, end) - torch.maximum(position, start)).clamp(min=0) * (count / old)
        taken = image.index_select(dim, position.long().clamp(max=old - 1))
        means += taken * covered.to(image.dtype).reshape(shape)
    return means
