"""A change of topology as a value."""

from __future__ import annotations

from dataclasses import dataclass

from jaxtyping import Bool, Int
from torch import Tensor

from veduta.core.gaussians import Gaussians
from veduta.core.record import TensorRecord


@dataclass(frozen=True, eq=False)
class Edit(TensorRecord):
    """New rows from old ones: prune, clone, split, relocate and opacity reset are all of this form."""

    source: Int[Tensor, " m"]
    """The old row that each new row copies bit for bit, raw parameters and Adam moments alike."""
    changed: Bool[Tensor, " m"]
    """Rows that then take new values in ``fields`` and restart their moments there."""
    values: Gaussians
    """The new physical values of the changed rows, in order (``changed.sum()`` rows); other fields are ignored."""
    fields: tuple[str, ...]
    """Which of ``Gaussians``' fields change: names from means, quats, scales, opacities, sh."""
    reason: str
    """For events and logs: 'prune', 'densify', 'relocate', 'opacity reset'."""
