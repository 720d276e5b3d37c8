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

from veduta.core import Cameras, Gaussians, TensorRecord, Views
from veduta.feedforward.coarse import Coarse
from veduta.feedforward.decode import COARSE_SCALE, OPACITY_SHIFT
from veduta.feedforward.dino import PATCH, DinoEncoder
from veduta.feedforward.rays import RayNorm, pluecker, ray_harmonics
from veduta.feedforward.samples import normalized_places, sampled
from veduta.feedforward.volume import GROUPS, VolumeTransformer
from veduta.geometry import quat_normalize, scale_cameras, unproject_rays

VOXELS = 64
"""Along each side of the box."""
VISIBLE = 0.005
"""Opacity above which a coarse Gaussian is kept."""
FEW, MANY = 1e-3, 0.5
"""Shares of Gaussians kept below which every fifth one joins them, and above which training takes a random half."""
THIN = 0.01
"""Thickness that a flat Gaussian is given, in units of its smaller standard deviation."""


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
    """Gaussians from voxel features: ``per_voxel`` of ``axes`` scales each (the original LaRa has two flat ones)."""

    def __init__(self, channels: int = 80, *, per_voxel: int = 1, axes: int = 3, sh_numbers: int = 12) -> None:
        super().__init__()
        self.per_voxel = per_voxel
        self.layout = [3, sh_numbers, 1, axes, 4]
        self.mlp_coarse = nn.Sequential(
            nn.Linear(channels, channels),
            nn.ReLU(),
            nn.Linear(channels, channels),
            nn.ReLU(),
            nn.Linear(channels, per_voxel * sum(self.layout)),
        )

    def forward(self, features: Float[Tensor, "x y z c"]) -> Volume:
        """The Gaussians of every voxel, voxel by voxel, in full precision also where the network's is half."""
        flat = features.flatten(0, 2)
        raw = self.mlp_coarse(flat).float().unflatten(1, (self.per_voxel, -1)).flatten(0, 1)
        offset, sh, opacity, scale, quats = raw.split(self.layout, dim=1)
        pitch = 0.5 * (2 / VOXELS)
        centres = cell_centres(len(features)).to(raw).flatten(0, 2).repeat_interleave(self.per_voxel, dim=0)
        return Volume(
            means=centres + (torch.sigmoid(offset) - 0.5) * pitch,
            sh=sh.unflatten(1, (-1, 3)),
            opacity_logits=opacity + OPACITY_SHIFT,
            log_scales=scale + math.log(COARSE_SCALE),
            quats=quats,
            features=flat,
        )


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
        return self.decoder(self.vol_decoder(torch.cat([lifted, views], dim=1)[None])[0])

    def ray_tokens(self, cameras: Cameras) -> Float[Tensor, "v s s 32"]:
        """Harmonics of the rays through the tokens' centres."""
        small = scale_cameras(cameras, width=cameras.width // PATCH, height=cameras.height // PATCH)
        origins, directions = unproject_rays(small)
        return ray_harmonics(pluecker(origins[:, None, None].expand_as(directions), directions))

    def lift(self, features: Float[Tensor, "v c s s"], cameras: Cameras) -> Float[Tensor, "v c 16 16 16"]:
        """Image features at the projections of the volume's cells; zero outside the photograph."""
        points = self.volume_grid.flatten(0, 2)
        places, _ = normalized_places(points, cameras, half_pixel_shift=self.half_pixel_shift)
        return sampled(features, places).unflatten(2, (GROUPS, GROUPS, GROUPS))


class Lara(nn.Module):
    """The network as a :class:`~veduta.feedforward.coarse.Backbone`: what can be seen of its Gaussians.

    While it is trained and draws more than half of them, a random half is left out, for memory.
    """

    def __init__(self, net: nn.Module | None = None) -> None:
        """``net`` is a :class:`LaraNet`, or another that makes a :class:`Volume` of the same."""
        super().__init__()
        self.net = LaraNet() if net is None else net

    def forward(self, views: Views, *, near: float, far: float, generator: torch.Generator | None = None) -> Coarse:
        """Masked photographs over white; the object's box is known, so ``near`` and ``far`` are not needed."""
        volume = self.net(views.rgb, views.cameras)
        opacities = torch.sigmoid(volume.opacity_logits[:, 0].float())
        shown = opacities > VISIBLE
        share = float(shown.float().mean())
        if share < FEW:
            shown = shown | (torch.arange(len(shown), device=shown.device) % 5 == 0)
        elif self.training and share > MANY:
            shown = shown & (torch.rand(len(shown), generator=generator) > MANY).to(shown.device)
        per_voxel = len(shown) // len(volume.features)
        log_scales = volume.log_scales[shown].float()
        return Coarse(
            gaussians=Gaussians(
                means=volume.means[shown].float(),
                quats=quat_normalize(volume.quats[shown].float()),
                scales=torch.exp(log_scales if log_scales.shape[1] == 3 else _thickened(log_scales)),
                opacities=opacities[shown],
                sh=volume.sh[shown].float(),
            ),
            features=volume.features.repeat_interleave(per_voxel, dim=0)[shown],
            sources=torch.zeros(int(shown.sum()), dtype=torch.long, device=shown.device),
        )


def _thickened(log_scales: Float[Tensor, "n 2"]) -> Float[Tensor, "n 3"]:
    """Flat ones as thin ones."""
    return torch.cat([log_scales, log_scales.amin(dim=1, keepdim=True) + math.log(THIN)], dim=1)


def cell_centres(side: int) -> Float[Tensor, "s s s 3"]:
    """Centres of the cells of the box, indexed by x, y, z."""
    steps = ((torch.arange(side) + 0.5) / side * 2 - 1) * 0.5
    return torch.stack(torch.meshgrid(steps, steps, steps, indexing="ij"), dim=-1)
