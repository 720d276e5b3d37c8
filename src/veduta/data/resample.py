"""Area-exact reduction of images."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor


def fitted_size(width: int, height: int, max_size: int | None) -> tuple[int, int]:
    """(width, height) with the longer side at most ``max_size`` px and the shape kept; never enlarged."""
    longest = max(width, height)
    if max_size is None or longest <= max_size:
        return width, height
    return max(1, round(width * max_size / longest)), max(1, round(height * max_size / longest))


def area_resize(image: Float[Tensor, "h w c"], *, width: int, height: int) -> Float[Tensor, "h2 w2 c"]:
    """Each new pixel is the exact mean of the area that it covers, also where the factor is not a whole number."""
    return _area_rows(_area_rows(image, height).transpose(0, 1), width).transpose(0, 1).contiguous()


def _area_rows(image: Float[Tensor, "n m c"], count: int) -> Float[Tensor, "k m c"]:
    """Area means along the first axis, as differences of the cumulated image at the new pixels' edges."""
    old = image.shape[0]
    if old == count:
        return image
    total = torch.zeros(old + 1, *image.shape[1:], dtype=torch.float64)
    torch.cumsum(image, dim=0, dtype=torch.float64, out=total[1:])
    edges = torch.arange(count + 1, dtype=torch.float64) * (old / count)
    whole = edges.floor().long().clamp(max=old - 1)
    part = (edges - whole)[:, None, None]
    at_edges = total[whole] * (1 - part) + total[whole + 1] * part
    return ((at_edges[1:] - at_edges[:-1]) * (count / old)).to(image.dtype)
