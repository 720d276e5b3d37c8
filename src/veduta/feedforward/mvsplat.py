"""MVSplat (Chen et al., ECCV 2024): two or more posed photographs of a scene -> a Gaussian per pixel.

Depth comes from a cost volume: features of the other views, warped by 128 hypotheses of inverse depth, are compared
with the view's own.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.functional import grid_sample, interpolate

from veduta.core import Cameras, Gaussians, TensorRecord, Views
from veduta.feedforward.coarse import Coarse
from veduta.feedforward.compatibility import Compatibility
from veduta.feedforward.decode import pixel_gaussians
from veduta.feedforward.dino import DEVIATION, MEAN
from veduta.feedforward.matching import CHANNELS, REDUCTION, FeatureNet, MatchingTransformer
from veduta.geometry import rigid_inverse
from veduta.nets import items_of
from veduta.nets.unet import GroupNorm, UNet, conv3

HYPOTHESES = 128
"""Inverse depths tried, from 1 / far on."""
NEAREST = 1e-3
"""z to which warped points are clamped before they are projected."""
OFFSET, SCALES, QUAT, HARMONICS = 2, 3, 4, 75
FLOAT_BYTES = 4
VOLUME_NUMBERS = 2 * CHANNELS + 16
"""Held at once per hypothesis and feature: warped features, their products with the view's own, places."""
MIN_TRUST = 0.5
"""Weight below which a pixel counts as masked."""


@dataclass(frozen=True, eq=False)
class Matched(TensorRecord):
    """What the network says of every pixel of v views, before it becomes Gaussians."""

    disparity: Float[Tensor, "v h w"]
    """Inverse z depth (used as inverse distance along the ray by the published weights)."""
    opacity: Float[Tensor, "v h w"]
    raw: Float[Tensor, "v h w 84"]
    """Offset (2), scales (3), quaternion xyzw (4), SH (75)."""
    features: Float[Tensor, "v h w 163"]
    """What the Gaussians were read from, for a densifier."""


class Backbone(nn.Module):
    """Photographs -> features of each alone, and features that have seen the others."""

    def __init__(self, *, misplaced_mask: bool = False) -> None:
        super().__init__()
        self.backbone = FeatureNet()
        self.transformer = MatchingTransformer(misplaced_mask=misplaced_mask)

    def forward(
        self, images: Float[Tensor, "v 3 h w"]
    ) -> tuple[Float[Tensor, "v 128 i j"], Float[Tensor, "v 128 i j"]]:
        """Photographs in sRGB, 0 to 1."""
        mean, deviation = (images.new_tensor(value)[:, None, None] for value in (MEAN, DEVIATION))
        alone = self.backbone((images - mean) / deviation)
        return alone, self.transformer(alone)


class DepthPredictor(nn.Module):
    """Features -> disparity, opacity and raw Gaussians of every pixel."""

    def __init__(self) -> None:
        super().__init__()
        unet = UNet(CHANNELS, levels=3, attention_at=(4,), heads=4)
        self.corr_refine_net = nn.Sequential(
            conv3(2 * CHANNELS, CHANNELS), GroupNorm(CHANNELS), nn.GELU(), unet, conv3(CHANNELS, HYPOTHESES)
        )
        self.regressor_residual = nn.Conv2d(2 * CHANNELS, HYPOTHESES, 1)
        self.depth_head_lowres = nn.Sequential(
            conv3(HYPOTHESES, 2 * HYPOTHESES), nn.GELU(), conv3(2 * HYPOTHESES, HYPOTHESES)
        )
        self.upsampler = nn.Sequential(conv3(2 * CHANNELS, CHANNELS), Stretch(), nn.GELU())
        self.proj_feature = conv3(CHANNELS, 32)
        self.refine_unet = nn.Sequential(
            conv3(37, 32), GroupNorm(32, 4), nn.GELU(), UNet(32, levels=5, attention_at=(16,), heads=1)
        )
        self.to_gaussians = nn.Sequential(conv3(163, 168), nn.GELU(), conv3(168, OFFSET + SCALES + QUAT + HARMONICS))
        self.to_disparity = nn.Sequential(conv3(32, 64), nn.GELU(), conv3(64, 2))

    def forward(
        self,
        images: Float[Tensor, "v 3 h w"],
        alone: Float[Tensor, "v 128 i j"],
        matched: Float[Tensor, "v 128 i j"],
        cost: Float[Tensor, "v 128 i j"],
        *,
        near: float,
        far: float,
    ) -> Matched:
        """``cost`` is :func:`cost_volume` of the matched features."""
        coarse, certain = self.coarse_disparity(matched, cost, near=near, far=far)
        upsampled = self.upsampler(torch.cat([matched, alone], dim=1))
        full = interpolate(coarse, scale_factor=REDUCTION, mode="bilinear", align_corners=True)
        sure = interpolate(certain, scale_factor=REDUCTION, mode="nearest")
        refined = self.refine_unet(torch.cat([images, self.proj_feature(upsampled), full, sure], dim=1))
        features = torch.cat([refined, images, upsampled], dim=1)
        change, density = self.to_disparity(refined).unbind(dim=1)
        return Matched(
            disparity=(full[:, 0] + change).clamp(1 / far, 1 / near),
            opacity=torch.sigmoid(density),
            raw=self.to_gaussians(features).movedim(1, -1),
            features=features.movedim(1, -1),
        )

    def coarse_disparity(
        self, matched: Float[Tensor, "v 128 i j"], cost: Float[Tensor, "v 128 i j"], *, near: float, far: float
    ) -> tuple[Float[Tensor, "v 1 i j"], Float[Tensor, "v 1 i j"]]:
        """Expected disparity, and the probability of the likeliest hypothesis."""
        both = torch.cat([cost, matched], dim=1)
        likely = self.depth_head_lowres(self.corr_refine_net(both) + self.regressor_residual(both)).softmax(dim=1)
        tried = hypotheses(near, far).to(likely)[:, None, None]
        return (likely * tried).sum(dim=1, keepdim=True), likely.amax(dim=1, keepdim=True)


class Stretch(nn.Module):
    """To the photograph's size, bilinearly, corners kept."""

    def forward(self, x: Float[Tensor, "v c i j"]) -> Float[Tensor, "v c h w"]:
        """Four times as many pixels along each side."""
        return interpolate(x, scale_factor=REDUCTION, mode="bilinear", align_corners=True)


class MvsplatNet(nn.Module):
    """The whole network; views of one scene at a time, two or more.

    ``misplaced_mask``: see :class:`~veduta.feedforward.matching.MatchingTransformer`.
    """

    def __init__(self, *, misplaced_mask: bool = False) -> None:
        super().__init__()
        self.backbone = Backbone(misplaced_mask=misplaced_mask)
        self.depth_predictor = DepthPredictor()

    def forward(self, images: Float[Tensor, "v h w 3"], cameras: Cameras, *, near: float, far: float) -> Matched:
        """Photographs whose sides are divisible by 64; depths between ``near`` and ``far`` in the cameras' unit."""
        pictures = images.permute(0, 3, 1, 2)
        alone, matched = self.backbone(pictures)
        with torch.autocast(images.device.type, enabled=False):  # half precision would warp by whole pixels
            cost = cost_volume(matched.float(), cameras, near=near, far=far)
        return self.depth_predictor(pictures, alone, matched, cost, near=near, far=far)


class Mvsplat(nn.Module):
    """The network as a :class:`~veduta.feedforward.coarse.Backbone`: a Gaussian per pixel, view by view, by rows.

    Masked pixels have none: what the network takes their colour for was not there.
    """

    def __init__(self, compatibility: Compatibility | None = None) -> None:
        super().__init__()
        self.compatibility = Compatibility() if compatibility is None else compatibility
        self.net = MvsplatNet(misplaced_mask=self.compatibility.misplaced_mask)

    def forward(self, views: Views, *, near: float, far: float, generator: torch.Generator | None = None) -> Coarse:
        """Photographs of a scene whose content lies between the z depths ``near`` and ``far``."""
        told = self.net(views.rgb, views.cameras, near=near, far=far)
        with torch.autocast(views.rgb.device.type, enabled=False):
            made = [
                pixel_gaussians(
                    told.raw[i].float(),
                    told.disparity[i].float(),
                    told.opacity[i].float(),
                    views.cameras[i],
                    ray_distance=self.compatibility.ray_distance_depth,
                ).gaussians(e3nn_signs=self.compatibility.sh_e3nn_signs)
                for i in range(len(views))
            ]
        counts = torch.tensor([len(each) for each in made], device=told.raw.device)
        coarse = Coarse(Gaussians.cat(made), told.features.flatten(0, 2), items_of(counts))
        seen = views.weight.flatten() >= MIN_TRUST
        return coarse if bool(seen.all()) else coarse.map(lambda t: t[seen])

    def passing_bytes(self, *, pixels: int) -> int:
        """Of :func:`cost_volume` for one pair of views of so many pixels, whatever their number."""
        return FLOAT_BYTES * VOLUME_NUMBERS * HYPOTHESES * pixels // REDUCTION**2


def hypotheses(near: float, far: float) -> Float[Tensor, " d"]:
    """Inverse depths, evenly from 1 / far to 1 / near."""
    return 1 / far + torch.linspace(0, 1, HYPOTHESES) * (1 / near - 1 / far)


def cost_volume(
    features: Float[Tensor, "v c i j"], cameras: Cameras, *, near: float, far: float
) -> Float[Tensor, "v d i j"]:
    """How well each hypothesis explains each pixel: the mean over the other views of <f, f_warped> / sqrt(c).

    Features stand at whole pixels 0, 1, ..., with intrinsics scaled to their size.
    """
    views, channels, height, width = features.shape
    scale = cameras.intrinsics.new_tensor([width / cameras.width, height / cameras.height, 1.0])
    intrinsics = (cameras.intrinsics * scale[:, None]).to(features)
    pose = cameras.world_from_camera.to(features)
    y, x = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
    pixels = torch.stack([x, y, torch.ones_like(x)]).flatten(1).to(features)
    depths = (1 / hypotheses(near, far)).to(features)
    costs: list[Tensor] = []
    for own in range(views):
        rays = torch.linalg.inv(intrinsics[own]) @ pixels
        total = torch.zeros(HYPOTHESES, height, width).to(features)
        for other in (view for view in range(views) if view != own):
            other_from_own = rigid_inverse(pose[other]) @ pose[own]
            points = (other_from_own[:3, :3] @ rays)[:, None] * depths[:, None] + other_from_own[:3, 3, None, None]
            seen = (intrinsics[other] @ points.flatten(1)).unflatten(1, (HYPOTHESES, -1))
            place = seen[:2] / seen[2].clamp(min=NEAREST)
            grid = 2 * place.permute(1, 2, 0) / place.new_tensor([width - 1, height - 1]) - 1
            warped = grid_sample(features[other][None], grid[None], align_corners=True)[0]
            match = (features[own].flatten(1)[:, None] * warped).sum(dim=0) / math.sqrt(channels)
            total = total + match.unflatten(1, (height, width)) / (views - 1)
        costs.append(total)
    return torch.stack(costs)
