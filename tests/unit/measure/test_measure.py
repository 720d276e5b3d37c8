"""Losses and metrics against independent implementations, laws and hand-made cases."""

from __future__ import annotations

import math

import pytest
import torch
from pytorch_msssim import ssim as independent_ssim

from veduta import kernels
from veduta.measure import depth_error, photometric_loss, psnr, ssim, ssim_map
from veduta.measure.images import comparable, torch_ssim_map
from veduta.measure.photometric import torch_photometric_loss

SIZES = [(1, 1), (7, 33), (11, 11), (12, 40), (37, 53), (64, 48)]


def pictures(height: int, width: int, *, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    a = torch.rand(height, width, 3, generator=generator)
    b = (a + 0.2 * torch.randn(height, width, 3, generator=generator)).clamp(0, 1)
    return a, b, torch.rand(height, width, generator=generator)


@pytest.mark.parametrize("size", [(11, 11), (37, 53), (64, 48)])
def test_ssim_is_that_of_pytorch_msssim(size: tuple[int, int]) -> None:
    a, b, _ = pictures(*size)
    planes = [t.movedim(-1, 0)[None] for t in (a, b)]
    expected = independent_ssim(*planes, data_range=1.0, win_size=11, win_sigma=1.5, size_average=True)
    assert abs(float(ssim(a, b) - expected)) < 2e-6


@pytest.mark.parametrize("size", SIZES)
def test_fused_ssim_map_is_the_definition(size: tuple[int, int]) -> None:
    a, b, _ = pictures(*size)
    expected = torch_ssim_map(a.double(), b.double())
    assert (ssim_map(a, b).double() - expected).abs().max() < 1e-5


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("share", [0.0, 0.2, 1.0])
def test_fused_loss_and_gradient_are_autograds(size: tuple[int, int], weighted: bool, share: float) -> None:
    a, b, w = pictures(*size)
    weight = w if weighted else None
    x = a.clone().requires_grad_()
    loss = photometric_loss(x, b, weight, ssim_weight=share)
    (3 * loss).backward()
    y = a.double().requires_grad_()
    expected = torch_photometric_loss(y, b.double(), None if weight is None else weight.double(), ssim_weight=share)
    (3 * expected).backward()
    assert abs(float(loss.detach() - expected.detach())) < 1e-6
    assert (x.grad.double() - y.grad).abs().max() <= 1e-5 * y.grad.abs().max()


def test_loss_of_nothing_is_finite() -> None:
    a, b, w = pictures(20, 20)
    x = a.clone().requires_grad_()
    loss = photometric_loss(x, b, torch.zeros_like(w))
    loss.backward()
    assert float(loss.detach()) == pytest.approx(0.2)
    assert (x.grad == 0).all()


def test_equal_pictures_have_ssim_one_and_infinite_psnr() -> None:
    a, _, _ = pictures(20, 30)
    assert float(ssim(a, a)) == pytest.approx(1.0, abs=1e-6)
    assert math.isinf(float(psnr(a, a)))


def test_masked_pixels_do_not_count() -> None:
    a, b, _ = pictures(40, 40)
    weight = torch.zeros(40, 40)
    weight[:, 20:] = 1
    spoiled = b.clone()
    spoiled[:, :10] = 0
    assert torch.equal(psnr(a, b, weight), psnr(a, spoiled, weight))
    assert torch.equal(ssim(a, b, weight), ssim(a, spoiled, weight))
    assert not torch.equal(psnr(a, b), psnr(a, spoiled))


def test_what_a_mask_leaves_to_compare_is_what_the_measures_need() -> None:
    a, b, _ = (t.expand(3, *t.shape) for t in pictures(40, 40))
    weight = torch.zeros(3, 40, 40)
    weight[1, :5] = 1.0  # no window of SSIM is centred there
    weight[2, 20, 20] = 0.5
    by_psnr, by_ssim = comparable(weight)
    assert by_psnr.tolist() == [False, True, True] == psnr(a, b, weight).isfinite().tolist()
    assert by_ssim.tolist() == [False, False, True] == ssim(a, b, weight).isfinite().tolist()
    small = torch.zeros(8, 40)
    small[0, 20] = 1.0
    assert [bool(able) for able in comparable(small)] == [True, True]  # lower than a window: all rows count


def test_psnr_by_hand() -> None:
    a = torch.zeros(2, 4, 4, 3)
    b = torch.stack([torch.full((4, 4, 3), 0.1), torch.full((4, 4, 3), 0.01)])
    assert psnr(a, b).tolist() == pytest.approx([20.0, 40.0], abs=1e-4)


def test_depth_error_by_hand() -> None:
    truth = torch.tensor([[1.0, 2.0], [4.0, 9.0]])
    found = torch.tensor([[1.5, 2.0], [3.0, 0.0]])
    error = depth_error(found, truth, torch.tensor([[True, True], [True, False]]))
    assert error is not None
    assert (error.mean_absolute, error.median_absolute, error.pixels) == (0.5, 0.5, 3)
    assert error.mean_relative == pytest.approx((0.5 + 0 + 0.25) / 3)
    assert depth_error(found, truth, torch.zeros(2, 2, dtype=torch.bool)) is None


@pytest.mark.skipif(not kernels.available(), reason="the CPU kernels were not built")
def test_the_loss_does_not_depend_on_threads() -> None:
    a, b, w = pictures(61, 45)
    before, answers = kernels.threads(), []
    for count in (1, 2, 3):
        kernels.set_threads(count)
        x = a.clone().requires_grad_()
        loss = photometric_loss(x, b, w)
        loss.backward()
        answers.append((loss.detach(), x.grad))
    kernels.set_threads(before)
    assert all(torch.equal(p, q) for answer in answers[1:] for p, q in zip(answers[0], answer, strict=True))


def test_ssim_of_pictures_that_are_views_of_others() -> None:
    """Strided pictures are copied for the kernel; the copies must live until it has read them."""
    for size in (12, 40, 200):
        a, b = torch.rand(2, 3, size, size + 7, generator=torch.Generator().manual_seed(size)).movedim(1, -1)
        assert not a.is_contiguous()
        torch.testing.assert_close(ssim_map(a, b), torch_ssim_map(a, b), rtol=0, atol=1e-5)
