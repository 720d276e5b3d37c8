"""Photographs in memory, where they come from, and the capture they belong to."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, runtime_checkable

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from veduta.core.cameras import Cameras
from veduta.core.gaussians import PointCloud
from veduta.core.record import TensorRecord


@dataclass(frozen=True, eq=False)
class Views(TensorRecord):
    """v photographs in memory, real or mended, with a trust per pixel."""

    cameras: Cameras
    rgb: Float[Tensor, "v h w 3"]
    """sRGB-encoded, 0 to 1."""
    weight: Float[Tensor, "v h w"]
    """Trust per pixel: 0 masked, 1 a real photograph; mended views lie between."""
    names: tuple[str, ...]
    depth: Float[Tensor, "v h w"] | None = None
    """z depth in the capture's unit; see ``depth_valid``."""
    depth_valid: Bool[Tensor, "v h w"] | None = None
    """Where ``depth`` was measured: no NaN and no sentinel value stands for 'unknown'."""
    sky: Bool[Tensor, "v h w"] | None = None
    alpha: Float[Tensor, "v h w"] | None = None
    """How much of each pixel a cut-out object covers; ``rgb`` is over a background already. None: not known."""

    def __len__(self) -> int:
        return self.rgb.shape[0]

    def __getitem__(self, index: int) -> Views:
        """One view, as a Views of one."""
        rows = slice(index, index + 1 or None)
        return self.map(lambda t: t[rows]).replace(cameras=self.cameras[index], names=self.names[rows])

    @staticmethod
    def of(
        cameras: Cameras,
        *,
        rgb: Float[Tensor, "v h w 3"],
        weight: Float[Tensor, "v h w"] | None = None,
        names: tuple[str, ...] | None = None,
    ) -> Views:
        """Views of given pictures; weight 1 everywhere and numbered names unless told otherwise."""
        return Views(
            cameras=cameras,
            rgb=rgb,
            weight=torch.ones_like(rgb[..., 0]) if weight is None else weight,
            names=tuple(f"{i:04d}" for i in range(rgb.shape[0])) if names is None else names,
        )


@runtime_checkable
class ViewSource(Protocol):
    """Anything that yields photographs: lazy files under a byte budget, a list in memory, a mixture of sources."""

    def __len__(self) -> int: ...

    def __getitem__(self, i: int, /) -> Views:
        """The i-th instant: its cameras share a time and an image size."""
        ...


@dataclass(frozen=True, eq=False)
class Track(TensorRecord):
    """An annotated moving object."""

    times: Float[Tensor, " t"]
    """Seconds, float64, increasing."""
    world_from_object: Float[Tensor, "t 4 4"]
    """Rigid poses at those times."""
    size_m: Float[Tensor, "3"]
    """Extent along the object's own x (length), y (width), z (height)."""
    category: str


@dataclass(frozen=True, eq=False)
class Capture:
    """What was observed; immutable; nothing in it is learned."""

    train: ViewSource
    test: ViewSource
    """Held-out photographs, never trained on."""
    cameras: Mapping[str, Cameras]
    """Per sensor, in time order; all photographs, train and test."""
    points: PointCloud | None
    """Points of structure from motion or lidar."""
    tracks: Mapping[str, Track]
    """Annotated moving objects by name."""
    up: Float[Tensor, "3"]
    """Unit vector against gravity, in the world."""
    metric: bool
    """Whether a unit of length is a metre."""
    source: Path
    """The capture's folder."""
    background: Float[Tensor, "3"] | None = None
    """The one colour behind cut-out (RGBA) photographs, which are composited over it; None: they show their own."""
    file: Path | None = None
    """The file in the folder that was named to be read (a ``transforms.json``); None: the folder was."""
