"""Pictures and videos along a path of cameras."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from veduta.core import Cameras, InputError, RasterOptions, Render, Scene
from veduta.io.images import read_image, write_png
from veduta.io.video import write_mp4
from veduta.recipes.colors import DepthRange, depth_colors
from veduta.render import render_scene

DEPTH_SAMPLES = 5
"""Frames that are drawn beforehand to choose one depth range for the whole path."""


@dataclass(frozen=True, kw_only=True)
class Flight:
    """What :func:`render_path` made."""

    pictures: tuple[Path, ...]
    depths: tuple[Path, ...]
    """Colours of depth, one per picture; empty if not asked for."""
    videos: tuple[Path, ...]
    """Of the pictures and of the depths; none where the pictures have more than one size."""


def render_path(
    scene: Scene,
    cameras: Cameras | Sequence[Cameras],
    out: Path,
    *,
    backend: str = "auto",
    options: RasterOptions | None = None,
    fps: float = 30.0,
    video: bool = True,
    depth: bool = False,
    names: Sequence[str] | None = None,
    on_frame: Callable[[int, int], None] | None = None,
) -> Flight:
    """Write ``out/NAME.png`` per camera and ``out/video.mp4``.

    With ``depth`` also ``out/depth/NAME.png`` and ``out/depth.mp4``, in colours of one range along the path. One
    picture is in memory at a time. ``names`` are file names without suffix, numbers unless given; ``on_frame`` is
    called with the pictures done and their total. Raises OutputError where nothing can be written, InputError for a
    path without cameras.
    """
    if not 0 < fps < float("inf"):
        raise InputError("a video that does not move", field="fps", expected="more than 0 pictures per second", got=fps)
    single = one_by_one(cameras)
    if not single:
        raise InputError("a path without cameras", field="path", expected="at least one camera", got="none")
    stems = [f"{i:04d}" for i in range(len(single))] if names is None else list(names)
    assert len(set(stems)) == len(single), "one name per camera, each once"
    spread = _depth_range(scene, single, options, backend) if depth else None
    pictures: list[Path] = []
    depths: list[Path] = []
    for stem, camera in zip(stems, single, strict=True):
        drawn = _draw(scene, camera, options, backend)
        pictures.append(out / f"{stem}.png")
        write_png(pictures[-1], drawn.color[0].clamp(0.0, 1.0))
        if spread is not None:
            depths.append(out / "depth" / f"{stem}.png")
            write_png(depths[-1], depth_colors(drawn.depth[0], drawn.alpha[0], spread))
        if on_frame is not None:
            on_frame(len(pictures), len(single))
    one_size = len({(camera.width, camera.height) for camera in single}) == 1
    videos = _videos(pictures, depths, out, fps) if video and one_size else ()
    return Flight(pictures=tuple(pictures), depths=tuple(depths), videos=videos)


def one_by_one(cameras: Cameras | Sequence[Cameras]) -> list[Cameras]:
    """All cameras of all groups, each alone."""
    groups = [cameras] if isinstance(cameras, Cameras) else cameras
    return [group[i] for group in groups for i in range(len(group))]


def _videos(pictures: Sequence[Path], depths: Sequence[Path], out: Path, fps: float) -> tuple[Path, ...]:
    made: list[Path] = []
    for name, frames in (("video.mp4", pictures), ("depth.mp4", depths)):
        if frames:
            write_mp4(out / name, (read_image(path)[0] for path in frames), fps=fps)
            made.append(out / name)
    return tuple(made)


def _draw(scene: Scene, camera: Cameras, options: RasterOptions | None, backend: str) -> Render:
    with torch.no_grad():
        return render_scene(scene, camera, options=options, backend=backend)


def _depth_range(scene: Scene, cameras: Sequence[Cameras], options: RasterOptions | None, backend: str) -> DepthRange:
    chosen = cameras[:: max(1, len(cameras) // DEPTH_SAMPLES)][:DEPTH_SAMPLES]
    drawn = [_draw(scene, camera, options, backend) for camera in chosen]
    return DepthRange.merged([DepthRange.of(render.depth[0], render.alpha[0]) for render in drawn])
