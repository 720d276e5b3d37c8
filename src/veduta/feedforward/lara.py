"""LaRa (Chen et al., ECCV 2024) with a Gaussian per voxel: masked, posed photographs of an object -> coarse Gaussians.

The object lies in the box [-0.5, 0.5]^3. Image tokens are lifted into a volume of 16^3 cells, mixed by a transformer,
and read out on 64^3 voxels, each of which carries one Gaussian and a feature.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor, nn

from veduta.core import Cameras, TensorRecord
from veduta.feedforward.decode import COARSE_SCALE, OPACITY_SHIFT
from veduta.feedforward.dino import PATCH, DinoEncoder
from veduta.feedforward.rays import RayNorm, pluecker, ray_harmonics
from veduta.feedforward.samples import SAMPLES, sampled
from veduta.feedforward.volume import GROUPS, VolumeTransformer
from veduta.geometry import project, scale_cameras, unproject_rays

VOXELS = 64
"""Along each side of the box."""


@dataclass(frozen=True, eq=False)
class Volume(TensorRecord):
    """What the coarse network says of one object: the n Gaussians of v = 64^3 voxels, x slowest."""

    means: Float[Tensor, "n 3"]
    sh: Float[Tensor, "n k 3"]
    opacity_logits: Float[Tensor, "n 1"]
    log_scales: Float[Tensor, "n a"]
    quats: Float[Tensor, "n 4"]
    """wxyz, of any length."""
    features: Float[Tensor, "v c"]


class VoxelDecoder(nn.Module):
    """Gaussians from voxel features, and finer features from the photographs.

    ``per_voxel`` Gaussians of ``axes`` scales each. The original LaRa has two flat ones, 8 heads, and a last layer that
    gives nothing but what to add to the SH coefficients (``fine_features`` 0).
    """

    def __init__(
        self,
        channels: int = 80,
        *,
        heads: int = 16,
        per_voxel: int = 1,
        axes: int = 3,
        hidden: int = 80,
        fine_features: int = 80,
        sh_numbers: int = 12,
    ) -> None:
        super().__init__()
        self.per_voxel, self.fine_features = per_voxel, fine_features
        self.layout = [3, sh_numbers, 1, axes, 4]
        self.mlp_coarse = nn.Sequential(
            nn.Linear(channels, channels),
            nn.ReLU(),
            nn.Linear(channels, channels),
            nn.ReLU(),
            nn.Linear(channels, per_voxel * sum(self.layout)),
        )
        self.norm = nn.LayerNorm(channels)
        self.cross_att = nn.MultiheadAttention(
            channels, heads, kdim=SAMPLES, vdim=SAMPLES, bias=False, batch_first=True
        )
        self.mlp_fine = nn.Sequential(
            nn.Linear(channels, hidden), nn.ReLU(), nn.Linear(hidden, fine_features + sh_numbers)
        )

    def coarse(self, features: Float[Tensor, "x y z c"]) -> Volume:
        """The Gaussians of every voxel, voxel by voxel."""
        flat = features.flatten(0, 2)
        raw = self.mlp_coarse(flat).unflatten(1, (self.per_voxel, -1)).flatten(0, 1)
        offset, sh, opacity, scale, quats = raw.split(self.layout, dim=1)
        pitch = 0.5 * (2 / VOXELS)
        centres = cell_centres(len(features)).to(flat).flatten(0, 2).repeat_interleave(self.per_voxel, dim=0)
        return Volume(
            means=centres + (torch.sigmoid(offset) - 0.5) * pitch,
            sh=sh.unflatten(1, (-1, 3)),
            opacity_logits=opacity + OPACITY_SHIFT,
            log_scales=scale + math.log(COARSE_SCALE),
            quats=quats,
            features=flat,
        )

    def fine(
        self, features: Float[Tensor, "n c"], samples: Float[Tensor, "v s n"]
    ) -> tuple[Float[Tensor, "n f"], Float[Tensor, "n k 3"]]:
        """Features that have seen the photographs, and what to add to the SH coefficients."""
        query = self.norm(features)[:, None]
        seen = samples.permute(2, 0, 1)
        mixed = self.mlp_fine(self.cross_att(query, seen, seen, need_weights=False)[0][:, 0])
        return mixed[:, : self.fine_features], mixed[:, self.fine_features :].unflatten(1, (-1, 3))


class LaraNet(nn.Module):
    """Photographs of an object -> :class:`Volume`.

    ``half_pixel_shift`` moves projections by half a pixel, as the published weights were trained; the network is told
    where in its photograph a place lies, so a fresh one does not need it.
    """

    volume_grid: Tensor
    group_centers: Tensor

    def __init__(
        self, *, size_px: int = 512, views: int = 4, half_pixel_shift: bool = False, decoder: VoxelDecoder | None = None
    ) -> None:
        super().__init__()
        self.size_px, self.half_pixel_shift = size_px, half_pixel_shift
        self.img_encoder = DinoEncoder(size_px=size_px)
        self.view_embed = nn.Parameter(0.02 * torch.randn(1, views, 32, 1, 1, 1))
        self.dir_norm = RayNorm()
        self.vol_decoder = VolumeTransformer()
        self.decoder = VoxelDecoder() if decoder is None else decoder
        self.register_buffer("volume_grid", cell_centres(GROUPS))
        self.register_buffer("group_centers", cell_centres(VOXELS).flatten(0, 2)[None])

    def forward(self, images: Float[Tensor, "v h w 3"], cameras: Cameras) -> Volume:
        """Photographs over white, with cameras in the object's frame."""
        tokens = self.img_encoder(images)
        features = self.dir_norm(tokens, self.ray_tokens(cameras).to(tokens)).permute(0, 3, 1, 2)
        lifted = self.lift(features, cameras)
        views = self.view_embed[0, : len(lifted)].expand(-1, -1, GROUPS, GROUPS, GROUPS)
        return self.decoder.coarse(self.vol_decoder(torch.cat([lifted, views], dim=1)[None])[0])

    def ray_tokens(self, cameras: Cameras) -> Float[Tensor, "v s s 32"]:
        """Harmonics of the rays through the tokens' centres."""
        small = scale_cameras(cameras, width=cameras.width // PATCH, height=cameras.height // PATCH)
        origins, directions = unproject_rays(small)
        return ray_harmonics(pluecker(origins[:, None, None].expand_as(directions), directions))

    def lift(self, features: Float[Tensor, "v c s s"], cameras: Cameras) -> Float[Tensor, "v c 16 16 16"]:
        """Image features at the projections of the volume's cells; zero outside the photograph."""
        places, _ = self.places(self.volume_grid.flatten(0, 2), cameras)
        return sampled(features, places).unflatten(2, (GROUPS, GROUPS, GROUPS))

    def places(
        self, points: Float[Tensor, "n 3"], cameras: Cameras
    ) -> tuple[Float[Tensor, "v n 2"], Float[Tensor, "v n"]]:
        """Where points lie in every photograph, -1 to 1 from edge to edge, and their z depths."""
        px, depth = project(points, cameras)
        px = px + (0.5 if self.half_pixel_shift else 0.0)
        return px / px.new_tensor([cameras.width, cameras.height]) * 2 - 1, depth


def cell_centres(side: int) -> Float[Tensor, "s s s 3"]:
    """Centres of the cells of the box, indexed by x, y, z."""
    steps = ((torch.arange(side) + 0.5) / side * 2 - 1) * 0.5
    return torch.stack(torch.meshgrid(steps, steps, steps, indexing="ij"), dim=-1)
