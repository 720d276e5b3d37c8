"""Where to photograph next: cameras ranked by what a picture taken there is expected to tell.

Nothing here depends on what the picture will show, only on how it depends on the Gaussians: so the information of a
chosen camera can be added before the photograph is taken, and the next camera chosen as if it had been.

Legend: H -> Evidence.fisher, H_v -> what a picture of one camera would add to it, sigma, kappa, tau -> Noise,
P -> the ``block`` posterior's covariance, Sigma -> covariance of one pixel's colour (:func:`veduta.information.map`),
G G^T -> the prior's covariance.
"""

from __future__ import annotations

import heapq
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import torch
from jaxtyping import Float, Int
from torch import Tensor

from veduta.core import BLOCK, Cameras, Evidence, InputError, Noise, Posterior, RasterOptions, Scene
from veduta.core.record import TensorRecord
from veduta.information.checks import check_belongs, check_scene
from veduta.information.directions import seen_by
from veduta.information.gather import add, gather
from veduta.information.maps import map as map_of
from veduta.information.posterior import Prior, in_prior_units, measured_noise, posterior, prior_factor
from veduta.render import render_scene
from veduta.render.backends import Backend

PHOTO_SIGMA = 0.01
"""Noise of a photograph itself, in colour units: 2.5 of 255."""
ROWS_AT_ONCE = 2**14
"""Blocks that are worked on together: some ten matrices of 13x13 doubles each, 0.2 GB."""
_TINY = 1e-300  # in place of what a Cholesky factor that does not exist may hold


@dataclass(frozen=True, eq=False)
class Ranking(TensorRecord):
    """Cameras in the order in which their pictures are worth taking."""

    indices: Int[Tensor, " k"]
    """Rows of the candidates, the best first."""
    gains: Float[Tensor, " k"]
    """What each is expected to tell when those before it have been taken, in nats; never rising."""
    alone: Float[Tensor, " c"]
    """What every candidate is expected to tell as the first and only one, in nats."""


@torch.no_grad()
def next_view(
    scene: Scene,
    evidence: Evidence,
    candidates: Cameras,
    *,
    count: int = 1,
    kind: str = "pixels",
    prior: Prior | None = None,
    noise: Noise | None = None,
    options: RasterOptions | None = None,
    backend: str | Backend = "auto",
    on_view: Callable[[int, int], None] | None = None,
) -> Ranking:
    """Choose ``count`` of the candidates, one after the other, each the most telling given those before.

    ``kind`` says what is counted. ``pixels``: the gain map of the camera summed up, 1/kappa sum over pixels of
    1/2 log det(1 + Sigma / sigma^2), unseen space included. ``parameters``: the drop of the Gaussians' entropy
    (D-optimal), 1/2 sum over Gaussians of log det(1 + H_v P / (kappa sigma^2)), and unseen space by
    :func:`unseen_gain`. Where photographs left a region to a few large Gaussians, those have few parameters but many
    pixels, so pixels are the default; measured, both choose better than chance or distance, and differ by less than
    seeds do (``docs/benchmarks.md``). Both count Gaussians, and pixels, as if independent: they are for comparing
    cameras. Gains only fall as evidence grows, so that a candidate whose last known gain is not the best need not be
    looked at again.

    ``noise`` None is that of photographs, sigma 0.01 and kappa 1, with the evidence's tau, and not what the residuals
    tell: those of a scene from few photographs are large because it is unfinished, and by them no picture would tell
    much, whatever was seen before. ``options`` are those that the scene is drawn with. ``on_view`` is told (candidates
    looked at, candidates) in the first round. Raises InputError for fewer candidates than ``count``, an unknown kind,
    and evidence of another scene.
    """
    check_scene(scene)
    check_belongs(scene, evidence)
    if not 1 <= count <= len(candidates):
        expected = f"1 to {len(candidates)}, the candidates there are"
        raise InputError("cannot choose that many cameras", field="count", expected=expected, got=count)
    if kind not in CRITERIA:
        raise InputError("no such criterion", field="kind", expected=", ".join(CRITERIA), got=repr(kind))
    noise = Noise(sigma=PHOTO_SIGMA, kappa=1.0, tau=measured_noise(evidence).tau) if noise is None else noise
    known = _Known(
        scene=scene,
        evidence=evidence.replace(score=None, residuals=None, clustered=False).to(scene.background.means.device),
        prior=Prior() if prior is None else prior,
        noise=noise,
        options=options,
        backend=backend,
    )
    criterion = CRITERIA[kind](known)
    first: list[float] = []
    for index in range(len(candidates)):
        first.append(criterion.gain(candidates[index]))
        if on_view is not None:
            on_view(index + 1, len(candidates))
    indices, gains = _greedy(criterion, candidates, first, count)
    return Ranking(
        indices=torch.tensor(indices),
        gains=torch.tensor(gains, dtype=torch.float64),
        alone=torch.tensor(first, dtype=torch.float64),
    )


def unseen_gain(
    evidence: Evidence, camera: Cameras, clear: Float[Tensor, "h w"], *, noise: Noise, if_unknown: float
) -> float:
    """Nats that a picture is expected to tell about what no Gaussian stands for yet, through its clear pixels.

    Nothing is there that could have a Fisher information, but a picture of it would tell about as much per pixel as one
    of the rest of the scene did when nothing was known: ``if_unknown``, the gain of this picture's Gaussians against
    their prior alone, over the pixels that they cover, sum of 1 - T^2. A pixel counts by how much of what is unknown it
    shows, log(1 + T^2 V / sigma^2) / log(1 + tau^2 / sigma^2), where V = tau^2 / (1 + S tau^2 / (kappa sigma^2)) is
    left of the background's variance where its direction was seen S times.
    """
    told = seen_by(evidence.sky, camera) * (noise.tau**2 / (noise.kappa * noise.sigma**2))
    unknown = (noise.tau / noise.sigma) ** 2
    shown = torch.log1p(clear.square() * unknown / (1 + told)).sum() / math.log1p(unknown)
    covered = float((1 - clear.square()).sum())
    per_pixel = if_unknown / covered if if_unknown > 0 else 1.5 * math.log1p(unknown) / noise.kappa
    return float(shown) * per_pixel


@dataclass(frozen=True, eq=False)
class _Known:
    """What is known so far."""

    scene: Scene
    evidence: Evidence
    prior: Prior
    noise: Noise
    options: RasterOptions | None
    backend: str | Backend

    def told_by(self, camera: Cameras) -> Evidence:
        """What a picture of one camera would add, in the owners' frames."""
        return gather(self.scene, camera, options=self.options, backend=self.backend)


@runtime_checkable
class Criterion(Protocol):
    """Counts what a picture tells beyond what is known."""

    def gain(self, camera: Cameras) -> float:
        """Nats that a picture of one camera is expected to tell."""
        ...

    def add_(self, camera: Cameras) -> None:
        """As if the picture had been taken."""
        ...


class Pixels:
    """The camera's gain map, summed up."""

    def __init__(self, known: _Known) -> None:
        self._known = known
        self._evidence = known.evidence
        self._posterior = self._settled()

    def gain(self, camera: Cameras) -> float:
        """1/kappa sum over pixels of 1/2 log det(1 + Sigma / sigma^2): kappa pixels tell as much as one."""
        known = self._known
        found = map_of(known.scene, self._posterior, camera, options=known.options, backend=known.backend)
        return float(found.gain.double().sum()) / known.noise.kappa

    def add_(self, camera: Cameras) -> None:
        """As if the picture had been taken."""
        self._evidence = add(self._evidence, self._known.told_by(camera))
        self._posterior = self._settled()

    def _settled(self) -> Posterior:
        known = self._known
        return posterior(known.scene, self._evidence, kind="block", prior=known.prior, noise=known.noise)


class Parameters:
    """The drop of the Gaussians' entropy (D-optimal)."""

    def __init__(self, known: _Known) -> None:
        self._known = known
        self._local = known.scene.local()
        self._evidence = known.evidence

    def gain(self, camera: Cameras) -> float:
        """1/2 sum over Gaussians of log det(A + X) / det(A), A = 1 + G^T H G / (kappa sigma^2), X likewise of H_v."""
        known, noise = self._known, self._known.noise
        new = known.told_by(camera).fisher
        gained, unknown = 0.0, 0.0
        for rows in (new != 0).any(dim=1).nonzero()[:, 0].split(ROWS_AT_ONCE):
            factor = prior_factor(self._local[rows], known.prior, tau=noise.tau)
            before = in_prior_units(self._evidence.fisher[rows], factor) / (noise.kappa * noise.sigma**2)
            told = in_prior_units(new[rows], factor) / (noise.kappa * noise.sigma**2)
            gained += float((_log_det(before + told) - _log_det(before)).clamp(min=0).sum()) / 2
            unknown += float(_log_det(told).sum()) / 2
        clear = 1 - render_scene(known.scene, camera, options=known.options, backend=known.backend).alpha[0].double()
        return gained + unseen_gain(self._evidence, camera, clear, noise=noise, if_unknown=unknown)

    def add_(self, camera: Cameras) -> None:
        """As if the picture had been taken."""
        self._evidence = add(self._evidence, self._known.told_by(camera))


CRITERIA: Mapping[str, Callable[[_Known], Criterion]] = {"pixels": Pixels, "parameters": Parameters}
"""What can be counted."""


def _greedy(criterion: Criterion, candidates: Cameras, first: list[float], count: int) -> tuple[list[int], list[float]]:
    """Lazily (Minoux 1978): the last known gain of a candidate bounds its gain now from above."""
    waiting = [(-gain, index, 0) for index, gain in enumerate(first)]
    heapq.heapify(waiting)
    indices: list[int] = []
    gains: list[float] = []
    while True:
        bound, index, chosen_then = heapq.heappop(waiting)
        if chosen_then < len(indices):
            gain = min(criterion.gain(candidates[index]), -bound)
            heapq.heappush(waiting, (-gain, index, len(indices)))
            continue
        indices.append(index)
        gains.append(-bound)
        if len(indices) == count:
            return indices, gains
        criterion.add_(candidates[index])


def _log_det(told: Float[Tensor, "n 13 13"]) -> Float[Tensor, " n"]:
    """Logarithm of det(1 + X) for X >= 0, also where rounding has made X indefinite (negative ones count as 0)."""
    full = told + torch.eye(BLOCK, dtype=told.dtype, device=told.device)
    factor, failed = torch.linalg.cholesky_ex(full)
    found = 2 * torch.diagonal(factor, dim1=1, dim2=2).clamp(min=_TINY).log().sum(dim=1)
    rows = failed.nonzero()[:, 0]
    if len(rows) > 0:
        found[rows] = torch.linalg.eigvalsh((told[rows] + told[rows].mT) / 2).clamp(min=0).log1p().sum(dim=1)
    return found
