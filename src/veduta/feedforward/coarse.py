"""What a backbone hands to a densifier."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import torch
from jaxtyping import Float, Int
from torch import Tensor

from veduta.core import Gaussians, InputError, TensorRecord, Views

USUAL_SIDE_PX = 256
"""Of scene models (RealEstate10K)."""


@dataclass(frozen=True, eq=False)
class Coarse(TensorRecord):
    """Coarse Gaussians in the cameras' frame, with what the network knows of each."""

    gaussians: Gaussians
    """n of them, float32."""
    features: Float[Tensor, "n c"]
    sources: Int[Tensor, " n"]
    """The input view whose pixel each came from; all 0 where they came from a volume."""


@runtime_checkable
class Backbone(Protocol):
    """Posed photographs of one object or scene -> coarse Gaussians; a ``torch.nn.Module`` too."""

    def __call__(self, views: Views, *, near: float, far: float, generator: torch.Generator | None = None) -> Coarse:
        """Photographs composited over the model's background; content lies between the depths ``near`` and ``far``.

        ``generator`` is for what is random while training.
        """
        ...


@dataclass(frozen=True, kw_only=True)
class Intake:
    """What photographs a model takes."""

    min_views: int = 2
    max_views: int | None = None
    """None: any number."""
    size_px: tuple[int, int] | None = None
    """Width and height; None: any that ``multiple_px`` divides."""
    multiple_px: int = 1
    masked: bool = False
    """Whether they show one object over the model's background, in the box [-0.5, 0.5]^3; else a whole scene."""

    @property
    def usual_views(self) -> int:
        """As many as published models are shown: 4 of an object, 2 of a scene."""
        usual = 4 if self.masked else 2
        return max(self.min_views, usual if self.max_views is None else min(usual, self.max_views))

    @property
    def side_px(self) -> int:
        """Of square photographs, where there is a choice: as published models are trained."""
        return USUAL_SIDE_PX if self.size_px is None else self.size_px[0]

    def check_count(self, count: int) -> None:
        """InputError for a number of photographs that the model does not take."""
        most = " or more" if self.max_views is None else f" to {self.max_views}"
        if count < self.min_views or (self.max_views is not None and count > self.max_views):
            raise InputError(
                "the model does not take so many views",
                field="views",
                expected=f"{self.min_views}{most} photographs",
                got=count,
                hint="say how many photographs to use with --views",
            )

    def check(self, views: Views) -> None:
        """InputError for photographs that the model does not take."""
        self.check_count(len(views))
        size = (views.cameras.width, views.cameras.height)
        if self.size_px is not None and size != self.size_px:
            raise InputError(
                "the model does not take photographs of this size",
                field="views",
                expected=_written(self.size_px),
                got=_written(size),
                hint="crop and resize them first; veduta predict does",
            )
        if any(side % self.multiple_px for side in size):
            raise InputError(
                "the model does not take photographs of this size",
                field="views",
                expected=f"sides divisible by {self.multiple_px}",
                got=_written(size),
                hint="crop and resize them first; veduta predict does",
            )


def _written(size: tuple[int, int]) -> str:
    return f"{size[0]} x {size[1]} pixels"
