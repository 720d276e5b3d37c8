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


@dataclass(frozen=True, eq=False)
class ScreenMoments(TensorRecord):
    """How one picture depends on each Gaussian's place, shape and colour on the screen, summed over pixels.

    Legend (``docs/how-it-works``): d = pixel - centre, e = U d with U the upper triangular square root of the conic
    (U^T U = conic), so that |e| is the distance in standard deviations; m = (1, e1, e2, e1^2, e1 e2, e2^2);
    v = d colour / d alpha (3), 0 where alpha is clamped; T the transmittance in front; w the pixel's trust.
    """

    color: Float[Tensor, "h w 3"]
    """The picture, background included; not clamped."""
    clear: Float[Tensor, "h w"]
    """Transmittance left for the background."""
    fisher: Float[Tensor, "n 34"]
    """15 sums of w |v|^2 alpha^2 e1^i e2^j, by i + j and then falling i; 18 of w alpha^2 T m_k v_c, k by rows, c by
    columns; 1 of w (alpha T)^2."""
    score: Float[Tensor, "n s"] | None = None
    """With a photograph, r = colour - photograph. s = 39: 15 sums of w^2 alpha^2 (v.r)^2 e1^i e2^j, 18 of
    w^2 alpha^2 T (v.r) r_c m_k, 6 of w^2 (alpha T)^2 r r^T (upper triangle). s = 9, clustered by view: 6 sums of
    w alpha (v.r) m_k and 3 of w alpha T r_c."""


@dataclass(frozen=True, eq=False)
class ScreenCovariance(TensorRecord):
    """How uncertain one picture is, for given uncertain Gaussians."""

    color: Float[Tensor, "h w 3"]
    """The picture, background included; not clamped."""
    clear: Float[Tensor, "h w"]
    """Transmittance left for the background."""
    covariance: Float[Tensor, "h w 6"]
    """Sum over Gaussians of J P J^T, packed upper triangle (rr, rg, rb, gg, gb, bb), in squared colour units."""
