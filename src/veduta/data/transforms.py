"""``transforms.json`` of nerfstudio and instant-ngp, and Blender's ``transforms_train.json`` with ``..._test.json``.

Poses there are world-from-camera in OpenGL's axes (x right, y up, z backward); we flip y and z on the camera's side
only, so that the world stays the file's own.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor

from veduta.core import Cameras, Capture, InputError, Lens, PointCloud, UnsupportedError
from veduta.data.checks import (
    checked_focal,
    checked_number,
    enough_photos,
    existing_photos,
    listed,
    rigid_pose,
)
from veduta.data.points import read_points
from veduta.data.reader import ReadOptions
from veduta.data.shots import Findings, Shot, capture_of
from veduta.data.splits import Split, aliases, read_json, split_of
from veduta.data.units import is_metric
from veduta.geometry.lens import pinhole_for
from veduta.io.images import IMAGE_SUFFIXES, MAX_PIXELS, image_size
from veduta.io.paths import inside, require_file, require_text

WHITE = (1.0, 1.0, 1.0)
SPLIT_FILES = {"train": "transforms_train.json", "test": "transforms_test.json"}
PERSPECTIVE_MODELS = frozenset({"OPENCV", "PINHOLE", "SIMPLE_PINHOLE", "SIMPLE_RADIAL", "RADIAL", "PERSPECTIVE"})
FISHEYE_MODELS = frozenset({"OPENCV_FISHEYE"})
MAX_SIDE = 1_000_000
"""Pixels; what lies beyond is no photograph's size, and would be set aside before anything else is asked."""
_ANY_CASE = ("".join(c) for s in IMAGE_SUFFIXES for c in product(*zip(s, s.upper(), strict=True)))
_SUFFIXES = tuple(dict.fromkeys([*IMAGE_SUFFIXES, *_ANY_CASE]))
"""What may be missing from a path, in the order in which it is looked for: lower case, then any other."""


class TransformsReader:
    """Reads one ``transforms.json`` (nerfstudio, instant-ngp) or a Blender pair of files.

    Transparent pixels are a mask in the former; in the latter, which is rendered, they are composited over white and
    ``Capture.background`` says so. Blender's world has z up. Lengths are in metres where the former says
    ``"metric": true``, a key of our own.
    """

    name = "transforms.json"

    def recognises(self, path: Path) -> bool:
        """A ``.json`` file itself, or a folder with ``transforms.json`` or ``transforms_train.json``."""
        if path.suffix.lower() == ".json":
            return path.is_file()
        return any((path / name).is_file() for name in ("transforms.json", SPLIT_FILES["train"]))

    def read(self, path: Path, options: ReadOptions) -> Capture:
        """The capture; see :class:`TransformsReader`."""
        if path.suffix.lower() == ".json":
            found = _read_single(path, options)
        elif (path / "transforms.json").is_file():
            found = _read_single(path / "transforms.json", options)
        else:
            found = _read_blender(path, options)
        return capture_of(found, options)


def read_cameras(path: str | Path) -> tuple[list[str], list[Cameras]]:
    """The cameras of a ``transforms.json`` without any photographs: names, and pinholes of one camera each (float32).

    Lenses are straightened as photographs would be. Names are the files' (``file_path``), or numbers. InputError for a
    file of another form, or without cameras.
    """
    path = require_file(path, what="a transforms.json")
    content = read_json(path)
    fields = _frames(path, content)
    if not fields:
        raise InputError("no cameras", where=path, field="frames", expected="at least one", got="none")
    names = [
        require_text(frame.text("file_path") or f"{i:04d}", where=path, field=frame.label("file_path"))
        for i, frame in enumerate(fields)
    ]
    flat = [pinhole_for(_camera(frame, _size(frame, None))) for frame in fields]
    return names, [camera.to(torch.float32).replace(time=camera.time) for camera in flat]


def _read_single(path: Path, options: ReadOptions) -> Findings:
    content = read_json(path)
    shots = _read_frames(path, content, options)
    enough_photos(len(shots), where=path)
    return Findings(
        shots=tuple(shots),
        points=_read_cloud(path, content),
        source=path.parent,
        model=path,
        split=_file_name_split(path, content, [shot.name for shot in shots]),
        metric=is_metric(content, where=path),
    )


def _read_blender(folder: Path, options: ReadOptions) -> Findings:
    shots: dict[str, list[Shot]] = {}
    for side, name in SPLIT_FILES.items():
        path = folder / name
        shots[side] = _read_frames(path, read_json(path), options) if path.is_file() else []
    enough_photos(len(shots["train"]), where=folder / SPLIT_FILES["train"])
    split = Split(
        train=tuple(sorted(shot.name for shot in shots["train"])),
        test=tuple(sorted(shot.name for shot in shots["test"])),
    )
    return Findings(
        shots=(*shots["train"], *shots["test"]),
        points=None,
        source=folder,
        model=folder / SPLIT_FILES["train"],
        split=split if split.test else None,
        up=torch.tensor([0.0, 0.0, 1.0]),
        backdrop=torch.tensor(WHITE),
    )


def _read_frames(path: Path, content: Mapping[str, object], options: ReadOptions) -> list[Shot]:
    fields = _frames(path, content)
    files = [_photo_path(frame) for frame in fields]
    if not options.only_cameras:
        existing_photos(
            [(str(file.relative_to(path.parent)), file) for file in files],
            where=path,
            hint="Put the photographs back, or remove their entries from frames.",
        )
    return [_shot(frame, file) for frame, file in zip(fields, files, strict=True)]


def _frames(path: Path, content: Mapping[str, object]) -> list[_Fields]:
    frames = content.get("frames")
    if not isinstance(frames, list) or not all(isinstance(frame, dict) for frame in frames):
        raise InputError(
            "no list of photographs",
            where=path,
            field="frames",
            expected="a list of objects",
            got=type(frames).__name__,
        )
    return [_Fields(path, f"frames[{i}]", frame, content) for i, frame in enumerate(frames)]


@dataclass(frozen=True, eq=False)
class _Fields:
    """One frame's fields, with the file's own as their defaults, and how to name them in messages."""

    path: Path
    place: str
    frame: Mapping[str, object]
    shared: Mapping[str, object]

    def has(self, name: str) -> bool:
        return name in self.frame or name in self.shared

    def label(self, name: str) -> str:
        return f"{self.place}.{name}" if name in self.frame or name not in self.shared else name

    def number(self, name: str, default: float | None = None) -> float:
        value = self.frame.get(name, self.shared.get(name, default))
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise InputError(
                "missing" if value is None else "not a number",
                where=self.path,
                field=self.label(name),
                expected="a number",
                got=None if value is None else repr(value)[:40],
            )
        return checked_number(float(value), where=self.path, field=self.label(name))

    def text(self, name: str) -> str | None:
        value = self.frame.get(name, self.shared.get(name))
        if value is not None and not isinstance(value, str):
            raise InputError(
                "not text", where=self.path, field=self.label(name), expected="text", got=type(value).__name__
            )
        return value


def _photo_path(fields: _Fields) -> Path:
    """The photograph of ``file_path``, which may lack its suffix; the path as written where nothing is on disk."""
    name = fields.text("file_path")
    if name is None:
        raise InputError("missing", where=fields.path, field=fields.label("file_path"), expected="a path")
    path = inside(fields.path.parent, name, where=fields.path, field=fields.label("file_path"))
    if path.is_file():
        return path
    suffixed = (path.with_name(path.name + suffix) for suffix in _SUFFIXES)
    return next((candidate for candidate in suffixed if candidate.is_file()), path)


def _shot(fields: _Fields, file: Path) -> Shot:
    camera = _camera(fields, _size(fields, file))
    mask_name = fields.text("mask_path")
    mask = None
    if mask_name is not None:
        mask = inside(fields.path.parent, mask_name, where=fields.path, field=fields.label("mask_path"))
        existing_photos([(mask_name, mask)], where=fields.path, hint="Put the mask back, or remove mask_path.")
    name = file.relative_to(fields.path.parent).as_posix().removeprefix("images/")
    return Shot(name=name, path=file, camera=camera, mask=mask)


def _camera(fields: _Fields, size: tuple[int, int]) -> Cameras:
    width, height = size
    focal_x, focal_y = _focals(fields, width, height)
    camera = Cameras.pinhole(
        _world_from_camera(fields)[None],
        fx=focal_x,
        fy=focal_y,
        cx=fields.number("cx", width / 2),
        cy=fields.number("cy", height / 2),
        width=width,
        height=height,
        time=torch.tensor([fields.number("time", 0.0)], dtype=torch.float64),
    )
    return camera.replace(lens=_lens(fields))


def _size(fields: _Fields, file: Path | None) -> tuple[int, int]:
    """Width and height as declared, or else of the photograph."""
    if not (fields.has("w") and fields.has("h")):
        if file is not None:
            return image_size(file)
        raise InputError("missing", where=fields.path, field=fields.label("w"), expected="w and h, in pixels")
    size = (fields.number("w"), fields.number("h"))
    for name, value in zip(("w", "h"), size, strict=True):
        if value < 1 or value != int(value):
            raise InputError(
                "not an image size",
                where=fields.path,
                field=fields.label(name),
                expected="whole pixels, 1 or more",
                got=value,
            )
        if value > MAX_SIDE or size[0] * size[1] > MAX_PIXELS:
            raise InputError(
                "the picture is too large",
                where=fields.path,
                field=fields.label(name),
                expected=f"at most {MAX_PIXELS / 1e6:.0f} megapixels, and {MAX_SIDE} pixels along a side",
                got=f"{size[0]:.0f}x{size[1]:.0f}",
            )
    return int(size[0]), int(size[1])


def _focals(fields: _Fields, width: int, height: int) -> tuple[float, float]:
    """Focal lengths in px, from ``fl_x``/``fl_y`` or, as in instant-ngp, the angles of view; one stands for both."""
    found: list[float | None] = []
    for focal, angle, size in (("fl_x", "camera_angle_x", width), ("fl_y", "camera_angle_y", height)):
        if fields.has(focal):
            found.append(checked_focal(fields.number(focal), where=fields.path, field=fields.label(focal)))
        elif fields.has(angle):
            half = math.tan(fields.number(angle) / 2)
            value = size / (2 * half) if half else math.inf
            found.append(checked_focal(value, where=fields.path, field=fields.label(angle)))
        else:
            found.append(None)
    x, y = found
    if x is None and y is None:
        raise InputError(
            "no focal length",
            where=fields.path,
            field=fields.label("fl_x"),
            expected="fl_x (pixels) or camera_angle_x (radians)",
        )
    first = x if x is not None else y
    assert first is not None
    return first, (y if y is not None else first)


def _lens(fields: _Fields) -> Lens | None:
    """The distortion (k1..k4, p1, p2) in COLMAP's terms; None where all are 0."""
    model = (fields.text("camera_model") or "OPENCV").upper()
    k1, k2, k3, k4, p1, p2 = (fields.number(name, 0.0) for name in ("k1", "k2", "k3", "k4", "p1", "p2"))
    if model in FISHEYE_MODELS or bool(fields.shared.get("is_fisheye")):
        return Lens("OPENCV_FISHEYE", (k1, k2, k3, k4))
    if model not in PERSPECTIVE_MODELS or k4 != 0:
        raise UnsupportedError(
            "a lens that veduta does not undistort",
            where=fields.path,
            field=fields.label("camera_model" if model not in PERSPECTIVE_MODELS else "k4"),
            expected=", ".join(sorted(PERSPECTIVE_MODELS | FISHEYE_MODELS)) + " with k1, k2, k3, p1, p2",
            got=model if model not in PERSPECTIVE_MODELS else k4,
            hint="Undistort the photographs with the program that calibrated them.",
        )
    if k3 != 0:
        return Lens("FULL_OPENCV", (k1, k2, p1, p2, k3, 0.0, 0.0, 0.0))
    return Lens("OPENCV", (k1, k2, p1, p2)) if any((k1, k2, p1, p2)) else None


def _world_from_camera(fields: _Fields) -> Float[Tensor, "4 4"]:
    rows = fields.frame.get("transform_matrix")
    label = f"{fields.place}.transform_matrix"
    if not _is_matrix(rows):
        raise InputError(
            "not a pose", where=fields.path, field=label, expected="4 rows of 4 numbers", got=repr(rows)[:60]
        )
    matrix = torch.tensor(rows, dtype=torch.float64)
    if matrix.shape[0] == 3:
        matrix = torch.cat([matrix, matrix.new_tensor([[0.0, 0.0, 0.0, 1.0]])])
    opencv_from_opengl = torch.diag(matrix.new_tensor([1.0, -1.0, -1.0, 1.0]))
    return rigid_pose(matrix, where=fields.path, field=label) @ opencv_from_opengl


def _is_matrix(rows: object) -> bool:
    if not isinstance(rows, list) or len(rows) not in (3, 4):
        return False
    return all(
        isinstance(row, list)
        and len(row) == 4
        and all(isinstance(v, int | float) and not isinstance(v, bool) for v in row)
        for row in rows
    )


def _read_cloud(path: Path, content: Mapping[str, object]) -> PointCloud | None:
    name = content.get("ply_file_path")
    if not isinstance(name, str):
        return None
    cloud = inside(path.parent, name, where=path, field="ply_file_path")
    if not cloud.is_file():
        raise InputError(
            "the point cloud is missing",
            where=path,
            field="ply_file_path",
            expected="a PLY file of points",
            got=f"no {name}",
            hint="Put it back, or remove ply_file_path.",
        )
    return read_points(cloud)


def _file_name_split(path: Path, content: Mapping[str, object], names: Sequence[str]) -> Split | None:
    """The split by ``train_filenames`` with ``test_filenames`` or else ``val_filenames``."""
    if "train_filenames" not in content:
        return None
    test_key = "test_filenames" if content.get("test_filenames") else "val_filenames"
    known = aliases(names)
    sides: list[list[str]] = []
    for key in ("train_filenames", test_key):
        value = content.get(key, [])
        if not isinstance(value, list) or not all(isinstance(name, str) for name in value):
            raise InputError(
                "not a list of names", where=path, field=key, expected="a list of paths", got=type(value).__name__
            )
        cleaned = [name.removeprefix("./") for name in value]
        unknown = [name for name in cleaned if name not in known]
        if unknown:
            raise InputError(
                "photographs without an entry in frames",
                where=path,
                field=key,
                expected="paths of frames",
                got=listed(unknown),
            )
        sides.append([known[name] for name in cleaned])
    return split_of(*sides, where=path)
