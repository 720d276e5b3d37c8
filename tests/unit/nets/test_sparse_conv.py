"""The sparse convolution against a dense one, and its rules for shared cells."""

from __future__ import annotations

from typing import Literal

import pytest
import torch
from torch import Tensor
from torch.nn.functional import conv3d

from veduta.nets import SubmanifoldConv


def some_cells(count: int, size: int) -> Tensor:
    generator = torch.Generator().manual_seed(0)
    place = torch.randperm(size**3, generator=generator)[:count]
    return torch.stack([place // size**2, place // size % size, place % size], dim=1)


def dense(conv: SubmanifoldConv, features: Tensor, cells: Tensor, size: int) -> Tensor:
    volume = features.new_zeros(size, size, size, features.shape[1])
    volume[tuple(cells.T)] = features
    out = conv3d(volume.permute(3, 0, 1, 2)[None], conv.weight.permute(0, 4, 1, 2, 3), conv.bias, padding=1)
    return out[0].permute(1, 2, 3, 0)[tuple(cells.T)]


@pytest.mark.parametrize("rule", ["mean", "first"])
def test_equals_a_dense_convolution_where_no_cell_is_shared(rule: Literal["mean", "first"]) -> None:
    conv = SubmanifoldConv(4, 5, shared_cells=rule).double()
    cells = some_cells(60, 6)
    features = torch.randn(60, 4, dtype=torch.float64)
    found = conv(features, cells, torch.zeros(60, dtype=torch.long))
    assert torch.allclose(found, dense(conv, features, cells, 6), atol=1e-12)


def test_shared_cells_are_averaged_and_answered_alike() -> None:
    conv = SubmanifoldConv(4, 5).double()
    cells = some_cells(40, 5)
    features = torch.randn(40, 4, dtype=torch.float64)
    twice = torch.cat([features + 1, features - 1])
    found = conv(twice, torch.cat([cells, cells]), torch.zeros(80, dtype=torch.long))
    expected = dense(conv, features, cells, 5)
    assert torch.allclose(found, torch.cat([expected, expected]), atol=1e-12)


def test_the_order_of_rows_does_not_matter() -> None:
    conv = SubmanifoldConv(4, 5).double()
    cells = torch.randint(0, 4, (50, 3))
    features = torch.randn(50, 4, dtype=torch.float64)
    items = torch.randint(0, 2, (50,))
    order = torch.randperm(50)
    expected = conv(features, cells, items)[order]
    assert torch.allclose(conv(features[order], cells[order], items[order]), expected, atol=1e-12)


def test_items_do_not_see_one_another() -> None:
    conv = SubmanifoldConv(4, 5).double()
    cells = some_cells(30, 4)
    features = torch.randn(2, 30, 4, dtype=torch.float64)
    items = torch.tensor([0, 1]).repeat_interleave(30)
    both = conv(features.flatten(0, 1), torch.cat([cells, cells]), items)
    alone = torch.zeros(30, dtype=torch.long)
    assert torch.allclose(both[:30], conv(features[0], cells, alone), atol=1e-12)
    assert torch.allclose(both[30:], conv(features[1], cells, alone), atol=1e-12)


def test_gradients_reach_features_and_weights() -> None:
    conv = SubmanifoldConv(2, 3).double()
    cells, items = torch.randint(0, 3, (9, 3)), torch.zeros(9, dtype=torch.long)
    features = torch.randn(9, 2, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda f: conv(f, cells, items), (features,))
    conv(features, cells, items).sum().backward()
    assert conv.weight.grad is not None
    assert conv.weight.grad.abs().sum() > 0


def test_no_points() -> None:
    conv = SubmanifoldConv(2, 3)
    none = torch.zeros(0, dtype=torch.long)
    assert conv(torch.zeros(0, 2), torch.zeros(0, 3, dtype=torch.long), none).shape == (0, 3)
