"""A scene as a file that other programs open."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor

from veduta.core import Gaussians, InputError, OutputError, Scene, UnsupportedError
from veduta.geometry.similarity import Similarity, transform_gaussians
from veduta.io.ply import write_ply
from veduta.io.splat import write_splat

Up = Literal["none", "y", "z", "y-down"]
"""Which axis shall point up; ``none`` keeps the capture's frame. Viewers of trained PLYs usually expect ``y-down``."""

AXES: Mapping[str, tuple[float, float, float]] = {
    "y": (0.0, 1.0, 0.0),
    "z": (0.0, 0.0, 1.0),
    "y-down": (0.0, -1.0, 0.0),
}

OPPOSITE = 1e-9
"""Unit vectors whose sum is shorter than this point in opposite directions."""

WRITERS: Mapping[str, Callable[[Gaussians, Path], None]] = {".ply": write_ply, ".splat": write_splat}
"""File formats by suffix; a new one is a line here."""


def export_scene(
    scene: Scene,
    path: Path,
    *,
    time: float = 0.0,
    up: Float[Tensor, "3"] | None = None,
    rotate_up: Up = "none",
    min_opacity: float = 0.0,
    overwrite: bool = False,
) -> Gaussians:
    """Write the scene, in the capture's world frame, in the format that the suffix names; what was written is returned.

    Moving objects are placed where they are at ``time`` (s) and left out where they are absent. ``rotate_up`` turns the
    world, spherical harmonics with it, so that ``up`` (unit, in the world) becomes that axis. Gaussians fainter than
    ``min_opacity`` are left out. Raises OutputError for an existing file unless ``overwrite``, InputError for an
    unknown suffix.
    """
    suffix = path.suffix.lower()
    if suffix not in WRITERS:
        raise InputError(
            "no such kind of file",
            where=path,
            expected=f"a name that ends in {' or '.join(WRITERS)}",
            got=suffix or "none",
        )
    if path.exists() and not overwrite:
        raise OutputError(
            "the file exists and is left as it is", where=path, hint="Name another file, or replace it with --force."
        )
    gaussians = scene.at(time)
    gaussians = gaussians[gaussians.opacities > min_opacity] if scene.actors or min_opacity > 0 else gaussians
    if rotate_up != "none":
        if up is None:
            raise UnsupportedError("which way is up is not known", field="rotate_up", hint="Export without it.")
        gaussians = transform_gaussians(gaussians, turn_up(up, AXES[rotate_up]))
    WRITERS[suffix](gaussians, path)
    return gaussians


def turn_up(up: Float[Tensor, "3"], axis: tuple[float, float, float]) -> Similarity:
    """The smallest turn about the origin that maps the unit vector ``up`` to ``axis``."""
    source = up.double() / up.double().norm()
    target = torch.tensor(axis, dtype=torch.float64)
    half = source + target
    if float(half.norm()) < OPPOSITE:  # half a turn, about any axis across
        across = torch.eye(3, dtype=torch.float64)[int(source.abs().argmin())]
        across = across - (across @ source) * source
        across = across / across.norm()
        rotation = 2.0 * torch.outer(across, across) - torch.eye(3, dtype=torch.float64)
    else:  # half turns about up and about the middle make the smallest turn
        half = half / half.norm()
        identity = torch.eye(3, dtype=torch.float64)
        rotation = (2.0 * torch.outer(half, half) - identity) @ (2.0 * torch.outer(source, source) - identity)
    return Similarity(1.0, rotation, torch.zeros(3, dtype=torch.float64))
