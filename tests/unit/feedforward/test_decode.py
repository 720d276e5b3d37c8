"""Raw numbers as Gaussians."""

from __future__ import annotations

import pytest
import torch

from veduta.feedforward import COARSE_SCALE, object_gaussians


def test_zeros_are_faint_small_and_grey() -> None:
    made = object_gaussians(torch.zeros(2, 3), torch.zeros(2, 20), unit_scale=COARSE_SCALE)
    assert made.sh.shape == (2, 4, 3)
    assert float(made.opacities[0]) == pytest.approx(0.1016, abs=1e-4)
    assert float(made.scales[0, 0]) == pytest.approx(5.208e-3, rel=1e-3)


def test_layout() -> None:
    attributes = torch.arange(20.0)[None] / 10
    made = object_gaussians(torch.zeros(1, 3), attributes)
    assert torch.equal(made.sh[0, 1], attributes[0, 3:6])
    assert torch.allclose(made.quats[0], torch.nn.functional.normalize(attributes[0, 16:], dim=0))


def test_half_precision_ends_where_numbers_become_gaussians() -> None:
    attributes = torch.randn(50, 20, generator=torch.Generator().manual_seed(0)).bfloat16()
    made = object_gaussians(torch.zeros(50, 3), attributes)
    exact = object_gaussians(torch.zeros(50, 3), attributes.float())
    for name in ("quats", "scales", "opacities", "sh"):
        assert torch.equal(getattr(made, name), getattr(exact, name)), name
