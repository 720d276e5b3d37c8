"""What was learned: Gaussians that stand still, actors that move, a sky."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Protocol, runtime_checkable

import torch
from jaxtyping import Float, Int
from torch import Tensor

from veduta.core.gaussians import Gaussians
from veduta.core.record import TensorRecord


@runtime_checkable
class Motion(Protocol):
    """How an object's frame moves through the world."""

    def place(self, gaussians: Gaussians, time: float) -> Gaussians:
        """The object's Gaussians in the world at ``time`` (s); opacity 0 where the object is absent."""
        ...


@dataclass(frozen=True, eq=False)
class Actor:
    """A moving object: Gaussians in its own frame, and its motion."""

    gaussians: Gaussians
    motion: Motion
    category: str = "object"

    def at(self, time: float) -> Gaussians:
        """The actor's Gaussians in the world at ``time`` (s)."""
        return self.motion.place(self.gaussians, time)


@dataclass(frozen=True, eq=False)
class Sky(TensorRecord):
    """Radiance from infinitely far away; a texture of 1x1 is a constant background colour."""

    texture: Float[Tensor, "h w 3"]
    """Equirectangular sRGB, rows from ``up`` to ``-up``; looked up bilinearly, wrapping around horizontally."""
    up: Float[Tensor, "3"]
    """Unit vector in the world towards the first row."""

    @staticmethod
    def constant(color: Float[Tensor, "3"]) -> Sky:
        """One colour in every direction."""
        return Sky(texture=color.reshape(1, 1, 3), up=color.new_tensor([0.0, 0.0, 1.0]))


@dataclass(frozen=True, eq=False)
class Scene:
    """What was learned. Row i of :meth:`at` is the same Gaussian at all times."""

    background: Gaussians
    """Everything that stands still, in the world frame."""
    actors: Mapping[str, Actor] = field(default_factory=dict)
    sky: Sky | None = None
    """None: black."""

    def at(self, time: float) -> Gaussians:
        """One flat set in the world frame at ``time`` (s); absent actors keep their rows with opacity 0."""
        if not self.actors:
            return self.background
        return Gaussians.cat([self.background, *(actor.at(time) for actor in self.actors.values())])

    def local(self) -> Gaussians:
        """The same rows as :meth:`at`, each in its owner's frame."""
        if not self.actors:
            return self.background
        return Gaussians.cat([self.background, *(actor.gaussians for actor in self.actors.values())])

    def to(self, device: torch.device | str) -> Scene:
        """The same scene, its Gaussians and its sky on a device; motions, a few numbers each, stay where they are."""
        return Scene(
            background=self.background.to(device),
            actors={name: replace(actor, gaussians=actor.gaussians.to(device)) for name, actor in self.actors.items()},
            sky=None if self.sky is None else self.sky.to(device),
        )

    def owners(self) -> Int[Tensor, " n"]:
        """The owner of each row: 0 the background, 1.. the actors in order."""
        counts = [len(self.background), *(len(actor.gaussians) for actor in self.actors.values())]
        return torch.repeat_interleave(torch.arange(len(counts)), torch.tensor(counts))
