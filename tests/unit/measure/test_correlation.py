"""Correlations against scipy, laws and hand-made cases."""

from __future__ import annotations

import pytest
import scipy.stats
import torch
from torch import Tensor

from veduta.measure import pearson, spearman


def quantities(*shape: int, seed: int = 0) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    a = torch.randn(*shape, generator=generator)
    return a, 0.6 * a + torch.randn(*shape, generator=generator)


@pytest.mark.parametrize("count", [2, 3, 17, 1000])
@pytest.mark.parametrize("steps", [None, 3.0])
def test_are_those_of_scipy(count: int, steps: float | None) -> None:
    a, b = quantities(count, seed=count)
    if steps is not None and count > 3:
        a, b = (a * steps).round(), (b * steps).round()  # many ties
    assert float(pearson(a, b)) == pytest.approx(float(scipy.stats.pearsonr(a.double(), b.double()).statistic))
    assert float(spearman(a, b)) == pytest.approx(float(scipy.stats.spearmanr(a, b).statistic))


def test_by_hand() -> None:
    a, b = torch.tensor([1.0, 2.0, 3.0, 4.0]), torch.tensor([1.0, 3.0, 2.0, 100.0])
    assert float(spearman(a, b)) == pytest.approx(0.8)  # 1 - 6 * 2 / (4 * 15)
    assert float(pearson(a, 5 - 2 * a)) == pytest.approx(-1.0)
    tied = torch.tensor([1.0, 1.0, 2.0, 2.0])
    assert float(spearman(a, tied)) == pytest.approx(2 / 5**0.5)


def test_spearman_sees_only_the_order() -> None:
    a, b = quantities(200)
    assert torch.equal(spearman(a, b), spearman(a.exp(), b**3))
    assert float(spearman(a, b)) == pytest.approx(-float(spearman(a, -b)))
    assert float(spearman(a, a.exp())) == pytest.approx(1.0)


def test_symmetric_and_independent_of_the_order_of_pixels() -> None:
    a, b = quantities(99)
    order = torch.randperm(99, generator=torch.Generator().manual_seed(1))
    for correlation in (pearson, spearman):
        assert float(correlation(a, b)) == pytest.approx(float(correlation(b, a)))
        assert float(correlation(a[order], b[order])) == pytest.approx(float(correlation(a, b)))


def test_views_are_independent() -> None:
    a, b = quantities(2, 3, 40)
    for correlation in (pearson, spearman):
        found = correlation(a, b)
        assert found.shape == (2, 3)
        assert float(found[1, 2]) == pytest.approx(float(correlation(a[1, 2], b[1, 2])), rel=1e-12)


def test_constant_or_unknown_or_too_few_values_have_none() -> None:
    a, b = quantities(30)
    unknown = b.clone()
    unknown[3] = torch.nan
    for correlation in (pearson, spearman):
        assert correlation(a, torch.full_like(a, 0.1)).isnan()
        assert correlation(torch.full_like(a, 0.1), b).isnan()
        assert correlation(a, unknown).isnan()
        assert correlation(a[:1], b[:1]).isnan()
        assert correlation(a[:0], b[:0]).isnan()


def test_infinity_has_a_rank_but_no_distance() -> None:
    a = torch.tensor([1.0, 2.0, torch.inf])
    assert float(spearman(a, torch.tensor([0.0, 5.0, 6.0]))) == pytest.approx(1.0)
    assert pearson(a, torch.tensor([0.0, 5.0, 6.0])).isnan()
