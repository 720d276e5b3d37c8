"""Sparsification against a loop over sorted lists, laws and hand-made cases."""

from __future__ import annotations

import math
from itertools import pairwise

import pytest
import torch
from torch import Tensor

from veduta.measure import (
    ause,
    ause_per_view,
    ause_pooled,
    oracle_curve,
    removed_fractions,
    sparsification_curve,
)


def pixels(*shape: int, seed: int = 0) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    error = torch.randn(*shape, generator=generator).abs()
    return error, error + torch.rand(*shape, generator=generator)


def slow_curve(error: list[float], uncertainty: list[float]) -> list[float]:
    """By the definition, where every hundredth of the pixels is a whole number of them and nothing is tied."""
    kept = [e for _, e in sorted(zip(uncertainty, error, strict=True))]
    part, mean = len(kept) // 100, math.fsum(kept) / len(kept)
    assert part * 100 == len(kept)
    sizes = [len(kept) - k * part for k in range(100)]
    return [math.fsum(kept[:size]) / size / mean for size in sizes]


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("count", [100, 300, 2000])
@pytest.mark.parametrize("power", [1, 2])
def test_curve_is_the_definition(count: int, power: int, dtype: torch.dtype) -> None:
    error, uncertainty = (value.to(dtype) for value in pixels(count, seed=count))
    error = error**power
    curve = sparsification_curve(error, uncertainty)
    assert curve.dtype == torch.float64
    assert curve.tolist() == pytest.approx(slow_curve(error.tolist(), uncertainty.tolist()), rel=1e-12)


def test_area_is_the_definition() -> None:
    error, uncertainty = pixels(700)
    curves = (slow_curve(error.tolist(), order.tolist()) for order in (uncertainty, error))
    above = [a - b for a, b in zip(*curves, strict=True)]
    by_hand = sum((a + b) / 2 * 0.01 for a, b in pairwise(above))
    assert float(ause(error, uncertainty)) == pytest.approx(by_hand, rel=1e-12)


def test_curve_by_hand() -> None:
    error = torch.tensor([4.0, 0.0, 1.0, 3.0])  # mean 2
    uncertainty = torch.tensor([0.9, 0.1, 0.8, 0.5])  # kept longest: 0, 3, 1, 4
    assert removed_fractions(4).tolist() == [0.0, 0.25, 0.5, 0.75]
    curve = sparsification_curve(error, uncertainty, fractions=4)
    assert curve.tolist() == pytest.approx([1.0, 4 / 3 / 2, 1.5 / 2, 0.0])
    oracle = oracle_curve(error, fractions=4)
    assert oracle.tolist() == pytest.approx([1.0, 4 / 3 / 2, 0.5 / 2, 0.0])
    assert float(ause(error, uncertainty, fractions=4)) == pytest.approx(0.25 * 0.5)


def test_a_pixel_at_the_border_goes_in_part() -> None:
    error, uncertainty = torch.tensor([1.0, 2.0, 6.0]), torch.tensor([1.0, 2.0, 3.0])  # mean 3; half of 3 is 1.5
    curve = sparsification_curve(error, uncertainty, fractions=2)
    assert curve.tolist() == pytest.approx([1.0, (1.0 + 0.5 * 2.0) / 1.5 / 3.0])


def test_the_oracle_is_never_beaten_and_has_no_area() -> None:
    for seed in range(20):
        error, uncertainty = pixels(257, seed=seed)
        assert (sparsification_curve(error, uncertainty) >= oracle_curve(error) - 1e-12).all()
        assert float(ause(error, error)) == 0.0
        assert float(ause(error, uncertainty)) > 0.0
        assert float(ause(error, -error)) > float(ause(error, uncertainty))


def test_only_the_order_of_the_uncertainty_matters() -> None:
    error, uncertainty = pixels(313)
    expected = sparsification_curve(error, uncertainty)
    assert torch.equal(sparsification_curve(error, uncertainty.exp() * 1e-3), expected)
    assert torch.allclose(sparsification_curve(error * 7.5, uncertainty), expected, rtol=1e-6)


def test_the_order_of_the_pixels_does_not_matter_with_ties() -> None:
    error, uncertainty = pixels(400)
    uncertainty = (uncertainty * 4).round()
    order = torch.randperm(400, generator=torch.Generator().manual_seed(1))
    shuffled = sparsification_curve(error[order], uncertainty[order])
    assert torch.allclose(shuffled, sparsification_curve(error, uncertainty), rtol=1e-12)


def test_ties_are_the_mean_over_their_orders() -> None:
    error, uncertainty = torch.tensor([5.0, 1.0, 3.0, 1.0]), torch.tensor([2.0, 2.0, 2.0, 1.0])
    curve = sparsification_curve(error, uncertainty, fractions=4)
    assert curve.tolist() == pytest.approx([1.0, (1 + 3 + 3) / 3 / 2.5, (1 + 3) / 2 / 2.5, 1 / 2.5])


def test_a_constant_uncertainty_sorts_nothing() -> None:
    error, _ = pixels(500)
    assert torch.allclose(sparsification_curve(error, torch.full_like(error, 0.3)), torch.ones(100).double())


def test_a_random_order_is_worth_as_much_as_none() -> None:
    error, _ = pixels(200_000)
    uncertainty = torch.rand(200_000, generator=torch.Generator().manual_seed(5))
    assert float(ause(error, uncertainty)) == pytest.approx(float(ause(error, torch.zeros_like(error))), abs=0.02)


def test_weights_are_repetitions() -> None:
    error, uncertainty = pixels(90)
    weight = torch.randint(0, 4, (90,), generator=torch.Generator().manual_seed(2))
    weight[uncertainty.argmax()] = 0
    repeated = sparsification_curve(error.repeat_interleave(weight), uncertainty.repeat_interleave(weight))
    assert torch.allclose(sparsification_curve(error, uncertainty, weight=weight.float()), repeated, rtol=1e-12)


def test_masked_pixels_do_not_count_whatever_they_hold() -> None:
    error, uncertainty = pixels(50)
    mask = torch.arange(50) % 3 > 0
    expected = sparsification_curve(error[mask], uncertainty[mask])
    spoiled_error, spoiled_uncertainty = error.clone(), uncertainty.clone()
    spoiled_error[~mask], spoiled_uncertainty[~mask] = torch.inf, torch.nan
    assert torch.allclose(sparsification_curve(spoiled_error, spoiled_uncertainty, weight=mask), expected, rtol=1e-12)


def test_views_are_independent() -> None:
    error, uncertainty = pixels(2, 3, 120)
    curves, areas = sparsification_curve(error, uncertainty, fractions=10), ause(error, uncertainty)
    assert curves.shape == (2, 3, 10)
    for i in range(2):
        for j in range(3):
            assert torch.equal(curves[i, j], sparsification_curve(error[i, j], uncertainty[i, j], fractions=10))
            assert torch.equal(areas[i, j], ause(error[i, j], uncertainty[i, j]))


@pytest.mark.parametrize(("error_value", "uncertainty_value"), [(torch.nan, 1.0), (torch.inf, 1.0), (1.0, torch.nan)])
def test_an_unknown_pixel_makes_its_view_unknown(error_value: float, uncertainty_value: float) -> None:
    error, uncertainty = pixels(2, 40)
    error[1, 7], uncertainty[1, 7] = error_value, uncertainty_value
    curves, areas = sparsification_curve(error, uncertainty), ause(error, uncertainty)
    assert curves[0].isfinite().all()
    assert curves[1].isnan().all()
    assert areas.isnan().tolist() == [False, True]


def test_infinite_uncertainty_goes_first() -> None:
    error, uncertainty = torch.tensor([1.0, 3.0]), torch.tensor([0.5, torch.inf])
    assert sparsification_curve(error, uncertainty, fractions=2).tolist() == [1.0, 0.5]


def test_no_pixels_are_unknown_and_no_error_is_perfect() -> None:
    nothing = torch.zeros(3, 0)
    assert sparsification_curve(nothing, nothing).shape == (3, 100)
    assert ause(nothing, nothing).isnan().all()
    error, uncertainty = pixels(10)
    assert ause(error, uncertainty, weight=torch.zeros(10)).isnan()
    assert (sparsification_curve(torch.zeros(10), uncertainty) == 1).all()
    assert float(ause(torch.zeros(10), uncertainty)) == 0.0


def test_one_pixel() -> None:
    assert sparsification_curve(torch.tensor([2.0]), torch.tensor([1.0])).tolist() == pytest.approx([1.0] * 100)


def test_negative_errors_are_a_mistake() -> None:
    with pytest.raises(AssertionError):
        ause(torch.tensor([-1.0]), torch.tensor([1.0]))


def test_per_view_and_pooled() -> None:
    sizes = [(4, 25), (10, 30), (7, 9)]
    views = [pixels(*size, seed=i) for i, size in enumerate(sizes)]
    errors, uncertainties = [e for e, _ in views], [u + 10 * i for i, (_, u) in enumerate(views)]
    each = ause_per_view(errors, uncertainties)
    assert each.tolist() == [float(ause(e.flatten(), u.flatten())) for e, u in zip(errors, uncertainties, strict=True)]
    together = torch.cat([e.flatten() for e in errors]), torch.cat([u.flatten() for u in uncertainties])
    assert torch.equal(ause_pooled(errors, uncertainties), ause(*together))
    assert float(ause_pooled(errors, uncertainties)) > float(each.mean())  # the offsets say nothing about the errors
    assert torch.equal(ause_per_view(*pixels(2, 5, 6)), ause(*(t.flatten(1) for t in pixels(2, 5, 6))))


def test_per_view_and_pooled_with_masks() -> None:
    error, uncertainty = pixels(2, 8, 9)
    masks = [torch.zeros(8, 9, dtype=torch.bool), torch.ones(8, 9, dtype=torch.bool)]
    each = ause_per_view(error, uncertainty, weights=masks)
    assert each.isnan().tolist() == [True, False]
    assert float(ause_pooled(error, uncertainty, weights=masks)) == pytest.approx(float(each[1]), rel=1e-12)


def test_no_views() -> None:
    assert ause_per_view([], []).shape == (0,)
    assert ause_pooled([], []).isnan()


def test_views_must_fit() -> None:
    with pytest.raises(AssertionError):
        ause_per_view([torch.zeros(2, 3)], [torch.zeros(3, 2)])
    with pytest.raises(ValueError, match="zip"):
        ause_per_view([torch.zeros(2)], [])
