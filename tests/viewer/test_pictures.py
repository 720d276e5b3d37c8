"""Pictures of the report: colours in order, sizes bounded, nothing lost but what JPEG loses."""

from __future__ import annotations

import base64
import io

import pytest
import torch
from PIL import Image

from veduta.core import InputError
from veduta.viewer.pictures import (
    DEPTH_RAMP,
    FULL_ERROR,
    MAX_HEIGHT,
    MAX_WIDTH,
    RAMP,
    THUMBNAIL,
    colorize,
    data_uri,
    depth_map,
    error_map,
    require_same_size,
    thumbnail_uri,
)


def decoded(uri: str) -> Image.Image:
    head, _, body = uri.partition(",")
    assert head == "data:image/jpeg;base64"
    return Image.open(io.BytesIO(base64.b64decode(body, validate=True)))


def brightness(colors: torch.Tensor) -> torch.Tensor:
    return colors @ torch.tensor([0.2126, 0.7152, 0.0722])


@pytest.mark.parametrize("ramp", [RAMP, DEPTH_RAMP])
def test_more_is_brighter_and_the_ends_are_the_ramps(ramp: tuple[tuple[int, int, int], ...]):
    colors = colorize(torch.linspace(-0.5, 1.5, 401)[None], ramp)[0]
    assert (brightness(colors).diff() >= 0).all()
    assert torch.allclose(colors[0] * 255, torch.tensor(ramp[0]).float())
    assert torch.allclose(colors[-1] * 255, torch.tensor(ramp[-1]).float())


def test_equal_pictures_have_no_error_and_the_scale_is_fixed():
    picture = torch.rand(4, 5, 3, generator=torch.Generator().manual_seed(0))
    lowest, highest = torch.tensor(RAMP[0]) / 255, torch.tensor(RAMP[-1]) / 255
    assert torch.allclose(error_map(picture, picture), lowest.expand(4, 5, 3))
    assert torch.allclose(error_map(picture, picture + 1.1 * FULL_ERROR), highest.expand(4, 5, 3), atol=1e-6)


def test_near_is_bright_and_unknown_is_black():
    depth = torch.linspace(1.0, 10.0, 50).repeat(4, 1)
    depth[0, 0], depth[0, 1] = 0.0, float("nan")
    colors = depth_map(depth)
    assert (colors[0, :2] == 0).all()
    assert (brightness(colors[1]).diff() <= 0).all()
    assert brightness(colors[1, 0]) > 3 * brightness(colors[1, -1])


@pytest.mark.parametrize("depth", [torch.zeros(3, 4), torch.full((3, 4), 2.0)])
def test_depth_without_extent_is_still_a_picture(depth: torch.Tensor):
    colors = depth_map(depth)
    assert colors.shape == (3, 4, 3)
    assert colors.isfinite().all()


@pytest.mark.parametrize("shape", [(20, 30), (100, 3000), (3000, 100), (1, 1)])
def test_pictures_are_bounded_and_keep_their_shape(shape: tuple[int, int]):
    height, width = shape
    big, small = decoded(data_uri(torch.rand(*shape, 3))), decoded(thumbnail_uri(torch.rand(*shape, 3)))
    assert big.width <= min(width, MAX_WIDTH)
    assert big.height <= min(height, MAX_HEIGHT)
    assert max(small.size) <= THUMBNAIL
    assert big.width / big.height == pytest.approx(width / height, rel=0.1)


def test_colours_survive_encoding():
    color = torch.tensor([0.8, 0.4, 0.1])
    seen = decoded(data_uri(color.expand(32, 32, 3))).getpixel((16, 16))
    assert torch.tensor(seen).float().sub(color * 255).abs().max() < 5


def test_pictures_of_two_sizes_are_refused():
    with pytest.raises(InputError, match=r"expected 4x3, got 5x3"):
        require_same_size(torch.zeros(3, 4, 3), torch.zeros(3, 5, 3), where="render.png")
