"""The compiled end of a map against its definition in torch."""

from __future__ import annotations

import pytest
import torch

from veduta import kernels
from veduta.core import Cameras, Noise
from veduta.geometry import matrix_from_quat, pack, quat_normalize
from veduta.information.directions import axes_in, no_directions, seen_by, variances
from veduta.information.maps import information_gain, saturated

pytestmark = pytest.mark.skipif(not kernels.available(), reason=kernels.reason())
NOISE = Noise(sigma=0.03, kappa=8.0, tau=0.25)


def camera_of(size: tuple[int, int], generator: torch.Generator) -> Cameras:
    pose = torch.eye(4).repeat(1, 1, 1)
    pose[0, :3, :3] = matrix_from_quat(quat_normalize(torch.randn(4, generator=generator)))
    height, width = size
    return Cameras.pinhole(
        pose, fx=0.4 * width, fy=0.5 * width, cx=0.45 * width, cy=0.55 * height, width=width, height=height
    )


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
    expected = saturated(covariance.double(), NOISE.tau**2 * (1 - clear.double().square()))
    for diagonal in (0, 3, 5):
        expected[..., diagonal] += NOISE.tau**2 * clear.square()
    excess, variance = told(isa, covariance, clear, torch.full((2, 4), NOISE.tau**2), camera_of(size, generator))
    trace = (expected[..., 0] + expected[..., 3] + expected[..., 5]) / 3
    # far above the limit the minors of nearly singular matrices cancel, in any float32
    relative = 1e-4 if largest < 1 else 2e-2
    torch.testing.assert_close(variance.double(), trace, rtol=relative, atol=1e-9)
    gain = (0.5 * torch.log1p(excess.double())).clamp(
        max=1.5 * torch.log1p(torch.tensor(NOISE.tau**2 / NOISE.sigma**2))
    )
    torch.testing.assert_close(gain, information_gain(expected, noise=NOISE), rtol=relative, atol=1e-5)


@pytest.mark.parametrize("isa", kernels.instruction_sets())
def test_every_pixel_looks_into_its_own_cell(isa: str) -> None:
    generator = torch.Generator().manual_seed(1)
    size = (61, 150)
    wrong = 0
    for _ in range(12):
        camera = camera_of(size, generator)
        directions = no_directions()
        numbers = torch.arange(directions.seen.numel(), dtype=torch.float64).view_as(directions.seen)
        excess, variance = told(
            isa, torch.zeros(*size, 6), torch.ones(size), (1 + numbers).float(), camera, tau2=0.0, precision=1.0
        )
        cells = seen_by(directions.replace(seen=numbers), camera)
        wrong += int((variance.double().round() - 1 != cells).sum())
        torch.testing.assert_close(excess[0, 0].double(), (1 + variance[0, 0].double()) ** 3 - 1, rtol=1e-5, atol=0)
    assert wrong <= 3, "other cells than the definition's, of 109,800 pixels; those on an edge may round either way"


def test_the_table_of_directions_is_what_a_clear_pixel_shows() -> None:
    generator = torch.Generator().manual_seed(2)
    camera, sky = camera_of((20, 30), generator), no_directions()
    sky = sky.replace(seen=torch.rand(sky.seen.shape, generator=generator, dtype=torch.float64))
    table = variances(sky, noise=NOISE)
    _, variance = told(kernels.isa(), torch.zeros(20, 30, 6), torch.ones(20, 30), table.float(), camera, sky=sky)
    expected = NOISE.tau**2 / (1 + seen_by(sky, camera) * NOISE.tau**2 / (NOISE.kappa * NOISE.sigma**2))
    assert (variance.double() - expected).abs().median() < 1e-8
    assert ((variance.double() - expected).abs() < 1e-6).double().mean() > 0.99


def told(isa, covariance, clear, table, camera, *, sky=None, tau2=NOISE.tau**2, precision=NOISE.sigma**-2):
    matrix = camera.intrinsics[0]
    before = kernels.isa()
    kernels.set_isa(isa)
    try:
        return kernels.unknown(
            covariance,
            clear,
            table,
            axes=axes_in(sky or no_directions(), camera).flatten().tolist(),
            pixels=(float(matrix[0, 0]), float(matrix[1, 1]), float(matrix[0, 2]), float(matrix[1, 2])),
            tau2=tau2,
            precision=precision,
        )
    finally:
        kernels.set_isa(before)
