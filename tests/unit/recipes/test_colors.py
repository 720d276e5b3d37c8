"""Colours of depth and of information: order is kept, equal steps look equal, and what is known stays to be seen."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from veduta.recipes.colors import (
    FADED_COLOR,
    FADED_LIGHT,
    INFORMATION_RAMP,
    OVERLAY,
    RAMP,
    DepthRange,
    colorize,
    depth_colors,
    information_colors,
    information_overlay,
)

FIRST, LAST = (torch.tensor(INFORMATION_RAMP[i]) / 255 for i in (0, -1))


def oklab(colors: Tensor) -> Tensor:
    """sRGB "n 3" in 0..1 -> OKLab (https://bottosson.github.io/posts/oklab)."""
    linear = torch.where(colors <= 0.04045, colors / 12.92, ((colors + 0.055) / 1.055) ** 2.4)
    cones = torch.tensor(
        [
            [0.4122214708, 0.5363325363, 0.0514459929],
            [0.2119034982, 0.6806995451, 0.1073969566],
            [0.0883024619, 0.2817188376, 0.6299787005],
        ]
    )
    lab = torch.tensor(
        [
            [0.2104542553, 0.7936177850, -0.0040720468],
            [1.9779984951, -2.4285922050, 0.4505937099],
            [0.0259040371, 0.7827717662, -0.8086757660],
        ]
    )
    return (linear @ cones.T).clamp(min=0) ** (1 / 3) @ lab.T


def test_equal_gains_look_equally_far_apart():
    colors = oklab(information_colors(torch.linspace(0, 3, 22)[None], 3.0)[0])
    assert (colors[:, 0].diff() > 0).all(), "more is brighter"
    steps = colors.diff(dim=0).norm(dim=-1)
    assert steps.min() > 0.75 * steps.mean()
    assert steps.max() < 1.35 * steps.mean()


def test_the_ends_are_the_ramps_and_more_than_the_top_is_the_top():
    gain = torch.tensor([[-1.0, 0.0, 2.0, 7.0, torch.inf]])
    colors = information_colors(gain, 2.0)[0]
    assert torch.allclose(colors[:2], FIRST.expand(2, 3))
    assert torch.allclose(colors[2:], LAST.expand(3, 3))


def test_only_the_share_of_the_top_matters():
    gain = torch.rand(4, 5, generator=torch.Generator().manual_seed(0))
    assert torch.allclose(information_colors(gain, 1.0), information_colors(4 * gain, 4.0))


def test_unknown_gains_are_black_and_cover_nothing():
    gain, picture = torch.tensor([[torch.nan, 0.0]]), torch.full((1, 2, 3), 0.5)
    drawn = information_overlay(picture, gain, 1.0)[0]
    assert (information_colors(gain, 1.0)[0, 0] == 0).all()
    assert torch.equal(drawn[0], drawn[1])


def test_an_overlay_pales_what_is_known_and_covers_what_is_not():
    picture = torch.rand(1, 1, 3, generator=torch.Generator().manual_seed(0)).expand(1, 4, 3)
    drawn = information_overlay(picture, torch.tensor([[0.0, 0.5, 2.0, 9.0]]), 2.0)[0]
    color = picture[0, 0]
    grey = 0.2126 * color[0] + 0.7152 * color[1] + 0.0722 * color[2]
    paler = FADED_LIGHT * ((1 - FADED_COLOR) * grey + FADED_COLOR * color)
    quarter = information_colors(torch.tensor([[0.5]]), 2.0)[0, 0]
    assert torch.allclose(drawn[0], paler)
    assert torch.allclose(drawn[1], paler * (1 - OVERLAY / 2) + quarter * OVERLAY / 2)
    assert torch.allclose(drawn[2:], paler * (1 - OVERLAY) + OVERLAY * LAST)


@pytest.mark.parametrize("top", [0.0, -1.0, float("inf"), float("nan")])
def test_a_scale_has_a_top(top: float):
    with pytest.raises(AssertionError):
        information_colors(torch.zeros(1, 1), top)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_values_between_two_colours_are_between_them(dtype: torch.dtype):
    colors = colorize(torch.tensor([[0.0, 0.25, 0.5, 1.0]], dtype=dtype), ((0, 0, 0), (100, 200, 50)))
    assert torch.allclose(colors[0, :, 1] * 255, torch.tensor([0.0, 50.0, 100.0, 200.0]))


def test_near_and_far_take_the_ends_and_the_uncovered_is_black():
    colors = depth_colors(
        torch.tensor([[0.5, 1.0, 4.0, 9.0, 2.0]]),
        torch.tensor([[1.0, 1.0, 1.0, 1.0, 0.1]]),
        DepthRange(near=1.0, far=4.0),
    )
    near, far = torch.tensor(RAMP[0]) / 255, torch.tensor(RAMP[-1]) / 255
    expected = torch.stack([near, near, far, far, torch.zeros(3)])
    assert torch.allclose(colors[0], expected, atol=1e-6)
