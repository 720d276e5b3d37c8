from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from veduta.data.resample import area_resize, fitted_size

SIZES = st.integers(1, 13)


def image(height: int, width: int) -> torch.Tensor:
    return torch.rand(height, width, 3, generator=torch.Generator().manual_seed(height * 100 + width))


@given(SIZES, SIZES, SIZES, SIZES)
def test_the_mean_is_kept_for_any_sizes(h: int, w: int, h2: int, w2: int) -> None:
    small = area_resize(image(h, w), width=w2, height=h2)
    assert small.shape == (h2, w2, 3)
    assert torch.allclose(small.mean(dim=(0, 1)), image(h, w).mean(dim=(0, 1)), atol=1e-6)


@given(SIZES, SIZES, SIZES, SIZES)
def test_a_plain_image_stays_plain(h: int, w: int, h2: int, w2: int) -> None:
    assert torch.allclose(area_resize(torch.full((h, w, 3), 0.3), width=w2, height=h2), torch.tensor(0.3), atol=1e-6)


def test_whole_factors_are_block_means() -> None:
    small = area_resize(image(12, 18), width=6, height=3)
    assert torch.allclose(small, image(12, 18).reshape(3, 4, 6, 3, 3).mean(dim=(1, 3)), atol=1e-6)


def test_two_steps_are_one() -> None:
    direct = area_resize(image(8, 8), width=2, height=2)
    assert torch.allclose(
        area_resize(area_resize(image(8, 8), width=4, height=4), width=2, height=2), direct, atol=1e-6
    )


def test_a_fraction_of_a_pixel_counts_by_its_area() -> None:
    row = torch.tensor([0.0, 0.0, 1.0])[None, :, None]
    assert torch.allclose(area_resize(row, width=2, height=1)[0, :, 0], torch.tensor([0.0, 2 / 3]))


@pytest.mark.parametrize(
    ("size", "limit", "expected"),
    [((100, 50), None, (100, 50)), ((100, 50), 200, (100, 50)), ((100, 50), 40, (40, 20)), ((1000, 1), 10, (10, 1))],
)
def test_fitted_size(size: tuple[int, int], limit: int | None, expected: tuple[int, int]) -> None:
    assert fitted_size(*size, limit) == expected
