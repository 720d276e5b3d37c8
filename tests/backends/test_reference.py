"""The reference: against its formulas written out pixel by pixel, against numerical derivatives, and its own laws."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import Tensor

from tests.backends.scenes import CASES, FIELDS, boundary, look_at, solve, some_cameras, some_gaussians
from veduta.core import Cameras, Gaussians, Lens, RasterOptions, UnsupportedError
from veduta.geometry.sh import eval_sh
from veduta.render.reference import SMOOTH, Reference, compositing
from veduta.render.reference.projection import Pinholes, project

rasterize = Reference().rasterize


def drawn_by_hand(gaussians: Gaussians, cameras: Cameras, options: RasterOptions) -> tuple[np.ndarray, ...]:
    """Colour, alpha and depth of the first camera, one Gaussian and one pixel at a time, in numpy."""
    world_from_camera = cameras.world_from_camera[0].double().numpy()
    rotation = world_from_camera[:3, :3].T
    (fx, _, cx), (_, fy, cy), _ = cameras.intrinsics[0].double().numpy()
    w, h = cameras.width, cameras.height
    offsets = gaussians.means.double() - cameras.positions_world[0].double()
    degree = gaussians.sh_degree if options.sh_degree is None else options.sh_degree
    colors = eval_sh(gaussians.sh[:, : (degree + 1) ** 2].double(), torch.nn.functional.normalize(offsets, dim=-1))
    ellipses = []
    for i in range(len(gaussians)):
        x, y, z = rotation @ offsets[i].numpy()
        if not options.near_m <= z <= options.far_m:
            continue
        q = gaussians.quats[i].double().numpy()
        qw, qv = q[0] / np.linalg.norm(q), q[1:] / np.linalg.norm(q)
        cross = np.array([[0, -qv[2], qv[1]], [qv[2], 0, -qv[0]], [-qv[1], qv[0], 0]])
        turn = np.eye(3) + 2 * qw * cross + 2 * cross @ cross
        sigma = turn @ np.diag(gaussians.scales[i].double().numpy() ** 2) @ turn.T
        tx = np.clip(x / z, -cx / fx - 0.3 * 0.5 * w / fx, (w - cx) / fx + 0.3 * 0.5 * w / fx)
        ty = np.clip(y / z, -cy / fy - 0.3 * 0.5 * h / fy, (h - cy) / fy + 0.3 * 0.5 * h / fy)
        J = np.array([[fx / z, 0, -fx * tx / z], [0, fy / z, -fy * ty / z]])
        before = J @ rotation @ sigma @ rotation.T @ J.T
        after = before + options.low_pass_px2 * np.eye(2)
        opacity = float(gaussians.opacities[i])
        if options.antialias:
            opacity *= math.sqrt(max(0.0, np.linalg.det(before) / np.linalg.det(after)))
        if opacity >= 1 / 255:
            center = np.array([fx * x / z + cx, fy * y / z + cy])
            ellipses.append((z, center, np.linalg.inv(after), opacity, colors[i].numpy()))
    ellipses.sort(key=lambda ellipse: ellipse[0])
    color, alpha, depth = np.zeros((h, w, 3)), np.zeros((h, w)), np.zeros((h, w))
    for row in range(h):
        for column in range(w):
            left = 1.0
            for z, center, conic, opacity, shade in ellipses:
                d = np.array([column + 0.5, row + 0.5]) - center
                a = opacity * math.exp(-0.5 * d @ conic @ d)
                if a < 1 / 255:
                    continue
                a = min(a, 0.999)
                if left * (1 - a) <= 1e-4:
                    break
                color[row, column] += left * a * shade
                depth[row, column] += left * a * z
                left *= 1 - a
            alpha[row, column] = 1 - left
            depth[row, column] /= 1 - left if left < 1 else 1
    return color, alpha, depth


@pytest.mark.parametrize("antialias", [False, True])
@pytest.mark.parametrize("focal", [8.0, 40.0])
def test_the_formulas_pixel_by_pixel(antialias: bool, focal: float) -> None:
    gaussians = some_gaussians(60, sh_degree=2, size=0.6, seed=1, spread=1.5).to(torch.float64)
    gaussians = gaussians.replace(opacities=gaussians.opacities.sqrt())  # opaque enough to stop
    cameras = some_cameras(1, width=21, height=18, focal=focal).to(torch.float64)
    options = RasterOptions(antialias=antialias, near_m=0.2, sh_degree=1)
    render = rasterize(gaussians, cameras, options=options)
    color, alpha, depth = drawn_by_hand(gaussians, cameras, options)
    assert alpha.max() > 0.999
    np.testing.assert_allclose(render.color[0].numpy(), color, atol=1e-12)
    np.testing.assert_allclose(render.alpha[0].numpy(), alpha, atol=1e-12)
    np.testing.assert_allclose(render.depth[0].numpy(), depth, atol=1e-10)


def smooth_scene(seed: int) -> tuple[Gaussians, Cameras, Tensor, Tensor]:
    """Three Gaussians that stay clear of every kink: opacity below 0.9, colours above 0, inside the image."""
    gaussians = some_gaussians(3, sh_degree=1, size=0.3, seed=seed, spread=0.3).to(torch.float64)
    gaussians = gaussians.replace(opacities=0.8 * gaussians.opacities, sh=0.1 * gaussians.sh)
    cameras = some_cameras(2, width=7, height=5, seed=seed).to(torch.float64)
    generator = torch.Generator().manual_seed(seed)
    features = torch.randn(3, 2, generator=generator, dtype=torch.float64)
    return gaussians, cameras, features, torch.rand(3, generator=generator, dtype=torch.float64)


@pytest.mark.parametrize("antialias", [False, True])
def test_numerical_derivatives_of_everything(antialias: bool) -> None:
    gaussians, cameras, features, background = smooth_scene(seed=3)
    options = RasterOptions(antialias=antialias)

    def pictures(means, quats, scales, opacities, sh, features, background, poses, intrinsics) -> Tensor:
        render = Reference(cutoffs=SMOOTH).rasterize(
            Gaussians(means=means, quats=quats, scales=scales, opacities=opacities, sh=sh),
            cameras.replace(world_from_camera=poses, intrinsics=intrinsics),
            features=features,
            background=background,
            options=options,
        )
        parts = [render.color, render.alpha[..., None], render.depth[..., None], render.features]
        return torch.cat(parts, dim=-1)[:, ::2, ::3]

    inputs = [*(getattr(gaussians, name) for name in FIELDS), features, background]
    inputs += [cameras.world_from_camera, cameras.intrinsics]
    assert torch.autograd.gradcheck(pictures, [t.clone().requires_grad_() for t in inputs], atol=1e-6, rtol=1e-5)


def test_view_space_gradient_is_the_gradient_by_a_shift_of_the_image() -> None:
    """Moving the principal point moves all centres alike, as long as no Jacobian is clamped."""
    gaussians, cameras, features, background = smooth_scene(seed=4)
    intrinsics = cameras.intrinsics.clone().requires_grad_()
    render = rasterize(
        gaussians,
        cameras.replace(intrinsics=intrinsics),
        features=features,
        background=background,
        options=RasterOptions(keep_screen=True),
    )
    (render.color.square().sum() + render.depth.sum() + render.features.sum()).backward()
    torch.testing.assert_close(render.screen.means_px.grad.sum(dim=1), intrinsics.grad[:, :2, 2])


def test_recomputing_in_the_backward_pass_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    case = CASES["degree-3-features"].to(torch.float64)
    ignored = torch.zeros_like(boundary(case))
    kept = solve(case, rasterize, ignored)
    monkeypatch.setattr(compositing, "GRAPH_BYTES", 0)
    monkeypatch.setattr(compositing, "PAIRS_AT_ONCE", 2**15)
    again = solve(case, rasterize, ignored)
    torch.testing.assert_close(again.render.color, kept.render.color, rtol=0, atol=1e-13)
    for name, gradient in kept.gradients.items():
        torch.testing.assert_close(again.gradients[name], gradient, rtol=1e-10, atol=1e-10)


def test_needles_keep_their_determinant_in_float32() -> None:
    """A needle of ratio 1e4: det = xx yy - xy^2 would be lost to rounding."""
    needle = Gaussians(
        means=torch.tensor([[0.0, 0.0, 2.0]]),
        quats=torch.tensor([[math.cos(math.pi / 8), 0.0, 0.0, math.sin(math.pi / 8)]]),
        scales=torch.tensor([[10.0, 1e-3, 1e-3]]),
        opacities=torch.tensor([1.0]),
        sh=torch.zeros(1, 1, 3),
    )
    camera = Cameras.pinhole(torch.eye(4)[None], fx=500.0, fy=500.0, cx=32.0, cy=32.0, width=64, height=64)

    def conic(dtype: torch.dtype) -> Tensor:
        zero = torch.zeros(1, dtype=torch.long)
        options = RasterOptions()
        pinholes = Pinholes.of(camera, dtype)
        return project(needle.to(dtype), pinholes, zero, zero, options=options, cutoffs=SMOOTH).conic.double()

    torch.testing.assert_close(conic(torch.float32), conic(torch.float64), rtol=1e-4, atol=0)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_the_dtype_of_the_means_is_the_dtype_of_the_picture(dtype: torch.dtype) -> None:
    gaussians = some_gaussians(5, sh_degree=0, size=0.3, seed=0).to(dtype)
    render = rasterize(gaussians, some_cameras(1, width=8, height=8))
    assert render.color.dtype == render.alpha.dtype == render.depth.dtype == dtype


def test_a_lens_is_refused() -> None:
    cameras = some_cameras(1, width=8, height=8).replace(lens=Lens("OPENCV", (0.1, 0.0, 0.0, 0.0)))
    with pytest.raises(UnsupportedError, match="lens"):
        rasterize(Gaussians.empty(), cameras)


def test_look_at_sees_its_target_in_the_middle() -> None:
    """The helper that places all test cameras: else the table of scenes might show nothing."""
    pose = look_at(torch.tensor([1.0, 2.0, -3.0]), torch.tensor([0.5, 0.0, 0.0]))
    torch.testing.assert_close(pose[:3, :3] @ pose[:3, :3].T, torch.eye(3))
    assert torch.linalg.det(pose[:3, :3]) > 0
    in_camera = pose[:3, :3].T @ (torch.tensor([0.5, 0.0, 0.0]) - pose[:3, 3])
    torch.testing.assert_close(in_camera[:2], torch.zeros(2), rtol=0, atol=1e-6)
    assert in_camera[2] > 0
