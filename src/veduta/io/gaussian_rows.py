"""What every file of Gaussians shares: raw values to physical ones and back, and rows that are no Gaussians.

3DGS files hold logits for opacities, logarithms for scales and quaternions of any length; :class:`Gaussians` holds what
they mean. The conversions run in float64 and end in float32, so that writing and reading again changes no value by more
than float32's rounding.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from veduta.core import Gaussians, InputError

SMALLEST = float(np.finfo(np.float32).tiny)
"""Stands for a scale or opacity of 0, whose logarithm no file can hold."""
_LARGEST_OPACITY = 1.0 - 2.0**-26  # stands for 1; float32 rounds it to 1 again
_SMALLEST_NORM = 1e-12  # of a quaternion that still says something


def opacity_from_logit(logit: np.ndarray) -> np.ndarray:
    """Opacity 0..1 from its logit, float32; infinities are 0 and 1."""
    with np.errstate(over="ignore"):
        return (1.0 / (1.0 + np.exp(-logit.astype(np.float64)))).astype(np.float32)


def logit_from_opacity(opacity: np.ndarray) -> np.ndarray:
    """The float32 logit of an opacity; 0 and 1 get the largest that matter."""
    p = np.clip(opacity.astype(np.float64), SMALLEST, _LARGEST_OPACITY)
    return (np.log(p) - np.log1p(-p)).astype(np.float32)


def scale_from_log(log_scale: np.ndarray) -> np.ndarray:
    """Standard deviation from its logarithm, float32, at least SMALLEST; infinite where float32 cannot hold it."""
    with np.errstate(over="ignore"):
        return np.maximum(np.exp(log_scale.astype(np.float64)), SMALLEST).astype(np.float32)


def log_from_scale(scale: np.ndarray) -> np.ndarray:
    """The float32 logarithm of a standard deviation, as of SMALLEST where it is smaller."""
    return np.log(np.maximum(scale.astype(np.float64), SMALLEST)).astype(np.float32)


def unit_quats(quats: np.ndarray) -> np.ndarray:
    """Quaternions [n, 4] at length 1, float32; the identity for those that are zero; NaN stays NaN."""
    wide = quats.astype(np.float64)
    norm = np.linalg.norm(wide, axis=1, keepdims=True)
    zero = norm < _SMALLEST_NORM
    with np.errstate(invalid="ignore"):
        unit = wide / np.where(zero, 1.0, norm)
    return np.where(zero, [[1.0, 0.0, 0.0, 0.0]], unit).astype(np.float32)


def gaussians_from_arrays(
    *, means: np.ndarray, quats: np.ndarray, scales: np.ndarray, opacities: np.ndarray, sh: np.ndarray
) -> Gaussians:
    """Gaussians of physical float32 arrays, which they share."""
    return Gaussians(
        means=torch.from_numpy(means),
        quats=torch.from_numpy(quats),
        scales=torch.from_numpy(scales),
        opacities=torch.from_numpy(opacities),
        sh=torch.from_numpy(sh),
    )


def only_finite(gaussians: Gaussians, where: Path, *, drop_invalid: bool) -> Gaussians:
    """The Gaussians if all are finite; else those that are, or InputError that counts the others."""
    valid = torch.ones(len(gaussians), dtype=torch.bool)
    rows = (gaussians.means, gaussians.quats, gaussians.scales, gaussians.opacities[:, None], gaussians.sh.flatten(1))
    for field in rows:
        valid &= torch.isfinite(field).all(dim=1)
    if bool(valid.all()):
        return gaussians
    if drop_invalid:
        return gaussians[valid]
    invalid = int((~valid).sum())
    raise InputError(
        f"{invalid} of {len(gaussians)} Gaussians are not finite",
        where=where,
        expected="finite numbers",
        got=f"NaN or infinity, first in row {int(torch.nonzero(~valid)[0])}",
        hint="Export the scene again, or read it with drop_invalid=True to leave them out.",
    )
