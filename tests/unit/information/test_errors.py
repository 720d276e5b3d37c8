"""Errors handed down to the Gaussians: known ones are found again, and the laws of a regularised average."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
import torch
from torch import Tensor

from veduta.core import Actor, Cameras, Gaussians, InputError, Scene, Sky, Views
from veduta.information import ErrorModel, error_map, fit_errors
from veduta.render import render_scene


def cloud(count: int, seed: int, dtype: torch.dtype = torch.float64) -> Gaussians:
    """Overlapping, half transparent."""
    source = torch.Generator().manual_seed(seed)

    def draw(*shape: int) -> Tensor:
        return torch.rand(*shape, generator=source, dtype=torch.float64)

    gaussians = Gaussians(
        means=draw(count, 3) * torch.tensor([3.0, 2.0, 2.0]) + torch.tensor([-1.5, -1.0, 3.0]),
        quats=torch.nn.functional.normalize(draw(count, 4) - 0.5, dim=-1),
        scales=0.1 + 0.3 * draw(count, 3),
        opacities=0.2 + 0.7 * draw(count),
        sh=draw(count, 1, 3) - 0.5,
    )
    return gaussians.to(dtype)


def cameras(count: int, *, dtype: torch.dtype = torch.float64) -> Cameras:
    poses = torch.eye(4, dtype=dtype).repeat(count, 1, 1)
    poses[:, 0, 3] = torch.linspace(-0.6, 0.6, count)
    poses[:, 1, 3] = 0.2 * torch.linspace(-1.0, 1.0, count) ** 2
    time = torch.arange(count, dtype=torch.float64)
    return Cameras.pinhole(poses, fx=12.0, fy=12.0, cx=8.0, cy=6.0, width=16, height=12, time=time)


def photographs(scene: Scene, taken_by: Cameras, error: Tensor, weight: Tensor | None = None) -> list[Views]:
    """One instant per camera: what is drawn, off by ``error`` in every channel, up or down."""
    drawn = render_scene(scene, taken_by).color
    sign = torch.where(torch.rand(error.shape, generator=torch.Generator().manual_seed(3)) < 0.5, -1.0, 1.0)
    rgb = drawn + (sign * error)[..., None].to(drawn)
    views = Views.of(taken_by, rgb=rgb, weight=weight)
    return [views[i] for i in range(len(taken_by))]


def random_errors(count: int, seed: int = 0) -> Tensor:
    return torch.rand(count, 12, 16, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


@dataclass(frozen=True)
class Sideways:
    """A third of a unit to the right per second."""

    def place(self, gaussians: Gaussians, time: float) -> Gaussians:
        return gaussians.replace(means=gaussians.means + gaussians.means.new_tensor([time / 3, 0.0, 0.0]))


def test_errors_that_gaussians_can_have_are_found_again() -> None:
    scene = Scene(background=cloud(6, seed=1))
    truth = ErrorModel(
        values=torch.linspace(0.0, 0.3, 6, dtype=torch.float64),
        background=torch.tensor(0.1, dtype=torch.float64),
        mean=torch.tensor(0.1, dtype=torch.float64),
    )
    wanted = error_map(scene, truth, cameras(3))
    found = fit_errors(scene, photographs(scene, cameras(3), wanted), iterations=100, ridge=0.0)
    torch.testing.assert_close(found.values, truth.values, rtol=0, atol=0.01)
    torch.testing.assert_close(found.background, truth.background, rtol=0, atol=0.002)
    torch.testing.assert_close(found.mean, wanted.mean(), rtol=1e-9, atol=0)
    torch.testing.assert_close(error_map(scene, found, cameras(3)), wanted, rtol=0, atol=1e-3)


def test_the_default_number_of_steps_comes_near() -> None:
    scene = Scene(background=cloud(12, seed=1))
    error = random_errors(3)
    error[:, :, 8:] *= 0.1
    views = photographs(scene, cameras(3), error)

    def left(model: ErrorModel) -> float:
        return float((error_map(scene, model, cameras(3)) - error).square().sum())

    some, best = (left(fit_errors(scene, views, iterations=n)) for n in (8, 60))
    start = left(fit_errors(scene, views, iterations=8, ridge=1e12))
    assert best <= some < best + 0.02 * (start - best)


def test_what_is_found_is_the_minimum() -> None:
    """Karush, Kuhn and Tucker: no slope where a value is above 0, and none downwards at 0."""
    scene = Scene(background=cloud(6, seed=1))
    error = torch.zeros(2, 12, 16, dtype=torch.float64)
    error[:, 4:6, 5:7] = 0.5
    ridge = 0.3
    model = fit_errors(scene, photographs(scene, cameras(2), error), iterations=150, ridge=ridge)
    theta = torch.cat([model.values, model.background[None]]).requires_grad_()
    drawn = render_scene(scene, cameras(2), features=theta[:-1, None])
    assert drawn.features is not None
    misfit = (drawn.features[..., 0] + (1 - drawn.alpha) * theta[-1] - error).square().sum()
    (misfit + ridge * (theta - model.mean).square().sum()).backward()
    assert theta.grad is not None
    assert (theta == 0).any()
    assert (theta > 0).any()
    assert (theta >= 0).all()
    assert theta.grad[theta > 0].abs().max() < 1e-6
    assert theta.grad[theta == 0].min() > -1e-6


def test_the_first_step_is_the_mean_by_visibility() -> None:
    scene = Scene(background=cloud(5, seed=2))
    error, weight = random_errors(3), random_errors(3, seed=1)
    model = fit_errors(scene, photographs(scene, cameras(3), error, weight), iterations=1, ridge=2.0)
    mean = (weight * error).sum() / weight.sum()
    for row in range(5):
        own = torch.nn.functional.one_hot(torch.tensor(row), 5).double()
        drawn = render_scene(scene, cameras(3), features=own[:, None]).features
        assert drawn is not None
        share = drawn[..., 0] * weight
        expected = ((share * error).sum() + 2.0 * mean) / (share.sum() + 2.0)
        torch.testing.assert_close(model.values[row], expected)


def test_a_constant_error_is_that_everywhere() -> None:
    scene = Scene(background=cloud(8, seed=4))
    model = fit_errors(scene, photographs(scene, cameras(2), torch.full((2, 12, 16), 0.2, dtype=torch.float64)))
    torch.testing.assert_close(model.values, torch.full((8,), 0.2, dtype=torch.float64))
    torch.testing.assert_close(error_map(scene, model, cameras(3)), torch.full((3, 12, 16), 0.2, dtype=torch.float64))


def test_twice_the_residuals_are_twice_the_errors() -> None:
    scene = Scene(background=cloud(8, seed=5))
    one, two = (fit_errors(scene, photographs(scene, cameras(3), k * random_errors(3))) for k in (1.0, 2.0))
    torch.testing.assert_close(two.values, 2 * one.values)
    torch.testing.assert_close(two.background, 2 * one.background)


def test_neither_order_nor_grouping_of_views_matters() -> None:
    scene = Scene(background=cloud(8, seed=6))
    views = photographs(scene, cameras(4), random_errors(4))
    together = Views.of(cameras(4), rgb=torch.cat([view.rgb for view in views]))
    one = fit_errors(scene, views)
    for other in (views[::-1], [together]):
        torch.testing.assert_close(fit_errors(scene, other).values, one.values)


def test_each_gaussian_keeps_its_error_in_any_order() -> None:
    gaussians = cloud(8, seed=7)
    order = torch.randperm(8, generator=torch.Generator().manual_seed(0))
    views = photographs(Scene(background=gaussians), cameras(3), random_errors(3))
    one, other = (fit_errors(Scene(background=g), views) for g in (gaussians, gaussians[order]))
    torch.testing.assert_close(other.values, one.values[order])


def test_pixels_without_trust_say_nothing() -> None:
    scene = Scene(background=cloud(8, seed=8))
    weight = torch.ones(2, 12, 16, dtype=torch.float64)
    weight[:, :, :5] = 0
    error = random_errors(2)
    spoiled = torch.where(weight > 0, error, 100.0)
    one, other = (fit_errors(scene, photographs(scene, cameras(2), e, weight)) for e in (error, spoiled))
    torch.testing.assert_close(other.values, one.values)


def test_a_gaussian_that_nobody_saw_has_the_mean() -> None:
    gaussians = cloud(8, seed=9)
    hidden = gaussians[:2].replace(means=gaussians.means[:2] - torch.tensor([0.0, 0.0, 50.0]))
    scene = Scene(background=Gaussians.cat([gaussians, hidden]))
    views = photographs(scene, cameras(3), random_errors(3))
    for ridge in (0.0, 1.0):
        model = fit_errors(scene, views, ridge=ridge)
        torch.testing.assert_close(model.values[8:], model.mean.expand(2))


def test_errors_of_a_moving_object_stay_with_it() -> None:
    scene = Scene(
        background=cloud(6, seed=10),
        actors={"car": Actor(cloud(2, seed=11), Sideways())},
        sky=Sky.constant(torch.tensor([0.2, 0.4, 0.8], dtype=torch.float64)),
    )
    truth = ErrorModel(
        values=torch.tensor([0.02] * 6 + [0.3] * 2, dtype=torch.float64),
        background=torch.tensor(0.0, dtype=torch.float64),
        mean=torch.tensor(0.0, dtype=torch.float64),
    )
    views = photographs(scene, cameras(4), error_map(scene, truth, cameras(4)))
    found = fit_errors(scene, views, iterations=100, ridge=0.0)
    torch.testing.assert_close(found.values, truth.values, rtol=0, atol=0.02)


def test_the_backends_agree() -> None:
    scene = Scene(background=cloud(40, seed=12, dtype=torch.float32))
    views = [
        view.replace(rgb=view.rgb.float(), weight=view.weight.float())
        for view in photographs(scene, cameras(3, dtype=torch.float32), random_errors(3).float())
    ]
    slow, fast = (fit_errors(scene, views, backend=name) for name in ("reference", "auto"))
    torch.testing.assert_close(fast.values, slow.values, rtol=0, atol=1e-4)
    maps = [error_map(scene, slow, cameras(2, dtype=torch.float32), backend=name) for name in ("reference", "auto")]
    torch.testing.assert_close(maps[1], maps[0], rtol=0, atol=1e-4)


def test_progress_is_told() -> None:
    scene = Scene(background=cloud(3, seed=13))
    told: list[tuple[int, int]] = []
    views = photographs(scene, cameras(1), random_errors(1))
    fit_errors(scene, views, iterations=3, on_step=lambda done, total: told.append((done, total)))
    assert told == [(1, 3), (2, 3), (3, 3)]


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_a_scene_without_gaussians_has_a_background(dtype: torch.dtype) -> None:
    scene = Scene(background=Gaussians.empty(dtype=dtype))
    taken_by = cameras(2, dtype=dtype)
    views = Views.of(taken_by, rgb=torch.full((2, 12, 16, 3), 0.25, dtype=dtype))
    model = fit_errors(scene, [views[0], views[1]])
    assert len(model.values) == 0
    torch.testing.assert_close(error_map(scene, model, taken_by), torch.full((2, 12, 16), 0.25, dtype=dtype))


def test_mistakes_are_said() -> None:
    scene = Scene(background=cloud(3, seed=14))
    views = photographs(scene, cameras(1), random_errors(1))
    with pytest.raises(InputError, match="no photographs to learn errors from"):
        fit_errors(scene, [])
    with pytest.raises(InputError, match="no photographs to learn errors from"):
        fit_errors(scene, [views[0].replace(weight=torch.zeros_like(views[0].weight))])
    with pytest.raises(InputError, match="at least 1"):
        fit_errors(scene, views, iterations=0)
    with pytest.raises(InputError, match="0 or more"):
        fit_errors(scene, views, ridge=-1.0)
    with pytest.raises(InputError, match="not finite"):
        fit_errors(scene, [views[0].replace(rgb=views[0].rgb * torch.nan)])
    model = fit_errors(scene, views, iterations=1)
    with pytest.raises(InputError, match="3 rows, one per Gaussian"):
        error_map(scene, model.replace(values=torch.zeros(5)), cameras(1))
