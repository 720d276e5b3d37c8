"""Whole models: posed photographs of one object or scene -> Gaussians, coarse and densified, in one pass."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from veduta.core import Gaussians, TensorRecord, Views
from veduta.feedforward.coarse import Backbone, Coarse, Intake
from veduta.feedforward.drawing import Drawing
from veduta.feedforward.lara import Lara
from veduta.feedforward.mvsplat import Mvsplat
from veduta.feedforward.select import ByGradient, Look, Selector, look, select
from veduta.render import Backend

BASE_BYTES = 350 * 2**20
"""The interpreter, torch and the kernels."""
FLOAT_BYTES = 4
MOST_CHILDREN = 8
"""Of one densified Gaussian, in all published shapes."""
NUMBERS_PER_PIXEL, NUMBERS_PER_ROW = 400, 1500
"""Held at once per pixel of the photographs and per child: above what both full-size models were measured to take
(object 2.4 GB of an estimate of 3.2, scene 2.0 GB of 2.1; MVSplat alone, with what it passes through, 1.03 GB of 1.2).
"""


@dataclass(frozen=True, eq=False)
class Prediction(TensorRecord):
    """What a model makes of one object or scene, in the cameras' frame."""

    coarse: Gaussians
    """The backbone's."""
    fine: Gaussians
    """New ones, and those of the backbone that were not densified; a model without a densifier gives ``coarse``."""
    chosen: Int[Tensor, " m"]
    """Rows of ``coarse`` that were densified, ascending."""
    scores: Float[Tensor, " n"]
    """The selector's, for every row of ``coarse``; a learned one's are differentiable."""


@runtime_checkable
class Finer(Protocol):
    """Chosen coarse Gaussians -> the union of what became of them with the others; a ``torch.nn.Module`` too."""

    def __call__(
        self,
        coarse: Coarse,
        chosen: Int[Tensor, " m"],
        views: Views,
        seen: Look,
        *,
        near: float,
        generator: torch.Generator | None = None,
    ) -> Gaussians:
        """``seen`` is how the coarse Gaussians look from the views."""
        ...


@runtime_checkable
class Extravagant(Protocol):
    """A backbone that for a while needs more memory than pixels and children tell, before there are any children."""

    def passing_bytes(self, *, pixels: int) -> int:
        """So much, for views of so many pixels each."""
        ...


class FeedForward(nn.Module):
    """A backbone, and what makes its coarse Gaussians fine.

    ``backbone`` is a :class:`Backbone`, ``densifier`` a :class:`Finer` or None; ``budget`` Gaussians of every source
    are densified: those with the highest scores of the ``selector``. Selection takes no gradient.
    """

    def __init__(
        self,
        backbone: nn.Module,
        densifier: nn.Module | None = None,
        *,
        intake: Intake,
        drawing: Drawing,
        budget: int = 12_000,
        selector: Selector | None = None,
    ) -> None:
        super().__init__()
        self.backbone, self.densifier = backbone, densifier
        self.intake, self.drawing, self.budget = intake, drawing, budget
        self.selector = ByGradient() if selector is None else selector

    def forward(
        self,
        views: Views,
        *,
        near: float,
        far: float,
        generator: torch.Generator | None = None,
        budget: int | None = None,
        backend: str | Backend = "auto",
    ) -> Prediction:
        """Photographs of one object or scene, composited over the model's background, content between the z depths.

        ``generator`` (on the CPU) is for what is random: training, and random selection. ``budget``: other than the
        model's own. ``backend`` draws the coarse Gaussians, for selection. Raises :class:`~veduta.core.InputError` for
        photographs that the model does not take.
        """
        self.intake.check(views)
        coarse: Coarse = self.backbone(views, near=near, far=far, generator=generator)
        none = torch.zeros(0, dtype=torch.long, device=coarse.sources.device)
        if self.densifier is None:
            return Prediction(coarse.gaussians, coarse.gaussians, none, torch.zeros_like(coarse.gaussians.opacities))
        seen = look(coarse.gaussians, views, self.drawing, backend=backend)
        scores = self.selector(coarse, seen, generator=generator)
        k = self.budget if budget is None else budget
        chosen = select(scores.detach(), k, sources=coarse.sources)
        fine = self.densifier(coarse, chosen, views, seen, near=near, generator=generator)
        return Prediction(coarse.gaussians, fine, chosen, scores)

    def needed_bytes(self, *, views: int, pixels: int) -> int:
        """An upper estimate of the memory that one prediction takes, weights included; ``pixels`` of each view."""
        weights = sum(value.numel() * value.element_size() for value in self.state_dict().values())
        rows = 0 if self.densifier is None else MOST_CHILDREN * self.budget
        passing = self.backbone.passing_bytes(pixels=pixels) if isinstance(self.backbone, Extravagant) else 0
        lasting = FLOAT_BYTES * NUMBERS_PER_PIXEL * views * pixels
        return BASE_BYTES + weights + lasting + max(passing, FLOAT_BYTES * NUMBERS_PER_ROW * rows)


BACKBONES: Mapping[str, Callable[[], Backbone]] = {"lara": Lara, "mvsplat": Mvsplat}
"""By name."""
