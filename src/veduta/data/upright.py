"""Which way is up, from how the photographer held the camera."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

MIN_TURN = 0.02
"""Second eigenvalue of the cameras' right axes above which they span a plane (about 8 degrees of turning)."""
MAX_TILT = 0.25
"""Largest ratio of the third eigenvalue to the second for that plane to be trusted as horizontal."""
MAX_CORRECTION = 0.7
"""Smallest cosine between the plane's normal and the mean of the cameras' own up axes."""


def estimate_up(world_from_camera: Float[Tensor, "c 4 4"]) -> Float[Tensor, "3"]:
    """Unit vector against gravity: the mean of the cameras' up axes, refined by the plane of their right axes.

    People tilt cameras up and down but keep them level: right axes are horizontal, so the direction most orthogonal to
    all of them is vertical. Where the cameras barely turn, or their axes fill space, the mean alone is used.
    """
    right, down, forward = world_from_camera.double()[:, :3, :3].unbind(dim=-1)
    mean_up = -down.mean(dim=0)
    if float(mean_up.norm()) < 0.1:  # cameras that look straight down while turning: their up axes cancel
        mean_up = -forward.mean(dim=0)
    if float(mean_up.norm()) < 1e-6:
        mean_up = mean_up.new_tensor([0.0, 0.0, 1.0])
    mean_up = mean_up / mean_up.norm()
    values, vectors = torch.linalg.eigh(right.T @ right / len(right))  # ascending
    normal = vectors[:, 0]
    normal = normal if float(normal @ mean_up) >= 0 else -normal
    level = float(values[1]) > MIN_TURN and float(values[0]) < MAX_TILT * float(values[1])
    trusted = level and float(normal @ mean_up) > MAX_CORRECTION
    return (normal if trusted else mean_up).float()
