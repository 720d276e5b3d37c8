"""The live page: it serves, follows a fit, and never stops one."""

from __future__ import annotations

import socket
import sys
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import torch

from tests.viewer.test_splats import some
from veduta.core import Actor, Cameras, Capture, Gaussians, InputError, MissingDependencyError, PointCloud, Scene, Sky
from veduta.fit.events import Edited, Saved, Scored, Stepped
from veduta.geometry.motion import RigidMotion
from veduta.viewer import live
from veduta.viewer.live import UPDATE_EVERY_S, LiveViewer

# viser's dependencies warn about each other; that is none of ours
pytestmark = pytest.mark.filterwarnings("default")


@pytest.fixture
def told() -> list[str]:
    return []


@pytest.fixture
def viewer(told: list[str]) -> Iterator[LiveViewer]:
    with LiveViewer(port=0, tell=told.append, clock=Clock()) as made:
        yield made


class Clock:
    """Time that passes when told to."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def poses(count: int) -> torch.Tensor:
    found = torch.eye(4).repeat(count, 1, 1)
    found[:, 0, 3] = torch.arange(count).float()
    return found


def capture(points: PointCloud | None = None, *, cameras: int = 3) -> Capture:
    seen = Cameras.pinhole(poses(cameras), fx=50.0, fy=50.0, cx=32.0, cy=24.0, width=64, height=48)
    return Capture(
        train=(),
        test=(),
        cameras={"front": seen.replace(time=torch.arange(cameras).double())} if cameras else {},
        points=points,
        tracks={},
        up=torch.tensor([0.0, -1.0, 0.0]),
        metric=True,
        source=Path("photos"),
    )


def moving() -> Scene:
    motion = RigidMotion(torch.tensor([0.0, 2.0]).double(), torch.stack([poses(5)[0], poses(5)[4]]).double())
    return Scene(background=some(20), actors={"car": Actor(some(5), motion, "car")}, sky=Sky.constant(torch.ones(3)))


def stepped(step: int, scene: Callable[[], Scene]) -> Stepped:
    return Stepped(
        step=step,
        steps=100,
        loss=0.0321,
        psnr=27.5,
        gaussians=1234,
        sh_degree=1,
        width=64,
        height=48,
        seconds=1.0,
        eta_seconds=90.0,
        memory_bytes=2_000_000_000,
        scene=scene,
    )


def centers(viewer: LiveViewer, name: str) -> np.ndarray:
    return viewer._splats[name].centers.copy()


def test_the_page_is_served_on_the_loopback_interface_only(viewer: LiveViewer):
    assert viewer.url.startswith("http://127.0.0.1:")
    with urllib.request.urlopen(viewer.url, timeout=10) as answer:
        assert b"<html" in answer.read().lower()


def test_a_closed_page_frees_its_port():
    with LiveViewer(port=0) as viewer:
        port = int(viewer.url.rpartition(":")[2])
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        probe.bind(("127.0.0.1", port))


def test_starting_prints_nothing(capsys: pytest.CaptureFixture[str]):
    LiveViewer(port=0).close()
    assert capsys.readouterr().out == ""


def test_a_scene_is_shown_and_replaced(viewer: LiveViewer):
    viewer.show(Scene(background=some(20)))
    before = centers(viewer, "background")
    viewer.show(Scene(background=some(30)))
    assert (len(before), len(centers(viewer, "background"))) == (20, 30)
    viewer.show(Scene(background=Gaussians.empty()))
    assert viewer._splats == {}


def test_cameras_and_points_can_be_shown_and_hidden(viewer: LiveViewer):
    viewer.show_capture(capture(PointCloud(xyz=torch.rand(10, 3), rgb=torch.rand(10, 3))))
    viewer.show(Scene(background=some(20)))
    assert viewer._slider is None, "nothing moves"
    assert {name: node.visible for name, (_, node) in viewer._layers.items()} == {
        "/splats": True,
        "/cameras": True,
        "/points": False,
    }
    for box, _ in viewer._layers.values():
        box.value = not box.value
    viewer._server._thread_executor.shutdown(wait=True)
    assert [node.visible for _, node in viewer._layers.values()] == [False, False, True]


def test_a_capture_without_cameras_or_points_can_be_shown(viewer: LiveViewer):
    viewer.show_capture(capture(cameras=0))
    viewer.show(Scene(background=some(5)))
    assert len(centers(viewer, "background")) == 5


@pytest.mark.parametrize("cameras", [0, 1, 3])
def test_the_slider_moves_the_actors_and_only_them(viewer: LiveViewer, cameras: int):
    if cameras:
        viewer.show_capture(capture(cameras=cameras))
    viewer.show(moving())
    still, first = centers(viewer, "background"), centers(viewer, "actors")
    assert viewer._slider is not None
    assert (viewer._slider.min, viewer._slider.max) == (0.0, 2.0)
    viewer._slider.value = 2.0
    viewer._server._thread_executor.shutdown(wait=True)
    np.testing.assert_array_equal(centers(viewer, "background"), still)
    shift = (centers(viewer, "actors") - first) / viewer._frame.scale
    np.testing.assert_allclose(shift, np.tile([4.0, 0.0, 0.0], (5, 1)), atol=1e-4)


def test_the_panel_follows_every_event(viewer: LiveViewer):
    viewer.on_event(Scored(step=10, psnr=26.25, ssim=0.875, views=4))
    viewer.on_event(stepped(25, lambda: Scene(background=some(7))))
    viewer.on_event(Edited(step=25, reason="densify", before=5, after=7, changed=2))
    viewer.on_event(Saved(step=25, path=Path("x")))
    for part in ("25 of 100", "0.0321", "27.50", "1,234", "26.25", "0.875", "1 min 30 s", "2.00 GB"):
        assert part in viewer._status.content
    assert viewer._progress.value == 25.0


def test_a_fit_is_drawn_rarely_and_only_while_somebody_looks(viewer: LiveViewer, monkeypatch: pytest.MonkeyPatch):
    asked: list[int] = []
    clients: dict[int, object] = {}
    monkeypatch.setattr(viewer._server, "get_clients", lambda: clients)

    def at(step: int) -> None:
        def scene() -> Scene:
            asked.append(step)
            return Scene(background=some(3))

        viewer.on_event(stepped(step, scene))

    at(1)
    assert asked == [], "nobody looks"
    clients[0] = object()
    at(2)
    at(3)
    assert asked == [2], "too soon for the next"
    viewer._clock.now += UPDATE_EVERY_S + 0.1
    at(4)
    clients.clear()
    at(100)
    assert asked == [2, 4, 100], "the last is always drawn"


def test_a_failure_is_told_once_and_stops_nothing(viewer: LiveViewer, told: list[str]):
    def broken() -> Scene:
        raise RuntimeError("no more memory")

    viewer.on_event(stepped(100, broken))
    viewer.on_event(stepped(100, broken))
    assert len(told) == 1
    assert "no more memory" in told[0]


def test_a_mistake_in_the_program_is_not_hidden(viewer: LiveViewer):
    def broken() -> Scene:
        raise TypeError("a bug")

    with pytest.raises(TypeError, match="a bug"):
        viewer.on_event(stepped(100, broken))


@pytest.mark.parametrize("host", ["203.0.113.7", "no such host", "x" * 300])
def test_a_host_that_is_not_this_computer_is_refused(host: str):
    with pytest.raises(InputError, match="--host"):
        LiveViewer(host=host, port=0)


def test_without_viser_the_hint_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(sys.modules, "viser", None)
    with pytest.raises(MissingDependencyError) as caught:
        LiveViewer(port=0)
    assert "pip install" in str(caught.value.hint)


def test_importing_the_viewer_does_not_import_viser():
    assert "viser" not in vars(live)
