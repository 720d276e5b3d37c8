"""Where a camera travels: paths by name, built from the cameras of a capture."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from veduta.core import Cameras, Capture, InputError, ViewSource
from veduta.data.source import FileViews
from veduta.geometry import trajectories
from veduta.recipes.sensors import main_sensor


@dataclass(frozen=True, kw_only=True)
class PathOptions:
    """What a path may be told."""

    frames: int = 120
    """How many pictures; paths along given photographs have one per photograph instead."""
    right_m: float = 1.0
    """How far ``lateral`` moves to the right of the photographs' positions, in the capture's unit; negative: left."""

    def __post_init__(self) -> None:
        if self.frames < 1:
            raise InputError("a path without pictures", field="frames", expected="at least 1", got=self.frames)


def held_out(capture: Capture, options: PathOptions) -> list[Cameras]:
    """The photographs that were held out."""
    if len(capture.test) == 0:
        raise InputError(
            "the capture has no held-out photographs",
            where=capture.source,
            hint="Choose another --path, such as interpolate or train.",
        )
    return cameras_of(capture.test)


def train(capture: Capture, options: PathOptions) -> list[Cameras]:
    """The photographs that the scene was made from."""
    return cameras_of(capture.train)


def interpolate(capture: Capture, options: PathOptions) -> list[Cameras]:
    """A smooth flight through all photographs: by name, or from neighbour to neighbour where that is shorter."""
    by_name = main_sensor(capture).cameras
    by_nearness = trajectories.order_cameras(by_name)
    return [trajectories.interpolate(min(by_name, by_nearness, key=_travel), options.frames)]


def orbit(capture: Capture, options: PathOptions) -> list[Cameras]:
    """A circle around what the photographs look at."""
    return [trajectories.orbit(main_sensor(capture).cameras, capture.up, options.frames)]


def ellipse(capture: Capture, options: PathOptions) -> list[Cameras]:
    """An ellipse that fits the photographs' positions."""
    return [trajectories.ellipse(main_sensor(capture).cameras, capture.up, options.frames)]


def lateral(capture: Capture, options: PathOptions) -> list[Cameras]:
    """The photographs' positions, moved sideways."""
    return [trajectories.lateral_shift(main_sensor(capture).cameras, right_m=options.right_m)]


PATHS: Mapping[str, Callable[[Capture, PathOptions], list[Cameras]]] = {
    "held-out": held_out,
    "train": train,
    "interpolate": interpolate,
    "orbit": orbit,
    "ellipse": ellipse,
    "lateral": lateral,
}
"""A new path is a function here and a line in this table."""
OF_PHOTOGRAPHS = ("held-out", "train")
"""Paths that are photographs as they are; the others are built from one sensor, for one picture size."""


def camera_path(capture: Capture, path: str, options: PathOptions | None = None) -> list[Cameras]:
    """The cameras of a path by its name, in groups of one image size; InputError for an unknown name."""
    if path not in PATHS:
        raise InputError("no such path", field="path", expected=f"one of {', '.join(PATHS)}", got=path)
    return PATHS[path](capture, PathOptions() if options is None else options)


def left_out(capture: Capture, path: str) -> str | None:
    """One line about photographs that a path takes no notice of; None where there are none."""
    return None if path in OF_PHOTOGRAPHS else main_sensor(capture).told


def cameras_of(source: ViewSource) -> list[Cameras]:
    """The cameras of every instant; photographs on disk are not read for it."""
    if isinstance(source, FileViews):
        return [source.camera(i) for i in range(len(source))]
    return [source[i].cameras for i in range(len(source))]


def _travel(cameras: Cameras) -> float:
    """Length of the way from camera to camera."""
    return float(cameras.positions_world.diff(dim=0).norm(dim=1).sum())
