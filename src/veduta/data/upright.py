"""Which way is up, from how the photographer held the camera."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from jaxtyping import Float
from torch import Tensor

MIN_TURN = 0.02
"""Second eigenvalue of the cameras' right axes above which they span a plane (about 8 degrees of turning)."""
MAX_TILT = 0.25
"""Largest ratio of the third eigenvalue to the second for that plane to be trusted as horizontal."""
MAX_CORRECTION = 0.7
"""Smallest cosine between the plane's normal and the mean of the cameras' own up axes."""


AXES_SHOWN: Mapping[int, tuple[tuple[int, int], tuple[int, int]]] = {
    3: ((-1, 0), (0, -1)),
    6: ((0, -1), (1, 0)),
    8: ((0, 1), (-1, 0)),
}
"""By EXIF orientation: the shown picture's right and down in the stored picture's x and y; others are as stored."""


def shown_upright(world_from_camera: Float[Tensor, "4 4"], *, orientation: int) -> Float[Tensor, "4 4"]:
    """The pose turned about its optical axis to how a viewer shows the picture, which is how it was taken."""
    (rx, ry), (dx, dy) = AXES_SHOWN.get(orientation, ((1, 0), (0, 1)))
    stored_from_shown = world_from_camera.new_tensor([[rx, dx, 0, 0], [ry, dy, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]])
    return world_from_camera @ stored_from_shown


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
