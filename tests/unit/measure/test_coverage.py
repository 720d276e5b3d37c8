"""Coverage against draws from known distributions, laws and hand-made cases."""

from __future__ import annotations

import pytest
import scipy.stats
import torch

from veduta.measure import auce, coverage, laplace_widths, normal_widths, reliability_curve, sharpness

LEVELS = torch.arange(1, 20) / 20.0


def test_coverage_by_hand() -> None:
    error, std = torch.tensor([-1.0, 2.0, 3.0, 0.0]), torch.tensor([0.5, 0.5, 2.0, 0.0])
    assert float(coverage(error, std, width=2.0)) == 0.75
    assert float(coverage(error, std, width=1.0)) == 0.25
    weight = torch.tensor([1.0, 5.0, 0.0, 2.0])
    assert float(coverage(error, std, width=2.0, weight=weight)) == pytest.approx(3 / 8)


def test_widths_are_the_quantiles() -> None:
    halves = (0.5 + LEVELS.double() / 2).numpy()
    assert normal_widths(LEVELS).tolist() == pytest.approx(scipy.stats.norm.ppf(halves).tolist(), rel=1e-6)
    expected = scipy.stats.laplace(scale=0.5**0.5).ppf(halves)  # of standard deviation 1
    assert laplace_widths(LEVELS).tolist() == pytest.approx(expected.tolist(), rel=1e-6)


def test_draws_from_the_predicted_distribution_are_covered_as_often_as_they_should() -> None:
    generator = torch.Generator().manual_seed(0)
    std = 0.01 + torch.rand(100_000, generator=generator)
    error = std * torch.randn(100_000, generator=generator)
    covered = reliability_curve(error, std, LEVELS)
    assert (covered - LEVELS).abs().max() < 0.01
    assert float(auce(LEVELS, covered)) < 0.005
    cautious, bold = (float(auce(LEVELS, reliability_curve(error, std * by, LEVELS))) for by in (3.0, 1 / 3))
    assert min(cautious, bold) > 0.15
    assert (reliability_curve(error, std * 3.0, LEVELS) > LEVELS).all()
    laplace = std * torch.distributions.Laplace(0.0, 0.5**0.5).icdf(torch.rand(100_000, generator=generator))
    assert (reliability_curve(laplace, std, LEVELS, widths=laplace_widths) - LEVELS).abs().max() < 0.01
    assert (reliability_curve(laplace, std, LEVELS) - LEVELS).abs().max() > 0.05


def test_reliability_rises_and_is_coverage() -> None:
    generator = torch.Generator().manual_seed(1)
    error, std = torch.randn(3, 200, generator=generator), torch.rand(3, 200, generator=generator)
    curves = reliability_curve(error, std, LEVELS)
    assert curves.shape == (3, 19)
    assert (curves.diff(dim=-1) >= 0).all()
    for i, width in enumerate(normal_widths(LEVELS).tolist()):
        assert torch.equal(curves[:, i], coverage(error, std, width=width))


def test_only_the_ratio_and_the_size_of_an_error_matter() -> None:
    generator = torch.Generator().manual_seed(2)
    error, std = torch.randn(200, generator=generator), torch.rand(200, generator=generator)
    expected = reliability_curve(error, std, LEVELS)
    assert torch.equal(reliability_curve(-error * 4.0, std * 4.0, LEVELS), expected)


def test_masked_pixels_do_not_count_and_unknown_ones_are_told() -> None:
    error, std = torch.tensor([1.0, torch.nan, 5.0]), torch.tensor([2.0, 1.0, torch.nan])
    mask = torch.tensor([True, False, False])
    assert float(coverage(error, std, width=1.0, weight=mask)) == 1.0
    assert coverage(error, std, width=1.0).isnan()
    assert coverage(error, std, width=1.0, weight=~mask).isnan()
    assert coverage(error[:0], std[:0], width=1.0).isnan()
    assert coverage(error, std, width=1.0, weight=torch.zeros(3)).isnan()
    assert reliability_curve(error, std, torch.zeros(0)).shape == (0,)


def test_an_infinite_std_covers_all_but_an_infinite_error_is_covered_by_no_other() -> None:
    assert float(coverage(torch.tensor([7.0]), torch.tensor([torch.inf]), width=0.5)) == 1.0
    assert float(coverage(torch.tensor([torch.inf]), torch.tensor([9.0]), width=0.5)) == 0.0


def test_auce_by_hand() -> None:
    levels = torch.tensor([0.25, 0.5, 0.75])
    assert float(auce(levels, levels)) == 0.0
    assert float(auce(levels, torch.tensor([0.35, 0.5, 0.55]))) == pytest.approx(0.25 * (0.1 + 0.2))
    fine = torch.arange(1, 1000) / 1000
    assert float(auce(fine, torch.zeros(999))) == pytest.approx(0.5, abs=1e-3)
    assert float(auce(fine, torch.ones(999))) == pytest.approx(0.5, abs=1e-3)
    both = torch.stack([levels, torch.tensor([0.35, 0.5, 0.55])])
    assert auce(levels, both).tolist() == pytest.approx([0.0, 0.075])


@pytest.mark.parametrize("levels", [[0.0, 0.5], [0.5, 1.0], [0.6, 0.5], [0.5, 0.5]])
def test_levels_rise_between_nothing_and_everything(levels: list[float]) -> None:
    with pytest.raises(AssertionError):
        auce(torch.tensor(levels), torch.tensor([0.1, 0.2]))


def test_sharpness_is_the_mean_std() -> None:
    std = torch.tensor([[1.0, 2.0, 6.0], [1.0, 1.0, 1.0]])
    assert sharpness(std).tolist() == [3.0, 1.0]
    assert float(sharpness(torch.tensor([1.0, 2.0, torch.nan]), weight=torch.tensor([True, True, False]))) == 1.5
    assert sharpness(std[:, :0]).isnan().all()
