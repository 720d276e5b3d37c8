"""Cameras: poses, intrinsics, time, lens."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from veduta.core.record import TensorRecord


@dataclass(frozen=True)
class Lens:
    """A lens distortion by COLMAP's name and parameters; the intrinsics stay in :class:`Cameras`.

    ``model`` is one of ``RADIAL`` (k1, k2), ``OPENCV`` (k1, k2, p1, p2), ``FULL_OPENCV`` (k1, k2, p1, p2, k3..k6) and
    ``OPENCV_FISHEYE`` (k1..k4); SIMPLE_RADIAL is RADIAL with k2 = 0.
    """

    model: str
    params: tuple[float, ...]


@dataclass(frozen=True, eq=False)
class Cameras(TensorRecord):
    """c cameras of one image size; one camera is c == 1; a trajectory is a Cameras too.

    Camera axes are OpenCV's (x right, y down, z forward). Pixels go x right, y down; the first one's centre is at
    (0.5, 0.5).
    """

    world_from_camera: Float[Tensor, "c 4 4"]
    """Rigid poses: the camera's axes and position in the world."""
    intrinsics: Float[Tensor, "c 3 3"]
    """Pixels: [[fx, 0, cx], [0, fy, cy], [0, 0, 1]]."""
    time: Float[Tensor, " c"]
    """Seconds since the capture's start (float64); 0 in still scenes."""
    width: int
    height: int
    lens: Lens | None = None
    """None: a pinhole."""

    def __len__(self) -> int:
        return self.world_from_camera.shape[0]

    def __getitem__(self, index: int | slice | list[int] | Tensor) -> Cameras:
        """The chosen cameras; an int gives a Cameras of one."""
        rows = slice(index, index + 1 or None) if isinstance(index, int) else index
        return self.map(lambda t: t[rows])

    @staticmethod
    def pinhole(
        world_from_camera: Float[Tensor, "c 4 4"],
        *,
        fx: float,
        fy: float,
        cx: float,
        cy: float,
        width: int,
        height: int,
        time: Float[Tensor, " c"] | None = None,
    ) -> Cameras:
        """Cameras that share one pinhole model (all four intrinsics in pixels)."""
        count = world_from_camera.shape[0]
        matrix = world_from_camera.new_tensor([[fx, 0.0, cx], [0.0, fy, cy], [0.0, 0.0, 1.0]])
        return Cameras(
            world_from_camera=world_from_camera,
            intrinsics=matrix.expand(count, 3, 3).clone(),
            time=torch.zeros(count, dtype=torch.float64) if time is None else time,
            width=width,
            height=height,
        )

    @staticmethod
    def cat(parts: Sequence[Cameras]) -> Cameras:
        """All cameras of all parts, which must share image size and lens."""
        first = parts[0]
        assert all((p.width, p.height, p.lens) == (first.width, first.height, first.lens) for p in parts)
        return first.replace(
            world_from_camera=torch.cat([p.world_from_camera for p in parts]),
            intrinsics=torch.cat([p.intrinsics for p in parts]),
            time=torch.cat([p.time for p in parts]),
        )

    @property
    def positions_world(self) -> Float[Tensor, "c 3"]:
        """Optical centres in the world."""
        return self.world_from_camera[:, :3, 3]
