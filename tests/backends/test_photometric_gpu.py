"""The photometric loss in Triton, against its definition: on a GPU where there is one, else in the interpreter."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from tests.backends.conftest import require
from veduta.kernels import gpu
from veduta.measure.photometric import PhotometricOnGpu, photometric_loss, torch_photometric_loss

TOLERANCE = 1e-5


@pytest.fixture(autouse=True)
def usable() -> None:
    """Skips, visibly, where Triton cannot be used."""
    require("cuda")


def pictures(height: int, width: int, seed: int = 0) -> tuple[Tensor, Tensor, Tensor]:
    """Two pictures with edges, equal in places, and weights, some of them 0."""
    generator = torch.Generator().manual_seed(seed)
    a, b = (torch.rand(height, width, 3, generator=generator) for _ in range(2))
    b[: height // 3] = a[: height // 3]
    weight = torch.rand(height, width, generator=generator)
    weight[weight < 0.3] = 0
    device = "cpu" if gpu.interpreted() else "cuda"
    return a.to(device), b.to(device), weight.to(device)


def both(loss, a: Tensor, b: Tensor, weight: Tensor | None, ssim_weight: float) -> tuple[Tensor, Tensor]:
    a = a.clone().requires_grad_()
    value = loss(a, b, weight, ssim_weight)
    (3 * value).backward()
    return value.detach().cpu().double(), a.grad.cpu().double()


@pytest.mark.parametrize("ssim_weight", [0.0, 0.2, 1.0])
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("size", [(1, 1), (4, 30), (25, 17)])
def test_loss_and_gradient_agree_with_the_definition(size: tuple[int, int], weighted: bool, ssim_weight: float) -> None:
    a, b, weight = pictures(*size)
    given = weight if weighted else None

    def definition(a: Tensor, b: Tensor, weight: Tensor | None, ssim_weight: float) -> Tensor:
        return torch_photometric_loss(a, b, weight, ssim_weight=ssim_weight)

    wide = [None if t is None else t.double() for t in (a, b, given)]
    expected, by_a = both(definition, *wide, ssim_weight)
    value, gradient = both(PhotometricOnGpu.apply, a, b, given, ssim_weight)
    assert abs(value - expected) <= TOLERANCE
    assert (gradient - by_a).abs().max() <= TOLERANCE * by_a.abs().max().clamp_min(1e-3)


def test_no_weight_anywhere_gives_no_gradient() -> None:
    a, b, weight = pictures(9, 8)
    value, gradient = both(PhotometricOnGpu.apply, a, b, 0 * weight, 0.2)
    assert value == pytest.approx(0.2)
    assert (gradient == 0).all()


def test_pictures_of_other_memory_have_the_same_loss() -> None:
    a, b, weight = pictures(12, 9)
    plain = both(PhotometricOnGpu.apply, a, b, weight, 0.2)
    turned = [t.transpose(0, 1).contiguous().transpose(0, 1) for t in (a, b, weight)]
    assert not turned[0].is_contiguous()
    again = both(PhotometricOnGpu.apply, *turned, 0.2)
    assert all(torch.equal(one, other) for one, other in zip(plain, again, strict=True))


def test_the_public_loss_uses_it_on_a_gpu() -> None:
    a, b, weight = pictures(12, 9)
    value = photometric_loss(a, b, weight)
    assert value.device == a.device
    assert value.item() == pytest.approx(torch_photometric_loss(a, b, weight).item(), abs=TOLERANCE)
