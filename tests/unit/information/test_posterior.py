"""From evidence to covariances: against plain matrix algebra, at the edges of rounding, and mistakes."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from tests.unit.information import tiny
from veduta.core import Evidence, Gaussians, InputError, Noise, Scene
from veduta.geometry import SH_C0, matrix_from_quat, pack, unpack
from veduta.information import ASSUMED_NOISE, KINDS, Prior, gather, measured_noise, posterior
from veduta.information.posterior import prior_factor

SCENE = tiny.scene(moving=True)
CAMERAS = tiny.around([-20.0, 0.0, 30.0], times=[0.0, 0.7, 1.9])
EVIDENCE = gather(SCENE, tiny.photographs(SCENE, CAMERAS), backend="reference")
NOISE = Noise(sigma=0.04, kappa=3.0, tau=0.2)


def prior_precision(scene: Scene, tau: float) -> Tensor:
    """Lambda, in plain algebra."""
    local = scene.local()
    axes = matrix_from_quat(local.quats)
    mean = axes @ torch.diag_embed(local.scales**-2) @ axes.mT
    variances = [0.49] * 3 + [0.64] * 3 + [4.0] + [(tau / SH_C0) ** 2] * 3
    rest = 1 / torch.tensor(variances, dtype=torch.float64)
    return torch.stack([torch.block_diag(block, torch.diag(rest)) for block in mean])


@pytest.mark.parametrize("clustered", [False, True])
def test_block_and_sandwich_are_what_they_are_called(clustered: bool) -> None:
    evidence = EVIDENCE.replace(clustered=clustered)
    assert evidence.score is not None
    precision = prior_precision(SCENE, NOISE.tau)
    h, k = unpack(evidence.fisher), unpack(evidence.score)
    s2, kappa = NOISE.sigma**2, NOISE.kappa
    block = torch.linalg.inv(h / (kappa * s2) + precision)
    meat = k / (kappa * s2) ** 2 if clustered else k / (kappa * s2**2)
    for kind, expected in (("block", block), ("sandwich", block @ (meat + precision) @ block)):
        found = unpack(posterior(SCENE, evidence, kind=kind, noise=NOISE).covariance)
        unit = torch.diagonal(torch.linalg.inv(precision), dim1=1, dim2=2).sqrt()
        error = (found - expected).abs() / unit[:, :, None] / unit[:, None, :]
        assert float(error.max()) < 1e-9


def test_the_diagonal_in_the_gaussians_own_axes() -> None:
    found = posterior(SCENE, EVIDENCE, kind="diagonal", noise=NOISE)
    factor = prior_factor(SCENE.local(), Prior(), tau=NOISE.tau)
    inner = torch.linalg.solve(factor, torch.linalg.solve(factor, unpack(found.covariance)).mT)
    told = torch.diagonal(factor.mT @ unpack(EVIDENCE.fisher) @ factor, dim1=1, dim2=2)
    expected = torch.diag_embed(1 / (1 + told / (NOISE.kappa * NOISE.sigma**2)))
    torch.testing.assert_close(inner, expected, rtol=1e-8, atol=1e-10)


def test_residuals_as_the_noise_says_make_the_sandwich_the_block() -> None:
    evidence = EVIDENCE.replace(score=EVIDENCE.fisher * NOISE.sigma**2)
    block, sandwich = (posterior(SCENE, evidence, kind=kind, noise=NOISE) for kind in ("block", "sandwich"))
    unit = block.prior.abs().amax(dim=1, keepdim=True)
    torch.testing.assert_close(sandwich.covariance / unit, block.covariance / unit, rtol=1e-8, atol=1e-10)


@pytest.mark.parametrize("kind", KINDS)
def test_every_block_is_positive_and_photographs_never_make_it_larger_than_the_prior(kind: str) -> None:
    found = posterior(SCENE, EVIDENCE, kind=kind)
    assert found.kind == kind
    assert float(tiny.least_eigenvalues(found.covariance).min()) > -1e-9
    assert float(tiny.least_eigenvalues(EVIDENCE.fisher).min()) > -1e-9
    assert EVIDENCE.score is not None
    assert float(tiny.least_eigenvalues(EVIDENCE.score).min()) > -1e-9
    if kind != "sandwich":
        assert float(tiny.least_eigenvalues(found.prior - found.covariance).min()) > -1e-9


@pytest.mark.parametrize("kind", KINDS)
def test_what_was_never_seen_keeps_the_prior_exactly(kind: str) -> None:
    evidence = EVIDENCE.map(lambda t: t.clone())
    assert evidence.score is not None
    evidence.fisher[[2, 11]] = 0
    evidence.score[[2, 11]] = 0
    found = posterior(SCENE, evidence, kind=kind, noise=NOISE)
    assert torch.equal(found.covariance[[2, 11]], found.prior[[2, 11]])
    assert not torch.allclose(found.covariance[3], found.prior[3])
    expected = torch.linalg.inv(prior_precision(SCENE, NOISE.tau))
    torch.testing.assert_close(unpack(found.prior), expected, rtol=1e-9, atol=1e-12)


def test_priors_are_standard_deviations() -> None:
    prior = Prior(mean=2.0, log_scale=0.1, rotation=0.2, logit=0.3, color=0.4)
    found = posterior(SCENE, tiny.nothing(SCENE), prior=prior)
    variances = torch.diagonal(unpack(found.prior), dim1=1, dim2=2)
    expected = torch.tensor([0.01] * 3 + [0.04] * 3 + [0.09] + [0.16] * 3).double()
    torch.testing.assert_close(variances[:, 3:], expected.expand(len(variances), -1))
    torch.testing.assert_close(variances[:, :3].sum(dim=1), 4 * SCENE.local().scales.square().sum(dim=1))


@pytest.mark.parametrize("value", [0.0, -1.0, math.inf, math.nan])
def test_priors_that_are_none(value: float) -> None:
    with pytest.raises(InputError, match="field rotation"):
        Prior(rotation=value)


def test_the_default_kind_and_noise() -> None:
    measured = posterior(SCENE, EVIDENCE)
    assert (measured.kind, measured.noise) == ("sandwich", measured_noise(EVIDENCE))
    assert measured.noise.sigma == pytest.approx(tiny.NOISE, rel=0.2)
    alone = posterior(SCENE, gather(SCENE, CAMERAS, backend="reference"))
    assert (alone.kind, alone.noise) == ("block", ASSUMED_NOISE)


def test_only_what_was_seen_counts_as_fitted() -> None:
    assert EVIDENCE.residuals is not None
    hidden = EVIDENCE.replace(fisher=EVIDENCE.fisher.clone())
    hidden.fisher[:] = 0
    assert measured_noise(hidden).sigma < measured_noise(EVIDENCE).sigma


def needles(count: int = 400) -> tuple[Scene, Tensor]:
    """Gaussians up to 3,000 times as long as thick, and information of rank 1 to 3 about each, rounded to float32."""
    generator = torch.Generator().manual_seed(0)
    scales = 10 ** (-3.5 * torch.rand(count, 3, generator=generator, dtype=torch.float64))
    gaussians = Gaussians(
        means=torch.randn(count, 3, generator=generator).double(),
        quats=torch.nn.functional.normalize(torch.randn(count, 4, generator=generator).double(), dim=1),
        scales=scales,
        opacities=torch.full((count,), 0.5).double(),
        sh=torch.zeros(count, 1, 3).double(),
    )
    lines = torch.randn(count, 3, 13, generator=generator, dtype=torch.float64)
    lines[: count // 2, 1:] = 0
    size = 10 ** (6 * torch.rand(count, 1, 13, generator=generator, dtype=torch.float64))
    size[:, :, :3] /= scales.amin(dim=1)[:, None, None]
    lines = lines * size
    return Scene(background=gaussians.to(torch.float32)), pack(lines.mT @ lines).float()


@pytest.mark.parametrize("kind", KINDS)
def test_rounded_evidence_never_fails(kind: str) -> None:
    scene, blocks = needles()
    signs = 1 + 3e-7 * torch.randn(blocks.shape, generator=torch.Generator().manual_seed(1))
    evidence = tiny.nothing(scene).replace(fisher=blocks, score=blocks * signs)
    assert float(tiny.least_eigenvalues(blocks).min()) < 0  # so they are not quite what they should be
    found = posterior(scene, evidence, kind=kind, noise=NOISE)
    assert found.covariance.dtype == torch.float32
    assert bool(found.covariance.isfinite().all())
    assert float(tiny.least_eigenvalues(found.covariance).min()) > -1e-5
    if kind != "sandwich":
        before, after = (torch.diagonal(unpack(t), dim1=1, dim2=2) for t in (found.prior, found.covariance))
        assert bool((after <= before * (1 / 0.9 + 1e-4)).all())


def test_rows_are_worked_on_in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = posterior(SCENE, EVIDENCE, noise=NOISE)
    monkeypatch.setattr(sys_module("posterior"), "ROWS_AT_ONCE", 3)
    parts = posterior(SCENE, EVIDENCE, noise=NOISE)
    torch.testing.assert_close(parts.covariance, whole.covariance)


def sys_module(name: str):
    import sys

    return sys.modules[f"veduta.information.{name}"]


def test_a_scene_without_gaussians() -> None:
    empty = Scene(background=Gaussians.empty(0))
    assert posterior(empty, tiny.nothing(empty)).covariance.shape == (0, 91)


def test_evidence_of_another_scene() -> None:
    with pytest.raises(InputError, match="expected 10 rows, one per Gaussian, got 14"):
        posterior(tiny.scene(), EVIDENCE)


def test_evidence_that_is_not_finite() -> None:
    bad = EVIDENCE.fisher.clone()
    bad[4, 90] = math.nan
    with pytest.raises(InputError, match=r"evidence, field fisher.*row 4"):
        posterior(SCENE, EVIDENCE.replace(fisher=bad))


def test_a_sandwich_needs_photographs_and_kinds_have_names() -> None:
    evidence: Evidence = gather(SCENE, CAMERAS[0], backend="reference")
    with pytest.raises(InputError, match="a sandwich needs residuals"):
        posterior(SCENE, evidence, kind="sandwich")
    with pytest.raises(InputError, match="expected sandwich, block, diagonal, got 'full'"):
        posterior(SCENE, evidence, kind="full")
