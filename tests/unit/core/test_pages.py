"""Pages of their own hold the same values, and nothing else."""

from __future__ import annotations

import mmap

import pytest
import torch

from veduta.core.pages import LEAST_BYTES, on_own_pages


@pytest.mark.parametrize("dtype", [torch.uint8, torch.bool, torch.float32, torch.float64])
def test_values_stay_and_their_place_changes(dtype: torch.dtype) -> None:
    values = (torch.rand(3, LEAST_BYTES, 2) * 3).to(dtype).transpose(0, 1)
    kept = on_own_pages(values)
    assert kept.dtype == dtype
    assert torch.equal(kept, values)
    assert kept.data_ptr() % mmap.PAGESIZE == 0
    assert kept.is_contiguous()
    row, expected = kept[5], values[5].clone()
    del kept, values
    assert torch.equal(row, expected)  # the pages are there as long as anything shows them


@pytest.mark.parametrize("count", [0, 1, LEAST_BYTES - 1])
def test_what_is_small_stays_where_it_is(count: int) -> None:
    values = torch.zeros(count, dtype=torch.uint8)
    assert on_own_pages(values) is values
