"""A selector that learns which Gaussians are worth densifying, beyond what the given photographs pull at.

It starts as the rule by gradients and learns, from pulls of photographs that the model is not shown, what to add.
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor, nn

from veduta.feedforward.coarse import Coarse
from veduta.feedforward.select import Look
from veduta.nets import norm

FLOOR = 1e-9
"""Added to pulls before their logarithm."""
FACTS = 7
"""Numbers besides the feature: logarithms of both pulls, their ratio, opacity, logarithms of the three scales."""


class LearnedSelector(nn.Module):
    """A :class:`~veduta.feedforward.select.Selector`: the logarithm of the absolute pull, plus what an MLP adds to it.

    A fresh one orders Gaussians as :class:`~veduta.feedforward.select.ByGradient` does.
    """

    def __init__(self, channels: int, *, hidden: int = 64) -> None:
        """``channels`` is the width of the coarse features."""
        super().__init__()
        self.mlp = nn.Sequential(nn.Linear(channels + FACTS, hidden), nn.GELU(), nn.Linear(hidden, 1))
        last = self.mlp[-1]
        assert isinstance(last, nn.Linear)
        nn.init.zeros_(last.weight)
        nn.init.zeros_(last.bias)

    def forward(self, coarse: Coarse, seen: Look, *, generator: torch.Generator | None = None) -> Float[Tensor, " n"]:
        """Scores, differentiable in the MLP alone: the coarse Gaussians and features are taken as they are."""
        absolute, signed = seen.scores(signed=False), seen.scores(signed=True)
        pull = (absolute + FLOOR).log()
        facts = [
            pull,
            (signed + FLOOR).log(),
            signed / (absolute + FLOOR),
            coarse.gaussians.opacities.detach(),
            *coarse.gaussians.scales.detach().log().sort(dim=1).values.unbind(dim=1),
        ]
        told = torch.cat([norm(coarse.features.detach().float()), torch.stack(facts, dim=1)], dim=1)
        return pull + self.mlp(told)[:, 0]


def selection_loss(scores: Float[Tensor, " n"], pulls: Float[Tensor, " n"]) -> Float[Tensor, ""]:
    """1 minus the correlation of scores with the logarithm of pulls that were measured at photographs not shown.

    Only the order matters to a selection, so neither scale nor offset is asked for. 1 where either is constant.
    """
    wanted = (pulls.detach() + FLOOR).log()
    a, b = scores - scores.mean(), wanted - wanted.mean()
    spread = (a.square().sum() * b.square().sum()).clamp_min(torch.finfo(scores.dtype).tiny).sqrt()
    return 1 - (a * b).sum() / spread
