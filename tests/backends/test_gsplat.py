"""The adapter to gsplat, with a stand-in that has its documented signature and draws with the reference."""

from __future__ import annotations

import sys
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor

from tests.backends.scenes import random_case, some_cameras, some_gaussians
from veduta.core import Cameras, Gaussians, Lens, MissingDependencyError, RasterOptions, UnsupportedError
from veduta.render import Backend, rasterize
from veduta.render.gsplat import Gsplat
from veduta.render.reference import Reference


def rasterization(
    means: Tensor,
    quats: Tensor,
    scales: Tensor,
    opacities: Tensor,
    colors: Tensor,
    viewmats: Tensor,
    Ks: Tensor,
    width: int,
    height: int,
    near_plane: float = 0.01,
    far_plane: float = 1e10,
    eps2d: float = 0.3,
    sh_degree: int | None = None,
    packed: bool = True,
    backgrounds: Tensor | None = None,
    render_mode: str = "RGB",
    absgrad: bool = False,
    rasterize_mode: str = "classic",
) -> tuple[Tensor, Tensor, dict[str, Any]]:
    """Shapes as documented: viewmats "c 4 4" (world to camera), Ks "c 3 3", colors "n k 3" with a degree or "n d"."""
    count, n = len(viewmats), len(means)
    assert viewmats.shape == (count, 4, 4)
    assert Ks.shape == (count, 3, 3)
    assert (quats.shape, scales.shape, opacities.shape) == ((n, 4), (n, 3), (n,))
    assert not packed, "packed layouts have no row per Gaussian"
    assert backgrounds is None
    cameras = Cameras(
        world_from_camera=torch.linalg.inv(viewmats), intrinsics=Ks, width=width, height=height,
        time=torch.zeros(count, dtype=torch.float64),
    )  # fmt: skip
    options = RasterOptions(
        near_m=near_plane, far_m=far_plane, low_pass_px2=eps2d, antialias=rasterize_mode == "antialiased",
        sh_degree=sh_degree, keep_screen=True,
    )  # fmt: skip
    sh = colors if sh_degree is not None else means.new_zeros(n, 1, 3)
    given = Gaussians(means=means, quats=quats, scales=scales, opacities=opacities, sh=sh)
    drawn = Reference().rasterize(given, cameras, features=None if sh_degree is not None else colors, options=options)
    assert drawn.screen is not None
    if absgrad:
        drawn.screen.means_px.absgrad = drawn.screen.absgrad
    radii = drawn.screen.radii_px.ceil().int()
    told = {"means2d": drawn.screen.means_px, "radii": torch.stack([radii, radii], dim=-1)}
    if sh_degree is None:
        assert render_mode == "RGB"
        return drawn.features, drawn.alpha[..., None], told
    assert render_mode == "RGB+ED"
    return torch.cat([drawn.color, drawn.depth[..., None]], dim=-1), drawn.alpha[..., None], told


@pytest.fixture
def stand_in(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """A module of the name, version 1.5.3."""
    module = SimpleNamespace(rasterization=rasterization, __version__="1.5.3")
    monkeypatch.setitem(sys.modules, "gsplat", module)
    return module


@pytest.mark.parametrize("antialias", [False, True])
@pytest.mark.parametrize("features", [None, 0, 3])
def test_pictures_and_gradients_come_through(stand_in: ModuleType, features: int | None, antialias: bool) -> None:
    case = random_case("", count=40, width=22, height=17, sh_degree=2, cameras=2, features=features, seed=4)
    options = RasterOptions(near_m=0.3, low_pass_px2=0.2, antialias=antialias, sh_degree=1, keep_screen=True)

    def drawn(backend: Any) -> tuple[Any, Gaussians]:
        gaussians = case.gaussians.map(lambda t: t.clone().requires_grad_())
        given = {"features": case.features, "background": case.background, "options": options}
        render = rasterize(gaussians, case.cameras, **given, backend=backend)
        (render.color.square().sum() + 0.1 * render.depth.sum()).backward()
        return render, gaussians

    (ours, own), (expected, other) = drawn(Gsplat()), drawn("reference")
    for name in ("color", "alpha", "depth", "features"):
        one, two = getattr(ours, name), getattr(expected, name)
        assert (one is None) == (two is None)
        if one is not None:
            torch.testing.assert_close(one, two, rtol=1e-4, atol=1e-5)
    for name in ("means", "opacities", "sh"):
        torch.testing.assert_close(getattr(own, name).grad, getattr(other, name).grad, rtol=1e-3, atol=1e-4)
    torch.testing.assert_close(ours.screen.means_px.grad, expected.screen.means_px.grad, rtol=1e-3, atol=1e-4)
    torch.testing.assert_close(ours.screen.absgrad, expected.screen.absgrad, rtol=1e-3, atol=1e-4)
    assert torch.equal(ours.screen.visible, expected.screen.visible)


def test_radii_of_older_releases_have_one_number(stand_in: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def older(**given: Any) -> tuple[Tensor, Tensor, dict[str, Any]]:
        picture, alpha, told = rasterization(**given)
        return picture, alpha, {**told, "radii": told["radii"][..., 0]}

    monkeypatch.setattr(stand_in, "rasterization", older)
    monkeypatch.setattr(stand_in, "__version__", "1.4.0+pt24cu124")
    case = random_case("", count=10, width=12, height=9, background=False)
    screen = rasterize(case.gaussians, case.cameras, options=RasterOptions(keep_screen=True), backend=Gsplat()).screen
    assert screen is not None
    assert screen.radii_px.shape == (1, 10)


def test_nothing_to_draw_is_drawn(stand_in: ModuleType) -> None:
    cameras = some_cameras(2, width=9, height=7)
    assert rasterize(Gaussians.empty(1), cameras, backend=Gsplat()).color.shape == (2, 7, 9, 3)
    gaussians = some_gaussians(3, sh_degree=0, size=0.1, seed=0)
    assert rasterize(gaussians, cameras[0:0], backend=Gsplat()).color.shape == (0, 7, 9, 3)


@pytest.mark.parametrize("version", ["1.3.0", "1.6.0", "2.0.1", "0.1"])
def test_other_releases_are_refused(stand_in: Any, monkeypatch: pytest.MonkeyPatch, version: str) -> None:
    monkeypatch.setattr(stand_in, "__version__", version)
    with pytest.raises(UnsupportedError, match=version) as refused:
        Gsplat()
    assert "pip install" in str(refused.value)


def test_without_gsplat_the_command_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "gsplat", None)
    with pytest.raises(MissingDependencyError) as missing:
        Gsplat()
    assert "pip install 'gsplat" in str(missing.value)


def test_what_gsplat_lacks_is_refused(stand_in: ModuleType) -> None:
    backend, empty = Gsplat(), Gaussians.empty(0)
    camera = some_cameras(1, width=9, height=7)
    assert isinstance(backend, Backend)
    blocks, forms, moments = torch.zeros(0, 91), torch.zeros(0, 39), torch.zeros(0, 34)
    for call in (
        lambda: backend.screen_moments(empty, camera),
        lambda: backend.screen_pull(empty, camera, moments),
        lambda: backend.screen_push(empty, camera, blocks),
        lambda: backend.screen_covariance(empty, camera, forms),
        lambda: backend.screen_uncertainty(empty, camera, blocks),
        lambda: backend.rasterize(empty, camera.replace(lens=Lens("OPENCV", (0.1, 0.0, 0.0, 0.0)))),
    ):
        with pytest.raises(UnsupportedError):
            call()
