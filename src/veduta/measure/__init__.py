"""Losses, image metrics and measures of uncertainty: pure functions, numbers out."""

from veduta.measure.correlation import pearson, spearman
from veduta.measure.coverage import (
    auce,
    coverage,
    laplace_widths,
    normal_widths,
    reliability_curve,
    sharpness,
)
from veduta.measure.depth import DepthError, depth_error
from veduta.measure.images import psnr, ssim, ssim_map
from veduta.measure.photometric import photometric_loss
from veduta.measure.reconstruction import ms_ssim, reconstruction_loss
from veduta.measure.sparsification import (
    ause,
    ause_per_view,
    ause_pooled,
    oracle_curve,
    removed_fractions,
    sparsification_curve,
)

__all__ = [
    "DepthError",
    "auce",
    "ause",
    "ause_per_view",
    "ause_pooled",
    "coverage",
    "depth_error",
    "laplace_widths",
    "ms_ssim",
    "normal_widths",
    "oracle_curve",
    "pearson",
    "photometric_loss",
    "psnr",
    "reconstruction_loss",
    "reliability_curve",
    "removed_fractions",
    "sharpness",
    "sparsification_curve",
    "spearman",
    "ssim",
    "ssim_map",
]
