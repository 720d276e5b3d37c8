"""What a training tells while it runs."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, kw_only=True)
class TrainingStarted:
    """Everything is read and checked; no step has been made."""

    step: int
    """Steps done before: 0 unless resumed."""
    steps: int
    parameters: int
    """Numbers that are learned."""
    examples: int
    """Objects or scenes that there are; an endless supply tells a large number."""
    processes: int
    start: str | None = None
    """What the weights began with; None: with numbers drawn from the seed."""
    taken: int = 0
    """Parameters that were taken from it; the others were drawn. 0 in a resumed run, which has its own."""


@dataclass(frozen=True, kw_only=True)
class TrainingStepped:
    """Some steps were made: means over those since the event before."""

    step: int
    steps: int
    loss: float
    coarse_psnr: float
    """Of views that the model was not shown, in dB."""
    psnr: float
    """The same of the densified Gaussians."""
    gaussians: float
    gradient: float
    """Length before it was clipped."""
    learning_rate: float
    seconds: float
    """Spent in steps so far, earlier sessions of a resumed run included."""
    eta_seconds: float


@dataclass(frozen=True, kw_only=True)
class TrainingScored:
    """The averaged weights were tried on objects that are held out."""

    step: int
    coarse_psnr: float
    psnr: float
    objects: int


@dataclass(frozen=True, kw_only=True)
class TrainingSaved:
    """A file is complete on the disk."""

    step: int
    path: Path
    """The checkpoint, or the model at the end."""


TrainingEvent = TrainingStarted | TrainingStepped | TrainingScored | TrainingSaved
