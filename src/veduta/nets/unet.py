"""A U-Net on pictures with attention across all of them at chosen sizes (after the diffusion models' U-Nets)."""

from __future__ import annotations

from collections.abc import Collection, Sequence

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.functional import group_norm, interpolate, scaled_dot_product_attention


class GroupNorm(nn.Module):
    """Normalisation over groups of channels, always in float32."""

    def __init__(self, channels: int, groups: int = 8, *, zero: bool = False) -> None:
        """``zero``: its gain starts at 0, so that a branch that ends with it adds nothing at first."""
        super().__init__()
        self.groups = groups
        self.weight = nn.Parameter(torch.zeros(channels) if zero else torch.ones(channels))
        self.bias = nn.Parameter(torch.zeros(channels))

    def forward(self, x: Float[Tensor, "v c *s"]) -> Float[Tensor, "v c *s"]:
        """The same dtype out as in."""
        return group_norm(x.float(), self.groups, self.weight.float(), self.bias.float()).to(x.dtype)


def conv3(channels: int, out: int, *, stride: int = 1) -> nn.Conv2d:
    """A 3x3 convolution that keeps the size (or halves it, with stride 2)."""
    return nn.Conv2d(channels, out, 3, stride=stride, padding=1)


class Residual(nn.Module):
    """Two convolutions, each normalised afterwards, added to what came in."""

    def __init__(self, channels: int, out: int) -> None:
        super().__init__()
        self.in_layers = nn.Sequential(conv3(channels, out), GroupNorm(out), nn.SiLU())
        self.out_layers = nn.Sequential(conv3(out, out), GroupNorm(out, zero=True), nn.SiLU())
        self.skip_connection = nn.Identity() if channels == out else nn.Conv2d(channels, out, 1)

    def forward(self, x: Float[Tensor, "v c h w"]) -> Float[Tensor, "v d h w"]:
        """Pictures of the same size."""
        return self.skip_connection(x) + self.out_layers(self.in_layers(x))


class Across(nn.Module):
    """Every pixel of every picture attends to all pixels of all of them."""

    def __init__(self, channels: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.qkv = nn.Conv1d(channels, 3 * channels, 1)
        self.proj_out = nn.Conv1d(channels, channels, 1)
        self.norm = GroupNorm(channels, zero=True)

    def forward(self, x: Float[Tensor, "v c h w"]) -> Float[Tensor, "v c h w"]:
        """Pictures of one scene."""
        tokens = x.permute(1, 0, 2, 3).flatten(1)[None]
        query, key, value = self.qkv(tokens).unflatten(1, (self.heads, 3, -1)).unbind(2)
        mixed = scaled_dot_product_attention(query.mT, key.mT, value.mT).mT.flatten(1, 2)
        told = self.proj_out(mixed)[0].reshape(x.shape[1], x.shape[0], *x.shape[2:])
        return x + self.norm(told.permute(1, 0, 2, 3))


class Downsample(nn.Module):
    """Half the size, by a convolution."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.op = conv3(channels, channels, stride=2)

    def forward(self, x: Float[Tensor, "v c h w"]) -> Float[Tensor, "v c i j"]:
        """Half as many pixels along each side."""
        return self.op(x)


class Enlarge(nn.Module):
    """Twice the size, nearest pixel, then a convolution."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv = conv3(channels, channels)

    def forward(self, x: Float[Tensor, "v c h w"]) -> Float[Tensor, "v c i j"]:
        """Twice as many pixels along each side."""
        return self.conv(interpolate(x, scale_factor=2, mode="nearest"))


class UNet(nn.Module):
    """Pictures to pictures of the same size and width; all pictures given together see one another."""

    def __init__(self, channels: int, *, levels: int, attention_at: Collection[int], heads: int) -> None:
        """``levels`` sizes, each half the one before; ``attention_at`` the reductions (1, 2, 4, ...) with attention."""
        super().__init__()

        def part(inside: int, level: int, extra: Sequence[nn.Module] = ()) -> nn.Sequential:
            attention = [Across(channels, heads)] if 2**level in attention_at else []
            return nn.Sequential(Residual(inside, channels), *attention, *extra)

        entry: list[nn.Module] = [nn.Sequential(conv3(channels, channels))]
        for level in range(levels):
            entry.append(part(channels, level))
            if level < levels - 1:
                entry.append(nn.Sequential(Downsample(channels)))
        self.input_blocks = nn.ModuleList(entry)
        self.middle_block = nn.Sequential(Residual(channels, channels), nn.Identity(), Residual(channels, channels))
        out: list[nn.Module] = []
        for level in reversed(range(levels)):
            out.append(part(2 * channels, level))
            out.append(part(2 * channels, level, [Enlarge(channels)] if level else []))
        self.output_blocks = nn.ModuleList(out)
        self.out = nn.Sequential(conv3(channels, channels), GroupNorm(channels), nn.SiLU())

    def forward(self, x: Float[Tensor, "v c h w"]) -> Float[Tensor, "v c h w"]:
        """Sides must be divisible by 2 ** (levels - 1)."""
        kept: list[Tensor] = []
        for block in self.input_blocks:
            x = block(x)
            kept.append(x)
        x = self.middle_block(x)
        for block in self.output_blocks:
            x = block(torch.cat([x, kept.pop()], dim=1))
        return self.out(x)
