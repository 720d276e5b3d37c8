"""Where to photograph next: cameras ranked by what a picture taken there is expected to tell.

Legend: H -> Evidence.fisher, H_v -> what a picture of one camera would add to it (which does not depend on what the
picture shows), sigma, kappa -> Noise, G G^T -> the prior's covariance, A = 1 + G^T H G / (kappa sigma^2) the
information there is in units of the prior, X = G^T H_v G / (kappa sigma^2) the information that the picture would add.
"""

from __future__ import annotations

import heapq
import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from veduta.core import BLOCK, Cameras, DirectionMap, Evidence, InputError, Noise, RasterOptions, Scene
from veduta.core.record import TensorRecord
from veduta.information.checks import check_belongs, check_scene
from veduta.information.directions import add_seen, seen_by
from veduta.information.frames import information_to_owners
from veduta.information.gather import behind
from veduta.information.posterior import Prior, in_prior_units, measured_noise, prior_factor
from veduta.render import screen_moments, screen_pull
from veduta.render.backends import Backend

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
    prior: Prior | None = None,
    noise: Noise | None = None,
    options: RasterOptions | None = None,
    backend: str | Backend = "auto",
    on_view: Callable[[int, int], None] | None = None,
) -> Ranking:
    """Choose ``count`` of the candidates, one after the other, each the most telling given those before (D-optimal).

    The gain of a camera is 1/2 sum over Gaussians of log det(A + X) / det(A), the drop of the Gaussian's entropy, plus
    that of the background, :func:`unseen_gain`. Neither depends on the photograph to be taken, so the information of
    the chosen camera is added to the evidence and the next is chosen from the rest. Gains only fall as evidence grows,
    so a candidate whose last known gain is not the best is not drawn again.

    ``noise`` is measured from the evidence unless given; ``options`` are those that the scene is drawn with.
    ``on_view`` is told (candidates looked at, candidates) in the first round. Raises InputError for fewer candidates
    than ``count`` and for evidence of another scene.
    """
    check_scene(scene)
    check_belongs(scene, evidence)
    if not 1 <= count <= len(candidates):
        expected = f"1 to {len(candidates)}, the candidates there are"
        raise InputError("cannot choose that many cameras", field="count", expected=expected, got=count)
    noise = measured_noise(evidence) if noise is None else noise
    known = _Known(scene, evidence, Prior() if prior is None else prior, noise)
    first: list[float] = []
    for index in range(len(candidates)):
        first.append(known.gain(known.told_by(candidates[index], options, backend)))
        if on_view is not None:
            on_view(index + 1, len(candidates))
    indices, gains = _greedy(known, candidates, first, count, options, backend)
    return Ranking(
        indices=torch.tensor(indices),
        gains=torch.tensor(gains, dtype=torch.float64),
        alone=torch.tensor(first, dtype=torch.float64),
    )


@dataclass(frozen=True, eq=False)
class _Told:
    """What one picture would tell: information of the rows that it shows, and how clear its pixels are."""

    rows: Int[Tensor, " m"]
    fisher: Float[Tensor, "m 91"]
    """In the owners' frames."""
    camera: Cameras
    clear: Float[Tensor, "h w"]
    """Transmittance left for the background."""


class _Known:
    """What is known so far; grows by :meth:`add_`."""

    def __init__(self, scene: Scene, evidence: Evidence, prior: Prior, noise: Noise) -> None:
        self._scene, self._prior, self._noise = scene, prior, noise
        self._local = scene.local()
        self._fisher = evidence.fisher.to(torch.float64, copy=True)
        self._sky = evidence.sky

    def told_by(self, camera: Cameras, options: RasterOptions | None, backend: str | Backend) -> _Told:
        """What a picture of one camera would tell."""
        placed = self._scene.at(float(camera.time[0]))
        seen_through = behind(self._scene, camera)
        moments = screen_moments(placed, camera, behind=seen_through, options=options, backend=backend)
        pulled = screen_pull(placed, camera, moments.fisher, options=options, backend=backend)
        rows = (moments.fisher != 0).any(dim=1).nonzero()[:, 0]
        fisher = information_to_owners(self._scene, placed, pulled)[rows].to(self._fisher)
        return _Told(rows=rows, fisher=fisher, camera=camera, clear=moments.clear.double())

    def gain(self, told: _Told) -> float:
        """Nats that the picture is expected to tell beyond what is known."""
        noise = self._noise
        gained, unknown = 0.0, 0.0
        for rows, fisher in zip(told.rows.split(ROWS_AT_ONCE), told.fisher.split(ROWS_AT_ONCE), strict=True):
            factor = prior_factor(self._local[rows], self._prior, tau=noise.tau)
            before = in_prior_units(self._fisher[rows], factor) / (noise.kappa * noise.sigma**2)
            new = in_prior_units(fisher, factor) / (noise.kappa * noise.sigma**2)
            gained += float((_log_det(before + new) - _log_det(before)).clamp(min=0).sum()) / 2
            unknown += float(_log_det(new).sum()) / 2
        return gained + unseen_gain(self._sky, told.camera, told.clear, noise=noise, if_unknown=unknown)

    def add_(self, told: _Told) -> None:
        """As if the picture had been taken."""
        self._fisher[told.rows] += told.fisher
        self._sky = add_seen(self._sky, told.camera, told.clear.square())


def unseen_gain(
    sky: DirectionMap,
    camera: Cameras,
    clear: Float[Tensor, "h w"],
    *,
    noise: Noise,
    if_unknown: float,
) -> float:
    """Nats that a picture is expected to tell about what no Gaussian stands for yet, through its clear pixels.

    Nothing is there that could have a Fisher information, but a picture of it would tell about as much per pixel as one
    of the rest of the scene did when nothing was known: ``if_unknown``, the gain of this picture's Gaussians against
    their prior alone, over the pixels that they cover, sum of 1 - T^2. A pixel counts by how much of what is unknown it
    shows, log(1 + T^2 V / sigma^2) / log(1 + tau^2 / sigma^2), where V = tau^2 / (1 + S tau^2 / (kappa sigma^2)) is
    left of the background's variance where its direction was seen S times.
    """
    told = seen_by(sky, camera) * (noise.tau**2 / (noise.kappa * noise.sigma**2))
    unknown = (noise.tau / noise.sigma) ** 2
    shown = torch.log1p(clear.square() * unknown / (1 + told)).sum() / math.log1p(unknown)
    covered = float((1 - clear.square()).sum())
    per_pixel = if_unknown / covered if if_unknown > 0 else 1.5 * math.log1p(unknown) / noise.kappa
    return float(shown) * per_pixel


def _greedy(
    known: _Known,
    candidates: Cameras,
    first: list[float],
    count: int,
    options: RasterOptions | None,
    backend: str | Backend,
) -> tuple[list[int], list[float]]:
    """Lazily (Minoux 1978): the last known gain of a candidate bounds its gain now from above."""
    waiting = [(-gain, index, 0) for index, gain in enumerate(first)]
    heapq.heapify(waiting)
    indices: list[int] = []
    gains: list[float] = []
    while len(indices) < count:
        bound, index, chosen_then = heapq.heappop(waiting)
        told = None
        if chosen_then < len(indices):
            told = known.told_by(candidates[index], options, backend)
            gain = min(known.gain(told), -bound)
            if waiting and gain < -waiting[0][0]:
                heapq.heappush(waiting, (-gain, index, len(indices)))
                continue
            bound = -gain
        indices.append(index)
        gains.append(-bound)
        if len(indices) < count:
            known.add_(known.told_by(candidates[index], options, backend) if told is None else told)
    return indices, gains


def _log_det(told: Float[Tensor, "n 13 13"]) -> Float[Tensor, " n"]:
    """Logarithm of det(1 + X) for X >= 0, also where rounding has made X indefinite (negative ones count as 0)."""
    full = told + torch.eye(BLOCK, dtype=told.dtype, device=told.device)
    factor, failed = torch.linalg.cholesky_ex(full)
    found = 2 * torch.diagonal(factor, dim1=1, dim2=2).clamp(min=_TINY).log().sum(dim=1)
    rows = failed.nonzero()[:, 0]
    if len(rows) > 0:
        found[rows] = torch.linalg.eigvalsh((told[rows] + told[rows].mT) / 2).clamp(min=0).log1p().sum(dim=1)
    return found
