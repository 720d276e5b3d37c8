"""The reference's moments and covariances against Jacobians by autograd, in float64."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import pytest
import torch
from torch import Tensor

from tests.backends.jacobians import picture_and_jacobian
from tests.backends.scenes import some_cameras, some_gaussians
from veduta.core import Cameras, Gaussians, RasterOptions
from veduta.geometry import pack, quat_multiply, unpack
from veduta.render import screen_covariance, screen_moments, screen_pull, screen_push
from veduta.render.reference.linear_map import whitening
from veduta.render.reference.projection import rotation_of

EXACT = 1e-10
"""Relative error allowed to the reference, in float64, of the largest number in the block."""


@dataclass(frozen=True, eq=False)
class Told:
    gaussians: Gaussians
    camera: Cameras
    behind: Tensor | None
    options: RasterOptions
    photograph: Tensor
    weight: Tensor
    color: Tensor
    jacobian: Tensor

    def given(self) -> dict[str, Tensor | RasterOptions | None]:
        return {"behind": self.behind, "options": self.options}


def told(
    *,
    count: int,
    sh_degree: int,
    behind: bool,
    options: RasterOptions,
    seed: int,
    size: float = 0.3,
    spread: float = 0.6,
) -> Told:
    gaussians = some_gaussians(count, sh_degree=sh_degree, size=size, seed=seed, spread=spread).to(torch.float64)
    return of(gaussians, behind=behind, options=options, seed=seed)


def of(gaussians: Gaussians, *, behind: bool, options: RasterOptions, seed: int) -> Told:
    camera = some_cameras(1, width=20, height=16, seed=seed).to(torch.float64)
    generator = torch.Generator().manual_seed(seed)
    back = torch.rand(16, 20, 3, generator=generator, dtype=torch.float64) if behind else None
    color, jacobian = picture_and_jacobian(gaussians, camera, behind=back, options=options)
    photograph = torch.rand(16, 20, 3, generator=generator, dtype=torch.float64)
    weight = torch.rand(16, 20, generator=generator, dtype=torch.float64)
    return Told(gaussians, camera, back, options, photograph, weight, color, jacobian)


CASES: dict[str, Callable[[], Told]] = {
    "degree 0": lambda: told(count=8, sh_degree=0, behind=True, options=RasterOptions(), seed=0),
    "degree 1": lambda: told(count=8, sh_degree=1, behind=True, options=RasterOptions(), seed=1),
    "degree 2, black": lambda: told(count=8, sh_degree=2, behind=False, options=RasterOptions(), seed=2),
    "degree 3": lambda: told(count=10, sh_degree=3, behind=True, options=RasterOptions(), seed=3),
    "lower degree": lambda: told(count=6, sh_degree=2, behind=True, options=RasterOptions(sh_degree=1), seed=4),
    "antialias": lambda: told(count=8, sh_degree=1, behind=True, options=RasterOptions(antialias=True), seed=5),
    "small, antialias": lambda: told(
        count=30, sh_degree=1, behind=True, options=RasterOptions(antialias=True), seed=6, size=0.05
    ),
    "thirty": lambda: told(count=30, sh_degree=1, behind=True, options=RasterOptions(), seed=7, size=0.15),
    "wide": lambda: told(count=30, sh_degree=1, behind=True, options=RasterOptions(), seed=8, size=0.5, spread=2.5),
}


def opaque() -> Told:
    """Alpha is clamped in the middle of some Gaussians: their colour still counts there, their shape does not."""
    gaussians = some_gaussians(8, sh_degree=1, size=0.4, seed=9, spread=0.6).to(torch.float64)
    gaussians = gaussians.replace(opacities=torch.linspace(0.99, 0.9999, 8, dtype=torch.float64))
    return of(gaussians, behind=True, options=RasterOptions(), seed=9)


CASES["opaque"] = opaque


@pytest.fixture(params=CASES, scope="module")
def case(request: pytest.FixtureRequest) -> Told:
    return CASES[request.param]()


def largest_error(found: Tensor, expected: Tensor) -> float:
    """Of each block, relative to the largest number of the largest block."""
    return float((found - expected).abs().max() / expected.abs().max())


def test_fisher_blocks(case: Told) -> None:
    moments = screen_moments(case.gaussians, case.camera, **case.given(), weight=case.weight)
    blocks = screen_pull(case.gaussians, case.camera, moments.fisher, options=case.options)
    expected = torch.einsum("hw,hwcnp,hwcnq->npq", case.weight, case.jacobian, case.jacobian)
    assert largest_error(moments.color, case.color) < EXACT
    assert largest_error(unpack(blocks), expected) < EXACT


def test_scores_of_pixels(case: Told) -> None:
    moments = screen_moments(
        case.gaussians, case.camera, **case.given(), weight=case.weight, photograph=case.photograph
    )
    assert moments.score is not None
    blocks = screen_pull(case.gaussians, case.camera, moments.score, options=case.options)
    residual = case.weight[..., None] * (case.color - case.photograph)
    score = torch.einsum("hwcnp,hwc->hwnp", case.jacobian, residual)
    assert largest_error(unpack(blocks), torch.einsum("hwnp,hwnq->npq", score, score)) < EXACT


def test_scores_of_the_view(case: Told) -> None:
    moments = screen_moments(
        case.gaussians,
        case.camera,
        **case.given(),
        weight=case.weight,
        photograph=case.photograph,
        clustered=True,
    )
    assert moments.score is not None
    blocks = screen_pull(case.gaussians, case.camera, moments.score, options=case.options)
    residual = case.weight[..., None] * (case.color - case.photograph)
    score = torch.einsum("hwcnp,hwc->np", case.jacobian, residual)
    assert largest_error(unpack(blocks), score[:, :, None] * score[:, None, :]) < EXACT


def test_covariance_of_the_picture(case: Told) -> None:
    generator = torch.Generator().manual_seed(0)
    root = torch.randn(len(case.gaussians), 13, 13, generator=generator, dtype=torch.float64)
    covariance = root @ root.mT
    forms = screen_push(case.gaussians, case.camera, pack(covariance), options=case.options)
    found = screen_covariance(case.gaussians, case.camera, forms, **case.given())
    expected = torch.einsum("hwcnp,npq,hwdnq->hwcd", case.jacobian, covariance, case.jacobian)
    assert largest_error(found.color, case.color) < EXACT
    assert largest_error(unpack(found.covariance), expected) < EXACT


def test_blocks_are_positive_semidefinite(case: Told) -> None:
    moments = screen_moments(case.gaussians, case.camera, **case.given(), photograph=case.photograph)
    assert moments.score is not None
    for each in (moments.fisher, moments.score):
        blocks = unpack(screen_pull(case.gaussians, case.camera, each, options=case.options))
        values = torch.linalg.eigvalsh(blocks)
        assert (values[:, 0] >= -1e-12 * values[:, -1]).all()


def test_rotation_tangent_turns_the_own_axes() -> None:
    quats = torch.nn.functional.normalize(torch.randn(5, 4, dtype=torch.float64), dim=1)
    w = 1e-5 * torch.randn(5, 3, dtype=torch.float64)
    zero = torch.zeros(5, dtype=torch.float64)
    skew = torch.stack([zero, -w[:, 2], w[:, 1], w[:, 2], zero, -w[:, 0], -w[:, 1], w[:, 0], zero], dim=1)
    expected = rotation_of(quats) @ torch.linalg.matrix_exp(skew.reshape(5, 3, 3))
    half = torch.cat([torch.ones_like(w[:, :1]), w / 2], dim=1)
    assert torch.allclose(rotation_of(quat_multiply(quats, half)), expected, atol=1e-9)


def test_whitening_is_a_root_of_the_conic() -> None:
    conic = torch.tensor([[2.0, 0.5, 1.0], [3.0, -1.0, 0.7], [1e-4, 0.0, 3.3]], dtype=torch.float64)
    u00, u01, u11 = whitening(conic).unbind(1)
    assert torch.allclose(torch.stack([u00 * u00, u00 * u01, u01 * u01 + u11 * u11], dim=1), conic)
