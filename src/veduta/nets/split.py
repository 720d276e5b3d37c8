"""Learnable split: which points become Gaussians now, and which go on to be densified further."""

from __future__ import annotations

from typing import Literal, NamedTuple, TypeAlias

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from veduta.nets.rows import by_rows

Gate: TypeAlias = Literal["sigmoid", "softmax", "rendered"]
"""How gradients reach the scores of a split; see :class:`Split`."""


class Parting(NamedTuple):
    """What a split decided."""

    features: Float[Tensor, "n c"]
    """As they came in (where the variant keeps leaves), carrying the gradient to the scores."""
    goes_on: Int[Tensor, " m"]
    """Rows with the highest scores, ascending."""
    leaves: Int[Tensor, " l"]
    """All other rows, ascending."""
    gates: Float[Tensor, " n"]
    """1 for every row; with the gate ``rendered`` carrying the gradient to the scores."""


class Split(nn.Module):
    """Scores every point; the top share of each item goes on.

    ``gate`` says how gradients reach the scores, which a hard choice has none of. ``sigmoid``: f <- sg(f - f p) + f p
    with p = sigmoid(score). ``softmax``: p = softmax over the item, leaves' features become 0; gradients are about 1/n,
    so the scores hardly learn (kept for weights trained so). ``rendered``: features pass untouched; what goes on has
    the weight 1 + p - sg(p), a leaf 1 - p + sg(p), with which opacities are multiplied: whatever would look better if
    it were more opaque pulls its score towards what it is.
    """

    def __init__(self, channels: int, ratio: float, *, gate: Gate = "sigmoid") -> None:
        super().__init__()
        self.ratio, self.gate = ratio, gate
        self.net = nn.Sequential(nn.Linear(channels, channels), nn.GELU(), nn.Linear(channels, 1))

    def forward(self, features: Float[Tensor, "n c"], counts: Int[Tensor, " b"]) -> Parting:
        """Split items of ``counts`` rows, one after the other."""
        return self.part(features, by_rows(self.net, features)[:, 0], counts)

    def part(self, features: Float[Tensor, "n c"], scores: Float[Tensor, " n"], counts: Int[Tensor, " b"]) -> Parting:
        """The same for given scores."""
        goes_on = torch.zeros(len(scores), dtype=torch.bool, device=scores.device)
        shares: list[Tensor] = []
        begin = 0
        for count in counts.tolist():
            own = scores[begin : begin + count]
            goes_on[begin + own.topk(kept(self.ratio, count)).indices] = True
            shares.append(own.softmax(dim=0))
            begin += count
        carried, gates = self._gated(features, scores, torch.cat(shares) if shares else scores, goes_on)
        return Parting(carried, goes_on.nonzero()[:, 0], (~goes_on).nonzero()[:, 0], gates)

    def _gated(self, features: Tensor, scores: Tensor, shares: Tensor, goes_on: Tensor) -> tuple[Tensor, Tensor]:
        ones = torch.ones_like(scores)
        if self.gate == "rendered":
            chance = scores.sigmoid()
            change = chance - chance.detach()
            return features, ones + torch.where(goes_on, change, -change)
        if self.gate == "sigmoid":
            gated = features * scores.sigmoid()[:, None]
            return (features - gated).detach() + gated, ones
        gated = features * shares[:, None]
        return (features * goes_on[:, None] - gated).detach() + gated, ones


def kept(ratio: float, count: int) -> int:
    """How many of ``count`` go on: rounded up, in float32."""
    return int((torch.tensor(ratio, dtype=torch.float32) * count).ceil())
