"""Laws that every backend obeys."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from tests.backends.conftest import slow
from tests.backends.scenes import FIELDS, random_case, some_cameras, some_gaussians
from veduta.core import Cameras, Gaussians, RasterOptions
from veduta.geometry.rotations import matrix_from_quat, quat_multiply
from veduta.geometry.sh import SH_C0, rotate_sh

CLOSE = {"rtol": 1e-5, "atol": 2e-6}


def camera_ahead(*, width: int = 24, height: int = 20, focal: float = 30.0) -> Cameras:
    return Cameras.pinhole(
        torch.eye(4)[None], fx=focal, fy=focal, cx=width / 2, cy=height / 2, width=width, height=height
    )


def balls(depths: list[float], *, opacity: float, size: float, colors: list[float]) -> Gaussians:
    """Grey balls in a row along the optical axis."""
    n = len(depths)
    means = torch.zeros(n, 3)
    means[:, 2] = torch.tensor(depths)
    return Gaussians(
        means=means,
        quats=torch.tensor([[1.0, 0.0, 0.0, 0.0]]).repeat(n, 1),
        scales=torch.full((n, 3), size),
        opacities=torch.full((n,), opacity),
        sh=((torch.tensor(colors) - 0.5) / SH_C0)[:, None, None].repeat(1, 1, 3),
    )


def test_one_ball_in_closed_form(rasterize) -> None:
    """On the axis J is fx/z times the first two rows of the identity."""
    render = rasterize(
        balls([2.0], opacity=0.8, size=0.2, colors=[0.7]), camera_ahead(), options=RasterOptions(keep_screen=True)
    )
    variance = (30.0 * 0.2 / 2.0) ** 2 + 0.3
    x, y = torch.arange(24) + 0.5 - 12, torch.arange(20) + 0.5 - 10
    alpha = 0.8 * torch.exp(-0.5 * (x[None, :].square() + y[:, None].square()) / variance)
    alpha = torch.where(alpha >= 1 / 255, alpha, 0.0)
    torch.testing.assert_close(render.alpha[0], alpha, **CLOSE)
    torch.testing.assert_close(render.color[0], 0.7 * alpha[..., None].expand(-1, -1, 3), **CLOSE)
    torch.testing.assert_close(render.depth[0], torch.where(alpha > 0, 2.0, 0.0), **CLOSE)
    radius = math.sqrt(2 * math.log(0.8 * 255) * variance)
    assert render.screen.radii_px.item() == pytest.approx(radius, rel=1e-5)
    assert render.screen.means_px[0, 0].tolist() == pytest.approx([12.0, 10.0])
    assert render.screen.visible.all()


def test_two_balls_are_blended_front_to_back(rasterize) -> None:
    for depths, colors in (([2.0, 3.0], [0.9, 0.2]), ([3.0, 2.0], [0.2, 0.9])):
        render = rasterize(
            balls(depths, opacity=0.6, size=50.0, colors=colors), camera_ahead(), background=torch.ones(3)
        )
        middle = render.color[0, 10, 12, 0].item()
        assert middle == pytest.approx(0.6 * 0.9 + 0.4 * 0.6 * 0.2 + 0.16, abs=1e-4)
        assert render.depth[0, 10, 12].item() == pytest.approx((0.6 * 2 + 0.24 * 3) / 0.84, abs=1e-4)


def test_equal_depths_are_drawn_by_index(rasterize) -> None:
    render = rasterize(balls([2.0] * 5, opacity=0.5, size=50.0, colors=[0.9, 0.1, 0.4, 0.7, 0.2]), camera_ahead())
    expected = sum(0.5 ** (i + 1) * c for i, c in enumerate([0.9, 0.1, 0.4, 0.7, 0.2]))
    assert render.color[0, 10, 12, 0].item() == pytest.approx(expected, abs=1e-4)


def test_alpha_is_clamped_and_opaque_pixels_stop(rasterize) -> None:
    """0.999 leaves 1e-3; a second 0.999 would leave 1e-6 and is not blended at all, nor is what follows."""
    gaussians = balls([2.0, 3.0, 4.0], opacity=1.0, size=1e3, colors=[0.2, 0.9, 0.9])
    gaussians = gaussians.replace(opacities=torch.tensor([1.0, 1.0, 0.5])).map(lambda t: t.requires_grad_())
    render = rasterize(gaussians, camera_ahead())
    assert render.alpha[0, 10, 12].item() == pytest.approx(0.999, abs=1e-6)
    assert render.color[0, 10, 12, 0].item() == pytest.approx(0.999 * 0.2, abs=1e-6)
    render.color.sum().backward()
    assert gaussians.opacities.grad.tolist() == [0.0, 0.0, 0.0]
    assert gaussians.sh.grad[0].abs().max() > 0
    assert gaussians.sh.grad[1:].abs().max() == 0


def test_faint_gaussians_are_not_drawn(rasterize) -> None:
    for opacity, seen in ((0.99 / 255, False), (1.01 / 255, True)):
        render = rasterize(
            balls([2.0], opacity=opacity, size=50.0, colors=[0.5]), camera_ahead(),
            options=RasterOptions(keep_screen=True),
        )  # fmt: skip
        assert bool(render.screen.visible) is seen
        assert bool(render.alpha.max() > 0) is seen


def test_near_and_far(rasterize) -> None:
    gaussians = balls([0.5, 1.0, 2.0, 4.0], opacity=0.5, size=0.1, colors=[0.5] * 4)
    options = RasterOptions(near_m=0.9, far_m=3.0, keep_screen=True)
    assert rasterize(gaussians, camera_ahead(), options=options).screen.visible.tolist() == [[False, True, True, False]]


def test_visible_only_if_the_extent_reaches_the_image(rasterize) -> None:
    """The centre of a ball is put just inside and just outside of its reach from the lower and the upper edge."""
    slope = 10 / 30.0 + 0.3 * 10 / 30.0  # both centres lie so far out that the Jacobian is taken at its limit
    extent_px = math.sqrt(2 * math.log(0.5 * 255) * ((30.0 * 0.1 / 2.0) ** 2 * (1 + slope**2) + 0.3))
    for side in (-1, 1):
        for share, seen in ((0.99, True), (1.01, False)):
            y = side * (10 + share * extent_px) * 2.0 / 30.0
            assert abs(y) / 2.0 > slope
            ball = balls([2.0], opacity=0.5, size=0.1, colors=[0.5]).replace(means=torch.tensor([[0.0, y, 2.0]]))
            screen = rasterize(ball, camera_ahead(), options=RasterOptions(keep_screen=True)).screen
            assert bool(screen.visible) is seen


def test_the_background_shows_through(rasterize) -> None:
    case = random_case("", count=50, width=30, height=20, background=False)
    background = torch.tensor([0.2, 0.5, 2.0])
    black = rasterize(case.gaussians, case.cameras)
    over = rasterize(case.gaussians, case.cameras, background=background)
    torch.testing.assert_close(over.color, black.color + (1 - black.alpha)[..., None] * background, **CLOSE)
    torch.testing.assert_close(over.alpha, black.alpha, rtol=0, atol=0)


def test_features_are_composited_like_colour_over_zero(rasterize) -> None:
    case = random_case("", count=50, width=30, height=20)
    ones, depths = torch.ones(50, 1), case.gaussians.means @ torch.randn(3, 1)
    colors = (0.5 + SH_C0 * case.gaussians.sh[:, 0]).clamp(min=0)
    drawn = rasterize(
        case.gaussians, case.cameras, features=torch.cat([ones, colors, depths], dim=1), background=torch.ones(3)
    )
    black = rasterize(case.gaussians, case.cameras)
    torch.testing.assert_close(drawn.features[..., 0], drawn.alpha, **CLOSE)
    torch.testing.assert_close(drawn.features[..., 1:4], black.color, **CLOSE)
    assert black.features is None


def test_features_of_no_channels_are_allowed(rasterize) -> None:
    case = random_case("", count=5, width=9, height=8, features=0)
    assert case.draw(rasterize).features.shape == (1, 8, 9, 0)


def test_lower_sh_degrees_are_truncations(rasterize, backend: str) -> None:
    case = random_case("", count=8 if slow(backend) else 60, width=30, height=20, sh_degree=3)
    for degree in range(4):
        cut = case.gaussians.replace(sh=case.gaussians.sh[:, : (degree + 1) ** 2])
        asked = rasterize(case.gaussians, case.cameras, options=RasterOptions(sh_degree=degree))
        torch.testing.assert_close(asked.color, rasterize(cut, case.cameras).color, **CLOSE)
    more = rasterize(cut, case.cameras, options=RasterOptions(sh_degree=3))
    torch.testing.assert_close(more.color, rasterize(cut, case.cameras).color, rtol=0, atol=0)


def test_unused_sh_has_no_gradient(rasterize) -> None:
    case = random_case("", count=60, width=30, height=20, sh_degree=3)
    gaussians = case.gaussians.replace(sh=case.gaussians.sh.requires_grad_())
    rasterize(gaussians, case.cameras, options=RasterOptions(sh_degree=1)).color.sum().backward()
    assert gaussians.sh.grad[:, :4].abs().amax(dim=(0, 2)).min() > 0
    assert gaussians.sh.grad[:, 4:].abs().max() == 0


def test_antialiasing_keeps_the_light_of_small_gaussians(rasterize) -> None:
    """The low pass adds light to a tiny Gaussian; antialiasing takes it away again: the total follows the true area."""
    camera = camera_ahead(focal=200.0)

    def light(size: float, antialias: bool) -> float:
        gaussians = balls([2.0], opacity=1.0, size=size, colors=[0.5])
        return float(rasterize(gaussians, camera, options=RasterOptions(antialias=antialias)).alpha.sum())

    assert light(0.005, True) / light(0.01, True) == pytest.approx(0.25, rel=0.08)
    assert light(0.005, False) / light(0.01, False) > 0.35


def moved(gaussians: Gaussians, cameras: Cameras, seed: int) -> tuple[Gaussians, Cameras]:
    """World and cameras carried along by one rigid motion; worked out in float64."""
    generator = torch.Generator().manual_seed(seed)
    quat = torch.nn.functional.normalize(torch.randn(4, generator=generator, dtype=torch.float64), dim=0)
    rotation, shift = matrix_from_quat(quat), torch.randn(3, generator=generator, dtype=torch.float64)
    motion = torch.eye(4, dtype=torch.float64)
    motion[:3, :3], motion[:3, 3] = rotation, shift
    turned = gaussians.replace(
        means=gaussians.means @ rotation.T + shift,
        quats=quat_multiply(quat.expand(len(gaussians), 4), gaussians.quats),
        sh=rotate_sh(gaussians.sh, rotation),
    )
    return turned, cameras.replace(world_from_camera=motion @ cameras.world_from_camera)


@pytest.mark.parametrize("degree", range(4))
def test_rigid_motion_of_the_world_changes_nothing(rasterize, backend: str, degree: int) -> None:
    count = 12 if slow(backend) else 80
    case = random_case("", count=count, width=31, height=27, sh_degree=degree, cameras=2, seed=degree).to(torch.float64)
    gaussians, cameras = moved(case.gaussians, case.cameras, seed=degree)
    still = rasterize(case.gaussians.to(torch.float32), case.cameras.to(torch.float32))
    turned = rasterize(gaussians.to(torch.float32), cameras.to(torch.float32))
    error = (still.color - turned.color).abs().amax(dim=-1)
    assert error.quantile(0.99) < 1e-5
    assert error.max() < 0.02  # a threshold may flip


def test_the_order_of_the_rows_does_not_matter(rasterize, backend: str) -> None:
    count = 30 if slow(backend) else 150
    case = random_case("", count=count, width=40, height=30, sh_degree=1, features=2, seed=9)
    order = torch.randperm(count, generator=torch.Generator().manual_seed(0))
    plain = gradients_of(case.gaussians, case, rasterize)
    mixed = gradients_of(case.gaussians[order], case, rasterize)
    torch.testing.assert_close(mixed[0], plain[0], rtol=0, atol=1e-6)
    for name in FIELDS:
        scale = plain[1][name].abs().max()
        assert (mixed[1][name] - plain[1][name][order]).abs().max() <= 1e-5 * scale, name


def gradients_of(gaussians: Gaussians, case, rasterize) -> tuple[Tensor, dict[str, Tensor]]:
    gaussians = gaussians.map(lambda t: t.clone().requires_grad_())
    color = rasterize(gaussians, case.cameras, background=case.background).color
    weight = torch.randn(color.shape, generator=torch.Generator().manual_seed(0))
    (weight * color).sum().backward()
    return color.detach(), {name: getattr(gaussians, name).grad for name in FIELDS}


def test_many_cameras_are_drawn_like_one_by_one(rasterize, backend: str) -> None:
    count = 12 if slow(backend) else 150
    case = random_case("", count=count, width=35, height=30, sh_degree=2, cameras=3, features=2, seed=5)
    together = gradients_of(case.gaussians, case, rasterize)
    weight = torch.randn(together[0].shape, generator=torch.Generator().manual_seed(0))
    gaussians = case.gaussians.map(lambda t: t.clone().requires_grad_())
    for i in range(3):
        color = rasterize(gaussians, case.cameras[i], background=case.background).color
        torch.testing.assert_close(color[0].detach(), together[0][i], rtol=0, atol=1e-6)
        (weight[i] * color[0]).sum().backward()
    for name in FIELDS:
        error = (getattr(gaussians, name).grad - together[1][name]).abs().max()
        assert error <= 1e-5 * together[1][name].abs().max(), name


def test_a_part_of_the_picture_is_the_picture_of_a_part(rasterize, backend: str) -> None:
    """Tiles must not show: the same view, cropped by a shift of the principal point that no tile size divides."""
    whole_camera = some_cameras(1, width=64, height=48, focal=60.0)
    intrinsics = whole_camera.intrinsics.clone()
    intrinsics[:, :2, 2] -= torch.tensor([11.0, 7.0])
    part_camera = whole_camera.replace(intrinsics=intrinsics, width=37, height=30)
    gaussians = some_gaussians(30 if slow(backend) else 100, sh_degree=1, size=0.1, seed=2, spread=0.4)
    whole, part = (rasterize(gaussians, camera).color for camera in (whole_camera, part_camera))
    error = (whole[:, 7:37, 11:48] - part).abs().amax(dim=-1)
    assert error.quantile(0.99) < 1e-5
    assert error.max() < 0.02


def test_what_cannot_be_seen_leaves_no_trace(rasterize) -> None:
    case = random_case("", count=60, width=30, height=20)
    hidden = case.gaussians[:5].replace(
        means=torch.tensor([[0.0, 0, -40], [500, 0, 0], [0, -500, 0], [float("nan"), 0, 0], [0, 0, 0]]),
        opacities=torch.tensor([0.9, 0.9, 0.9, 0.9, 0.001]),
    )
    both = Gaussians.cat([hidden, case.gaussians])
    options = RasterOptions(keep_screen=True)
    plain, more = (rasterize(g, case.cameras, options=options) for g in (case.gaussians, both))
    torch.testing.assert_close(more.color, plain.color, rtol=0, atol=1e-6)
    torch.testing.assert_close(more.depth, plain.depth, rtol=0, atol=1e-5)
    assert not more.screen.visible[:, :5].any()


def test_absgrad_is_the_sum_over_pixels_of_absolute_gradients(rasterize, backend: str) -> None:
    count, width, height = (6, 2, 2) if slow(backend) else (12, 7, 5)
    case = random_case("", count=count, width=width, height=height, cameras=2, features=2, size=0.5, spread=0.4, seed=3)
    options = RasterOptions(keep_screen=True)
    weight = torch.randn(2, height, width, generator=torch.Generator().manual_seed(1))

    def loss_and_screen():
        gaussians = case.gaussians.map(lambda t: t.clone().requires_grad_())
        render = rasterize(gaussians, case.cameras, features=case.features, background=case.background, options=options)
        per_pixel = render.color.square().sum(dim=-1) + render.depth + render.features.sum(dim=-1) - render.alpha
        return weight * per_pixel, render.screen

    loss, screen = loss_and_screen()
    loss.sum().backward()
    by_pixel = []
    for c, y, x in torch.ones(2, height, width).nonzero().tolist():
        loss, one = loss_and_screen()
        loss[c, y, x].backward()
        torch.testing.assert_close(one.absgrad, one.means_px.grad.abs(), rtol=1e-4, atol=1e-5)
        by_pixel.append(one.means_px.grad)
    total = torch.stack(by_pixel)
    torch.testing.assert_close(screen.means_px.grad, total.sum(dim=0), rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(screen.absgrad, total.abs().sum(dim=0), rtol=1e-4, atol=1e-5)


def test_the_quaternion_s_length_does_not_matter(rasterize) -> None:
    case = random_case("", count=60, width=30, height=20, seed=4)
    longer = case.gaussians.replace(quats=case.gaussians.quats * torch.linspace(0.01, 50, 60)[:, None])
    error = (rasterize(longer, case.cameras).color - rasterize(case.gaussians, case.cameras).color).abs()
    assert error.max() < 1e-4
    gaussians = longer.replace(quats=longer.quats.clone().requires_grad_())
    rasterize(gaussians, case.cameras).color.square().sum().backward()
    along = (gaussians.quats.grad * longer.quats).sum(dim=-1)  # radial derivative times length
    assert along.abs().max() <= 1e-4 * (gaussians.quats.grad.norm(dim=-1) * longer.quats.norm(dim=-1)).max()


def test_a_zero_quaternion_is_the_identity(rasterize) -> None:
    case = random_case("", count=20, width=30, height=20, seed=4)
    identity = torch.tensor([[1.0, 0.0, 0.0, 0.0]]).repeat(20, 1)
    pictures = [rasterize(case.gaussians.replace(quats=q), case.cameras).color for q in (identity, 0 * identity)]
    torch.testing.assert_close(pictures[0], pictures[1], rtol=0, atol=1e-6)
