"""MS-SSIM against an independent implementation, and laws of the loss."""

from __future__ import annotations

import pytest
import torch
from pytorch_msssim import ms_ssim as independent

from veduta.core import InputError
from veduta.measure import ms_ssim, reconstruction_loss, ssim
from veduta.measure.reconstruction import SCALE_WEIGHTS


def pair(*shape: int, dtype: torch.dtype = torch.float32) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(1)
    a = torch.rand(*shape, 3, generator=generator, dtype=dtype)
    noise = torch.randn(a.shape, generator=generator, dtype=dtype)
    return a, (a + 0.2 * noise).clamp(0, 1)


@pytest.mark.parametrize("size", [(161, 200), (176, 163)])
def test_it_is_that_of_pytorch_msssim(size: tuple[int, int]) -> None:
    a, b = pair(2, *size)
    planes = [t.movedim(-1, 1) for t in (a, b)]
    expected = independent(*planes, data_range=1.0, size_average=False)
    assert (ms_ssim(a, b) - expected).abs().max() < 3e-6


@pytest.mark.parametrize("scales", [1, 2, 3])
def test_fewer_scales_are_those_with_the_weights_stretched(scales: int) -> None:
    a, b = pair(90, 71)
    planes = [t.movedim(-1, 0)[None] for t in (a, b)]
    weights = torch.tensor(SCALE_WEIGHTS[:scales])
    weights = weights / (weights.sum() if scales < 5 else 1)
    x, y = (torch.nn.functional.pad(t, (0, 0)) for t in planes)
    if scales == 1:
        assert abs(float(ms_ssim(a, b, scales=1) - ssim(a, b))) < 1e-5
        return
    big = [torch.nn.functional.interpolate(t, size=(176, 176)) for t in (x, y)]  # large enough for its size check
    expected = independent(*big, data_range=1.0, weights=weights.tolist())
    assert abs(float(ms_ssim(*(t[0].movedim(0, -1) for t in big), scales=scales) - expected)) < 3e-6


def test_equal_pictures_are_alike_and_the_loss_is_nothing() -> None:
    a, b = pair(64, 64)
    assert abs(float(ms_ssim(a, a, scales=3)) - 1) < 1e-6
    for scales in (1, 3):
        assert abs(float(reconstruction_loss(a, a, scales=scales))) < 1e-6
        assert float(reconstruction_loss(a, b, scales=scales)) > 0.1


def test_gradients_are_those_of_small_steps() -> None:
    a, b = pair(24, 41, dtype=torch.float64)
    assert torch.autograd.gradcheck(
        lambda x: reconstruction_loss(x, b, scales=2), (a[:, :, :].requires_grad_(),), fast_mode=True
    )


def test_the_parts_of_the_loss() -> None:
    a, b = pair(3, 64, 50)
    error = (a - b).square().mean()
    assert torch.equal(reconstruction_loss(a, b, ssim_weight=0), error)
    expected = error + 0.5 * (1 - ms_ssim(a, b, scales=2).mean())
    assert abs(float(reconstruction_loss(a, b, scales=2) - expected)) < 1e-6
    plain = torch.stack([reconstruction_loss(x, y, ssim_weight=0.1, scales=1) for x, y in zip(a, b, strict=True)])
    assert abs(float(reconstruction_loss(a, b, ssim_weight=0.1, scales=1) - plain.mean())) < 1e-6


def test_pictures_without_room_for_the_scales_are_refused() -> None:
    a, b = pair(160, 300)
    with pytest.raises(InputError, match="more than 160 pixels"):
        ms_ssim(a, b)
