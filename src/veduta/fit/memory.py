"""What a fit needs of the machine's memory, and what it has taken."""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import torch

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
GPU_RASTER_BYTES_PER_GAUSSIAN = 400
"""Projections, records and their gradients (200), and the noise of a step (160)."""
GPU_INTERSECTIONS_PER_GAUSSIAN = 10
"""Tiles that a Gaussian touches on average, generously; the rasteriser keeps the lists of a whole picture."""
GPU_INTERSECTION_BYTES = 40
"""One Gaussian in one tile while the lists are sorted."""
GPU_WORK_BYTES_PER_PIXEL = 300
"""Rendered channels and their gradients (60), the loss and its gradient (110), SSIM of an evaluation (290)."""
GPU_BASE_BYTES = 700 * 2**20
"""CUDA's context, torch's libraries and Triton's kernels on the device."""
GPU_SPARE = 1.15
"""What torch's allocator holds beyond what is used, for sizes that change with every edit."""


@dataclass(frozen=True, kw_only=True)
class MemoryEstimate:
    """An upper estimate, in bytes, of what a fit will have resident at once, in main memory or on the GPU."""

    gaussians: int
    """Parameters, moments and gradients."""
    rasteriser: int
    """Scratch memory of rendering and of the loss."""
    images: int
    """Photographs, as they are kept when they have been read and as they are prepared for the fit."""
    base: int = BASE_BYTES
    """The program itself."""

    @property
    def total(self) -> int:
        """All of it."""
        return self.gaussians + self.rasteriser + self.images + self.base


def estimate(
    cameras: Iterable[Cameras],
    *,
    max_gaussians: int,
    sh_degree: int,
    image_budget_bytes: int,
    kept_bytes: int = 0,
    device: str = "cpu",
) -> MemoryEstimate:
    """From the sizes of all training photographs and the cap on Gaussians; of the GPU's memory for ``cuda``.

    ``kept_bytes`` is what their sources keep of the photographs by themselves, in main memory.
    """
    floats = 3 + 4 + 3 + 1 + 3 * (sh_degree + 1) ** 2
    pixels = [(len(c), c.width * c.height) for c in cameras]
    largest = max((area for _, area in pixels), default=0)
    gaussians = max_gaussians * floats * FLOAT_BYTES * COPIES_OF_PARAMETERS
    images = min(image_budget_bytes, sum(count * area * 12 for count, area in pixels))
    if device == "cuda":
        per_gaussian = GPU_RASTER_BYTES_PER_GAUSSIAN + GPU_INTERSECTIONS_PER_GAUSSIAN * GPU_INTERSECTION_BYTES
        return MemoryEstimate(
            gaussians=int(GPU_SPARE * gaussians),
            rasteriser=int(GPU_SPARE * (max_gaussians * per_gaussian + largest * GPU_WORK_BYTES_PER_PIXEL)),
            images=images,
            base=GPU_BASE_BYTES,
        )
    per_gaussian = RASTER_BYTES_PER_GAUSSIAN + INTERSECTIONS_PER_GAUSSIAN * INTERSECTION_BYTES
    return MemoryEstimate(
        gaussians=gaussians,
        rasteriser=max_gaussians * per_gaussian + largest * WORK_BYTES_PER_PIXEL,
        images=images + kept_bytes,
    )


def held_bytes(device: torch.device) -> int | None:
    """What this process holds of a device's memory: of the GPU's, or resident in main memory."""
    return torch.cuda.memory_reserved(device) if device.type == "cuda" else resident_bytes()


def resident_bytes() -> int | None:
    """Resident memory of this process; None where the system does not tell."""
    try:
        pages = Path("/proc/self/statm").read_text(encoding="ascii").split()[1]
    except OSError:
        return None
    return int(pages) * os.sysconf("SC_PAGE_SIZE")
