"""Inputs that no photograph gives: results and gradients are finite, and what is not drawn has gradients of zero."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from tests.backends.conftest import rasterizer, slow
from tests.backends.scenes import FIELDS, Case, boundary, random_loss, solve, some_cameras, some_gaussians
from veduta.core import Cameras, Gaussians, RasterOptions, Render
from veduta.render import BACKENDS
from veduta.render.reference import Reference

NAN, INF = float("nan"), float("inf")

TAME = {
    "ordinary": {},
    "behind": {"means": [0.0, 0.0, -30.0]},
    "at the camera": {"means": [0.0, 0.0, -4.0]},
    "far away": {"means": [3.0, -5.0, 1e6]},
    "off the screen": {"means": [400.0, 0.0, 0.0]},
    "zero quaternion": {"quats": [0.0, 0.0, 0.0, 0.0]},
    "tiny quaternion": {"quats": [0.0, 1e-20, 0.0, 0.0]},
    "long quaternion": {"quats": [3e3, -2e3, 1e3, 5e3]},
    "opacity 0": {"opacities": 0.0},
    "opacity 1": {"opacities": 1.0},
    "opacity at the threshold": {"opacities": 1 / 255},
    "a point": {"scales": [0.0, 0.0, 0.0]},
    "a disc": {"scales": [0.3, 0.3, 0.0]},
    "black": {"sh": -5.0},
    "NaN mean": {"means": [NAN, 0.0, 0.0]},
    "NaN quaternion": {"quats": [NAN, 0.0, 0.0, 1.0]},
    "NaN scale": {"scales": [0.1, NAN, 0.1]},
    "NaN opacity": {"opacities": NAN},
    "NaN colour": {"sh": NAN},
    "infinite mean": {"means": [0.0, INF, 0.0]},
    "infinite scale": {"scales": [INF, 0.1, 0.1]},
    "infinite colour": {"sh": INF},
}
"""Changes to an ordinary Gaussian after which float32 still says what float64 says."""

WILD = {
    "needle": {"scales": [10.0, 1e-3, 1e-3]},
    "short needle": {"scales": [0.1, 1e-5, 1e-5]},
    "huge": {"scales": [1e3, 1e3, 1e3]},
    "monstrous": {"scales": [1e18, 1.0, 1e18]},
    "near the camera": {"means": [0.001, 0.0, -3.98]},
    "denormal": {"scales": [1e-40, 1e-40, 1e-40]},
    "remote": {"means": [1e30, 1e30, 1e30]},
    "bright": {"sh": 1e15},
}
"""Changes after which only finiteness is asked for."""

KINDS = TAME | WILD

QUICK = [name for name in BACKENDS if not slow(name)]
"""Others draw fewer examples: see ``test_cuda.py``."""


def gaussians_of(kinds: list[str], *, sh_degree: int, seed: int) -> Gaussians:
    """Ordinary Gaussians in view, each changed after its kind."""
    gaussians = some_gaussians(len(kinds), sh_degree=sh_degree, size=0.2, seed=seed, spread=0.3)
    for i, kind in enumerate(kinds):
        for name, value in KINDS[kind].items():
            getattr(gaussians, name)[i] = torch.tensor(value)
    return gaussians


def check(gaussians: Gaussians, cameras: Cameras, rasterize, options: RasterOptions) -> Render:
    """Draw and go back; everything is finite and consistent."""
    gaussians = gaussians.map(lambda t: t.clone().requires_grad_())
    features = torch.ones(len(gaussians), 2, requires_grad=True)
    background = torch.rand(3, generator=torch.Generator().manual_seed(0)).requires_grad_()
    render = rasterize(gaussians, cameras, features=features, background=background, options=options)
    for name in ("color", "alpha", "depth", "features"):
        assert getattr(render, name).isfinite().all(), name
    assert (render.alpha >= 0).all()
    assert (render.alpha <= 1).all()
    assert (render.depth[render.alpha == 0] == 0).all()
    loss = render.color.sum() + render.alpha.sum() + 1e-3 * render.depth.sum() + render.features.sum()
    if loss.requires_grad:
        loss.backward()
    screen = render.screen
    assert screen.means_px.isfinite().all()
    assert screen.radii_px.isfinite().all()
    assert (screen.radii_px >= 0).all()
    assert (screen.radii_px[~screen.visible] == 0).all()
    unseen = ~screen.visible.any(dim=0)
    gradients = {name: getattr(gaussians, name).grad for name in FIELDS} | {"features": features.grad}
    for name, gradient in gradients.items():
        if gradient is not None:
            assert gradient.isfinite().all(), name
            assert (gradient[unseen] == 0).all(), name
    assert background.grad is None or background.grad.isfinite().all()
    assert screen.absgrad.isfinite().all()
    assert (screen.absgrad[~screen.visible] == 0).all()
    return render.detach()


scenes = {
    "width": st.integers(1, 40),
    "height": st.integers(1, 40),
    "cameras": st.integers(1, 2),
    "sh_degree": st.integers(0, 3),
    "antialias": st.booleans(),
    "seed": st.integers(0, 100),
}


@pytest.mark.parametrize("name", QUICK)
@given(kinds=st.lists(st.sampled_from(list(KINDS)), max_size=7), **scenes)
def test_anything_is_finite(name, kinds, width, height, cameras, sh_degree, antialias, seed) -> None:
    gaussians = gaussians_of(kinds, sh_degree=sh_degree, seed=seed)
    cameras = some_cameras(cameras, width=width, height=height, seed=seed)
    check(gaussians, cameras, rasterizer(name), RasterOptions(antialias=antialias, keep_screen=True))


@pytest.mark.parametrize("name", QUICK)
@given(kinds=st.lists(st.sampled_from(list(TAME)), max_size=7), **scenes)
def test_tame_scenes_agree_with_float64(name, kinds, width, height, cameras, sh_degree, antialias, seed) -> None:
    case = Case(
        "",
        gaussians_of(kinds, sh_degree=sh_degree, seed=seed),
        some_cameras(cameras, width=width, height=height, seed=seed),
        options=RasterOptions(antialias=antialias),
    )
    ignored = boundary(case)
    expected = case.to(torch.float64).draw(Reference().rasterize)
    drawn = case.draw(rasterizer(name))
    for field in ("color", "alpha", "depth"):
        error = (getattr(drawn, field).double() - getattr(expected, field)).abs()[~ignored]
        assert error.numel() == 0 or error.max() <= 2e-5 * max(1.0, float(getattr(expected, field).max())), field


anything = st.floats(width=32)
rows = st.tuples(
    st.tuples(anything | st.floats(-3, 3, width=32), anything | st.floats(-3, 3, width=32), anything),  # mean
    st.tuples(*[anything] * 4),  # quaternion
    st.tuples(*[anything] * 3),  # scale
    st.floats(0, 1, width=32) | st.just(NAN),  # opacity
    st.tuples(*[st.floats(-1e3, 1e3, width=32)] * 3),  # colour
)


@pytest.mark.parametrize("name", QUICK)
@given(rows=st.lists(rows, min_size=1, max_size=3), antialias=st.booleans())
def test_any_numbers_are_finite(name, rows, antialias) -> None:
    """Geometry from all of float32: denormal, overflowing, negative, infinite."""
    means, quats, scales, opacities, colors = (torch.tensor(column) for column in zip(*rows, strict=True))
    gaussians = Gaussians(means=means, quats=quats, scales=scales, opacities=opacities, sh=colors[:, None, :])
    camera = Cameras.pinhole(torch.eye(4)[None], fx=15.0, fy=14.0, cx=9.0, cy=8.0, width=18, height=17)
    check(gaussians, camera, rasterizer(name), RasterOptions(antialias=antialias, keep_screen=True))


@pytest.mark.parametrize("kind", KINDS)
def test_each_kind_alone_and_in_company(rasterize, backend: str, kind: str) -> None:
    cameras = some_cameras(1, width=19, height=23, focal=15.0)
    company = ["ordinary", kind, "ordinary"]
    for kinds in [company] if slow(backend) else ([kind], [kind] * 3, company):
        for antialias in (False, True):
            options = RasterOptions(antialias=antialias, keep_screen=True)
            check(gaussians_of(kinds, sh_degree=1, seed=5), cameras, rasterize, options)


@pytest.mark.parametrize("antialias", [False, True])
def test_gradients_in_tame_company_agree_with_float64(rasterize, antialias: bool) -> None:
    case = Case(
        "",
        gaussians_of([kind for kind in TAME if kind != "far away"], sh_degree=1, seed=5),  # its depth drowns the rest
        some_cameras(1, width=19, height=23, focal=15.0, seed=5),
        background=torch.rand(3, generator=torch.Generator().manual_seed(7)),
        options=RasterOptions(antialias=antialias),
    )
    ignored = boundary(case)
    expected = solve(case.to(torch.float64), Reference().rasterize, ignored).gradients
    found = solve(case, rasterize, ignored).gradients
    for name, gradient in expected.items():
        error = (found[name].double() - gradient).abs().max()
        assert error <= 1e-4 * gradient.abs().max(), name


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind.startswith(("NaN", "infinite"))])
def test_rows_that_are_not_finite_are_not_drawn(rasterize, kind: str) -> None:
    cameras = some_cameras(1, width=20, height=20)
    gaussians = gaussians_of(["ordinary", kind, "ordinary"], sh_degree=1, seed=2)
    options = RasterOptions(keep_screen=True)
    with_it = check(gaussians, cameras, rasterize, options)
    without = check(gaussians[[0, 2]], cameras, rasterize, options)
    assert with_it.screen.visible.tolist() == [[True, False, True]]
    torch.testing.assert_close(with_it.color, without.color, rtol=0, atol=0)


def test_features_that_are_not_finite_are_not_drawn(rasterize) -> None:
    gaussians = gaussians_of(["ordinary"] * 3, sh_degree=0, seed=2)
    features = torch.tensor([[1.0, 2.0], [NAN, 1.0], [0.5, -1.0]])
    cameras = some_cameras(1, width=20, height=20)
    drawn = rasterize(gaussians, cameras, features=features)
    without = rasterize(gaussians[[0, 2]], cameras, features=features[[0, 2]])
    torch.testing.assert_close(drawn.features, without.features, rtol=0, atol=0)
    torch.testing.assert_close(drawn.color, without.color, rtol=0, atol=0)


@pytest.mark.parametrize("sh_degree", [0, 3])
def test_no_gaussians_show_the_background(rasterize, sh_degree: int) -> None:
    cameras = some_cameras(2, width=17, height=5)
    gaussians = Gaussians.empty(sh_degree).map(lambda t: t.requires_grad_())
    background = torch.tensor([0.1, 0.2, 0.3], requires_grad=True)
    render = rasterize(
        gaussians,
        cameras,
        features=torch.zeros(0, 4),
        background=background,
        options=RasterOptions(keep_screen=True),
    )
    assert (render.color == background).all()
    assert render.color.shape == (2, 5, 17, 3)
    assert (render.alpha == 0).all()
    assert (render.depth == 0).all()
    assert render.features.shape == (2, 5, 17, 4)
    assert (render.features == 0).all()
    assert render.screen.means_px.shape == (2, 0, 2)
    assert render.screen.visible.shape == (2, 0)
    render.color.sum().backward()
    torch.testing.assert_close(background.grad, torch.full((3,), 2.0 * 17 * 5))


@pytest.mark.parametrize("count", [0, 3])
def test_a_view_of_nothing_has_gradients_of_zero(rasterize, count: int) -> None:
    """A training step must not fail because its photograph shows nothing yet."""
    gaussians = gaussians_of(["behind"] * count, sh_degree=1, seed=0).map(lambda t: t.requires_grad_())
    features = torch.ones(count, 2, requires_grad=True)
    render = rasterize(
        gaussians, some_cameras(1, width=8, height=6), features=features, options=RasterOptions(keep_screen=True)
    )
    (render.color.sum() + render.depth.sum() + render.features.sum()).backward()
    for tensor in (*(getattr(gaussians, name) for name in FIELDS), features, render.screen.means_px):
        assert tensor.grad is not None
        assert (tensor.grad == 0).all()


def test_no_cameras_give_no_pictures(rasterize) -> None:
    render = rasterize(gaussians_of(["ordinary"] * 3, sh_degree=1, seed=0), some_cameras(1, width=8, height=6)[0:0])
    assert render.color.shape == (0, 6, 8, 3)


@pytest.mark.parametrize("size", [(1, 1), (1, 40), (33, 1), (15, 17), (16, 16), (31, 32)])
def test_any_size_of_image(rasterize, size: tuple[int, int]) -> None:
    width, height = size
    case = Case(
        "",
        some_gaussians(40, sh_degree=1, size=0.3, seed=1, spread=0.5),
        some_cameras(1, width=width, height=height),
        background=torch.rand(3, generator=torch.Generator().manual_seed(1)),
    )
    ignored = boundary(case)
    expected = case.to(torch.float64).draw(Reference().rasterize).color
    drawn = case.draw(rasterize).color
    assert drawn.shape == (1, height, width, 3)
    assert expected.std() > 0 or size == (1, 1)
    assert ((drawn - expected).abs()[~ignored] <= 1e-5).all()


@pytest.mark.parametrize("image", [(1, 1), (33, 17)])
def test_thousands_of_gaussians_in_one_pixel(rasterize, backend: str, image: tuple[int, int]) -> None:
    """1 - (1 - a)^n in closed form at the centre; and the stop, where they are opaque."""
    count, width, height = 60 if slow(backend) else 3000, *image
    camera = Cameras.pinhole(
        torch.eye(4)[None], fx=20.0, fy=20.0, cx=width // 2 + 0.5, cy=height // 2 + 0.5, width=width, height=height
    )
    gaussians = Gaussians(
        means=torch.tensor([0.0, 0.0, 2.0]).repeat(count, 1) + torch.linspace(0, 1, count)[:, None] * torch.eye(3)[2],
        quats=torch.tensor([[1.0, 0.0, 0.0, 0.0]]).repeat(count, 1),
        scales=torch.full((count, 3), 1e-4),
        opacities=torch.full((count,), 0.005),
        sh=torch.full((count, 1, 3), 1.0),
    )
    for opacity in (0.005, 0.5):
        render = check(
            gaussians.replace(opacities=torch.full((count,), opacity)), camera, rasterize,
            RasterOptions(keep_screen=True),
        )  # fmt: skip
        drawn = min(count, math.ceil(math.log(1e-4) / math.log1p(-opacity)) - 1)
        alpha = render.alpha[0, height // 2, width // 2].item()
        assert alpha == pytest.approx(1 - (1 - opacity) ** drawn, abs=1e-5)


def test_a_camera_that_is_not_finite_sees_nothing_or_is_refused(rasterize) -> None:
    cameras = some_cameras(2, width=12, height=9)
    cameras.world_from_camera[0, 0, 3] = NAN
    render = rasterize(gaussians_of(["ordinary"] * 3, sh_degree=0, seed=1), cameras)
    assert (render.alpha[0] == 0).all()
    assert render.alpha[1].max() > 0


def test_gradients_pass_by_unseen_cameras(rasterize) -> None:
    """One camera sees nothing: the other's gradients are those it gives alone."""
    gaussians = some_gaussians(20, sh_degree=2, size=0.3, seed=1, spread=0.4)
    cameras = some_cameras(2, width=20, height=14)
    away = cameras.world_from_camera.clone()
    away[1, :3, 2] *= -1
    away[1, :3, 0] *= -1
    cameras = cameras.replace(world_from_camera=away)

    def gradient(cameras: Cameras) -> torch.Tensor:
        given = gaussians.map(lambda t: t.clone().requires_grad_())
        render = rasterize(given, cameras)
        random_loss(render.map(lambda t: t[:1]), torch.zeros(1, 14, 20, dtype=torch.bool)).backward()
        return given.means.grad

    torch.testing.assert_close(gradient(cameras), gradient(cameras[0]), rtol=1e-5, atol=1e-5)
