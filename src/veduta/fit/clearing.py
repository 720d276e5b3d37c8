"""The space around the cameras, which a finished scene leaves empty.

A Gaussian close to a camera fills its picture. Where few photographs overlap, some end up so close to a position that
no photograph held in check, and a few of them spoil the view from there by ten decibels. Nothing real stands there: a
camera was held at that place. Held-out cameras count too: where they stood is known, what they saw is not used.
"""

from __future__ import annotations

import numpy as np
import torch
from jaxtyping import Bool, Float
from scipy.spatial import KDTree
from torch import Tensor

from veduta.core import PointCloud

NEAREST_QUANTILE = 0.01
"""The nearest measured points: this quantile of the points' distances to their nearest cameras."""
POINTS_SHARE = 0.25
"""The empty space reaches at most this share of their distance, however large the rig (a street's is)."""
BLIND_SHARE = 0.2
"""Share of the wanted radius that is kept empty where there are no points to tell how near things are."""


def clearance(positions: Float[Tensor, "c 3"], points: PointCloud | None, *, radius_share: float) -> float:
    """Radius of the empty space around each camera, in lengths of the frame of the fit (radius of the rig 1)."""
    if points is None or len(points) == 0:
        return BLIND_SHARE * radius_share
    distances, _ = KDTree(positions.double().numpy()).query(points.xyz.double().numpy())
    return min(radius_share, POINTS_SHARE * float(np.quantile(distances, NEAREST_QUANTILE)))


def in_the_way(means: Float[Tensor, "n 3"], positions: Float[Tensor, "c 3"], *, radius: float) -> Bool[Tensor, " n"]:
    """Which centres lie within ``radius`` of a camera; all of it on the CPU."""
    if radius <= 0.0 or len(means) == 0:
        return torch.zeros(len(means), dtype=torch.bool)
    distances, _ = KDTree(positions.double().numpy()).query(means.double().numpy(), distance_upper_bound=radius)
    return torch.from_numpy(distances) < radius
