"""Gaussians of several owners in the world at one time, and gradients back in each owner's frame."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from veduta.core import Gaussians, Motion
from veduta.fit.parameters import FIELDS, Parameters


@dataclass(frozen=True, eq=False)
class PlacedActor:
    """One object's rows, in its own frame and in the world; a graph leads from one to the other."""

    rows: slice
    local: Gaussians
    placed: Gaussians


@dataclass(frozen=True, eq=False)
class Placed:
    """All Gaussians in the world at one time."""

    world: Gaussians
    """Leaves that ask for their gradients."""
    actors: tuple[PlacedActor, ...] = ()

    def gradients(self) -> dict[str, Tensor]:
        """Gradients by field after the backward pass, in each owner's frame; zero where nothing arrived."""
        found: dict[str, Tensor] = {}
        for field in FIELDS:
            leaf: Tensor = getattr(self.world, field)
            found[field] = torch.zeros_like(leaf) if leaf.grad is None else leaf.grad
        for actor in self.actors:
            _to_own_frame_(found, actor)
        return found


def place(parameters: Parameters, motions: Sequence[Motion], time: float) -> Placed:
    """The Gaussians at ``time`` (s); a still scene is its own leaves and costs nothing."""
    leaves = parameters.leaves()
    if not motions:
        return Placed(world=leaves)
    fields = {field: getattr(leaves, field).detach().clone() for field in FIELDS}
    actors: list[PlacedActor] = []
    for motion, rows in zip(motions, list(parameters.rows_of_owners())[1:], strict=True):
        local = leaves.map(lambda t, rows=rows: t.detach()[rows].clone().requires_grad_())
        placed = motion.place(local, time)
        for field in FIELDS:
            fields[field][rows] = getattr(placed, field).detach()
        actors.append(PlacedActor(rows=rows, local=local, placed=placed))
    return Placed(
        world=Gaussians(**{field: value.requires_grad_() for field, value in fields.items()}), actors=tuple(actors)
    )


def _to_own_frame_(gradients: dict[str, Tensor], actor: PlacedActor) -> None:
    """Replace the gradients of one actor's rows by those in its own frame."""
    reached = [field for field in FIELDS if getattr(actor.placed, field).requires_grad]
    own = torch.autograd.grad(
        [getattr(actor.placed, field) for field in reached],
        [getattr(actor.local, field) for field in FIELDS],
        [gradients[field][actor.rows] for field in reached],
        materialize_grads=True,
    )
    for field, gradient in zip(FIELDS, own, strict=True):
        gradients[field][actor.rows] = gradient
