"""The base of veduta's value types: frozen dataclasses whose fields hold tensors."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

import torch
from torch import Tensor

Record = TypeVar("Record", bound="TensorRecord")  # not typing.Self: run-time type checkers cannot follow it


@dataclass(frozen=True, eq=False)
class TensorRecord:
    """A frozen dataclass of tensors, other records, and plain values.

    Subclasses are ``@dataclass(frozen=True, eq=False)``; change is ``record.replace(field=value)``.
    """

    def replace(self: Record, **changes: Any) -> Record:
        """A copy with the named fields replaced (and checked again by ``__post_init__``)."""
        return dataclasses.replace(self, **changes)

    def map(self: Record, change: Callable[[Tensor], Tensor]) -> Record:
        """A copy with ``change`` applied to every tensor, also those in nested records."""
        changes: dict[str, Any] = {}
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            if isinstance(value, Tensor):
                changes[field.name] = change(value)
            elif isinstance(value, TensorRecord):
                changes[field.name] = value.map(change)
        return self.replace(**changes)

    def to(self: Record, target: torch.device | torch.dtype | str) -> Record:
        """Moved to a device, or with its floating-point tensors cast to a dtype."""
        if isinstance(target, torch.dtype):
            return self.map(lambda t: t.to(target) if t.is_floating_point() else t)
        # What comes from pageable memory is staged before the call returns: nobody need wait for it to arrive.
        return self.map(lambda t: t.to(target, non_blocking=t.device.type == "cpu"))

    def detach(self: Record) -> Record:
        """The same values, cut off from the autograd graph."""
        return self.map(lambda t: t.detach())
