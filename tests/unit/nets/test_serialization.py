"""Curves visit every cell once, and neighbours on the Hilbert curve are neighbours in space."""

from __future__ import annotations

import itertools

import pytest
import torch

from veduta.nets import CURVES, grid_cells, grid_depth, items_of, serialize


def all_cells(depth: int) -> torch.Tensor:
    return torch.tensor(list(itertools.product(range(1 << depth), repeat=3)))


@pytest.mark.parametrize("curve", CURVES)
@pytest.mark.parametrize("depth", [1, 2, 3])
def test_a_curve_is_a_bijection(curve: str, depth: int) -> None:
    codes = CURVES[curve](all_cells(depth), depth)
    assert torch.equal(codes.sort().values, torch.arange(8**depth))


@pytest.mark.parametrize("curve", ["hilbert", "hilbert-trans"])
def test_hilbert_steps_to_a_neighbour(curve: str) -> None:
    cells = all_cells(4)
    along = cells[CURVES[curve](cells, 4).argsort()]
    assert (along.diff(dim=0).abs().sum(dim=1) == 1).all()


def test_items_stay_apart_and_ties_keep_their_order() -> None:
    cells = torch.zeros(6, 3, dtype=torch.long)
    items = torch.tensor([1, 0, 1, 0, 0, 1])
    _, orders = serialize(cells, items, 1)
    assert orders.tolist() == [[1, 3, 4, 0, 2, 5]] * 4


def test_cells_start_at_the_smallest_point() -> None:
    coords = torch.tensor([[-1.0, 0.0, 5.0], [-0.95, 0.31, 5.0]])
    assert grid_cells(coords, 0.1).tolist() == [[0, 0, 0], [0, 3, 0]]
    assert grid_cells(coords[:0], 0.1).shape == (0, 3)


def test_depth_is_bounded() -> None:
    assert grid_depth(torch.zeros(0, 3, dtype=torch.long)) == 1
    assert grid_depth(torch.tensor([[0, 4, 1]])) == 3
    assert grid_depth(torch.tensor([[65535, 0, 0]])) == 16
    with pytest.raises(ValueError, match="larger cells"):
        grid_depth(torch.tensor([[65536, 0, 0]]))


def test_items_of_counts() -> None:
    assert items_of(torch.tensor([2, 0, 1])).tolist() == [0, 0, 2]
