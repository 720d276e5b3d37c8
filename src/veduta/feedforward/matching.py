"""Image features that have seen the other views (UniMatch, Xu et al. 2023), as MVSplat uses them.

A small convolutional network at a quarter of the size, then six layers of attention within windows: of a view with
itself, and with the same windows of all other views.
"""

from __future__ import annotations

import math

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.functional import instance_norm, relu, scaled_dot_product_attention

CHANNELS = 128
SPLITS = 2
"""Windows along each side of a feature map."""
REDUCTION = 4
"""Pixels of the photograph along the side of a feature."""
OUTSIDE = -100.0
"""Added to the score of a pair that a shift has brought together from opposite edges."""


class ResidualUnit(nn.Module):
    """Two 3x3 convolutions with instance norms about them."""

    def __init__(self, channels: int, out: int, *, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels, out, 3, stride=stride, padding=1, bias=False)
        self.conv2 = nn.Conv2d(out, out, 3, padding=1, bias=False)
        same = stride == 1 and channels == out
        self.downsample = None if same else nn.ModuleList([nn.Conv2d(channels, out, 1, stride=stride)])

    def forward(self, x: Float[Tensor, "v c h w"]) -> Float[Tensor, "v d i j"]:
        """Pictures one by one."""
        y = relu(instance_norm(self.conv1(x)))
        y = relu(instance_norm(self.conv2(y)))
        if self.downsample is not None:
            x = instance_norm(self.downsample[0](x))
        return relu(x + y)


class FeatureNet(nn.Module):
    """Photographs (ImageNet-normalised) -> features at a quarter of the size."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 64, 7, stride=2, padding=3, bias=False)
        self.layer1 = nn.Sequential(ResidualUnit(64, 64, stride=1), ResidualUnit(64, 64, stride=1))
        self.layer2 = nn.Sequential(ResidualUnit(64, 96, stride=2), ResidualUnit(96, 96, stride=1))
        self.layer3 = nn.Sequential(ResidualUnit(96, CHANNELS, stride=1), ResidualUnit(CHANNELS, CHANNELS, stride=1))
        self.conv2 = nn.Conv2d(CHANNELS, CHANNELS, 1)

    def forward(self, images: Float[Tensor, "v 3 h w"]) -> Float[Tensor, "v 128 i j"]:
        """Sides must be divisible by 4."""
        x = relu(instance_norm(self.conv1(images)))
        return self.conv2(self.layer3(self.layer2(self.layer1(x))))


class Attention(nn.Module):
    """One head; the message is normalised, and with ``ffn`` passed through an MLP, before it is added."""

    def __init__(self, *, ffn: bool) -> None:
        super().__init__()
        for name in ("q_proj", "k_proj", "v_proj", "merge"):
            self.add_module(name, nn.Linear(CHANNELS, CHANNELS, bias=False))
        self.norm1 = nn.LayerNorm(CHANNELS)
        self.mlp, self.norm2 = None, None
        if ffn:
            wide = 8 * CHANNELS
            self.mlp = nn.Sequential(
                nn.Linear(2 * CHANNELS, wide, bias=False), nn.GELU(), nn.Linear(wide, CHANNELS, bias=False)
            )
            self.norm2 = nn.LayerNorm(CHANNELS)

    def forward(
        self,
        source: Float[Tensor, "v n c"],
        target: Float[Tensor, "v m c"],
        *,
        shape: tuple[int, int],
        shifted: bool,
        misplaced_mask: bool = False,
    ) -> Float[Tensor, "v n c"]:
        """``source`` asks, ``target`` (m a multiple of n: whole maps one after the other) answers, window by window."""
        maps = target.shape[1] // source.shape[1]
        query = windows(self.get_submodule("q_proj")(source), shape, shifted=shifted)
        answers = [self.get_submodule(name)(target).unflatten(1, (maps, -1)) for name in ("k_proj", "v_proj")]
        key, value = (
            torch.cat([windows(each[:, i], shape, shifted=shifted) for i in range(maps)], dim=2) for each in answers
        )
        mask = mask_of(shape, maps, misplaced=misplaced_mask).to(query) if shifted else None
        mixed = scaled_dot_product_attention(query, key, value, attn_mask=mask)
        message = self.norm1(self.get_submodule("merge")(from_windows(mixed, shape, shifted=shifted)))
        if self.mlp is not None and self.norm2 is not None:
            message = self.norm2(self.mlp(torch.cat([source, message], dim=-1)))
        return source + message


class MatchingTransformer(nn.Module):
    """Six layers of self- and cross-attention; windows are shifted by half in every second one.

    A layer's cross-attention looks at the others as they came into the layer. ``misplaced_mask``: with three or more
    views the published weights' shifted windows mask the wrong pairs (see :func:`mask_of`); needed to reproduce them.
    """

    def __init__(self, layers: int = 6, *, misplaced_mask: bool = False) -> None:
        super().__init__()
        self.misplaced_mask = misplaced_mask
        self.layers = nn.ModuleList(
            nn.ModuleDict({"self_attn": Attention(ffn=False), "cross_attn_ffn": Attention(ffn=True)})
            for _ in range(layers)
        )

    def forward(self, features: Float[Tensor, "v c h w"]) -> Float[Tensor, "v c h w"]:
        """Features of the v >= 2 views of one scene."""
        views, _, height, width = features.shape
        placed = features + window_positions(height, width).to(features)
        tokens = placed.flatten(2).mT
        shape = (height, width)
        for index, layer in enumerate(self.layers):
            assert isinstance(layer, nn.ModuleDict)
            shifted = index % 2 == 1
            others = [torch.cat([tokens[j] for j in range(views) if j != i]) for i in range(views)]
            tokens = layer["self_attn"](tokens, tokens, shape=shape, shifted=shifted)
            tokens = layer["cross_attn_ffn"](
                tokens, torch.stack(others), shape=shape, shifted=shifted, misplaced_mask=self.misplaced_mask
            )
        return tokens.mT.unflatten(2, shape)


def window_positions(height: int, width: int) -> Float[Tensor, "c h w"]:
    """Sines and cosines of the place within each window, 64 numbers for y, then 64 for x."""
    rows, columns = height // SPLITS, width // SPLITS
    half = CHANNELS // 2
    period = 10_000 ** (2 * (torch.arange(half) // 2) / half)

    def waves(count: int) -> Float[Tensor, "n 64"]:
        place = torch.arange(1, count + 1) / (count + 1e-6) * 2 * math.pi
        angle = place[:, None] / period
        return torch.stack([angle[:, 0::2].sin(), angle[:, 1::2].cos()], dim=2).flatten(1)

    y = waves(rows).T[:, :, None].expand(-1, -1, columns)
    x = waves(columns).T[:, None, :].expand(-1, rows, -1)
    return torch.cat([y, x]).repeat(1, SPLITS, SPLITS)


def windows(tokens: Float[Tensor, "v n c"], shape: tuple[int, int], *, shifted: bool) -> Float[Tensor, "v k m c"]:
    """Tokens of a map cut into windows, row by row; shifted by half a window where asked."""
    rows, columns = shape[0] // SPLITS, shape[1] // SPLITS
    image = tokens.unflatten(1, shape)
    if shifted:
        image = image.roll((-(rows // 2), -(columns // 2)), dims=(1, 2))
    cut = image.unflatten(2, (SPLITS, columns)).unflatten(1, (SPLITS, rows))
    return cut.transpose(2, 3).flatten(3, 4).flatten(1, 2)


def from_windows(cut: Float[Tensor, "v k m c"], shape: tuple[int, int], *, shifted: bool) -> Float[Tensor, "v n c"]:
    """The inverse of :func:`windows`."""
    rows, columns = shape[0] // SPLITS, shape[1] // SPLITS
    image = cut.unflatten(2, (rows, columns)).unflatten(1, (SPLITS, SPLITS)).transpose(2, 3)
    image = image.flatten(3, 4).flatten(1, 2)
    if shifted:
        image = image.roll((rows // 2, columns // 2), dims=(1, 2))
    return image.flatten(1, 2)


def shift_mask(shape: tuple[int, int]) -> Float[Tensor, "k m m"]:
    """0 for pairs of a shifted window that lie together in the map, :data:`OUTSIDE` for others."""
    height, width = shape
    region = torch.zeros(height, width)
    for level, (size, axis) in enumerate(((height, 0), (width, 1))):
        window = size // SPLITS
        part = torch.zeros(size)
        part[size - window : size - window // 2] = 1
        part[size - window // 2 :] = 2
        region += 3**level * (part[:, None] if axis == 0 else part[None, :])
    own = windows(region.flatten()[None, :, None], shape, shifted=False)[0, :, :, 0]
    return torch.where(own[:, :, None] == own[:, None, :], 0.0, OUTSIDE)


def mask_of(shape: tuple[int, int], maps: int, *, misplaced: bool) -> Float[Tensor, "k m n"]:
    """The mask of a shifted window against that of several maps, map after map.

    ``misplaced``: as if the keys lay pixel by pixel, all maps of a pixel together, which they do not.
    """
    mask = shift_mask(shape)
    if not misplaced:
        return mask.repeat(1, 1, maps)
    place = torch.arange(mask.shape[2])
    taken = [(maps * place + i) % len(place) for i in range(maps)]
    return mask[:, :, torch.cat(taken)]
