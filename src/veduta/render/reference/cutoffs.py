"""Where compositing stops counting: the four thresholds that every backend shares, as values."""

from __future__ import annotations

from dataclasses import dataclass

MIN_ALPHA = 1 / 255
"""A Gaussian is skipped in pixels where its alpha is below this (Kerbl 2023): it could not change 8 bits."""
MAX_ALPHA = 0.999
"""Alpha is clamped to this, so that transmittance stays positive and the backward pass may divide by 1 - alpha."""
MIN_TRANSMITTANCE = 1e-4
"""A pixel stops before the Gaussian that would bring its transmittance to this or below (Kerbl 2023)."""
MIN_QUAT_NORM = 1e-12
"""A quaternion shorter than this has no direction and stands for the identity."""


@dataclass(frozen=True, kw_only=True)
class Cutoffs:
    """The thresholds of one renderer; :data:`STANDARD` is the definition."""

    min_alpha: float = MIN_ALPHA
    """0 draws every Gaussian in every pixel."""
    max_alpha: float = MAX_ALPHA
    min_transmittance: float = MIN_TRANSMITTANCE
    """0 never stops."""


STANDARD = Cutoffs()
SMOOTH = Cutoffs(min_alpha=0.0, min_transmittance=0.0)
"""No skip and no stop: differentiable wherever alpha < ``max_alpha``; for numerical gradient checks."""
