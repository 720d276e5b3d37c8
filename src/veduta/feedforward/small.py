"""A small object model that a CPU can train: posed photographs of a masked object -> 16^3 voxels -> Gaussians.

The layout is LaRa's at a quarter of its size (Chen et al., ECCV 2024): about six pixels per voxel, one Gaussian each.
Only voxels that all silhouettes allow are looked at (the visual hull). What the photographs show of them is gathered
without regard to their order or number: eight places in each voxel take the mean and the variance over the photographs.
Colours start as the mean.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch.nn.functional import avg_pool2d, group_norm, max_pool2d, silu

from veduta.core import Cameras, Views
from veduta.feedforward.bounds import GROUPS, MAX_CHANNELS, between, check_settings
from veduta.feedforward.coarse import Coarse
from veduta.feedforward.decode import object_gaussians
from veduta.feedforward.lara import cell_centres
from veduta.feedforward.rays import pluecker
from veduta.feedforward.samples import normalized_places, sampled
from veduta.geometry import SH_C0, unproject_rays
from veduta.nets import Block, Points, norm

REDUCTION = 2
"""Pixels of a photograph per pixel of its feature map, along each side."""
BLURS = (5, 9, 17)
"""Widths of the windows, one after the other, in which silhouettes are averaged, in pixels of feature maps."""
SIDE_MULTIPLE = 8
"""Photographs are halved three times."""
MIN_HULL = 0.02
"""Voxels of which some photograph shows less than this are empty."""


@dataclass(frozen=True, kw_only=True)
class SmallPlan:
    """The size of the coarse part."""

    size_px: int = 128
    """Side of the photographs."""
    voxels: int = 16
    """Along each side of the box; one Gaussian each."""
    subcells: int = 2
    """Cells per voxel, along each side, in which photographs are gathered."""
    image_channels: int = 16
    """Of feature maps at half the photographs' size."""
    channels: int = 64
    """Of voxel features."""
    blocks: int = 4
    """In which voxels learn of one another."""
    sh_degree: int = 1
    """Of colours."""

    def __post_init__(self) -> None:
        check_settings(
            self,
            {
                "size_px": between(self.size_px, SIDE_MULTIPLE, 2048, multiple=SIDE_MULTIPLE),
                "voxels": between(self.voxels, 1, 128),
                "subcells": between(self.subcells, 1, 8),
                "image_channels": between(self.image_channels, GROUPS, MAX_CHANNELS, multiple=GROUPS),
                "channels": between(self.channels, GROUPS, MAX_CHANNELS, multiple=GROUPS),
                "blocks": between(self.blocks, 0, 64),
                "sh_degree": between(self.sh_degree, 0, 3),
            },
        )

    @property
    def attributes(self) -> int:
        """Numbers per Gaussian beside its place."""
        return 3 * (self.sh_degree + 1) ** 2 + 8

    @property
    def pitch(self) -> float:
        """Side of a voxel."""
        return 1 / self.voxels


class SmallBackbone(nn.Module):
    """See the module; a :class:`~veduta.feedforward.coarse.Backbone`.

    ``views.alpha`` is how much of each pixel the object covers (None: where the photograph is not quite white).
    """

    def __init__(self, plan: SmallPlan | None = None) -> None:
        super().__init__()
        self.plan = plan = SmallPlan() if plan is None else plan
        self.encoder = Encoder(plan.image_channels)
        seen = 2 * (plan.image_channels + 4 + len(BLURS)) + 1 + len(BLURS)
        self.gather = nn.Linear(seen * plan.subcells**3 + 3, plan.channels)
        self.whole = nn.ModuleList(nn.Linear(plan.channels, plan.channels) for _ in range(plan.blocks))
        self.blocks = nn.ModuleList(Block(plan.channels, plan.channels // 8, curve=i % 4) for i in range(plan.blocks))
        self.head = nn.Sequential(
            nn.LayerNorm(plan.channels),
            nn.Linear(plan.channels, plan.channels),
            nn.GELU(),
            nn.Linear(plan.channels, 3 + plan.attributes),
        )
        quiet(self.head[-1], quaternion_at=plan.attributes - 1)  # 3 offsets, then attributes that end with it

    def forward(self, views: Views, *, near: float, far: float, generator: torch.Generator | None = None) -> Coarse:
        """Gaussians of the voxels that all silhouettes allow, x slowest."""
        plan = self.plan
        images = image_layers(views)
        centres = self.allowed(images[:, 3], views.cameras)
        evidence, color = self.collect(images, views.cameras, centres)
        points = Points.along_curves(centres, torch.tensor([len(centres)], device=centres.device), plan.pitch)
        features = self.gather(evidence)
        for whole, block in zip(self.whole, self.blocks, strict=True):
            features = block(features + whole(norm(features.mean(dim=0, keepdim=True))), points)
        offset, raw = self.head(features).to(centres).split([3, plan.attributes], dim=1)
        gaussians = object_gaussians(
            centres + (torch.sigmoid(offset) - 0.5) * plan.pitch,
            with_color(raw, color),
            unit_scale=plan.pitch / 3,
        )
        return Coarse(gaussians=gaussians, features=features, sources=torch.zeros_like(points.items))

    def allowed(self, alpha: Float[Tensor, "v h w"], cameras: Cameras) -> Float[Tensor, "n 3"]:
        """Centres of the voxels in the visual hull; the box's middle where there are none."""
        centres = cell_centres(self.plan.voxels).to(alpha).flatten(0, 2)
        hull = hull_of(alpha, centres, cameras, radius=self.plan.pitch / 2)
        kept = centres[hull > MIN_HULL]
        return kept if len(kept) else torch.full_like(centres[:1], self.plan.pitch / 2)

    def collect(
        self, images: Float[Tensor, "v 4 h w"], cameras: Cameras, centres: Float[Tensor, "n 3"]
    ) -> tuple[Float[Tensor, "n e"], Float[Tensor, "n 3"]]:
        """What all photographs say of each voxel, and its mean colour."""
        plan = self.plan
        small = avg_pool2d(images, REDUCTION)
        around = surroundings(small[:, 3:])
        maps = self.encoder(torch.cat([images, ray_layers(cameras).to(images)], dim=1), around)
        steps = cell_centres(plan.subcells).to(images).flatten(0, 2) * plan.pitch
        places, _ = normalized_places((centres[:, None] + steps).flatten(0, 1), cameras)
        inside = (places.abs() < 1).all(dim=-1).to(images)
        shares = (inside / inside.sum(dim=0).clamp_min(1))[:, None]
        taken = sampled(torch.cat([small, around, maps], dim=1), places)
        mean = (taken * shares).sum(dim=0)
        variance = ((taken - mean).square() * shares).sum(dim=0)
        least = torch.where(inside[:, None] > 0, taken[:, 3 : 4 + len(BLURS)], 1.0).amin(dim=0)
        said = torch.cat([mean, variance, least]).T.reshape(len(centres), -1)
        color = straight(mean[:4].unflatten(1, (len(centres), -1)).mean(dim=2).T)
        return torch.cat([said, centres], dim=1), color


class Encoder(nn.Module):
    """Photographs with their rays -> feature maps of half the size that have seen an eighth of it."""

    def __init__(self, channels: int, *, inputs: int = 10) -> None:
        super().__init__()
        c = channels
        self.entry = nn.Conv2d(inputs, c, 4, stride=2, padding=1)
        self.around = nn.Conv2d(len(BLURS), c, 1)
        self.first = ImageBlock(c)
        self.down1 = nn.Conv2d(c, 2 * c, 2, stride=2)
        self.second = ImageBlock(2 * c)
        self.down2 = nn.Conv2d(2 * c, 4 * c, 2, stride=2)
        self.third = nn.Sequential(ImageBlock(4 * c), ImageBlock(4 * c))
        self.up2 = nn.ConvTranspose2d(4 * c, 2 * c, 2, stride=2)
        self.up1 = nn.ConvTranspose2d(2 * c, c, 2, stride=2)
        self.last = ImageBlock(c)

    def forward(self, images: Float[Tensor, "v i h w"], around: Float[Tensor, "v s a b"]) -> Float[Tensor, "v c a b"]:
        """Photographs with sides divisible by 8, and what lies around each pixel at half their size."""
        one = self.first(self.entry(images) + self.around(around))
        two = self.second(self.down1(one))
        three = self.third(self.down2(two))
        two = two + self.up2(three)
        return self.last(one + self.up1(two))


class ImageBlock(nn.Module):
    """Two convolutions added to what came in."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.one = nn.Conv2d(channels, channels, 3, padding=1)
        self.two = nn.Conv2d(channels, channels, 3, padding=1)
        nn.init.zeros_(self.two.weight)

    def forward(self, x: Float[Tensor, "v c h w"]) -> Float[Tensor, "v c h w"]:
        """The same size."""
        return x + self.two(silu(self.one(silu(group_norm(x, 8)))))


def image_layers(views: Views) -> Float[Tensor, "v 4 h w"]:
    """Premultiplied colour and alpha; photographs are over white."""
    alpha = (views.rgb.amin(dim=-1) < 1 - 2 / 255).to(views.rgb) if views.alpha is None else views.alpha
    premultiplied = (views.rgb - (1 - alpha[..., None])).clamp_min(0)
    return torch.cat([premultiplied, alpha[..., None]], dim=-1).permute(0, 3, 1, 2).contiguous()


def surroundings(alpha: Float[Tensor, "v 1 h w"]) -> Float[Tensor, "v s h w"]:
    """How much is covered around each pixel, at several widths: how far it is from the silhouette's edge."""
    layers: list[Tensor] = []
    for width in BLURS:
        reach = width // 2
        rows = avg_pool2d(alpha, (width, 1), stride=1, padding=(reach, 0))
        alpha = avg_pool2d(rows, (1, width), stride=1, padding=(0, reach))
        layers.append(alpha)
    return torch.cat(layers, dim=1)


def ray_layers(cameras: Cameras) -> Float[Tensor, "v 6 h w"]:
    """Pluecker coordinates of every pixel's ray."""
    origins, directions = unproject_rays(cameras)
    return pluecker(origins[:, None, None].expand_as(directions), directions).permute(0, 3, 1, 2).float()


def hull_of(
    alpha: Float[Tensor, "v h w"], points: Float[Tensor, "n 3"], cameras: Cameras, *, radius: float
) -> Float[Tensor, " n"]:
    """The least share of a ball around each point that a photograph shows to be covered: 0 outside the visual hull.

    Points outside a photograph are not judged by it.
    """
    places, depth = normalized_places(points, cameras)
    pixels = radius * float(cameras.intrinsics[:, 0, 0].mean()) / float(depth.mean().clamp_min(1e-6))
    reach = max(0, math.ceil(pixels))
    grown = max_pool2d(alpha[:, None], 2 * reach + 1, stride=1, padding=reach)
    covered = sampled(grown, places, outside="border")[:, 0]
    inside: Bool[Tensor, "v n"] = (places.abs() < 1).all(dim=-1)
    return torch.where(inside, covered, 1.0).amin(dim=0)


def straight(layers: Float[Tensor, "n 4"]) -> Float[Tensor, "n 3"]:
    """Colour from premultiplied colour and alpha; grey where there is nothing."""
    color, alpha = layers[:, :3], layers[:, 3:]
    return torch.where(alpha > 1e-3, color / alpha.clamp_min(1e-3), 0.5)


def with_color(raw: Float[Tensor, "n a"], color: Float[Tensor, "n 3"]) -> Float[Tensor, "n a"]:
    """Attributes whose colour is ``color`` plus what they say."""
    return torch.cat([raw[:, :3] + (color - 0.5) / SH_C0, raw[:, 3:]], dim=1)


def quiet(last: nn.Module, *, quaternion_at: int, rows: int | None = None) -> None:
    """Make a fresh layer say little: its first ``rows`` numbers near 0, and the quaternion near 1."""
    assert isinstance(last, nn.Linear)
    with torch.no_grad():
        last.weight[:rows].mul_(0.1)
        last.bias.zero_()
        last.bias[quaternion_at] = 1.0
