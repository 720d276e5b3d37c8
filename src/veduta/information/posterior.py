"""From what photographs told to what is still unknown about each Gaussian.

Legend: H -> Evidence.fisher, K -> Evidence.score, sigma, kappa, tau -> Noise, Lambda -> inverse covariance of the
prior, B = (H / (kappa sigma^2) + Lambda)^-1 -> the ``block`` posterior, P = B (M + Lambda) B -> the ``sandwich``, with
M = K / (kappa sigma^4), or K / (kappa sigma^2)^2 where the score is clustered by photograph. If residuals were what
the noise says, M would be H / (kappa sigma^2) and P would be B; a Gaussian with larger residuals than that is known
less well than it seems (Huber 1967, White 1982).

All is worked out in units of the prior: with Lambda^-1 = G G^T, B = G A^-1 G^T and A = 1 + G^T H G / (kappa sigma^2).
So metres and radians never meet, and rounding stays small against 1.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from veduta.core import BLOCK, PACKED_BLOCK, Evidence, Gaussians, InputError, Noise, Posterior, Scene
from veduta.geometry import SH_C0, matrix_from_quat, pack, unpack
from veduta.information.checks import check_belongs, check_scene
from veduta.information.noise import ASSUMED_NOISE, noise_of

KINDS = ("sandwich", "block", "diagonal")
ROWS_AT_ONCE = 2**14
"""Blocks that are worked on together: some ten matrices of 13x13 doubles each, 0.2 GB."""
_SURELY_DEFINITE = 0.9
"""A matrix of at least 1 whose smallest eigenvalue has been rounded to this is still taken as it is."""


@dataclass(frozen=True, kw_only=True)
class Prior:
    """What is believed about a Gaussian before any photograph: standard deviations about its fitted parameters."""

    mean: float = 1.0
    """In units of the Gaussian's own standard deviations, along its own axes: nothing depends on the world's unit."""
    log_scale: float = 0.7
    """Natural logarithm: a factor of 2."""
    rotation: float = 0.8
    """Radians."""
    logit: float = 2.0
    """Of the opacity."""
    color: float | None = None
    """Of the constant SH coefficients; None: that of the photographs' values, tau / SH_C0."""

    def __post_init__(self) -> None:
        for name, value in vars(self).items():
            if value is not None and not 0 < value < float("inf"):
                raise InputError("not a standard deviation", where="prior", field=name, expected="above 0", got=value)


@torch.no_grad()
def posterior(
    scene: Scene,
    evidence: Evidence,
    *,
    kind: str | None = None,
    prior: Prior | None = None,
    noise: Noise | None = None,
) -> Posterior:
    """Covariance of each Gaussian's 13 parameters once the photographs have been taken into account.

    ``kind`` is ``sandwich``, ``block``, or ``diagonal`` (variances along the Gaussian's own axes, from the diagonal of
    H alone, without the score); None: ``sandwich`` where there were photographs, else ``block``. ``noise`` is measured
    from the residuals, or :data:`~veduta.information.ASSUMED_NOISE` without photographs. A Gaussian that no photograph
    showed has exactly the prior's covariance. Blocks are on the scene's device, in the owner's frame, positive
    semidefinite up to the rounding of their dtype, which is that of the evidence. Raises InputError for evidence of
    another scene and for a sandwich without score.
    """
    check_scene(scene)
    check_belongs(scene, evidence)
    evidence = evidence.to(scene.background.means.device)
    kind = _checked_kind(kind, evidence)
    noise = measured_noise(evidence) if noise is None else noise
    local, prior = scene.local(), Prior() if prior is None else prior
    covariance = evidence.fisher.new_empty(len(local), PACKED_BLOCK)
    before = covariance.clone()
    for start in range(0, len(local), ROWS_AT_ONCE):
        rows = slice(start, start + ROWS_AT_ONCE)
        factor = prior_factor(local[rows], prior, tau=noise.tau)
        told = in_prior_units(evidence.fisher[rows], factor) / (noise.kappa * noise.sigma**2)
        if kind == "diagonal":
            spread = torch.diag_embed(torch.diagonal(told, dim1=1, dim2=2).clamp(min=0).add(1).rsqrt())
        else:
            spread = _roots(told)[1].mT
        if kind == "sandwich":
            assert evidence.score is not None
            meat = in_prior_units(evidence.score[rows], factor) / _score_variance(noise, clustered=evidence.clustered)
            spread = spread @ (spread.mT @ _roots(meat)[0])
        spread = factor @ spread  # times its transpose, the covariance: positive semidefinite however it was rounded
        untold = (evidence.fisher[rows] == 0).all(dim=1)
        before[rows] = pack(factor @ factor.mT).to(before)
        covariance[rows] = pack(spread @ spread.mT).to(covariance)
        covariance[rows] = torch.where(untold[:, None], before[rows], covariance[rows])
    return Posterior(covariance=covariance, prior=before, noise=noise, sky=evidence.sky, kind=kind)


def measured_noise(evidence: Evidence) -> Noise:
    """The noise that the residuals tell, the 13 parameters of each Gaussian that was seen taken off; or the assumed."""
    if evidence.residuals is None:
        return ASSUMED_NOISE
    seen = int((evidence.fisher != 0).any(dim=1).sum())
    return noise_of(evidence.residuals, parameters=BLOCK * seen)


def prior_factor(gaussians: Gaussians, prior: Prior, *, tau: float) -> Float[Tensor, "n 13 13"]:
    """G (float64), the prior's covariance being G G^T, in the frame of ``gaussians``: the unit of every parameter."""
    color = tau / SH_C0 if prior.color is None else prior.color
    units = [1.0] * 3 + [prior.log_scale] * 3 + [prior.rotation] * 3 + [prior.logit] + [color] * 3
    factor = torch.diag(gaussians.means.new_tensor(units, dtype=torch.float64)).repeat(len(gaussians), 1, 1)
    axes = matrix_from_quat(gaussians.quats.double())
    factor[:, :3, :3] = prior.mean * axes * gaussians.scales.double()[:, None, :]
    return factor


def in_prior_units(packed: Float[Tensor, "n 91"], factor: Float[Tensor, "n 13 13"]) -> Float[Tensor, "n 13 13"]:
    """G^T X G (float64) of packed information X: what it says about parameters counted in the prior's deviations."""
    return factor.mT @ unpack(packed.double()) @ factor


def _checked_kind(kind: str | None, evidence: Evidence) -> str:
    if kind is None:
        return "block" if evidence.score is None else "sandwich"
    if kind not in KINDS:
        raise InputError("no such posterior", field="kind", expected=", ".join(KINDS), got=repr(kind))
    if kind == "sandwich" and evidence.score is None:
        hint = "Gather the evidence from photographs, or take kind='block'."
        raise InputError("a sandwich needs residuals", field="kind", expected="evidence from photographs", hint=hint)
    return kind


def _score_variance(noise: Noise, *, clustered: bool) -> float:
    """What the score is divided by to become the variance of the tempered log-likelihood's gradient."""
    return (noise.kappa * noise.sigma**2) ** 2 if clustered else noise.kappa * noise.sigma**4


def _roots(told: Float[Tensor, "n 13 13"]) -> tuple[Float[Tensor, "n 13 13"], Float[Tensor, "n 13 13"]]:
    """R and R^-1 with R R^T = 1 + X for X >= 0; where rounding has made X indefinite, with no eigenvalue below 1.

    Evidence in float32 is exact to about 1e-7 of the product of two diagonal entries; in a needle's own axes, of very
    different lengths, that can exceed the information along the longest. Such rows, few, are told by a Cholesky factor
    that does not exist, and get the nearest matrix that is no less than 1.
    """
    one = torch.eye(BLOCK, dtype=told.dtype, device=told.device)
    full = (told + told.mT) / 2 + one
    root, failed = torch.linalg.cholesky_ex(full)
    _, too_small = torch.linalg.cholesky_ex(full - _SURELY_DEFINITE * one)
    good = (failed == 0) & (too_small == 0)
    root = torch.where(good[:, None, None], root, one)
    inverse = torch.linalg.solve_triangular(root, one.expand_as(root), upper=False)
    rows = (~good).nonzero()[:, 0]
    if len(rows) > 0:
        values, vectors = torch.linalg.eigh(full[rows])
        sizes = values.clamp(min=1).sqrt()
        root[rows] = vectors * sizes[:, None, :]
        inverse[rows] = vectors.mT / sizes[:, :, None]
    return root, inverse
