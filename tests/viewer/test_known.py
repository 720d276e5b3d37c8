"""What the page shows of what is known: the browser's camera, colours per Gaussian, and switches that never raise."""

from __future__ import annotations

import math

import pytest
import torch

from tests.cli.tiny import tiny_cameras, tiny_scene
from veduta import information
from veduta.core import InputError, RasterOptions, Scene, Views
from veduta.geometry import project
from veduta.geometry.rotations import quat_from_matrix
from veduta.render import render_scene
from veduta.viewer.known import OWN_COLOR, VALUES, KnowledgePanel, ShownKnowledge, page_camera
from veduta.viewer.live import LiveViewer
from veduta.viewer.splats import Frame

pytestmark = pytest.mark.filterwarnings("default")  # viser's dependencies warn about each other


def knowledge(scene: Scene) -> ShownKnowledge:
    cameras = tiny_cameras()
    seen = [Views.of(cameras[i], rgb=render_scene(scene, cameras[i]).color) for i in range(len(cameras))]
    posterior = information.posterior(scene, information.gather(scene, seen))
    return ShownKnowledge(scene=scene, posterior=posterior, options=RasterOptions())


def test_the_browsers_camera_sees_the_same_pixels():
    frame = Frame((1.0, -2.0, 0.5), 3.0)
    camera = tiny_cameras()[4]
    pose = camera.world_from_camera[0].double()
    fov = 2 * math.atan(camera.height / (2 * float(camera.intrinsics[0, 1, 1])))
    seen = page_camera(
        frame,
        wxyz=quat_from_matrix(pose[:3, :3]),
        position=frame.place(pose[:3, 3]),
        fov=fov,
        aspect=camera.width / camera.height,
        time=1.5,
        width=camera.width,
    )
    points = tiny_scene().background.means
    for ours, theirs in zip(project(points, camera), project(points, seen), strict=True):
        torch.testing.assert_close(ours, theirs, atol=1e-3, rtol=1e-4)
    assert float(seen.time[0]) == 1.5


def test_a_gaussian_that_nobody_saw_is_the_brightest():
    scene = tiny_scene()
    means = scene.background.means.clone()
    means[0] = torch.tensor([0.0, -50.0, 0.0])
    shown = knowledge(Scene(background=scene.background.replace(means=means)))
    for name in VALUES:
        brightness = shown.paints[name].sum(dim=1)
        assert int(brightness.argmax()) == 0, name
        assert brightness[1:].std() > 0


def test_an_overlay_leaves_the_picture_where_all_is_known():
    shown = knowledge(tiny_scene())
    camera = tiny_cameras()[4]
    found = information.map(shown.scene, shown.posterior, camera)
    assert shown.overlay(camera).shape == (camera.height, camera.width, 3)
    assert float(found.gain.max()) <= shown.top * (1 + 1e-5)


def panel_of(viewer: LiveViewer) -> KnowledgePanel:
    assert viewer._known is not None
    return viewer._known


def test_what_is_known_is_worked_out_when_it_is_first_asked_for():
    scene, asked = tiny_scene(), []

    def make() -> ShownKnowledge:
        asked.append(1)
        return knowledge(scene)

    with LiveViewer(port=0) as viewer:
        viewer.show(scene)
        viewer.show_knowledge(make)
        panel = panel_of(viewer)
        assert asked == []
        own = viewer._splats["background"].rgbs.copy()
        panel._paint.value = next(iter(VALUES))
        panel._paint_anew()
        assert not (viewer._splats["background"].rgbs == own).all()
        panel._paint.value = OWN_COLOR
        panel._paint_anew()
        assert (viewer._splats["background"].rgbs == own).all()
        panel._switch.value = True
        panel._switched()
        assert "nats" in panel._legend.content
        panel._hide_splats(True)
        assert viewer._layers["/splats"][1].visible is False
        panel._hide_splats(False)
        assert viewer._layers["/splats"][1].visible is True
        panel.refresh()
        assert asked == [1]


def test_what_cannot_be_known_is_told_and_harms_nothing():
    told: list[str] = []

    def make() -> ShownKnowledge:
        raise InputError("the photographs are gone")

    with LiveViewer(port=0, tell=told.append) as viewer:
        viewer.show(tiny_scene())
        viewer.show_knowledge(make)
        panel = panel_of(viewer)
        panel._paint.value = next(iter(VALUES))
        panel._paint_anew()
        panel._switch.value = True
        panel._switched()
        assert "the photographs are gone" in panel._legend.content
    assert told
    assert all("the photographs are gone" in line for line in told)
