"""The base of veduta's value types: frozen dataclasses whose fields hold tensors."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Self

import torch
from torch import Tensor


@dataclass(frozen=True, eq=False)
class TensorRecord:
    """A frozen dataclass of tensors, other records, and plain values.

    Subclasses are ``@dataclass(frozen=True, eq=False)``; change is ``record.replace(field=value)``.
    """

    def replace(self, **changes: Any) -> Self:
        """A copy with the named fields replaced (and checked again by ``__post_init__``)."""
        return dataclasses.replace(self, **changes)

    def map(self, change: Callable[[Tensor], Tensor]) -> Self:
        """A copy with ``change`` applied to every tensor, also those in nested records."""
        changes: dict[str, Any] = {}
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            if isinstance(value, Tensor):
                changes[field.name] = change(value)
            elif isinstance(value, TensorRecord):
                changes[field.name] = value.map(change)
        return self.replace(**changes)

    def to(self, target: torch.device | torch.dtype | str) -> Self:
        """Moved to a device, or with its floating-point tensors cast to a dtype."""
        if isinstance(target, torch.dtype):
            return self.map(lambda t: t.to(target) if t.is_floating_point() else t)
        return self.map(lambda t: t.to(target))

    def detach(self) -> Self:
        """The same values, cut off from the autograd graph."""
        return self.map(lambda t: t.detach())
