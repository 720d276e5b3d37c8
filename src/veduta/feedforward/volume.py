"""LaRa's volume transformer (Chen et al., ECCV 2024): image features lifted into a volume, mixed group by group.

A volume of 16^3 groups holds 2^3 learned tokens each, which attend to the group's image tokens, one per view.
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor, nn

GROUPS = 16
"""Groups along each side of the volume."""
FINE_EPS = 1e-6
"""Of the last norm, and of those about the image encoder."""


class GroupAttention(nn.Module):
    """Cross-attention within groups, an MLP, and a convolution across groups."""

    def __init__(self, channels: int, image_channels: int, heads: int) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(channels)
        self.cross_attn = nn.MultiheadAttention(
            channels, heads, kdim=image_channels, vdim=image_channels, bias=False, batch_first=True
        )
        self.cnn = nn.Conv3d(channels, channels, 3, padding=1, bias=False)
        self.norm2 = nn.LayerNorm(channels)
        self.norm3 = nn.LayerNorm(channels)
        self.mlp = nn.Sequential(
            nn.Linear(channels, 2 * channels), nn.GELU(), nn.Identity(), nn.Linear(2 * channels, channels)
        )

    def forward(self, volume: Float[Tensor, "b c s s s"], images: Float[Tensor, "g v d"]) -> Float[Tensor, "b c s s s"]:
        """The volume after one layer; ``images`` are the tokens of all groups of all items, g = b 16^3."""
        tokens = grouped(volume)
        tokens = tokens + self.cross_attn(self.norm1(tokens), images, images, need_weights=False)[0]
        tokens = tokens + self.mlp(self.norm2(tokens))
        mixed = ungrouped(self.norm3(tokens), len(volume))
        return mixed + self.cnn(mixed)


class VolumeTransformer(nn.Module):
    """Image tokens in a volume of 16^3 cells -> features in a volume of 64^3."""

    def __init__(
        self, channels: int = 256, image_channels: int = 800, *, side: int = 32, out: int = 80, layers: int = 12
    ) -> None:
        super().__init__()
        self.pos_embed = nn.Parameter(torch.randn(1, channels, side, side, side) / channels**0.5)
        self.layers = nn.ModuleList(GroupAttention(channels, image_channels, 16) for _ in range(layers))
        self.norm = nn.LayerNorm(channels, eps=FINE_EPS)
        self.deconv = nn.ConvTranspose3d(channels, out, 2, stride=2)

    def forward(self, images: Float[Tensor, "b v d 16 16 16"]) -> Float[Tensor, "b s s s o"]:
        """Features, channel last, indexed by x, y, z."""
        tokens = images.permute(0, 3, 4, 5, 1, 2).flatten(0, 3)
        volume = self.pos_embed.expand(len(images), -1, -1, -1, -1)
        for layer in self.layers:
            volume = layer(volume, tokens)
        volume = self.norm(volume.movedim(1, -1)).movedim(-1, 1)
        return self.deconv(volume).movedim(1, -1)


def grouped(volume: Float[Tensor, "b c s s s"]) -> Float[Tensor, "g t c"]:
    """The tokens of each group: g = b 16^3 groups of t tokens."""
    batch, channels, side = volume.shape[:3]
    each = side // GROUPS
    cut = volume.reshape(batch, channels, GROUPS, each, GROUPS, each, GROUPS, each)
    return cut.permute(0, 2, 4, 6, 3, 5, 7, 1).reshape(batch * GROUPS**3, each**3, channels)


def ungrouped(tokens: Float[Tensor, "g t c"], batch: int) -> Float[Tensor, "b c s s s"]:
    """The volume of :func:`grouped`."""
    each = round(tokens.shape[1] ** (1 / 3))
    cut = tokens.reshape(batch, GROUPS, GROUPS, GROUPS, each, each, each, tokens.shape[2])
    side = GROUPS * each
    return cut.permute(0, 7, 1, 4, 2, 5, 3, 6).reshape(batch, -1, side, side, side)
