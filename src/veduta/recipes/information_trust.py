"""How far each Gaussian can be trusted: a PLY that says so, and what pruning costs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor

from veduta import information
from veduta.core import Evidence, Gaussians, InputError, OutputError, Posterior
from veduta.information import PruneRow
from veduta.io.ply import write_ply
from veduta.recipes.information import Subject

Score = Literal["cost", "confidence"]
SHARES = (1.0, 0.9, 0.75, 0.5, 0.25)


@dataclass(frozen=True, kw_only=True, eq=False)
class Trust:
    """Two numbers per Gaussian of a scene, rows as of ``scene.local()``, on the CPU."""

    confidence: Float[Tensor, " n"]
    """Share of what was unknown that the photographs settled: 0 never seen, towards 1 well known."""
    cost: Float[Tensor, " n"]
    """Summed squared change of the training pictures if it were left out."""

    def score(self, by: Score) -> Float[Tensor, " n"]:
        """What pruning goes by."""
        return self.cost if by == "cost" else self.confidence.to(self.cost)


def trust_of(subject: Subject, evidence: Evidence, posterior: Posterior) -> Trust:
    """Confidence and removal cost of every Gaussian."""
    cost = information.removal_cost(evidence, subject.scene)
    return Trust(confidence=information.confidence(posterior).cpu(), cost=cost.cpu())


def prune_costs(
    subject: Subject, trust: Trust, *, by: Score = "cost", shares: Sequence[float] = SHARES, backend: str = "auto"
) -> tuple[tuple[PruneRow, ...], str]:
    """What each share that stays costs in PSNR, and on which photographs: held-out ones, or else the training ones.

    No rows where the photographs are missing.
    """
    if subject.missing:
        return (), "no photographs"
    held_out = len(subject.capture.test) > 0
    views = subject.capture.test if held_out else subject.capture.train
    rows = information.prune_report(
        subject.scene, trust.score(by), views, shares, options=subject.run.raster, backend=backend
    )
    return rows, f"{len(views)} {'held-out' if held_out else 'training'} photographs"


def check_target(path: Path, *, keep: float = 1.0, overwrite: bool = False) -> None:
    """What :func:`write_trust` would refuse, before anything is computed for it."""
    if path.suffix.lower() != ".ply":
        raise InputError(
            "only a PLY has properties of one's own", where=path, expected="a name that ends in .ply", got=path.suffix
        )
    if path.exists() and not overwrite:
        raise OutputError(
            "the file exists and is left as it is", where=path, hint="Name another file, or replace it with --force."
        )
    if not 0.0 <= keep <= 1.0:
        raise InputError("not a share", field="keep", expected="0 to 1", got=keep)


def write_trust(
    subject: Subject,
    trust: Trust,
    path: Path,
    *,
    keep: float = 1.0,
    by: Score = "cost",
    time: float = 0.0,
    overwrite: bool = False,
) -> Gaussians:
    """Write the Gaussians, in the capture's frame, with ``confidence`` and ``removal_cost`` as properties of the PLY.

    Of the Gaussians the share ``keep`` with the highest scores stays. Moving objects are placed where they are at
    ``time`` (s), and left out where they are absent. What was written is returned. Raises OutputError for an existing
    file unless ``overwrite``, InputError for another suffix and for a share outside 0..1.
    """
    check_target(path, keep=keep, overwrite=overwrite)
    order = torch.argsort(trust.score(by), descending=True, stable=True)
    kept = torch.zeros(len(order), dtype=torch.bool)
    kept[order[: round(keep * len(order))]] = True
    gaussians = subject.scene.at(time).to("cpu")
    if subject.scene.actors:
        kept = kept & (gaussians.opacities > 0)
    most = torch.finfo(torch.float32).max
    extra = {
        "confidence": trust.confidence[kept].float(),
        "removal_cost": trust.cost[kept].clamp(max=most).float(),
    }
    gaussians = gaussians[kept]
    write_ply(gaussians, path, extra=extra)
    return gaussians
