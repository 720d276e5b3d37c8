"""Losses and image metrics: pure functions, numbers out."""

from veduta.measure.depth import DepthError, depth_error
from veduta.measure.images import psnr, ssim, ssim_map
from veduta.measure.photometric import photometric_loss

__all__ = ["DepthError", "depth_error", "photometric_loss", "psnr", "ssim", "ssim_map"]
