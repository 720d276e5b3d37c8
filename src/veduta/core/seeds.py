"""Named random streams: a new consumer of randomness never shifts the others."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field

import torch


@dataclass(frozen=True, eq=False)
class Streams:
    """A family of generators, one per name, each seeded from ``hash(seed, name)``; nothing global is seeded."""

    seed: int = 0
    _generators: dict[tuple[str, str], torch.Generator] = field(default_factory=dict, repr=False)

    def __call__(self, name: str, device: str | torch.device = "cpu") -> torch.Generator:
        """The generator called ``name`` on ``device``; the same object, in its current state, at every call."""
        key = (name, str(device))
        if key not in self._generators:
            digest = hashlib.blake2b(f"{self.seed}:{name}".encode(), digest_size=8).digest()
            generator = torch.Generator(device=device)
            generator.manual_seed(int.from_bytes(digest, "little") & (2**63 - 1))
            self._generators[key] = generator
        return self._generators[key]

    def state(self) -> dict[str, torch.Tensor]:
        """The state of every stream used so far, by name (with ``@cuda`` where it is a GPU's): for checkpoints."""
        return {_label(name, device): g.get_state() for (name, device), g in self._generators.items()}

    def restore(self, state: dict[str, torch.Tensor], device: str | torch.device = "cpu") -> None:
        """Continue the named streams from a stored :meth:`state`: those of the CPU and those of ``device``'s kind."""
        for label, value in state.items():
            name, _, kind = label.partition("@")
            if not kind:
                self(name).set_state(value)
            elif kind == torch.device(device).type:
                self(name, device).set_state(value)


def _label(name: str, device: str) -> str:
    kind = torch.device(device).type
    return name if kind == "cpu" else f"{name}@{kind}"
