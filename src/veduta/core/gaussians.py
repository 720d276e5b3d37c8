"""3D Gaussians by their physical values."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from veduta.core.record import TensorRecord

MAX_SH_DEGREE = 3


@dataclass(frozen=True, eq=False)
class Gaussians(TensorRecord):
    """n anisotropic Gaussians: physical values, never an optimiser's raw parameters."""

    means: Float[Tensor, "n 3"]
    """Centres, in the capture's unit of length, in the frame that the holder names."""
    quats: Float[Tensor, "n 4"]
    """Unit quaternions wxyz that rotate the Gaussian's own axes into that frame."""
    scales: Float[Tensor, "n 3"]
    """Standard deviations along the own axes, > 0."""
    opacities: Float[Tensor, " n"]
    """Opacity at the centre, 0 to 1."""
    sh: Float[Tensor, "n k 3"]
    """Spherical-harmonic colour, k = (degree + 1)**2; colour = 0.5 + basis(direction) . sh, clamped below at 0."""

    def __len__(self) -> int:
        return self.means.shape[0]

    @property
    def sh_degree(self) -> int:
        """Degree of the colour's spherical harmonics, 0 to 3."""
        return round(self.sh.shape[1] ** 0.5) - 1

    def __getitem__(self, rows: Bool[Tensor, " n"] | Int[Tensor, " m"] | slice | list[int]) -> Gaussians:
        """The chosen rows, by mask, indices or slice."""
        return self.map(lambda t: t[rows])

    @staticmethod
    def cat(parts: Sequence[Gaussians]) -> Gaussians:
        """All rows of all parts; lower SH degrees are padded with zeros to the highest."""
        k = max(part.sh.shape[1] for part in parts)
        padded = [torch.nn.functional.pad(part.sh, (0, 0, 0, k - part.sh.shape[1])) for part in parts]
        return Gaussians(
            means=torch.cat([part.means for part in parts]),
            quats=torch.cat([part.quats for part in parts]),
            scales=torch.cat([part.scales for part in parts]),
            opacities=torch.cat([part.opacities for part in parts]),
            sh=torch.cat(padded),
        )

    @staticmethod
    def empty(sh_degree: int = 0, *, dtype: torch.dtype = torch.float32) -> Gaussians:
        """No Gaussians at all, of the given SH degree."""
        k = (sh_degree + 1) ** 2
        return Gaussians(
            means=torch.zeros(0, 3, dtype=dtype),
            quats=torch.zeros(0, 4, dtype=dtype),
            scales=torch.zeros(0, 3, dtype=dtype),
            opacities=torch.zeros(0, dtype=dtype),
            sh=torch.zeros(0, k, 3, dtype=dtype),
        )


@dataclass(frozen=True, eq=False)
class PointCloud(TensorRecord):
    """Measured points: from structure from motion, or sweeps of a lidar."""

    xyz: Float[Tensor, "p 3"]
    """World positions."""
    rgb: Float[Tensor, "p 3"]
    """sRGB colour, 0 to 1."""
    time: Float[Tensor, " p"] | None = None
    """Seconds since the capture's start, for sweeps; None for a still scene."""

    def __len__(self) -> int:
        return self.xyz.shape[0]
