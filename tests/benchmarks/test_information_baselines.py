"""The baselines' arithmetic against derivatives by autograd in float64, parameter by parameter and pixel by pixel."""

from __future__ import annotations

import math

import information_baselines as baselines
import pytest
import torch
from information_hits import list_positions
from torch import Tensor

from tests.backends.scenes import random_case
from veduta.core import Cameras, Gaussians, RasterOptions, Scene
from veduta.geometry.packed import unpack
from veduta.information import gather
from veduta.render import rasterize
from veduta.render.reference import STANDARD, Reference
from veduta.render.reference.projection import Pinholes, Splats, project

PARTS = ("means", "quats", "scales", "opacities", "sh")


@pytest.fixture(scope="module")
def scene() -> tuple[Gaussians, Cameras]:
    case = random_case("few", count=8, width=18, height=11, sh_degree=3, size=0.25, cameras=3, seed=3)
    gaussians, cameras = case.gaussians.to(torch.float64), case.cameras.to(torch.float64)
    quats = torch.nn.functional.normalize(gaussians.quats, dim=1)
    # No alpha is clamped, but some colours are.
    return gaussians.replace(quats=quats, opacities=gaussians.opacities.clamp(max=0.9), sh=2 * gaussians.sh), cameras


def jacobians(gaussians: Gaussians, camera: Cameras) -> dict[str, Tensor]:
    """Per part: "p 3 n ..." derivatives of all pixels' colours by the activated parameters."""
    leaves = {name: getattr(gaussians, name).clone().requires_grad_() for name in PARTS}
    color = Reference().rasterize(Gaussians(**leaves), camera).color[0].reshape(-1, 3)
    every = torch.eye(color.numel(), dtype=torch.float64).reshape(-1, *color.shape)
    lines = torch.autograd.grad(color, list(leaves.values()), every, is_grads_batched=True)
    return {
        name: line.reshape(*color.shape, *leaf.shape) for (name, leaf), line in zip(leaves.items(), lines, strict=True)
    }


def test_faithfusion_squares_the_sum_of_channels(scene: tuple[Gaussians, Cameras]) -> None:
    gaussians, cameras = scene
    camera, degree_1 = cameras[0], gaussians.replace(sh=gaussians.sh[:, :4])
    weight = torch.rand(camera.height, camera.width, dtype=torch.float64)
    parts = jacobians(degree_1, camera)
    w = weight.flatten()
    expected = torch.einsum("p,pcnkd,pcnkd->n", w, parts["sh"], parts["sh"])
    for name in ("means", "quats", "scales"):
        expected += torch.einsum("p,pnk->n", w, parts[name].sum(dim=1).square())
    expected += torch.einsum("p,pn->n", w, parts["opacities"].sum(dim=1).square())
    got = baselines.faithfusion_information(gaussians, camera, weight=weight)
    torch.testing.assert_close(got, expected, rtol=1e-9, atol=1e-12)


def test_red_is_the_sum_of_all_channels(scene: tuple[Gaussians, Cameras]) -> None:
    gaussians, cameras = scene
    original = rasterize(gaussians.replace(sh=gaussians.sh[:, :4]), cameras[1]).color
    shown, channels = baselines.summed_channels(gaussians, cameras[1])
    summed = rasterize(shown, cameras[1]).color
    torch.testing.assert_close(summed[..., 0], original.sum(dim=-1))
    assert (summed[..., 1:] == 0).all()
    assert {float(c) for c in channels} <= {0.0, 1.0, 2.0, 3.0}
    assert (channels < 3).any()


def test_faithfusion_map(scene: tuple[Gaussians, Cameras]) -> None:
    gaussians, cameras = scene
    training, new = [cameras[0], cameras[1]], cameras[2]
    subject = baselines.FaithFusion.gather(gaussians, training)
    total = torch.zeros(len(gaussians), dtype=torch.float64)
    for camera in training:
        n = list_positions(gaussians, camera).clamp(min=1e-6)
        total += baselines.faithfusion_information(gaussians, camera, weight=1 / n**2)
    torch.testing.assert_close(subject.information, total)
    ratio = baselines.faithfusion_information(gaussians, new, weight=None) / (total + 1e-6)
    drawn = rasterize(gaussians, new, features=ratio[:, None])
    n = list_positions(gaussians, new)
    expected = torch.log(1 + drawn.features[0, ..., 0] / (1000 * n.clamp(min=1e-6))) + 1e-9
    got = subject.map(new)
    hole = drawn.alpha[0] < 0.1
    assert (got[hole] == 100).all()
    near = drawn.depth[0] * drawn.alpha[0] <= 0.1
    assert (~hole & ~near).any()
    torch.testing.assert_close(got[~hole & ~near], expected[~hole & ~near])


def test_list_positions_by_looking_at_every_pixel(scene: tuple[Gaussians, Cameras]) -> None:
    gaussians, cameras = scene
    crowd = random_case("crowd", count=150, width=35, height=18, size=0.3, seed=8).to(torch.float64)
    for some, camera in ((gaussians, cameras[0]), (crowd.gaussians, crowd.cameras)):
        torch.testing.assert_close(list_positions(some, camera), counted(some, camera))


def counted(gaussians: Gaussians, camera: Cameras) -> Tensor:
    """The definition, pixel by pixel."""
    zeros = torch.zeros(len(gaussians), dtype=torch.int64)
    every = torch.arange(len(gaussians))
    pinholes = Pinholes.of(camera, torch.float64)
    splats = project(gaussians, pinholes, zeros, every, options=RasterOptions(), cutoffs=STANDARD)
    facts = [fact_of(splats, i) for i in torch.argsort(splats.depth).tolist()]
    result = torch.zeros(camera.height, camera.width, dtype=torch.float64)
    for y in range(camera.height):
        for x in range(camera.width):
            position, left = 0, 1.0
            for (cx, cy), (xx, xy, yy), opacity, radius in facts:
                if not all(t < c + radius and t + 16 > c - radius for t, c in ((x // 16 * 16, cx), (y // 16 * 16, cy))):
                    continue
                position += 1
                dx, dy = x + 0.5 - cx, y + 0.5 - cy
                alpha = min(opacity * math.exp(-0.5 * (xx * dx * dx + 2 * xy * dx * dy + yy * dy * dy)), 0.999)
                if alpha < 1 / 255:
                    continue
                if left * (1 - alpha) <= 1e-4:
                    break
                left *= 1 - alpha
                result[y, x] = position
    return result


def fact_of(splats: Splats, i: int) -> tuple[list[float], list[float], float, float]:
    """Centre, conic, opacity and radius of one splat."""
    xx, xy, yy = splats.conic[i].tolist()
    covariance = torch.linalg.inv(torch.tensor([[xx, xy], [xy, yy]], dtype=torch.float64))
    middle, determinant = 0.5 * float(covariance.trace()), float(torch.linalg.det(covariance))
    largest = middle + max(0.1, middle**2 - determinant) ** 0.5
    return splats.means_px[i].tolist(), [xx, xy, yy], float(splats.opacity[i]), math.ceil(3 * largest**0.5)


def test_fisher_rf_sums_all_colour_coefficients(scene: tuple[Gaussians, Cameras]) -> None:
    gaussians, cameras = scene
    expected = torch.zeros(len(gaussians), dtype=torch.float64)
    for i in range(3):
        parts = jacobians(gaussians, cameras[i])
        expected += parts["sh"].square().sum(dim=(0, 1, 3, 4))
    whole = Scene(background=gaussians)
    training, new = gather(whole, cameras[:2]), gather(whole, cameras[2:])
    got = baselines.fisher_rf_information(training, new)
    torch.testing.assert_close(16 * got, expected, rtol=1e-9, atol=1e-12)


def test_fisher_rf_blends_information_times_depth(scene: tuple[Gaussians, Cameras]) -> None:
    gaussians, cameras = scene
    drawn = rasterize(gaussians, cameras[0])
    got = baselines.fisher_rf(gaussians, cameras[0], torch.full((len(gaussians),), 2.0, dtype=torch.float64))
    torch.testing.assert_close(got, 2 * (drawn.depth * drawn.alpha)[0])


def test_textbook_diagonal(scene: tuple[Gaussians, Cameras]) -> None:
    gaussians, cameras = scene
    parts = jacobians(gaussians, cameras[0])
    evidence = gather(Scene(background=gaussians), cameras[:1])
    diagonal = torch.diagonal(unpack(evidence.fisher), dim1=1, dim2=2)
    raw = [
        parts["means"],
        parts["scales"] * gaussians.scales,
        None,
        (parts["opacities"] * gaussians.opacities * (1 - gaussians.opacities))[..., None],
        parts["sh"][..., 0, :],
    ]
    half = torch.eye(4, dtype=torch.float64)[1:] / 2
    turned = torch.stack([multiply(gaussians.quats, half[k]) for k in range(3)], dim=1)
    raw[2] = torch.einsum("pcnq,nkq->pcnk", parts["quats"], turned)
    j = torch.cat(raw, dim=-1)
    torch.testing.assert_close(diagonal, j.square().sum(dim=(0, 1)), rtol=1e-9, atol=1e-12)
    variance = torch.einsum("pcnk,nk->p", j.square(), 1 / (diagonal + 1e-6)) / 3
    got = baselines.plain_variance(gaussians, cameras[0], baselines.textbook_covariance(evidence))
    torch.testing.assert_close(got.flatten(), variance, rtol=1e-8, atol=1e-10)


def multiply(a: Tensor, b: Tensor) -> Tensor:
    """Quaternion products a b."""
    w, v = a[:, :1], a[:, 1:]
    vector = w * b[1:] + b[0] * v + torch.linalg.cross(v, b[1:].expand_as(v))
    return torch.cat([w * b[0] - v @ b[1:, None], vector], dim=1)


def test_gradient_of_a_ramp() -> None:
    x = torch.arange(30.0).expand(20, 30)
    picture = torch.stack([0.01 * x, 0.02 * x, torch.zeros_like(x)], dim=-1)
    got = baselines.gradient_magnitude(picture)
    torch.testing.assert_close(got[:, 6:-6], torch.full((20, 18), 0.0005**0.5), rtol=1e-4, atol=1e-6)
    assert (baselines.gradient_magnitude(torch.full((9, 9, 3), 0.3)) < 1e-6).all()
