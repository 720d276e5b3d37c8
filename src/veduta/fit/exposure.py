"""An affine colour change per training photograph."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from veduta.fit.plan import AdamPlan
from veduta.kernels import adam_step_


@dataclass(eq=False)
class Exposures:
    """One 3x4 matrix per photograph, its Adam moments, and how often each was moved."""

    matrices: Float[Tensor, "v 3 4"]
    moment1: Float[Tensor, "v 3 4"]
    moment2: Float[Tensor, "v 3 4"]
    moves: Int[Tensor, " v"]

    @staticmethod
    def identity(views: int, *, device: torch.device | None = None) -> Exposures:
        """No change of colour; the counts stay on the CPU."""
        matrices = torch.eye(3, 4, device=device).repeat(views, 1, 1)
        return Exposures(
            matrices=matrices,
            moment1=torch.zeros_like(matrices),
            moment2=torch.zeros_like(matrices),
            moves=torch.zeros(views, dtype=torch.int64),
        )

    def to(self, device: torch.device) -> Exposures:
        """The same on a device; the counts stay on the CPU."""
        matrices, moment1, moment2 = (t.to(device) for t in (self.matrices, self.moment1, self.moment2))
        return Exposures(matrices=matrices, moment1=moment1, moment2=moment2, moves=self.moves)

    def leaf(self, view: int) -> Float[Tensor, "3 4"]:
        """One photograph's matrix, asking for its gradient."""
        return self.matrices[view].detach().requires_grad_()

    def step_(self, view: int, gradient: Float[Tensor, "3 4"], *, rate: float, adam: AdamPlan) -> None:
        """Move one photograph's matrix only."""
        self.moves[view] += 1
        adam_step_(
            self.matrices[view],
            gradient,
            self.moment1[view],
            self.moment2[view],
            lr=rate,
            beta1=adam.beta1,
            beta2=adam.beta2,
            eps=adam.eps,
            step=int(self.moves[view]),
        )


def exposed(color: Float[Tensor, "h w 3"], matrix: Float[Tensor, "3 4"]) -> Float[Tensor, "h w 3"]:
    """The picture with its colours changed: M[:, :3] color + M[:, 3]."""
    return color @ matrix[:, :3].T + matrix[:, 3]


def distance_from_identity(matrix: Float[Tensor, "3 4"]) -> Float[Tensor, ""]:
    """Mean squared difference from no change."""
    return (matrix - torch.eye(3, 4, device=matrix.device)).square().mean()
