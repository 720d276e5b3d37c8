"""The compiled end of a map against its definition in torch."""

from __future__ import annotations

import pytest
import torch

from veduta import kernels
from veduta.core import Noise
from veduta.geometry import pack
from veduta.information.maps import information_gain, saturated

pytestmark = pytest.mark.skipif(not kernels.available(), reason=kernels.reason())
NOISE = Noise(sigma=0.03, kappa=8.0, tau=0.25)


@pytest.mark.parametrize("isa", kernels.instruction_sets())
@pytest.mark.parametrize("size", [(1, 1), (3, 7), (70, 130)])
@pytest.mark.parametrize("largest", [1e-6, 1e-2, 1e4])
def test_agrees_with_the_definition(isa: str, size: tuple[int, int], largest: float) -> None:
    generator = torch.Generator().manual_seed(0)
    root = torch.randn(*size, 3, 3, generator=generator)
    covariance = pack(root @ root.mT) * largest * torch.rand(*size, 1, generator=generator)
    clear = torch.rand(size, generator=generator)
    clear[0, 0] = 1.0  # nothing drawn
    covariance[0, 0] = 0.0
    background = NOISE.tau**2 * clear.square()
    expected = saturated(covariance.double(), NOISE.tau**2 * (1 - clear.double().square()))
    for diagonal in (0, 3, 5):
        expected[..., diagonal] += background
    before = kernels.isa()
    kernels.set_isa(isa)
    try:
        excess, variance = kernels.unknown(covariance, clear, background, tau2=NOISE.tau**2, precision=NOISE.sigma**-2)
    finally:
        kernels.set_isa(before)
    trace = (expected[..., 0] + expected[..., 3] + expected[..., 5]) / 3
    # far above the limit the minors of nearly singular matrices cancel, in any float32
    relative = 1e-4 if largest < 1 else 2e-2
    torch.testing.assert_close(variance.double(), trace, rtol=relative, atol=1e-9)
    gain = (0.5 * torch.log1p(excess.double())).clamp(
        max=1.5 * torch.log1p(torch.tensor(NOISE.tau**2 / NOISE.sigma**2))
    )
    torch.testing.assert_close(gain, information_gain(expected, noise=NOISE), rtol=relative, atol=1e-5)
