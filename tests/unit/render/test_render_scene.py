"""Scenes rendered: actors at their times, the sky behind, gradients on the screen."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
import torch

from veduta.core import Actor, Cameras, Gaussians, InputError, RasterOptions, Scene, Sky, UnsupportedError
from veduta.render import rasterize, render_scene, report, resolve


def cluster(x: float) -> Gaussians:
    return Gaussians(
        means=torch.tensor([[x, 0.0, 3.0], [x, 0.2, 3.5]]),
        quats=torch.tensor([[1.0, 0.0, 0.0, 0.0]] * 2),
        scales=torch.full((2, 3), 0.15),
        opacities=torch.tensor([0.9, 0.5]),
        sh=torch.full((2, 1, 3), 0.8),
    )


def cameras(count: int) -> Cameras:
    poses = torch.eye(4).repeat(count, 1, 1)
    poses[:, 0, 3] = torch.linspace(-0.2, 0.2, count)
    time = torch.arange(count, dtype=torch.float64)
    return Cameras.pinhole(poses, fx=20.0, fy=20.0, cx=12.0, cy=9.0, width=24, height=18, time=time)


@dataclass(frozen=True)
class Sideways:
    """One unit to the right per second; gone after two seconds."""

    def place(self, gaussians: Gaussians, time: float) -> Gaussians:
        moved = gaussians.means + torch.tensor([time, 0.0, 0.0])
        opacities = gaussians.opacities * (time <= 2)
        return gaussians.replace(means=moved, opacities=opacities)


def test_a_still_scene_is_its_gaussians_from_every_camera() -> None:
    drawn = render_scene(Scene(background=cluster(0.0)), cameras(3))
    assert torch.equal(drawn.color, rasterize(cluster(0.0), cameras(3)).color)


def test_actors_are_where_they_are_at_each_cameras_time() -> None:
    scene = Scene(background=cluster(0.0), actors={"a": Actor(cluster(-0.5), Sideways())})
    views = cameras(4)
    drawn = render_scene(scene, views, features=torch.tensor([[0.0]] * 2 + [[1.0]] * 2))
    for i, time in enumerate(views.time.tolist()):
        parts = [cluster(0.0), *([cluster(-0.5 + time)] if time <= 2 else [])]
        alone = rasterize(Gaussians.cat(parts), views[i])
        torch.testing.assert_close(drawn.color[i], alone.color[0])
        torch.testing.assert_close(drawn.depth[i], alone.depth[0])
    assert drawn.features is not None
    assert drawn.features[0].max() > 0.5
    assert drawn.features[3].max() == 0


def test_the_screen_has_gradients_for_every_camera() -> None:
    gaussians = cluster(0.0).map(lambda t: t.requires_grad_())
    drawn = render_scene(Scene(background=gaussians), cameras(2), options=RasterOptions(keep_screen=True))
    drawn.color[..., :12, :].square().sum().backward()
    assert drawn.screen is not None
    assert drawn.screen.means_px.grad is not None
    assert (drawn.screen.means_px.grad.abs().amax(dim=(1, 2)) > 0).all()
    assert (drawn.screen.absgrad >= drawn.screen.means_px.grad.abs() - 1e-5).all()


def test_screens_of_several_instants_are_refused() -> None:
    scene = Scene(background=cluster(0.0), actors={"a": Actor(cluster(1.0), Sideways())})
    assert render_scene(scene, cameras(1), options=RasterOptions(keep_screen=True)).screen is not None
    with pytest.raises(UnsupportedError, match="several instants"):
        render_scene(scene, cameras(2), options=RasterOptions(keep_screen=True))


def test_the_sky_shows_where_nothing_is() -> None:
    blue = torch.tensor([0.2, 0.4, 0.9])
    drawn = render_scene(Scene(background=cluster(0.0), sky=Sky.constant(blue)), cameras(2))
    clear = drawn.alpha == 0
    assert clear.any()
    torch.testing.assert_close(drawn.color[clear], blue.expand(int(clear.sum()), 3))
    expected = rasterize(cluster(0.0), cameras(2), background=blue).color
    torch.testing.assert_close(drawn.color, expected, rtol=0, atol=1e-6)


def test_no_cameras_give_no_pictures() -> None:
    for actors in ({}, {"a": Actor(cluster(1.0), Sideways())}):
        drawn = render_scene(Scene(background=cluster(0.0), actors=actors), cameras(2)[slice(0, 0)])
        assert drawn.color.shape == (0, 18, 24, 3)


def test_backends_are_found_by_name() -> None:
    assert {entry.name for entry in report()} == {"reference", "cpu", "cuda"}
    assert resolve("auto", cluster(0.0).to(torch.float64)).name == "reference"
    with pytest.raises(InputError, match="no such backend"):
        resolve("quantum", cluster(0.0))
