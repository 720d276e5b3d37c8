"""Maps: 3x3 algebra in closed form, bounds, background, factors."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import pytest
import torch
from torch import Tensor

from tests.backends.jacobians import picture_and_jacobian
from tests.unit.information import tiny
from veduta.core import Gaussians, InputError, Noise, RasterOptions, Scene
from veduta.geometry import pack, unpack
from veduta.information import gather, information_gain, posterior
from veduta.information import map as information_map
from veduta.information.maps import saturated
from veduta.render import render_scene

NOISE = Noise(sigma=0.05, kappa=2.0, tau=0.25)
NOVEL = tiny.around([-60.0, 10.0, 120.0])
TOP = 1.5 * math.log(1 + NOISE.tau**2 / NOISE.sigma**2)


def matrices(count: int, *, largest: float = 1.0, rank: int = 3) -> Tensor:
    generator = torch.Generator().manual_seed(rank)
    half = torch.randn(count, 3, rank, generator=generator, dtype=torch.float64)
    return largest * half @ half.mT * torch.rand(count, 1, 1, generator=generator).double() ** 8


@pytest.mark.parametrize("rank", [1, 2, 3])
def test_gain_is_half_the_log_determinant(rank: int) -> None:
    covariances = matrices(500, largest=NOISE.sigma**2, rank=rank)
    expected = 0.5 * torch.logdet(torch.eye(3).double() + covariances / NOISE.sigma**2)
    torch.testing.assert_close(information_gain(pack(covariances), noise=NOISE), expected, rtol=1e-9, atol=1e-12)


def test_gain_is_bounded() -> None:
    covariances = pack(matrices(500, largest=1e6))
    assert float(information_gain(covariances, noise=NOISE).max()) == TOP
    slightly_negative = torch.tensor([[-1e-9, 0, 0, -1e-9, 0, -1e-9]]).double()
    assert float(information_gain(slightly_negative, noise=NOISE)) == pytest.approx(0, abs=1e-12)


@pytest.mark.parametrize("rank", [1, 2, 3])
def test_saturation_is_that_of_matrices(rank: int) -> None:
    covariances, limit = matrices(500, largest=3.0, rank=rank), torch.linspace(0.01, 2, 500).double()
    whole = covariances @ torch.linalg.inv(torch.eye(3).double() + covariances / limit[:, None, None])
    found = unpack(saturated(pack(covariances), limit))
    torch.testing.assert_close(found, whole, rtol=1e-9, atol=1e-12)
    assert bool((torch.linalg.eigvalsh(found)[:, -1] <= limit).all())


def test_saturation_at_its_ends() -> None:
    small = pack(matrices(50, largest=1e-9))
    torch.testing.assert_close(saturated(small, torch.ones(50).double()), small, rtol=1e-6, atol=0)
    assert saturated(small, torch.zeros(50).double()).abs().max() == 0
    huge = pack(1e9 * torch.eye(3).double()[None])
    torch.testing.assert_close(saturated(huge, torch.tensor([0.3]).double()), huge / 1e9 * 0.3)
    for dtype in (torch.float32, torch.float64):
        values = saturated(pack(matrices(200, largest=1e4)).to(dtype), torch.full((200,), 1e-20, dtype=dtype))
        assert bool(values.isfinite().all())


def test_a_pixel_is_what_jacobians_give() -> None:
    """Small uncertainty: neither saturation nor background count."""
    scene = tiny.scene()
    after = posterior(scene, tiny.known(scene, known_background=True), noise=NOISE)
    after = after.replace(covariance=1e-6 * after.covariance)
    found = information_map(scene, after, NOVEL[0], backend="reference")
    color, j = picture_and_jacobian(scene.background, NOVEL[0], behind=None, options=RasterOptions())
    sigma = torch.einsum("hwcna,nab,hwdnb->hwcd", j, unpack(after.covariance), j)
    torch.testing.assert_close(found.color[0], color)
    variance = torch.diagonal(sigma, dim1=2, dim2=3).mean(dim=-1)
    torch.testing.assert_close(found.variance[0], variance, rtol=1e-4, atol=1e-12)
    gain = 0.5 * torch.logdet(torch.eye(3).double() + sigma / NOISE.sigma**2)
    torch.testing.assert_close(found.gain[0], gain, rtol=1e-3, atol=1e-10)


@pytest.mark.parametrize("moving", [False, True])
def test_the_picture_is_the_scene_s(moving: bool) -> None:
    scene = tiny.scene(moving=moving, sky=True)
    cameras = NOVEL.replace(time=torch.tensor([0.0, 0.8, 9.0]).double())
    told = []
    found = information_map(
        scene, posterior(scene, tiny.nothing(scene)), cameras, backend="reference",
        on_view=lambda done, total: told.append((done, total)),
    )  # fmt: skip
    torch.testing.assert_close(found.color, render_scene(scene, cameras, backend="reference").color)
    assert told == [(1, 3), (2, 3), (3, 3)]
    assert found.cameras is cameras


def test_where_nothing_is_the_gain_is_the_largest_and_known_in_closed_form() -> None:
    scene = tiny.scene()
    away = tiny.around([-60.0, 10.0], far=20.0)  # so far that the corners are empty
    for cameras in (NOVEL, away):
        found = information_map(scene, posterior(scene, tiny.nothing(scene), noise=NOISE), cameras, backend="reference")
        assert float(found.gain.max()) <= TOP
        assert float(found.variance.max()) <= NOISE.tau**2 * (1 + 1e-12)
    empty = render_scene(scene, away, backend="reference").alpha == 0
    assert bool(empty.any())
    torch.testing.assert_close(found.gain[empty], torch.full_like(found.gain[empty], TOP), rtol=1e-12, atol=0)
    assert float(found.gain[empty].min()) >= float(found.gain[~empty].max()) - 1e-12


def test_a_known_background_tells_nothing() -> None:
    scene, away = tiny.scene(), tiny.around([10.0], far=20.0)
    after = posterior(scene, tiny.known(scene, known_background=True), noise=NOISE)
    found = information_map(scene, after, away, backend="reference")
    empty = render_scene(scene, away, backend="reference").alpha == 0
    assert found.gain[empty].abs().max() == 0


def test_a_background_seen_before_tells_little() -> None:
    scene, away = tiny.scene(), tiny.around([10.0], far=20.0)
    seen = gather(scene, [away, away], backend="reference")
    empty = render_scene(scene, away, backend="reference").alpha == 0
    found = information_map(scene, posterior(scene, seen, noise=NOISE), away, backend="reference")
    assert float(found.gain[empty].max()) < 0.7 * TOP


def test_a_scene_without_gaussians_is_all_background() -> None:
    empty = Scene(background=Gaussians.empty(0, dtype=torch.float64))
    found = information_map(empty, posterior(empty, tiny.nothing(empty), noise=NOISE), NOVEL, backend="reference")
    torch.testing.assert_close(found.gain, torch.full_like(found.gain, TOP), rtol=1e-12, atol=0)


@dataclass(frozen=True)
class Wider:
    scale: float


def test_calibration_and_warp_multiply_the_variance_only() -> None:
    scene = tiny.scene()
    after = posterior(scene, tiny.known(scene))
    plain = information_map(scene, after, NOVEL, backend="reference")
    wider = information_map(scene, after, NOVEL, backend="reference", calibration=Wider(1.5))
    torch.testing.assert_close(wider.variance, 2.25 * plain.variance)
    assert torch.equal(wider.gain, plain.gain)
    seen = []

    def disagreement(camera, color):
        seen.append((len(camera), tuple(color.shape)))
        return torch.full(color.shape[:2], 0.03)

    warped = information_map(scene, after, NOVEL, backend="reference", warp=disagreement)
    torch.testing.assert_close(warped.variance, 2 * plain.variance)
    assert torch.equal(warped.gain, plain.gain)
    assert seen == [(1, (tiny.HEIGHT, tiny.WIDTH, 3))] * 3


def test_float32_stays_float32() -> None:
    scene = Scene(background=tiny.gaussians().to(torch.float32))
    after = posterior(scene, tiny.known(scene))
    found = information_map(scene, after, NOVEL.to(torch.float32), backend="reference")
    assert {found.gain.dtype, found.variance.dtype, found.color.dtype} == {torch.float32}
    double = Scene(background=scene.background.to(torch.float64))
    exact = information_map(double, posterior(double, tiny.known(double)), NOVEL, backend="reference")
    torch.testing.assert_close(found.gain.double(), exact.gain, rtol=0.02, atol=0.02)


@pytest.mark.parametrize("moving", [False, True])
def test_the_default_backend_agrees_with_the_reference(moving: bool) -> None:
    double = tiny.scene(moving=moving, sky=True)
    single = Scene(
        background=double.background.to(torch.float32),
        actors={
            name: replace(actor, gaussians=actor.gaussians.to(torch.float32)) for name, actor in double.actors.items()
        },
        sky=double.sky,
    )
    cameras, times = tiny.around([-20.0, 0.0, 30.0]), torch.tensor([0.1, 0.9, 1.7]).double()
    views = tiny.photographs(double, cameras.replace(time=times))
    there = gather(single, [view.replace(rgb=view.rgb.float(), weight=view.weight.float()) for view in views])
    found = information_map(single, posterior(single, there, noise=NOISE), NOVEL)
    here = gather(double, views, backend="reference")
    exact = information_map(double, posterior(double, here, noise=NOISE), NOVEL, backend="reference")
    assert found.gain.dtype == torch.float32
    error = (found.gain.double() - exact.gain).abs()
    assert float(error.flatten().quantile(0.98)) < 1e-3  # a cut-off may fall otherwise in single pixels
    assert float(error.max()) < 0.2


def test_a_posterior_of_another_scene() -> None:
    scene = tiny.scene()
    after = posterior(scene, tiny.nothing(scene))
    with pytest.raises(InputError, match="expected 14 rows, one per Gaussian, got 10"):
        information_map(tiny.scene(moving=True), after, NOVEL)
