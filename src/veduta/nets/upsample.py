"""UP: every point gives birth to several, each with a place near its parent and a feature of its own."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor, nn

from veduta.nets.blocks import DropPath, norm
from veduta.nets.rows import by_rows

FREQUENCIES = 15
"""Octaves of the position encoding of a step."""


class Upsample(nn.Module):
    """``factor`` children per point, contiguous, within ``reach`` grid cells along each axis."""

    frequencies: Tensor

    def __init__(
        self, channels: int, out_channels: int, factor: int, *, reach: float = 0.5, drop_path: float = 0.0
    ) -> None:
        super().__init__()
        self.factor, self.reach = factor, reach
        self.register_buffer("frequencies", 2.0 ** torch.arange(FREQUENCIES))
        self.delta_x = nn.Sequential(nn.Linear(channels, channels), nn.GELU(), nn.Linear(channels, 3 * factor))
        self.skip = nn.Linear(channels, out_channels)
        inside = channels + 6 * FREQUENCIES
        self.delta_f = nn.ModuleList(
            [nn.Identity(), nn.Linear(inside, channels), nn.GELU(), nn.Linear(channels, out_channels)]
        )
        self.drop_path = DropPath(drop_path)

    def forward(
        self, coords: Float[Tensor, "n 3"], features: Float[Tensor, "n c"], grid_size: float
    ) -> tuple[Float[Tensor, "m 3"], Float[Tensor, "m d"]]:
        """Children's places and features, m = factor n."""
        features = norm(features)
        steps = self.reach * grid_size * torch.tanh(self.delta_x(features)).reshape(-1, 3)
        parents = features.repeat_interleave(self.factor, dim=0)
        moved = coords.repeat_interleave(self.factor, dim=0) + steps
        return moved, by_rows(self._born, steps, parents)

    def _born(self, steps: Float[Tensor, "m 3"], parents: Float[Tensor, "m c"]) -> Float[Tensor, "m d"]:
        own = norm(torch.cat([self.encoded(steps), parents], dim=1))
        for layer in self.delta_f:
            own = layer(own)
        return norm(self.skip(parents) + self.drop_path(own))

    def encoded(self, steps: Float[Tensor, "m 3"]) -> Float[Tensor, "m 90"]:
        """Sines of all frequencies times x, y, z, then cosines."""
        angles = (self.frequencies[:, None] * steps[:, None, :]).flatten(1)
        return torch.cat([angles.sin(), angles.cos()], dim=1)
