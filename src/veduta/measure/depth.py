"""How far rendered depth is from the truth."""

from __future__ import annotations

from dataclasses import dataclass

from jaxtyping import Bool, Float
from torch import Tensor


@dataclass(frozen=True)
class DepthError:
    """Errors over the pixels whose depth is known, in the capture's unit unless said otherwise."""

    mean_absolute: float
    median_absolute: float
    mean_relative: float
    """Mean of |error| / truth."""
    pixels: int


def depth_error(
    depth: Float[Tensor, "*b h w"], truth: Float[Tensor, "*b h w"], valid: Bool[Tensor, "*b h w"]
) -> DepthError | None:
    """Compare z depths where ``valid``; None where nothing is."""
    known, wanted = depth[valid].double(), truth[valid].double()
    if known.numel() == 0:
        return None
    error = (known - wanted).abs()
    return DepthError(
        mean_absolute=float(error.mean()),
        median_absolute=float(error.median()),
        mean_relative=float((error / wanted).mean()),
        pixels=known.numel(),
    )
