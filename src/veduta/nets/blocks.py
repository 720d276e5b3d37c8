"""The block of a point transformer (PTv3, Wu et al. 2024): position by convolution, attention along a curve, an MLP.

Every norm is a LayerNorm without parameters, as in the models whose weights fit.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from torch.nn.functional import layer_norm, scaled_dot_product_attention

from veduta.core import TensorRecord
from veduta.nets.rows import by_rows
from veduta.nets.serialization import MAX_DEPTH, grid_cells, grid_depth, items_of, serialize
from veduta.nets.sparse_conv import SubmanifoldConv

PATCH = 48
"""Points that attend to one another."""


class NotFiniteError(ValueError):
    """Points that are nowhere: what made them has come apart."""


def norm(features: Float[Tensor, "*b c"]) -> Float[Tensor, "*b c"]:
    """LayerNorm without parameters, eps 1e-5."""
    return layer_norm(features, features.shape[-1:])


@dataclass(frozen=True, eq=False)
class Points(TensorRecord):
    """Points of several items, one after the other, laid out along curves."""

    coords: Float[Tensor, "n 3"]
    counts: Int[Tensor, " b"]
    """Points of each item."""
    items: Int[Tensor, " n"]
    cells: Int[Tensor, "n 3"]
    orders: Int[Tensor, "o n"]
    """Rows along each curve, item after item."""

    @staticmethod
    def along_curves(
        coords: Float[Tensor, "n 3"],
        counts: Int[Tensor, " b"],
        grid_size: float,
        *,
        generator: torch.Generator | None = None,
    ) -> Points:
        """Points on a grid of pitch ``grid_size``, sorted along all curves.

        The pitch is doubled until the points' extent has no more than 2^16 cells. NotFiniteError for places that are
        not finite.

        With a ``generator`` (on the CPU) the curves change places at random, so that no block learns one by heart.
        """
        if not bool(coords.isfinite().all()):
            raise NotFiniteError("places that are not finite")
        items = items_of(counts)
        cells = grid_cells(coords, grid_size)
        while len(cells) and int(cells.max()) >> MAX_DEPTH:
            grid_size = 2 * grid_size
            cells = grid_cells(coords, grid_size)
        _, orders = serialize(cells, items, grid_depth(cells))
        if generator is not None:
            orders = orders[torch.randperm(len(orders), generator=generator).to(orders.device)]
        return Points(coords=coords, counts=counts, items=items, cells=cells, orders=orders)


def patches(counts: Int[Tensor, " b"], size: int) -> tuple[Int[Tensor, "p k"], Bool[Tensor, "p k"]]:
    """Positions in a serialised sequence cut into patches, and which of them count.

    Items are cut apart; k is ``size``, or the smallest item where that is smaller. A last patch that is not full
    borrows the end of the one before it; what is borrowed does not count.
    """
    given = [int(count) for count in counts.tolist() if count > 0]
    k = min([size, *given])
    rows: list[Tensor] = []
    used: list[Tensor] = []
    begin = 0
    for count in given:
        own = torch.arange(begin, begin + count)
        rest = count % k
        tail = [own[count - rest :], own[count - k : count - rest]] if rest else []
        rows.append(torch.cat([own[: count - rest], *tail]).reshape(-1, k))
        valid = torch.ones(rows[-1].shape, dtype=torch.bool)
        if rest:
            valid[-1, rest:] = False
        used.append(valid)
        begin += count
    if not rows:
        none = torch.zeros(0, size, dtype=torch.long, device=counts.device)
        return none, none.bool()
    return torch.cat(rows).to(counts.device), torch.cat(used).to(counts.device)


class DropPath(nn.Module):
    """Drops whole rows of a branch while training, and scales up those that stay."""

    def __init__(self, rate: float) -> None:
        super().__init__()
        self.rate = rate

    def forward(self, features: Float[Tensor, "n c"]) -> Float[Tensor, "n c"]:
        """The rows, each dropped with probability ``rate``; unchanged in evaluation."""
        if not self.training or self.rate == 0:
            return features
        stays = torch.rand(len(features), 1, device=features.device, dtype=features.dtype) >= self.rate
        return features * stays / (1 - self.rate)


class PatchAttention(nn.Module):
    """Points of one patch of a curve attend to one another; heads of 8 channels."""

    def __init__(self, channels: int, heads: int, *, half_precision: bool = False) -> None:
        """``half_precision``: queries, keys and values are rounded to float16, as weights were trained elsewhere."""
        super().__init__()
        self.heads, self.half_precision = heads, half_precision
        self.qkv = nn.Linear(channels, 3 * channels)
        self.proj = nn.Linear(channels, channels)

    def forward(
        self, features: Float[Tensor, "n c"], order: Int[Tensor, " n"], counts: Int[Tensor, " b"]
    ) -> Float[Tensor, "n c"]:
        """Attention along ``order``, items apart."""
        place, used = patches(counts, PATCH)
        rows = order[place]
        asked = self.qkv(features)
        if self.half_precision:
            asked = asked.half().to(features.dtype)
        packed = asked[rows].unflatten(-1, (3, self.heads, -1))
        query, key, value = packed.permute(2, 0, 3, 1, 4).unbind(0)
        mixed = scaled_dot_product_attention(query, key, value).transpose(1, 2).flatten(2)
        taken = mixed[used]  # in another precision than the features, where autocast takes part
        return self.proj(torch.empty_like(taken).index_copy(0, rows[used], taken))


class Mlp(nn.Module):
    """Two layers with a hidden one four times as wide."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.fc1 = nn.Linear(channels, 4 * channels)
        self.fc2 = nn.Linear(4 * channels, channels)

    def forward(self, features: Float[Tensor, "n c"]) -> Float[Tensor, "n c"]:
        """Row by row."""
        return self.fc2(nn.functional.gelu(self.fc1(features)))


class Block(nn.Module):
    """Conditional position encoding, patch attention, MLP, each added to what came in."""

    def __init__(
        self,
        channels: int,
        heads: int,
        *,
        curve: int,
        drop_path: float = 0.0,
        shared_cells: Literal["mean", "first"] = "mean",
        half_precision: bool = False,
    ) -> None:
        """``curve`` is the order of the points that is attended along."""
        super().__init__()
        self.curve = curve
        conv = SubmanifoldConv(channels, channels, shared_cells=shared_cells)
        self.cpe = nn.ModuleList([conv, nn.Linear(channels, channels)])
        self.attn = PatchAttention(channels, heads, half_precision=half_precision)
        self.mlp = nn.ModuleList([Mlp(channels)])
        self.drop_path = DropPath(drop_path)

    def forward(self, features: Float[Tensor, "n c"], points: Points) -> Float[Tensor, "n c"]:
        """New features of the same points."""
        conv, linear = self.cpe
        features = features + norm(linear(conv(features, points.cells, points.items)))
        attended = self.attn(norm(features), points.orders[self.curve], points.counts)
        features = features + self.drop_path(attended)
        return features + self.drop_path(by_rows(lambda rows: self.mlp[0](norm(rows)), features))
