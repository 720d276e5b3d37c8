"""Children lie near their parents and come one after the other."""

from __future__ import annotations

import torch

from veduta.nets import Upsample


def test_children_stay_within_reach_of_their_parents() -> None:
    up = Upsample(16, 8, 3, reach=0.5)
    coords, features = torch.rand(10, 3), 100 * torch.randn(10, 16)
    moved, made = up(coords, features, 0.2)
    assert made.shape == (30, 8)
    assert ((moved - coords.repeat_interleave(3, dim=0)).abs() <= 0.5 * 0.2 + 1e-6).all()


def test_encoding_is_frequency_major_sines_first() -> None:
    up = Upsample(4, 4, 1)
    steps = torch.tensor([[0.1, 0.2, 0.3]])
    found = up.encoded(steps)[0]
    assert torch.allclose(found[:3], steps[0].sin())
    assert torch.allclose(found[3:6], (2 * steps[0]).sin())
    assert torch.allclose(found[45:48], steps[0].cos())
