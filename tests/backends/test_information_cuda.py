"""The cuda backend's moments, blocks, forms and covariances in float32 against the reference in float64.

Without a GPU by Triton's interpreter, which needs milliseconds for an operation: on the small scenes.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from tests.backends.conftest import require
from tests.backends.scenes import SMALL_CASES, Case, boundary, some_cameras, some_gaussians
from tests.backends.test_degenerate import KINDS, gaussians_of
from tests.backends.test_information_cpu import assert_close, told, with_scales
from veduta.core import Cameras, Gaussians, RasterOptions, ScreenCovariance, ScreenMoments, UnsupportedError
from veduta.geometry import pack, unpack
from veduta.kernels import gpu
from veduta.render import rasterize
from veduta.render.cuda import Cuda
from veduta.render.reference import Reference

SCENES = SMALL_CASES | {
    case.name: case
    for case in (
        with_scales("needles", 0.5, 0.004, 0.004, count=12, width=17, height=16, sh_degree=1, seed=20),
        with_scales("discs", 0.3, 0.3, 1e-4, count=12, width=16, height=17, sh_degree=2, seed=22),
        with_scales("clamped", 0.4, 0.3, 0.2, opacity=0.9999, count=8, width=16, height=16, sh_degree=1, seed=23),
        with_scales(
            "needles-antialias", 0.5, 0.02, 0.02, count=12, width=17, height=16, sh_degree=1, seed=24,
            options=RasterOptions(antialias=True),
        ),
    )
}  # fmt: skip
QUICK = ("all-options", "clamped")
"""Scenes whose blocks and forms are compared at every run; the others' when slow tests are asked for."""


@pytest.fixture(autouse=True)
def usable() -> None:
    """Skips where there is no Triton."""
    require("cuda")


class Here(Cuda):
    """The backend for tensors on the CPU, wherever its kernels run."""

    def screen_moments(self, gaussians: Gaussians, camera: Cameras, **given: Any) -> ScreenMoments:
        return super().screen_moments(_there(gaussians), camera, **_all_there(given)).to("cpu")

    def screen_pull(self, gaussians: Gaussians, camera: Cameras, moments: Tensor, **given: Any) -> Tensor:
        return super().screen_pull(_there(gaussians), camera, _there(moments), **given).cpu()

    def screen_push(self, gaussians: Gaussians, camera: Cameras, blocks: Tensor, **given: Any) -> Tensor:
        return super().screen_push(_there(gaussians), camera, _there(blocks), **given).cpu()

    def screen_covariance(self, gaussians: Gaussians, camera: Cameras, forms: Tensor, **given: Any) -> ScreenCovariance:
        return super().screen_covariance(_there(gaussians), camera, _there(forms), **_all_there(given)).to("cpu")


def _there(value: Any) -> Any:
    return value.to(gpu.device_type()) if isinstance(value, Tensor | Gaussians) else value


def _all_there(given: dict[str, Any]) -> dict[str, Any]:
    return {name: _there(value) for name, value in given.items()}


@pytest.fixture(scope="module")
def truth() -> Callable[[str], tuple[Tensor, Any]]:
    """Of a scene's first camera, the pixels in the boundary band and what float64 says; worked out once."""
    known: dict[str, tuple[Tensor, Any]] = {}

    def of(name: str) -> tuple[Tensor, Any]:
        if name not in known:
            ignored = boundary(SCENES[name])[0]
            known[name] = ignored, told(SCENES[name], 0, Reference(), ignored, torch.float64)
        return known[name]

    return of


@pytest.mark.parametrize("name", [pytest.param(n, marks=[] if n in QUICK else pytest.mark.slow) for n in SCENES])
def test_float32_agrees_with_float64(name: str, truth: Callable[[str], tuple[Tensor, Any]]) -> None:
    ignored, expected = truth(name)
    found = told(SCENES[name], 0, Here(), ignored)
    assert expected.fisher.abs().max() > 0
    for field in ("fisher", "blocks", "score_blocks", "clustered_blocks", "forms"):
        assert_close(getattr(found, field), getattr(expected, field), field, by_row=field != "clustered_blocks")
    for field in ("score", "clustered"):
        assert_close(getattr(found, field), getattr(expected, field), field, by_row=False)
    for field in ("covariance", "color", "clear"):
        picture, answer = getattr(found, field)[~ignored], getattr(expected, field)[~ignored]
        assert_close(picture, answer, field, by_row=False)
    for blocks in (found.blocks, found.score_blocks, found.clustered_blocks, pack(_full(found.covariance))):
        values = torch.linalg.eigvalsh(unpack(blocks.double()))
        assert (values[..., 0] >= -1e-5 * values[..., -1].abs().amax()).all()


def _full(covariance: Tensor) -> Tensor:
    return unpack(covariance.flatten(0, 1))


@pytest.mark.slow
@pytest.mark.parametrize("thickness", [1e-3, 0.0])
@pytest.mark.parametrize("length", [1.0, 30.0])
def test_the_linear_map_is_sound_for_needles(length: float, thickness: float) -> None:
    case = with_scales("", length, thickness, thickness, count=20, width=60, height=50, sh_degree=1, seed=21)
    truth, generator = case.to(torch.float64), torch.Generator().manual_seed(0)
    moments = Reference().screen_moments(truth.gaussians, truth.cameras).fisher.float()
    root = torch.randn(20, 13, 13, generator=generator)
    blocks = pack(root @ root.mT)
    expected = Reference().screen_pull(truth.gaussians, truth.cameras, moments.double())
    assert_close(Here().screen_pull(case.gaussians, case.cameras, moments), expected, "blocks", by_row=True)
    expected = Reference().screen_push(truth.gaussians, truth.cameras, blocks.double())
    assert_close(Here().screen_push(case.gaussians, case.cameras, blocks), expected, "forms", by_row=True)


def test_pictures_are_those_of_rasterize() -> None:
    case = SCENES["degree-3-features"]
    found = Here().screen_moments(case.gaussians, case.cameras, options=case.options)
    render = rasterize(_there(case.gaussians), case.cameras, options=case.options, backend="cuda")
    assert torch.equal(found.color, render.color[0].cpu())
    torch.testing.assert_close(1 - found.clear, render.alpha[0].cpu(), rtol=0, atol=1e-6)
    assert found.score is None


def test_rows_are_worked_out_some_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    case = SCENES["degree-1-tall"]
    moments = torch.rand(len(case.gaussians), 9, generator=torch.Generator().manual_seed(0))
    whole = Here().screen_pull(case.gaussians, case.cameras, moments)
    monkeypatch.setattr("veduta.render.cuda.linear_map.ROWS_AT_ONCE", 13)
    parts = Here().screen_pull(case.gaussians, case.cameras, moments)
    assert whole.count_nonzero() > 0
    assert torch.equal(parts, whole)


def test_covariances_and_uncertainty_are_one() -> None:
    case = SCENES["clamped"]
    root = torch.randn(len(case.gaussians), 13, 13, generator=torch.Generator().manual_seed(0))
    blocks = pack(root @ root.mT)
    forms = Here().screen_push(case.gaussians, case.cameras, blocks)
    expected = Here().screen_covariance(case.gaussians, case.cameras, forms)
    found = Cuda().screen_uncertainty(_there(case.gaussians), case.cameras, _there(blocks))
    assert torch.equal(found.covariance.cpu(), expected.covariance)


def test_pixels_without_weight_may_be_anything() -> None:
    case = SCENES["degree-1-tall"]
    weight = torch.ones(case.cameras.height, case.cameras.width)
    weight[10:30, 4:10] = 0
    photograph = torch.rand(*weight.shape, 3, generator=torch.Generator().manual_seed(0))
    clean = Here().screen_moments(case.gaussians, case.cameras, photograph=photograph, weight=weight)
    photograph[10:30, 4:10] = float("nan")
    found = Here().screen_moments(case.gaussians, case.cameras, photograph=photograph, weight=weight)
    assert clean.score is not None
    assert found.score is not None
    torch.testing.assert_close(found.score, clean.score, rtol=1e-5, atol=1e-6 * float(clean.score.abs().max()))


@pytest.mark.parametrize("antialias", [False, True])
def test_anything_is_finite(antialias: bool) -> None:
    kinds = [kind for kind in KINDS if kind != "bright"]  # whose squares float32 does not have
    gaussians = gaussians_of(kinds, sh_degree=1, seed=5)
    options = RasterOptions(antialias=antialias)
    camera = some_cameras(1, width=9, height=7, focal=15.0)
    moments = Here().screen_moments(gaussians, camera, photograph=torch.rand(7, 9, 3), clustered=True, options=options)
    assert moments.score is not None
    blocks = Here().screen_pull(gaussians, camera, moments.score, options=options)
    for value in (moments.fisher, moments.score, moments.color, blocks):
        assert value.isfinite().all()
    hidden = [i for i, kind in enumerate(kinds) if "NaN" in kind or "infinite" in kind]
    assert (blocks[hidden] == 0).all()


def test_no_gaussians_say_nothing() -> None:
    gaussians, camera = Gaussians.empty(3), some_cameras(1, width=17, height=5)
    moments = Here().screen_moments(gaussians, camera, photograph=torch.ones(5, 17, 3))
    assert moments.fisher.shape == (0, 34)
    assert (moments.clear == 1).all()
    assert Here().screen_pull(gaussians, camera, torch.zeros(0, 39)).shape == (0, 91)
    found = Cuda().screen_uncertainty(_there(gaussians), camera, _there(torch.zeros(0, 91)))
    assert (found.covariance == 0).all()


def test_all_behind_the_camera_say_nothing() -> None:
    gaussians = some_gaussians(10, sh_degree=1, size=0.1, seed=0)
    gaussians = gaussians.replace(means=gaussians.means - torch.tensor([0.0, 0.0, 50.0]))
    camera = some_cameras(1, width=30, height=20)
    moments = Here().screen_moments(gaussians, camera)
    assert (moments.fisher == 0).all()
    assert (Here().screen_pull(gaussians, camera, torch.ones(10, 9)) == 0).all()


def test_no_gradient_is_recorded() -> None:
    case = SCENES["clamped"]
    gaussians = _there(case.gaussians).map(lambda t: t.clone().requires_grad_())
    moments = Cuda().screen_moments(gaussians, case.cameras)
    assert not moments.fisher.requires_grad
    assert not Cuda().screen_pull(gaussians, case.cameras, moments.fisher[:, :9]).requires_grad


def test_float64_is_refused_with_a_hint() -> None:
    case: Case = SCENES["degree-0"].to(torch.float64)
    with pytest.raises(UnsupportedError, match="float32"):
        Cuda().screen_moments(_there(case.gaussians), case.cameras)
    with pytest.raises(UnsupportedError, match="float32"):
        Cuda().screen_push(_there(case.gaussians), case.cameras, torch.zeros(len(case.gaussians), 91))
