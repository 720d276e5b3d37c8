"""Counts, determinism and gradients of the densifier."""

from __future__ import annotations

import dataclasses

import pytest
import torch

from veduta.core import InputError
from veduta.feedforward import Densifier, DensifierPlan

SMALL = DensifierPlan(channels=(16, 24), heads=(2, 3), factors=(2, 3), ratios=(0.5,), grid_size=0.1)
SCENE = DensifierPlan(channels=(320, 256, 128), heads=(40, 32, 16), factors=(2, 2, 2), ratios=(0.5, 0.8), attributes=83)


def some_points(count: int) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    return torch.rand(count, 3, generator=generator), torch.randn(count, 16, generator=generator)


def test_gaussians_per_point() -> None:
    assert DensifierPlan().per_point == pytest.approx(81_600 / 12_000)
    assert SCENE.per_point == pytest.approx(138_000 / 30_000)


@pytest.mark.parametrize("variant", [{}, {"residual": True, "gate": "softmax"}, {"shared_cells": "first"}])
def test_leaves_of_two_items(variant: dict[str, object]) -> None:
    torch.manual_seed(0)
    densifier = Densifier(dataclasses.replace(SMALL, **variant)).eval()
    coords, features = some_points(30)
    first, second = densifier(coords, features, torch.tensor([20, 10]))
    assert torch.bincount(first.items).tolist() == [20, 10]
    assert torch.bincount(second.items).tolist() == [60, 30]
    assert first.attributes.shape[1] == second.attributes.shape[1] == 20
    again, _ = densifier(coords, features, torch.tensor([20, 10]))
    assert torch.equal(first.attributes, again.attributes)


def test_children_stay_near() -> None:
    densifier = Densifier(SMALL).eval()
    coords, features = some_points(30)
    for leaves in densifier(coords, features, torch.tensor([30])):
        nearest = torch.cdist(leaves.coords, coords).amin(dim=1)
        assert nearest.max() <= (0.05 + 0.025) * 3**0.5 + 1e-6


def test_every_parameter_learns() -> None:
    torch.manual_seed(0)
    densifier = Densifier(SMALL)
    coords, features = some_points(30)
    sum(leaves.attributes.square().sum() for leaves in densifier(coords, features, torch.tensor([30]))).backward()
    silent = [name for name, p in densifier.named_parameters() if p.grad is None or not p.grad.abs().sum() > 0]
    # nothing is asked of where children lie, except what the encoding of their steps tells
    assert silent == []


def test_a_plan_that_does_not_fit_together() -> None:
    with pytest.raises(InputError, match="ratios"):
        dataclasses.replace(SMALL, ratios=())
