"""What a fit tells while it runs; the CLI, the viewer and tests consume the same stream."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from veduta.core import Scene
from veduta.fit.memory import MemoryEstimate


@dataclass(frozen=True, kw_only=True)
class Started:
    """Everything is read and checked; no step has been made."""

    step: int
    """Steps done before: 0 unless resumed."""
    steps: int
    """Steps of the whole run."""
    gaussians: int
    """Gaussians now."""
    views: int
    """Training photographs."""
    held_out: int
    """Held-out photographs."""
    backend: str
    """Rasteriser."""
    device: str
    """Where Gaussians are optimised: ``cpu`` or ``cuda``."""
    memory: MemoryEstimate
    """What the run will need at most."""
    scene: Callable[[], Scene] = field(repr=False)
    """A copy of the scene as it is now, in the capture's frame; call before asking for the next event."""


@dataclass(frozen=True, kw_only=True)
class Stepped:
    """Some steps were made; once every ``log_every`` steps and at the last."""

    step: int
    """Steps done."""
    steps: int
    """Steps of the whole run."""
    loss: float
    """Of this step's picture."""
    psnr: float
    """Of this step's picture, in dB."""
    gaussians: int
    """Gaussians now."""
    sh_degree: int
    """Degree of the colour in use."""
    width: int
    """Of this step's picture."""
    height: int
    """Of this step's picture."""
    seconds: float
    """Spent in steps so far, earlier sessions of a resumed run included."""
    eta_seconds: float
    """Estimated for the rest, from the last steps' speed and the sizes of the pictures to come."""
    memory_bytes: int | None
    """Resident memory of the process, on a GPU what it holds there; None where the system does not tell."""
    scene: Callable[[], Scene] = field(repr=False)
    """A copy of the scene as it is now, in the capture's frame; call before asking for the next event."""


@dataclass(frozen=True, kw_only=True)
class Edited:
    """The set of Gaussians changed."""

    step: int
    """Steps done."""
    reason: str
    """Of the strategy: 'densify', 'relocate', 'opacity reset'."""
    before: int
    """Gaussians before."""
    after: int
    """Gaussians after."""
    changed: int
    """Rows with new values."""


@dataclass(frozen=True, kw_only=True)
class Scored:
    """The held-out photographs were compared with renders."""

    step: int
    """Steps done."""
    psnr: float
    """Mean over the views, in dB."""
    ssim: float
    """Mean over the views."""
    views: int
    """How many were compared: those masked altogether are not."""


@dataclass(frozen=True, kw_only=True)
class Saved:
    """A file is complete on the disk."""

    step: int
    """Steps done."""
    path: Path
    """The checkpoint, or the scene at the end."""


Event = Started | Stepped | Edited | Scored | Saved
