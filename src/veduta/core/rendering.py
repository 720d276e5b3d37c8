"""What a rasteriser is asked and what it answers."""

from __future__ import annotations

from dataclasses import dataclass

from jaxtyping import Bool, Float
from torch import Tensor

from veduta.core.record import TensorRecord


@dataclass(frozen=True, kw_only=True)
class RasterOptions:
    """How Gaussians are drawn; the defaults draw what 3DGS viewers draw."""

    near_m: float = 0.01
    """Gaussians whose centre is nearer than this are not drawn."""
    far_m: float = 1e10
    """Nor those farther than this."""
    low_pass_px2: float = 0.3
    """Added to the diagonal of every projected covariance (px^2), so that nothing is thinner than a pixel."""
    antialias: bool = False
    """Scale opacity by sqrt(det before / det after) the low pass, so that thin Gaussians fade (Mip-Splatting)."""
    sh_degree: int | None = None
    """Use spherical harmonics up to this degree; None: all there are."""
    keep_screen: bool = False
    """Return :class:`Screen` (and accumulate ``absgrad`` in the backward pass)."""


@dataclass(frozen=True, eq=False)
class Screen(TensorRecord):
    """What became of each Gaussian on the screen."""

    means_px: Float[Tensor, "c n 2"]
    """Projected centres; its ``grad`` is the view-space gradient (``retain_grad`` was called where needed)."""
    absgrad: Float[Tensor, "c n 2"]
    """Filled in by the backward pass: the sum over pixels of the absolute view-space gradient (AbsGS)."""
    radii_px: Float[Tensor, "c n"]
    """Largest half-axis of the rectangle within which alpha >= 1/255; 0 where not drawn."""
    visible: Bool[Tensor, "c n"]
    """Whether anything could be drawn: in front, large enough and on the screen."""


@dataclass(frozen=True, eq=False)
class Render(TensorRecord):
    """c pictures."""

    color: Float[Tensor, "c h w 3"]
    """Composited over the background; not clamped."""
    alpha: Float[Tensor, "c h w"]
    """Coverage: 1 minus the transmittance left."""
    depth: Float[Tensor, "c h w"]
    """Alpha-normalised mean z depth; 0 where alpha is 0."""
    features: Float[Tensor, "c h w f"] | None = None
    """Any per-Gaussian values, composited like colour over zero."""
    screen: Screen | None = None
