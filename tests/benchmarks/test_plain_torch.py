"""What the benchmark compares the kernels with draws the right picture."""

from __future__ import annotations

import torch
from plain_torch import composite_at_once
from raster import Workload, blend_in_batches, splats_of


def test_all_tiles_at_once_blend_as_the_reference_does() -> None:
    splats, camera, grid = splats_of(Workload.random(2000, 100, 70))
    batches, at_once = blend_in_batches(splats, camera, grid)[0], composite_at_once(splats, camera, grid)
    assert batches.max() > 0.5
    assert (at_once[..., :4] - batches).abs().max() < 1e-5
    batches.sum().backward()
    one = splats.conic.grad
    assert one is not None
    splats.conic.grad = None
    at_once[..., :4].sum().backward()
    other = splats.conic.grad
    assert other is not None
    assert (one - other).abs().max() < 1e-4 * torch.max(one.abs())
