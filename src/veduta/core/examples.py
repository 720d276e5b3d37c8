"""What feed-forward models learn from: a few views to look at, and others to be judged by."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import torch
from jaxtyping import Float
from torch import Tensor

from veduta.core.record import TensorRecord
from veduta.core.views import Views


@dataclass(frozen=True, eq=False)
class Example(TensorRecord):
    """One object or scene: the views a model is shown, and views it is not shown."""

    name: str
    inputs: Views
    """What the model sees. With ``input_alpha``, ``rgb`` is the straight colour, not yet over a background."""
    targets: Views
    """What its Gaussians are judged by, none of them among the inputs unless the protocol says so."""
    near: float
    """Nearest depth of the content, in the unit of the cameras."""
    far: float
    """Farthest depth of the content."""
    input_alpha: Float[Tensor, "v h w"] | None = None
    """Share of each input pixel that the object covers, 0 to 1; None: the picture is opaque (scenes)."""
    target_alpha: Float[Tensor, "t h w"] | None = None


@runtime_checkable
class Examples(Protocol):
    """A set of objects or scenes; indexing is reproducible, sampling draws from the generator alone."""

    def __len__(self) -> int:
        """Number of objects or scenes."""
        ...

    def sample(self, index: int, generator: torch.Generator) -> Example:
        """Views drawn as for training, of object or scene ``index``."""
        ...

    def evaluation(self, index: int) -> Example:
        """The views that the data set's published protocol names, of object or scene ``index``."""
        ...
