"""What the photographs told us, and what a camera would still be told."""

from __future__ import annotations

from dataclasses import dataclass

from jaxtyping import Float
from torch import Tensor

from veduta.core.cameras import Cameras
from veduta.core.record import TensorRecord

BLOCK = 13
"""Parameters of one Gaussian that information is kept about, in this order: mean (3, in its owner's frame), log-scale
(3), rotation tangent (3: R <- R exp([w]x), w in the Gaussian's own axes), logit of the opacity (1), and the constant
(degree 0) SH coefficients (3)."""
PACKED_BLOCK = BLOCK * (BLOCK + 1) // 2
"""Numbers of a packed symmetric block: its upper triangle, row by row."""
LAG = 8
"""Residuals are correlated with their neighbours up to this many pixels away."""


@dataclass(frozen=True, eq=False)
class DirectionMap(TensorRecord):
    """How often each direction was seen through to the background, whatever the place it was seen from."""

    seen: Float[Tensor, "h w"]
    """Sum over training pixels of (their trust times) the squared transmittance that reached the background; infinite
    everywhere where the background is known. Equirectangular like :class:`~veduta.core.Sky`."""
    up: Float[Tensor, "3"]
    """Unit vector in the world towards the first row."""


@dataclass(frozen=True, eq=False)
class ResidualSums(TensorRecord):
    """Sums over training pixels and channels (float64) that add up over views: all that noise is measured from."""

    squares: Float[Tensor, ""]
    """Sum of trust times squared residual."""
    count: Float[Tensor, ""]
    """Sum of trust: pixels times 3."""
    lagged: Float[Tensor, "l l"]
    """Products of residuals that lie (dy - LAG, dx - LAG) pixels apart; l = 2 LAG + 1."""
    lagged_count: Float[Tensor, "l l"]
    """How many pairs there were (by trust)."""
    colors: Float[Tensor, ""]
    """Sum of the photographs' values."""
    colors_squared: Float[Tensor, ""]


@dataclass(frozen=True)
class Noise:
    """What was left unexplained, in numbers."""

    sigma: float
    """Standard deviation of a residual, in colour units."""
    kappa: float
    """How many pixels count as one, since residuals of neighbours are alike: at least 1."""
    tau: float
    """Standard deviation of the photographs' values: what is unknown about a colour never seen."""
    assumed: bool = False
    """Whether these are the documented defaults because no photographs were at hand."""


@dataclass(frozen=True, eq=False)
class Evidence(TensorRecord):
    """What photographs told about each Gaussian of a scene; adds up over photographs and processes."""

    fisher: Float[Tensor, "n 91"]
    """Packed sum over pixels of J^T J, J = d colour / d parameters: how strongly the pictures depend on them."""
    score: Float[Tensor, "n 91"] | None
    """Packed sum of (J^T r)(J^T r)^T over pixels, r the residual; None where no photographs were at hand."""
    residuals: ResidualSums | None
    sky: DirectionMap
    views: int
    """Photographs that were counted."""
    clustered: bool = False
    """Whether the score was first summed over each photograph: the sum of squares of J^T r of whole views, which
    contains how residuals of neighbours agree."""


@dataclass(frozen=True, eq=False)
class Posterior(TensorRecord):
    """What is still unknown about each Gaussian once the photographs have been taken into account."""

    covariance: Float[Tensor, "n 91"]
    """Packed covariance P of the 13 parameters, in their own units."""
    prior: Float[Tensor, "n 91"]
    """Packed covariance before any photograph."""
    noise: Noise
    sky: DirectionMap
    kind: str
    """``sandwich``, ``block`` or ``diagonal``."""


@dataclass(frozen=True, eq=False)
class InformationMap(TensorRecord):
    """c maps of what a photograph taken there would tell."""

    gain: Float[Tensor, "c h w"]
    """Expected information gain of each pixel in nats."""
    variance: Float[Tensor, "c h w"]
    """Variance of the rendered colour (mean over channels) for what is unknown, in squared colour units."""
    color: Float[Tensor, "c h w 3"]
    """The picture rendered there."""
    cameras: Cameras
