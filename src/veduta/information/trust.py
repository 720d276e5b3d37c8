"""How far each Gaussian can be trusted, and what the pictures lose when it is left out."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from veduta.core import BLOCK, Evidence, InputError, Posterior, RasterOptions, Scene, ViewSource
from veduta.geometry import SH_C0, unpack
from veduta.information.checks import check_belongs
from veduta.measure import psnr
from veduta.measure.images import comparable
from veduta.render import render_scene

LOGIT = 9
"""Row of the opacity's logit in a block."""
DC = slice(10, 13)
"""Rows of the constant colour."""
_DIAGONAL = [row * BLOCK - row * (row - 1) // 2 for row in range(BLOCK)]
"""Where the diagonal is in a packed block."""
_RESOLVED = 100.0
"""Variances below this many roundings of the largest are rounding themselves: the thickness of a very flat disc."""
_CHUNK = 65536  # blocks at a time: 90 MB as float64


def confidence(posterior: Posterior) -> Float[Tensor, " n"]:
    """The share of what was unknown about each Gaussian that photographs settled: 0 unseen, towards 1 well known.

    1 - trace(L^T P L) / 13, where L L^T is the inverse of the prior's covariance: in the coordinates in which the
    prior is a unit ball, the mean share of variance that is gone, clipped to 0..1. Free of units, so that a rescaled
    world gives the same. With the plain block posterior it is the number of parameters that photographs determine, out
    of 13 (the effective parameters sum l / (1 + l) over the eigenvalues l of information against the prior). The
    sandwich can leave a Gaussian less certain than the prior where residuals are large; such directions count against
    it. Axes of Gaussians so thin that a covariance of this dtype cannot hold them are left out of the mean.
    """
    shares = [
        _settled(posterior.covariance[start : start + _CHUNK], posterior.prior[start : start + _CHUNK])
        for start in range(0, len(posterior.covariance), _CHUNK)
    ]
    return torch.cat([posterior.covariance.new_zeros(0), *shares])


def removal_cost(evidence: Evidence, scene: Scene) -> Float[Tensor, " n"]:
    """Sum over training pixels and channels of the squared change of the picture without a Gaussian (float64).

    A picture is affine in one Gaussian's alpha, so leaving it out changes the colour by exactly -alpha v, v = d colour
    / d alpha, wherever alpha is not clamped and the renderer's early stop does not move. The logit's derivative is
    v alpha (1 - opacity), so the sum of alpha^2 |v|^2 is H[logit, logit] / (1 - opacity)^2. At an opacity of exactly 1
    the logit tells nothing; there the cost is bounded from above: |v|^2 <= 3 T^2 for colours in 0..1, and the colour's
    own information is Y0^2 times the sum of (alpha T)^2. What was never seen costs nothing. Infinite where a Gaussian
    was seen but neither is known (opacity 1 and clamped to black). Each cost is that of one Gaussian alone: costs of
    Gaussians that hide one another do not add up.
    """
    check_belongs(scene, evidence)
    opacities = scene.local().opacities.to(evidence.fisher.device).double()
    diagonal = evidence.fisher[:, _DIAGONAL].double()
    faint = 1.0 - opacities
    exact = diagonal[:, LOGIT] / torch.where(faint > 0, faint, 1.0).square()
    at_most = diagonal[:, DC].amax(dim=1) * (3 / SH_C0**2)
    unknown = (at_most <= 0) & (diagonal.amax(dim=1) > 0)
    return torch.where(faint > 0, exact, torch.where(unknown, math.inf, at_most))


def prune(scene: Scene, scores: Float[Tensor, " n"], *, keep: float | None = None, above: float | None = None) -> Scene:
    """The scene with the Gaussians of the highest scores only; ``scores`` has a row per Gaussian of ``scene.local()``.

    Either ``keep``, the share that stays (0 to 1; among equals the first rows), or ``above``, the least score that
    stays. Actors keep their names and motions, also where none of their Gaussians is left. InputError for scores of
    another scene or that are not numbers, or a share outside 0..1.
    """
    if (keep is None) == (above is None):
        raise TypeError("give keep or above, not both")
    _check_scores(scene, scores)
    if above is not None:
        return _rows(scene, scores >= above)
    assert keep is not None
    return _rows(scene, _highest(scores, _checked_share(keep, "keep")))


@dataclass(frozen=True, kw_only=True)
class PruneRow:
    """What is left, and how good it is, when the lowest scores are pruned."""

    keep: float
    """Share of the Gaussians that stays."""
    gaussians: int
    threshold: float
    """The least score that stays; infinite where none does."""
    psnr: float
    """Mean over the given views (dB), renders clamped to 0..1 and rounded to 8 bits."""
    bytes: int
    """Size of the rows in a 3DGS PLY file."""


def prune_report(
    scene: Scene,
    scores: Float[Tensor, " n"],
    views: ViewSource,
    shares: Sequence[float] = (1.0, 0.9, 0.75, 0.5, 0.25),
    *,
    options: RasterOptions | None = None,
    backend: str = "auto",
) -> tuple[PruneRow, ...]:
    """What each share that stays costs on ``views`` (best held-out ones), in the order of ``shares``.

    Views that are masked altogether are left out. InputError for a source without any others, and as :func:`prune`.
    """
    _check_scores(scene, scores)
    if len(views) == 0:
        raise InputError("no photographs to compare with", field="views", expected="at least one", got="none")
    rows: list[PruneRow] = []
    for share in shares:
        kept = _highest(scores, _checked_share(share, "shares"))
        pruned = _rows(scene, kept)
        rows.append(
            PruneRow(
                keep=float(share),
                gaussians=int(kept.sum()),
                threshold=float(scores[kept].min()) if bool(kept.any()) else math.inf,
                psnr=_mean_psnr(pruned, views, options=options, backend=backend),
                bytes=_ply_bytes(pruned),
            )
        )
    return tuple(rows)


def _settled(covariance: Float[Tensor, "m 91"], prior: Float[Tensor, "m 91"]) -> Float[Tensor, " m"]:
    """1 - trace(prior^-1 covariance) / 13 in correlations, so that units do not matter."""
    before, after = unpack(prior.double()), unpack(covariance.double())
    size = torch.diagonal(before, dim1=1, dim2=2).clamp(min=torch.finfo(torch.float64).tiny).sqrt()
    before, after = (matrix / size[:, :, None] / size[:, None, :] for matrix in (before, after))
    least = _RESOLVED * torch.finfo(prior.dtype).eps
    _, thin = torch.linalg.cholesky_ex(before - least * torch.eye(BLOCK, dtype=before.dtype, device=before.device))
    left = torch.ones_like(size[:, 0])
    left[thin == 0] = _mean_diagonal(torch.linalg.solve(before[thin == 0], after[thin == 0]))
    values, axes = torch.linalg.eigh(before[thin != 0])
    told = values > least
    shares = (axes * (after[thin != 0] @ axes)).sum(dim=1) / torch.where(told, values, 1)
    left[thin != 0] = (shares * told).sum(dim=1) / told.sum(dim=1)
    left = torch.where((covariance == prior).all(dim=1), 1, left)
    return (1 - left).clamp(0, 1).to(covariance)


def _mean_diagonal(matrices: Float[Tensor, "m 13 13"]) -> Float[Tensor, " m"]:
    return torch.diagonal(matrices, dim1=1, dim2=2).mean(dim=1)


def _highest(scores: Float[Tensor, " n"], share: float) -> Bool[Tensor, " n"]:
    """The rows of the highest scores, as many as the share says (rounded)."""
    order = torch.argsort(scores, descending=True, stable=True)
    kept = torch.zeros(len(scores), dtype=torch.bool, device=scores.device)
    kept[order[: round(share * len(scores))]] = True
    return kept


def _rows(scene: Scene, kept: Bool[Tensor, " n"]) -> Scene:
    """The scene with the chosen rows of :meth:`Scene.local`."""
    parts = [scene.background, *(actor.gaussians for actor in scene.actors.values())]
    masks = kept.to(scene.background.means.device).split([len(part) for part in parts])
    background, *others = (part[mask] for part, mask in zip(parts, masks, strict=True))
    actors = {
        name: dataclasses.replace(actor, gaussians=rows)
        for (name, actor), rows in zip(scene.actors.items(), others, strict=True)
    }
    return Scene(background=background, actors=actors, sky=scene.sky)


def _check_scores(scene: Scene, scores: Float[Tensor, " n"]) -> None:
    count = len(scene.background) + sum(len(actor.gaussians) for actor in scene.actors.values())
    if len(scores) != count:
        raise InputError(
            "not the scene's scores", field="scores", expected=f"{count}, one per Gaussian", got=len(scores)
        )
    if bool(scores.isnan().any()):
        raise InputError(
            "scores are not numbers", field="scores", expected="no NaN", got=f"{int(scores.isnan().sum())}"
        )


def _checked_share(share: float, field: str) -> float:
    if not 0 <= share <= 1:
        raise InputError("not a share", field=field, expected="0 to 1", got=share)
    return share


def _mean_psnr(scene: Scene, views: ViewSource, *, options: RasterOptions | None, backend: str) -> float:
    found: list[Tensor] = []
    for i in range(len(views)):
        seen = views[i]
        with torch.no_grad():
            color = render_scene(scene, seen.cameras, options=options, backend=backend).color
        color = (color.clamp(0, 1) * 255).round() / 255
        trusted = (seen.weight > 0).to(color)
        by_psnr, _ = comparable(trusted)
        found.append(psnr(color, seen.rgb.to(color), trusted)[by_psnr].double())
    peaks = torch.cat(found)
    if len(peaks) == 0:
        raise InputError("all photographs are masked altogether", field="views", expected="something to compare with")
    return float(peaks.mean())


def _ply_bytes(scene: Scene) -> int:
    """Mean, normal, colour, opacity, scale and rotation of every Gaussian, 4 bytes each."""
    parts = [scene.background, *(actor.gaussians for actor in scene.actors.values())]
    return sum(len(part) * 4 * (3 + 3 + 3 * part.sh.shape[1] + 1 + 3 + 4) for part in parts)
