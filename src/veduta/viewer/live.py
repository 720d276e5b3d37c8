"""The live page: a scene in the browser, and how a fit gets on.

The browser's splat renderer (viser's) knows one colour per Gaussian, no spherical harmonics: colours are averaged over
the directions that the cameras look from, so highlights and reflections look duller here than in ``veduta render``.
"""

from __future__ import annotations

import contextlib
import io
import math
import socket
import threading
import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import numpy as np
import torch
from jaxtyping import Float
from numpy.typing import NDArray
from torch import Tensor

from veduta.core import Cameras, Capture, Gaussians, InputError, MissingDependencyError, Motion, PointCloud, Scene, Sky
from veduta.fit.events import Edited, Event, Saved, Scored, Started, Stepped
from veduta.geometry.motion import RigidMotion
from veduta.geometry.rotations import quat_from_matrix
from veduta.viewer.content import duration
from veduta.viewer.known import KnowledgePanel, ShownKnowledge
from veduta.viewer.splats import PAGE_RADIUS, Frame, Splats, frame_of, splats_of

if TYPE_CHECKING:
    import viser

UPDATE_EVERY_S = 2.0
"""Shortest time between two pictures of a scene that is being fitted."""
UPDATE_SHARE = 0.1
"""And no more than this share of a fit's time is spent on them."""
MAX_FRUSTA = 300
"""Cameras drawn; of more, every so many-th."""
MAX_POINTS = 200_000
"""Points drawn, likewise."""
BRAND_COLOR = (13, 108, 117)
TIME_STEP_S = 1 / 30
"""Of the slider over time."""
_LOOK_AHEAD = 0.5 * PAGE_RADIUS
_STEP_BACK = 0.06 * PAGE_RADIUS
_STEP_UP = 0.04 * PAGE_RADIUS
_OUTSIDE = (0.0, -0.5 * PAGE_RADIUS, -2.0 * PAGE_RADIUS)
_FRUSTUM_BOUNDS = (0.005 * PAGE_RADIUS, 0.03 * PAGE_RADIUS)


class LiveViewer:
    """A page on a local server that shows one scene at a time; open ``url`` in a browser.

    ``host`` is the loopback interface unless told otherwise: who can reach the page can also steer it. ``port`` 0 asks
    for any free one; from another, the next free one is taken. ``tell`` is called with one line if showing fails.
    MissingDependencyError without viser; InputError for a host that this computer cannot listen on.
    """

    def __init__(
        self,
        *,
        host: str = "127.0.0.1",
        port: int = 8080,
        tell: Callable[[str], None] | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._server = _start(host, port)
        self._host = host
        self._tell = tell
        self._clock = clock
        self._failed = False
        self._frame: Frame | None = None
        self._eyes = torch.zeros(0, 3)
        self._times: list[float] = []
        self._scene: Scene | None = None
        self._backdrop: NDArray[np.uint8] = np.zeros((1, 1, 3), np.uint8)
        self._drawing = threading.Lock()
        self._next_update = -math.inf
        self._held_out = ""
        self._slider: viser.GuiInputHandle[float] | None = None
        self._splats: dict[str, viser.GaussianSplatHandle] = {}
        self._known: KnowledgePanel | None = None
        self._layers: dict[str, tuple[viser.GuiInputHandle[bool], viser.FrameHandle]] = {}
        self._build_panel()

    @property
    def url(self) -> str:
        """The address of the page."""
        shown = "127.0.0.1" if self._host in ("0.0.0.0", "::", "") else self._host
        return f"http://{f'[{shown}]' if ':' in shown else shown}:{self._server.get_port()}"

    def close(self) -> None:
        """Stop the server; open pages lose their connection."""
        if self._known is not None:
            self._known.close()
        with contextlib.redirect_stdout(io.StringIO()):
            self._server.stop()

    def __enter__(self) -> LiveViewer:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def show_capture(self, capture: Capture) -> None:
        """Show a capture's cameras and measured points; call it before :meth:`show`."""
        cameras = list(capture.cameras.values())
        positions = torch.cat([c.positions_world for c in cameras]) if cameras else torch.zeros(0, 3)
        points = capture.points
        self._frame = frame_of(positions, torch.zeros(0, 3) if points is None else points.xyz)
        self._eyes = positions
        self._server.scene.set_up_direction(tuple(capture.up.tolist()))
        if cameras:
            self._show_cameras(cameras)
            self._layers["/cameras"][0].visible = True
        if points is not None and len(points):
            self._show_points(points)
            self._layers["/points"][0].visible = True
        self._times = [float(t) for c in cameras for t in c.time]

    def show(self, scene: Scene) -> None:
        """Show a scene instead of the last one, at the time of the slider if it moves."""
        if self._frame is None:
            self._frame = frame_of(self._eyes, scene.at(0.0).means)
            self._start_outside()
        if scene.actors and self._slider is None:
            known = [t for actor in scene.actors.values() for t in _times(actor.motion)]
            self._add_slider(self._times if len(set(self._times)) > 1 else known)
        with self._drawing:
            self._scene = scene
            self._draw_gaussians()
            self._draw_sky(scene.sky)

    def show_knowledge(self, make: Callable[[], ShownKnowledge]) -> None:
        """Let pages colour the Gaussians by what is known of them, and show gain maps; call it after :meth:`show`.

        ``make`` is called when that is first asked for; VedutaError from it is told on the page.
        """
        box, node = self._layers["/splats"]
        self._known = KnowledgePanel(
            self._server,
            make,
            frame=self._placed,
            time=self._now,
            behind=self._behind,
            redraw=self._redraw,
            splats=node,
            shown=box,
            tell=self._tell or (lambda _: None),
        )

    def on_event(self, event: Event) -> None:
        """Follow a fit: the panel at every event, the picture every few seconds while a page is open.

        Whatever goes wrong in showing is told once, and the page then stays as it is: it never stops a fit.
        """
        if self._failed:
            return
        try:
            self._follow(event)
        except (OSError, RuntimeError, ValueError, AssertionError) as error:  # viser checks its input by asserting
            self._failed = True
            if self._tell is not None:
                self._tell(f"the live page stopped ({type(error).__name__}: {error}); the fit goes on")

    def wait(self) -> None:
        """Serve until Ctrl-C, then return; :meth:`close` is the caller's."""
        with contextlib.suppress(KeyboardInterrupt):
            self._server.sleep_forever()

    def _follow(self, event: Event) -> None:
        match event:
            case Started():
                self._status.content = f"{event.views} photographs, {event.gaussians:,} Gaussians, {event.backend}"
                self._update(event.scene)
            case Stepped():
                self._progress.visible = True
                self._progress.value = 100.0 * event.step / max(event.steps, 1)
                self._status.content = _status(event) + self._held_out
                if event.step == event.steps or self._due():
                    self._update(event.scene)
            case Scored():
                self._held_out = f"| Held out | {event.psnr:.2f} dB, SSIM {event.ssim:.3f} |\n"
            case Edited() | Saved():
                pass

    def _due(self) -> bool:
        return self._clock() >= self._next_update and bool(self._server.get_clients())

    def _update(self, scene: Callable[[], Scene]) -> None:
        start = self._clock()
        self.show(scene())
        end = self._clock()
        self._next_update = end + max(UPDATE_EVERY_S, (end - start) / UPDATE_SHARE)

    def _build_panel(self) -> None:
        gui, scene = self._server.gui, self._server.scene
        gui.configure_theme(show_logo=False, show_share_button=False, dark_mode=True, brand_color=BRAND_COLOR)
        self._progress = gui.add_progress_bar(0.0, visible=False)
        self._status = gui.add_markdown("")
        for name, label, shown in (
            ("/splats", "Gaussians", True),
            ("/cameras", "Cameras", True),
            ("/points", "Measured points", False),
        ):
            box = gui.add_checkbox(label, initial_value=shown, visible=name == "/splats")
            node = scene.add_frame(name, show_axes=False, visible=shown)
            _toggle(box, node)
            self._layers[name] = box, node

    def _draw(self, name: str, splats: Splats) -> None:
        """Put splats under a name, in place of those that are there; none take the name away."""
        handle = self._splats.get(name)
        if len(splats.centers) == 0:
            if handle is not None:
                self._splats.pop(name).remove()
        elif handle is not None:
            handle.set_gaussians(splats.centers, splats.covariances, splats.rgbs, splats.opacities)
        else:
            self._splats[name] = self._server.scene.add_gaussian_splats(
                f"/splats/{name}", splats.centers, splats.covariances, splats.rgbs, splats.opacities
            )

    def _draw_gaussians(self) -> None:
        assert self._scene is not None
        still, rgb = self._scene.background, None if self._known is None else self._known.rgb
        mine = None if rgb is None else rgb[: len(still)]
        self._draw("background", splats_of(still, self._placed(), eyes=self._eyes, rgb=mine))
        self._draw_actors()

    def _draw_actors(self) -> None:
        actors = {} if self._scene is None else self._scene.actors
        placed = Gaussians.cat([actor.at(self._now()) for actor in actors.values()]) if actors else Gaussians.empty()
        rgb = None if self._known is None else self._known.rgb
        mine = None if rgb is None else rgb[len(rgb) - len(placed) :]
        self._draw("actors", splats_of(placed, self._placed(), eyes=self._eyes, rgb=mine))

    def _redraw(self) -> None:
        with self._drawing:
            self._draw_gaussians()

    def _draw_sky(self, sky: Sky | None) -> None:
        """One colour behind everything: the sky's mean, as the page has no directions there."""
        color = torch.zeros(3) if sky is None else sky.texture.detach().float().mean(dim=(0, 1)).clamp(0.0, 1.0)
        self._backdrop = (color * 255.0).round().to(torch.uint8).reshape(1, 1, 3).numpy()
        self._server.scene.set_background_image(self._backdrop)

    def _placed(self) -> Frame:
        assert self._frame is not None, "nothing is shown yet"
        return self._frame

    def _now(self) -> float:
        return 0.0 if self._slider is None else self._slider.value

    def _behind(self) -> NDArray[np.uint8]:
        return self._backdrop

    def _add_slider(self, times: Sequence[float]) -> None:
        """A slider over these times (s), unless they are all one."""
        if not times or not max(times) > min(times):
            return
        first, last = min(times), max(times)
        self._slider = self._server.gui.add_slider(
            "Time (s)", min=first, max=last, step=min(TIME_STEP_S, last - first), initial_value=first
        )

        @self._slider.on_update
        def _(_: object) -> None:
            with self._drawing:
                self._draw_actors()
            if self._known is not None:
                self._known.refresh()

    def _show_cameras(self, cameras: Sequence[Cameras]) -> None:
        assert self._frame is not None
        single = [(sensor, i) for sensor in cameras for i in range(len(sensor))]
        every = math.ceil(len(single) / MAX_FRUSTA) or 1
        size = _frustum_size(self._frame.place(self._eyes))
        for k, (sensor, i) in enumerate(single[::every]):
            fy = float(sensor.intrinsics[i, 1, 1])
            pose = sensor.world_from_camera[i]
            fov, wxyz = 2.0 * math.atan(sensor.height / (2.0 * fy)), quat_from_matrix(pose[:3, :3].double())
            position = self._frame.place(pose[:3, 3])
            frustum = self._server.scene.add_camera_frustum(
                f"/cameras/{k}",
                fov=fov,
                aspect=sensor.width / sensor.height,
                scale=size,
                thickness=0.015 * size,
                color=BRAND_COLOR,
                wxyz=wxyz.numpy(),
                position=position.numpy(),
            )
            frustum.on_click(_flight_to(pose[:3, :3], position, fov))
            if k == 0:
                self._start_at(pose[:3, :3], position, fov)

    def _start_at(self, rotation: Float[Tensor, "3 3"], position: Float[Tensor, "3"], fov: float) -> None:
        """New pages start behind and above a camera, past its frustum, and turn about what lies ahead of it."""
        start, (_, down, ahead) = self._server.initial_camera, rotation.double().T
        start.position = tuple((position - _STEP_BACK * ahead - _STEP_UP * down).tolist())
        start.look_at = tuple((position + _LOOK_AHEAD * ahead).tolist())
        start.fov = fov

    def _start_outside(self) -> None:
        """Without cameras pages start in front of the scene, the right way up for most files: y points down."""
        self._server.scene.set_up_direction("-y")
        self._server.initial_camera.position = _OUTSIDE
        self._server.initial_camera.look_at = (0.0, 0.0, 0.0)

    def _show_points(self, points: PointCloud) -> None:
        assert self._frame is not None
        every = math.ceil(len(points) / MAX_POINTS)
        self._server.scene.add_point_cloud(
            "/points/measured",
            points=self._frame.place(points.xyz[::every]).float().numpy(),
            colors=(points.rgb[::every].clamp(0.0, 1.0) * 255.0).to(torch.uint8).numpy(),
            point_size=PAGE_RADIUS / 600.0,
            precision="float32",
        )


def _start(host: str, port: int) -> viser.ViserServer:
    try:
        import viser
    except ImportError as error:
        raise MissingDependencyError(
            "the live page needs the package viser", got="not installed", hint="pip install viser"
        ) from error
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, 0, type=socket.SOCK_STREAM)[0]
        with socket.socket(family, kind, protocol) as probe:  # viser would search for a port for ever
            probe.bind(address)
    except (OSError, UnicodeError) as error:
        raise InputError(
            f"cannot listen on this host: {error}",
            where="--host",
            expected="an address of this computer",
            got=host,
            hint="127.0.0.1 is for this computer only; 0.0.0.0 is for everybody who can reach it.",
        ) from error
    with contextlib.redirect_stdout(io.StringIO()):  # its banner would tear the fit's progress bar
        return viser.ViserServer(host=host, port=port, label="veduta", verbose=False)


def _toggle(box: viser.GuiInputHandle[bool], node: viser.SceneNodeHandle) -> None:
    @box.on_update
    def _(_: object) -> None:
        node.visible = box.value


def _flight_to(
    rotation: Float[Tensor, "3 3"], position: Float[Tensor, "3"], fov: float
) -> Callable[[viser.SceneNodePointerEvent[viser.CameraFrustumHandle]], None]:
    """What a click on a camera does: look through it."""

    def fly(event: viser.SceneNodePointerEvent[viser.CameraFrustumHandle]) -> None:
        camera = event.client.camera
        with event.client.atomic():
            camera.up_direction = (-rotation[:, 1].double()).numpy()
            camera.position = position.numpy()
            camera.look_at = (position + _LOOK_AHEAD * rotation[:, 2].double()).numpy()
            camera.fov = fov

    return fly


def _frustum_size(positions: Float[Tensor, "c 3"]) -> float:
    """A third of the usual distance between a camera and its neighbour, within bounds, in the page's units."""
    if len(positions) < 2:
        return _FRUSTUM_BOUNDS[1]
    few = positions[:: math.ceil(len(positions) / MAX_FRUSTA)]
    apart = torch.cdist(few, few).fill_diagonal_(math.inf).min(dim=1).values.median()
    return min(max(float(apart) / 3.0, _FRUSTUM_BOUNDS[0]), _FRUSTUM_BOUNDS[1])


def _times(motion: Motion) -> list[float]:
    return motion.times.tolist() if isinstance(motion, RigidMotion) else []


def _status(event: Stepped) -> str:
    memory = "" if event.memory_bytes is None else f"| Memory | {event.memory_bytes / 1e9:.2f} GB |\n"
    return (
        "| | |\n|---|---|\n"
        f"| Step | {event.step:,} of {event.steps:,} |\n"
        f"| Left | {duration(event.eta_seconds)} |\n"
        f"| Loss | {event.loss:.4f} |\n"
        f"| PSNR, this view | {event.psnr:.2f} dB |\n"
        f"| Gaussians | {event.gaussians:,} |\n{memory}"
    )
