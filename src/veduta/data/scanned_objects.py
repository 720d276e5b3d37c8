"""Renderings of Google's scanned objects in the layout that LaRa publishes: a folder for each, with transforms.json."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import cast

import torch
from jaxtyping import Float
from torch import Tensor

from veduta.core import Cameras, Example, InputError
from veduta.data.checks import checked_focal, rigid_pose
from veduta.data.cutouts import Cutout, cutout_example
from veduta.data.object_views import camera_groups, members, one_of_each
from veduta.data.portable_float import read_pfm
from veduta.data.splits import read_json
from veduta.io.images import image_size, read_image, to_bytes
from veduta.io.paths import inside

PICTURE_PX = 512
NEAR, FAR = 0.5, 2.5
_LARGEST_NUMBER = 1e6


@dataclass(frozen=True)
class ScannedObjects:
    """``folder/<object>/transforms.json`` with poses in OpenGL's axes, ``r_000.png`` and, maybe, ``depth/r_000.pfm``.

    All objects are for evaluation: the inputs are the views nearest to the means of k-means groups of all cameras, the
    targets the last view of each group of those that remain (GD's protocol, with our k-means, whose starts differ from
    the published ones, which are not all reproducible). Near and far are 0.5 and 2.5.
    """

    folder: Path
    size_px: int = PICTURE_PX
    """Smaller than 512: pictures are reduced by area, and depth is left out."""
    inputs: int = 4
    targets: int = 4

    def __post_init__(self) -> None:
        if not self.objects:
            raise InputError(
                "no objects", where=self.folder, expected="a folder for every object, each with a transforms.json"
            )

    @cached_property
    def objects(self) -> tuple[Path, ...]:
        """Folders of the objects, by name."""
        if not self.folder.is_dir():
            raise InputError("no such folder", where=self.folder, expected="a folder of objects")
        return tuple(sorted(path.parent for path in self.folder.glob("*/transforms.json")))

    def __len__(self) -> int:
        return len(self.objects)

    def sample(self, index: int, generator: torch.Generator) -> Example:
        """One random view of every group of cameras, targets drawn the same way from the others."""
        frames = _frames(self.objects[index])
        groups = members(camera_groups(_positions(frames), self.inputs))
        inputs = one_of_each(groups, generator)
        groups = members(camera_groups(_positions(frames), self.targets))
        return self._example(index, frames, inputs, one_of_each(groups, generator, without=inputs))

    def evaluation(self, index: int) -> Example:
        """See the class."""
        frames = _frames(self.objects[index])
        if len(frames) < self.inputs + self.targets:
            raise InputError(
                "too few views",
                where=self.objects[index] / "transforms.json",
                field="frames",
                expected=f"at least {self.inputs + self.targets}",
                got=len(frames),
            )
        positions = _positions(frames)
        inputs = _nearest_to_means(positions, self.inputs)
        rest = [view for view in range(len(frames)) if view not in inputs]
        groups = members(camera_groups(positions[rest], self.targets))
        return self._example(index, frames, inputs, [rest[group[-1]] for group in groups])

    def _example(self, index: int, frames: list[_Frame], inputs: list[int], targets: list[int]) -> Example:
        shown, judged = ([_cutout(frames[view]) for view in views] for views in (inputs, targets))
        name = self.objects[index].name
        return cutout_example(name, shown, judged, size_px=self.size_px, depths=(NEAR, FAR))


@dataclass(frozen=True, eq=False)
class _Frame:
    picture: Path
    depth: Path
    camera: Cameras


def _positions(frames: list[_Frame]) -> Float[Tensor, "n 3"]:
    return torch.cat([frame.camera.positions_world for frame in frames])


def _nearest_to_means(positions: Float[Tensor, "n 3"], count: int) -> list[int]:
    """For every group of positions, the one nearest to its mean."""
    chosen: list[int] = []
    for group in members(camera_groups(positions, count)):
        distance = (positions[group] - positions[group].mean(dim=0)).norm(dim=1)
        chosen.append(group[int(distance.argmin())])
    return chosen


def _frames(folder: Path) -> list[_Frame]:
    path = folder / "transforms.json"
    frames = read_json(path).get("frames")
    if not isinstance(frames, list) or not frames or not all(isinstance(frame, dict) for frame in frames):
        raise InputError("no list of views", where=path, field="frames", expected="a list of objects")
    return [_frame(path, f"frames[{i}]", cast("dict[str, object]", frame)) for i, frame in enumerate(frames)]


def _frame(path: Path, place: str, frame: dict[str, object]) -> _Frame:
    name = frame.get("file_path")
    if not isinstance(name, str):
        raise InputError("missing", where=path, field=f"{place}.file_path", expected="a path")
    picture = inside(path.parent, name, where=path, field=f"{place}.file_path")
    if picture.suffix == "":
        picture = picture.with_suffix(".png")
    opengl = _matrix(path, f"{place}.transform_matrix", frame.get("transform_matrix"), 4)
    pose = rigid_pose(
        opengl @ torch.diag(opengl.new_tensor([1.0, -1.0, -1.0, 1.0])),
        where=path,
        field=f"{place}.transform_matrix",
        hint="Render the object again.",
    )
    matrix = _matrix(path, f"{place}.intrinsic_matrix", frame.get("intrinsic_matrix"), 3)
    camera = Cameras.pinhole(
        pose.float()[None],
        fx=checked_focal(float(matrix[0, 0]), where=path, field=f"{place}.intrinsic_matrix[0][0]"),
        fy=checked_focal(float(matrix[1, 1]), where=path, field=f"{place}.intrinsic_matrix[1][1]"),
        cx=float(matrix[0, 2]),
        cy=float(matrix[1, 2]),
        width=PICTURE_PX,
        height=PICTURE_PX,
    )
    return _Frame(picture, path.parent / "depth" / f"{picture.stem}.pfm", camera)


def _matrix(path: Path, field: str, rows: object, size: int) -> Float[Tensor, "size size"]:
    """A square matrix of numbers, float64."""
    try:
        matrix = torch.tensor(rows, dtype=torch.float64)
    except (TypeError, ValueError, RuntimeError, OverflowError):
        matrix = torch.zeros(0)
    if matrix.shape != (size, size) or not bool((matrix.abs() < _LARGEST_NUMBER).all()):
        raise InputError(
            "not a matrix of numbers",
            where=path,
            field=field,
            expected=f"{size} rows of {size} numbers",
            got=str(rows)[:60],
        )
    return matrix


def _cutout(frame: _Frame) -> Cutout:
    size = image_size(frame.picture)
    if size != (PICTURE_PX, PICTURE_PX):
        raise InputError(
            "a picture of another size",
            where=frame.picture,
            expected=f"{PICTURE_PX} x {PICTURE_PX}",
            got=f"{size[0]} x {size[1]}",
        )
    rgb, alpha = read_image(frame.picture)
    if alpha is None:
        raise InputError("no transparency", where=frame.picture, expected="RGBA, the object cut out", got="RGB")
    rgba = to_bytes(torch.cat([rgb, alpha[..., None]], dim=2))
    depth = None
    if frame.depth.is_file():
        depth = read_pfm(frame.depth, width=PICTURE_PX, height=PICTURE_PX)
        depth = torch.where(torch.isfinite(depth) & (depth > 0) & (depth < FAR), depth, 0.0)
    return Cutout(name=frame.picture.stem, rgba=rgba, camera=frame.camera, depth=depth)
