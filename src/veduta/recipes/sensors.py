"""The cameras that a path is built from: those of one sensor, brought to one size."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from veduta.core import Cameras, Capture
from veduta.data.shots import sensor_folder
from veduta.data.source import FileViews

ABOUT_THE_SAME = 0.05
"""Sizes that differ by less, relative to the one compared with, are of one sensor: where every photograph has a lens of
its own (COLMAP's default), undistorted pictures differ by a few pixels."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Sensor:
    """The cameras of a capture that took photographs of about one size, in one folder."""

    cameras: Cameras
    """Of one size: where sizes differed, all pictures lose as much around their middle as the smallest one demands."""
    left_out: int
    """Photographs of the capture that are of other sensors, or in neither part of its split."""

    @property
    def told(self) -> str | None:
        """One line about photographs that are left out; None where there are none."""
        if self.left_out == 0:
            return None
        total = len(self.cameras) + self.left_out
        return f"{self.left_out} of {total} cameras are left out: of another folder or size, or not in the split"


def main_sensor(capture: Capture) -> Sensor:
    """The sensor with the most photographs, the first of equals; its cameras are in order of time, then of name."""
    total = sum(len(cameras) for cameras in capture.cameras.values())
    folders = _folders(capture)
    folder, size = max(
        ((folder, size) for folder, sizes in folders.items() for size in sizes),
        key=lambda pair: (sum(map(len, _alike(folders[pair[0]], pair[1]))), len(pair[1])),
    )
    alike = _alike(folders[folder], size)
    cameras = alike[0] if len(alike) == 1 else _of_one_size(capture, folder, alike)
    return Sensor(cameras=cameras, left_out=total - len(cameras))


def _folders(capture: Capture) -> dict[str, list[Cameras]]:
    """The capture's cameras by folder of photographs, each folder's by size."""
    folders: dict[str, list[Cameras]] = {}
    for sensor, cameras in capture.cameras.items():
        folder = sensor.removesuffix(f"_{cameras.width}x{cameras.height}")  # as of a folder with several sizes
        folders.setdefault(sensor if folder in capture.cameras else folder, []).append(cameras)
    return folders


def _alike(sizes: Sequence[Cameras], size: Cameras) -> list[Cameras]:
    """Those that are about as large as ``size``."""
    return [
        other
        for other in sizes
        if abs(other.width - size.width) <= ABOUT_THE_SAME * size.width
        and abs(other.height - size.height) <= ABOUT_THE_SAME * size.height
    ]


def _of_one_size(capture: Capture, folder: str, alike: Sequence[Cameras]) -> Cameras:
    """All of them that are used, in order, cropped to the least width and height."""
    sizes = {(cameras.width, cameras.height) for cameras in alike}
    width, height = min(width for width, _ in sizes), min(height for _, height in sizes)
    named = [
        (float(camera.time[0]), name, camera)
        for source in (capture.train, capture.test)
        if isinstance(source, FileViews)
        for name, camera in zip(source.names, map(source.camera, range(len(source))), strict=True)
        if sensor_folder(name) == folder and (camera.width, camera.height) in sizes
    ]
    ordered = [camera for _, _, camera in sorted(named, key=lambda one: one[:2])]
    return Cameras.cat([_cropped(cameras, width=width, height=height) for cameras in ordered or alike])


def _cropped(cameras: Cameras, *, width: int, height: int) -> Cameras:
    """The same cameras with the middle of their pictures: focal lengths stay, the principal point moves."""
    intrinsics = cameras.intrinsics.clone()
    intrinsics[:, 0, 2] += (width - cameras.width) / 2
    intrinsics[:, 1, 2] += (height - cameras.height) / 2
    return cameras.replace(intrinsics=intrinsics, width=width, height=height)
