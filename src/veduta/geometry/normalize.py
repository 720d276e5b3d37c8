"""The frame in which a capture is fitted: cameras around the origin, about one unit away."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from veduta.geometry.similarity import Similarity

EXTENT_MARGIN = 1.1
"""3D Gaussian splatting's margin on the radius of the camera rig (Kerbl et al. 2023, reference settings)."""

_POINTS_QUANTILE = 0.5
_SPANS_A_PLANE, _LEVEL, _AGREES = 0.05, 0.2, 0.8
"""Second and first mean squared spreads of the x axes, and cosine to the mean -y axis, that make a plane credible."""


def scene_extent(positions: Float[Tensor, "c 3"]) -> float:
    """The radius by which learning rates and size thresholds scale.

    1.1 times the farthest camera's distance to the cameras' mean. A single camera, or cameras all in one place, have no
    radius: the extent is then 1.
    """
    radius = _radius(positions)
    return EXTENT_MARGIN * radius if radius > 0 else 1.0


def capture_similarity(positions: Float[Tensor, "c 3"], points: Float[Tensor, "p 3"] | None = None) -> Similarity:
    """The similarity that moves the cameras' mean to the origin and scales the farthest to distance 1; no rotation.

    Cameras all in one place are scaled by the points instead (their median distance becomes 1), or not at all.
    """
    centre = positions.to(torch.float64).mean(dim=0)
    radius = _radius(positions)
    if radius <= 0 and points is not None and len(points):
        distances = torch.linalg.vector_norm(points.to(torch.float64) - centre, dim=-1)
        radius = float(torch.quantile(distances[torch.isfinite(distances)][:1_000_000], _POINTS_QUANTILE))
    scale = 1.0 / radius if radius > 0 else 1.0
    return Similarity(scale, torch.eye(3, dtype=torch.float64), -scale * centre)


def estimate_up(world_from_camera: Float[Tensor, "c 4 4"]) -> Float[Tensor, "3"]:
    """The unit vector against gravity that the cameras suggest, when people hold them level.

    The direction most perpendicular to all cameras' x axes, on the side of their mean -y axis; the mean -y axis itself
    where the x axes do not span a plane (a single view, or a straight drive).
    """
    poses = world_from_camera.to(torch.float64)
    mean_up = torch.nn.functional.normalize(-poses[:, :3, 1].mean(dim=0), dim=0)
    rights = poses[:, :3, 0]
    values, vectors = torch.linalg.eigh(rights.T @ rights / len(rights))  # ascending
    normal = vectors[:, 0] * torch.sign(vectors[:, 0] @ mean_up)
    level = values[1] > _SPANS_A_PLANE and values[0] < _LEVEL * values[1] and normal @ mean_up > _AGREES
    return (normal if level else mean_up).to(world_from_camera.dtype)


def _radius(positions: Tensor) -> float:
    exact = positions.to(torch.float64)
    radius = float(torch.linalg.vector_norm(exact - exact.mean(dim=0), dim=-1).max())
    negligible = 1e-9 * max(1.0, float(exact.abs().max()))
    return radius if radius > negligible else 0.0
