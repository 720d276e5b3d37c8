"""What a fit needs of the machine's memory, and what it has taken."""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from veduta.core import Cameras

FLOAT_BYTES = 4
COPIES_OF_PARAMETERS = 6
"""Parameters, two Adam moments, gradients, and copies while Gaussians are added."""
RASTER_BYTES_PER_GAUSSIAN = 700
"""Records, sorting and gradient buffers of the rasteriser (spec of the CPU kernels, two threads)."""
INTERSECTION_BYTES = 8
"""One Gaussian in one tile."""
INTERSECTIONS_PER_GAUSSIAN = 6
"""Tiles that a Gaussian touches on average, generously."""
WORK_BYTES_PER_PIXEL = 400
"""Rendered channels, their gradients, the state of compositing, and the windows of SSIM."""
BASE_BYTES = 500 * 2**20
"""The interpreter, torch and the kernels."""


@dataclass(frozen=True, kw_only=True)
class MemoryEstimate:
    """An upper estimate, in bytes, of what a fit will have resident at once."""

    gaussians: int
    """Parameters, moments and gradients."""
    rasteriser: int
    """Scratch memory of rendering and of the loss."""
    images: int
    """Prepared photographs."""
    base: int = BASE_BYTES
    """The program itself."""

    @property
    def total(self) -> int:
        """All of it."""
        return self.gaussians + self.rasteriser + self.images + self.base


def estimate(
    cameras: Iterable[Cameras], *, max_gaussians: int, sh_degree: int, image_budget_bytes: int
) -> MemoryEstimate:
    """From the sizes of all training photographs and the cap on Gaussians."""
    floats = 3 + 4 + 3 + 1 + 3 * (sh_degree + 1) ** 2
    pixels = [(len(c), c.width * c.height) for c in cameras]
    largest = max((area for _, area in pixels), default=0)
    per_gaussian = RASTER_BYTES_PER_GAUSSIAN + INTERSECTIONS_PER_GAUSSIAN * INTERSECTION_BYTES
    return MemoryEstimate(
        gaussians=max_gaussians * floats * FLOAT_BYTES * COPIES_OF_PARAMETERS,
        rasteriser=max_gaussians * per_gaussian + largest * WORK_BYTES_PER_PIXEL,
        images=min(image_budget_bytes, sum(count * area * 12 for count, area in pixels)),
    )


def resident_bytes() -> int | None:
    """Resident memory of this process; None where the system does not tell."""
    try:
        pages = Path("/proc/self/statm").read_text(encoding="ascii").split()[1]
    except OSError:
        return None
    return int(pages) * os.sysconf("SC_PAGE_SIZE")
