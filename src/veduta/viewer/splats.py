"""Gaussians as a browser's splat renderer takes them: centred, scaled, with one colour each."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float
from numpy.typing import NDArray
from torch import Tensor

from veduta.core import Gaussians
from veduta.geometry.rotations import matrix_from_quat
from veduta.geometry.sh import SH_C0, sh_basis

PAGE_RADIUS = 20.0
"""Radius of a capture in the page's units: covariances travel as 16-bit floats, which hold sigmas from 0.001 to 255."""
MAX_SIGMA = 240.0
"""In the page's units; larger Gaussians are shown at this size."""
MIN_OPACITY = 1 / 255
"""Fainter Gaussians are nowhere drawn (Kerbl 2023)."""
BAKED_CAMERAS = 8
"""Colours are averaged over the directions from this many cameras."""


@dataclass(frozen=True)
class Frame:
    """The page's frame: ``x_page = (x_world - center) * scale``, so that any capture fits the browser's numbers."""

    center: tuple[float, float, float]
    scale: float

    def place(self, xyz_world: Float[Tensor, "*b 3"]) -> Float[Tensor, "*b 3"]:
        """Positions in the page, float64 on the way so that captures far from the origin keep their detail."""
        return (xyz_world.double() - torch.tensor(self.center, dtype=torch.float64)) * self.scale


@dataclass(frozen=True)
class Splats:
    """Arguments of viser's ``add_gaussian_splats``."""

    centers: NDArray[np.float32]
    covariances: NDArray[np.float32]
    rgbs: NDArray[np.float32]
    opacities: NDArray[np.float32]


def frame_of(positions: Float[Tensor, "c 3"], means: Float[Tensor, "n 3"]) -> Frame:
    """A frame in which cameras and most Gaussians lie within :data:`PAGE_RADIUS` of the origin.

    Centred on the cameras, or on the Gaussians where there are none; the farthest tenth of these may lie outside.
    """
    finite = means[means.isfinite().all(-1)].double()
    anchor = positions.double() if len(positions) else finite
    if len(anchor) == 0:
        return Frame((0.0, 0.0, 0.0), 1.0)
    center = anchor.median(dim=0).values
    reach = [float((positions.double() - center).norm(dim=-1).max())] if len(positions) else []
    if len(finite):
        distance = np.sort((finite - center).norm(dim=-1).numpy())
        typical = float(distance[int(0.9 * (len(distance) - 1))])
        reach.append(min(typical, 10.0 * reach[0]) if reach and reach[0] > 0 else typical)
    radius = max(reach)
    x, y, z = center.tolist()
    return Frame((x, y, z), PAGE_RADIUS / radius if radius > 0 else 1.0)


@torch.no_grad()
def splats_of(
    gaussians: Gaussians, frame: Frame, *, eyes: Float[Tensor, "c 3"], rgb: Float[Tensor, "n 3"] | None = None
) -> Splats:
    """Gaussians of the world in the page; rows that are not finite or not visible at all are left out.

    ``rgb`` are colours to show instead of their own.
    """
    rows = torch.cat([gaussians.means, gaussians.quats, gaussians.scales, gaussians.sh.flatten(1)], dim=1)
    shown = rows.isfinite().all(1) & (gaussians.opacities > MIN_OPACITY)
    kept = gaussians[shown]
    rotated = matrix_from_quat(kept.quats.float())
    axes = rotated * (kept.scales * frame.scale).float().clamp(max=MAX_SIGMA)[:, None, :]
    return Splats(
        centers=frame.place(kept.means).float().numpy(),
        covariances=(axes @ axes.mT).numpy(),
        rgbs=(baked_rgb(kept, eyes) if rgb is None else rgb[shown].float()).numpy(),
        opacities=kept.opacities.float().clamp(0.0, 1.0)[:, None].numpy(),
    )


@torch.no_grad()
def baked_rgb(gaussians: Gaussians, eyes: Float[Tensor, "c 3"]) -> Float[Tensor, "n 3"]:
    """One colour per Gaussian: the mean over the directions from ``eyes`` (world), or the constant part without any."""
    if len(eyes) == 0 or gaussians.sh.shape[1] == 1:
        return (0.5 + SH_C0 * gaussians.sh[:, 0].float()).clamp(0.0, 1.0)
    few = eyes[torch.linspace(0, len(eyes) - 1, min(len(eyes), BAKED_CAMERAS)).round().long()]
    basis = torch.zeros(gaussians.sh.shape[:2])
    for eye in few.to(gaussians.means):
        seen = torch.nn.functional.normalize(gaussians.means - eye, dim=-1)
        basis += sh_basis(seen, gaussians.sh_degree).float() / len(few)
    return (0.5 + torch.einsum("nk,nkc->nc", basis, gaussians.sh.float())).clamp(0.0, 1.0)
