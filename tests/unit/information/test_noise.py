"""Noise: measured from sums that add up."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from veduta.core import LAG, Noise
from veduta.information.noise import (
    ASSUMED_NOISE,
    LAGS,
    MIN_SIGMA,
    add_residuals,
    no_residuals,
    noise_of,
    residual_sums,
)


def normal(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def of(residual: Tensor, *, weight: Tensor | None = None, parameters: int = 0) -> Noise:
    photograph = 0.5 + 0.2 * normal(*residual.shape, seed=99)
    return noise_of(residual_sums(residual, photograph, weight), parameters=parameters)


@pytest.mark.parametrize("size", [(5, 30), (21, 9), (32, 24)])
def test_lagged_sums_are_what_loops_give(size: tuple[int, int]) -> None:
    residual, weight = normal(*size, 3), normal(*size, seed=1).sigmoid()
    sums = residual_sums(residual, residual, weight)
    for dy in (-LAG, -3, 0, 1, LAG):
        for dx in (-LAG, -1, 0, 5, LAG):
            total = pairs = 0.0
            for y in range(size[0]):
                for x in range(size[1]):
                    if 0 <= y + dy < size[0] and 0 <= x + dx < size[1]:
                        both = float(weight[y, x] * weight[y + dy, x + dx])
                        total += both * float(residual[y, x] @ residual[y + dy, x + dx])
                        pairs += 3 * both
            assert float(sums.lagged[LAG + dy, LAG + dx]) == pytest.approx(total, abs=1e-9)
            assert float(sums.lagged_count[LAG + dy, LAG + dx]) == pytest.approx(pairs, abs=1e-9)
    assert sums.lagged.shape == (LAGS, LAGS)


def test_sums_add_up_over_photographs() -> None:
    a, b, whole = no_residuals(), no_residuals(), no_residuals()
    for seed in range(4):
        part = residual_sums(normal(9, 12, 3, seed=seed), normal(9, 12, 3, seed=seed + 9))
        whole = add_residuals(whole, part)
        a, b = (add_residuals(a, part), b) if seed % 2 else (a, add_residuals(b, part))
    both = add_residuals(b, a)
    for name, value in vars(both).items():
        torch.testing.assert_close(value, vars(whole)[name], rtol=1e-12, atol=1e-12)


def test_independent_residuals() -> None:
    found = of(0.04 * normal(200, 240, 3))
    assert found.sigma == pytest.approx(0.04, rel=0.01)
    assert found.kappa == pytest.approx(1.0, abs=0.15)
    assert found.tau == pytest.approx(0.2, rel=0.02)
    assert not found.assumed


def test_kappa_counts_the_pixels_that_agree() -> None:
    """Noise smeared by a box of 3x3 has the autocorrelation of two tents: its sum is 9."""
    smeared = torch.nn.functional.avg_pool2d(normal(3, 300, 300), 3, stride=1).permute(1, 2, 0)
    assert of(smeared).kappa == pytest.approx(9.0, rel=0.1)


def test_residuals_that_cancel_count_as_independent() -> None:
    """The sum of the autocorrelation of differences of neighbours is 0."""
    assert of(normal(100, 100, 3).diff(dim=0)).kappa == 1.0
    assert of(torch.ones(40, 40, 3).double()).kappa == pytest.approx(LAGS**2)


def test_what_has_no_trust_does_not_count() -> None:
    residual, weight = 0.05 * normal(60, 60, 3), torch.ones(60, 60).double()
    weight[:, 30:] = 0
    spoilt = residual.clone()
    spoilt[:, 30:] = 7.0
    masked, part = of(spoilt, weight=weight), of(residual[:, :30])
    assert masked.sigma == pytest.approx(part.sigma, rel=1e-9)
    assert masked.kappa == pytest.approx(part.kappa, rel=1e-6)


def test_fitted_parameters_are_taken_off_but_not_more_than_half() -> None:
    residual = 0.04 * normal(40, 50, 3)
    plain, count = of(residual).sigma, 40 * 50 * 3
    assert of(residual, parameters=1000).sigma == pytest.approx(plain * math.sqrt(count / (count - 1000)))
    assert of(residual, parameters=count // 2).sigma == pytest.approx(plain * math.sqrt(2))
    assert of(residual, parameters=10 * count).sigma == pytest.approx(plain * math.sqrt(2))


def test_a_perfect_fit_is_known_to_the_rounding_of_photographs() -> None:
    flat = torch.zeros(20, 20, 3).double()
    found = noise_of(residual_sums(flat, flat + 0.5), parameters=0)
    assert found == Noise(sigma=MIN_SIGMA, kappa=1.0, tau=MIN_SIGMA)


def test_without_photographs_noise_is_assumed() -> None:
    assert noise_of(no_residuals(), parameters=100) == ASSUMED_NOISE
    assert ASSUMED_NOISE.assumed
    masked = residual_sums(normal(9, 9, 3), normal(9, 9, 3), torch.zeros(9, 9).double())
    assert noise_of(masked, parameters=0).assumed


def test_float32_pictures_are_summed_in_float64() -> None:
    sums = residual_sums(normal(30, 30, 3).float(), normal(30, 30, 3).float(), torch.ones(30, 30))
    assert {value.dtype for value in vars(sums).values()} == {torch.float64}
