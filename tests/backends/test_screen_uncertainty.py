"""Both steps from uncertain Gaussians to an uncertain picture in one call."""

from __future__ import annotations

import pytest
import torch

from tests.backends.conftest import rasterizer
from tests.backends.scenes import some_cameras, some_gaussians
from veduta.core import RasterOptions
from veduta.geometry import pack
from veduta.render import BACKENDS, screen_covariance, screen_push, screen_uncertainty


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("options", [RasterOptions(), RasterOptions(antialias=True)])
def test_one_call_gives_the_bits_of_two(backend: str, options: RasterOptions) -> None:
    rasterizer(backend)  # skips where the backend cannot be used
    generator = torch.Generator().manual_seed(0)
    gaussians = some_gaussians(150, sh_degree=1, size=0.15, seed=1)
    camera = some_cameras(1, width=50, height=37, seed=1)
    behind = torch.rand(37, 50, 3, generator=generator)
    root = torch.randn(150, 13, 13, generator=generator)
    blocks = pack(root @ root.mT)
    forms = screen_push(gaussians, camera, blocks, options=options, backend=backend)
    two = screen_covariance(gaussians, camera, forms, behind=behind, options=options, backend=backend)
    one = screen_uncertainty(gaussians, camera, blocks, behind=behind, options=options, backend=backend)
    assert torch.equal(one.covariance, two.covariance)
    assert torch.equal(one.color, two.color)
    assert torch.equal(one.clear, two.clear)
