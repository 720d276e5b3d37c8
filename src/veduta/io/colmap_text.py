"""COLMAP's ``cameras.txt``, ``images.txt`` and ``points3D.txt``: one record a line (images two), ``#`` for comments."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from veduta.core import InputError
from veduta.io.colmap_model import (
    NO_POINT,
    ColmapCamera,
    ColmapImage,
    ColmapModel,
    ColmapPoints,
    checked_camera,
    checked_image,
    checked_points,
    tracks,
)

_LARGEST_ID = 2**63 - 1
_POINT_FIELDS = ("point3D_id", "x", "y", "z", "r", "g", "b", "error")
_POSE_FIELDS = ("qw", "qx", "qy", "qz", "tx", "ty", "tz")


def read_cameras(path: Path) -> dict[int, ColmapCamera]:
    """The cameras by id. Raises InputError."""
    cameras: dict[int, ColmapCamera] = {}
    for where, line in _records(path):
        words = line.split()
        _require(where, words, 4, "CAMERA_ID MODEL WIDTH HEIGHT PARAMS[]")
        camera_id = _integer(where, "camera_id", words[0])
        if camera_id in cameras:
            raise InputError("a camera occurs twice", where=where, field="camera_id", got=camera_id)
        width, height = _integer(where, "width", words[2]), _integer(where, "height", words[3])
        params = [_number(where, "params", word) for word in words[4:]]
        cameras[camera_id] = checked_camera(where, words[1], width, height, params)
    return cameras


def read_images(path: Path) -> dict[int, ColmapImage]:
    """The images by id. Raises InputError."""
    images: dict[int, ColmapImage] = {}
    lines = _lines(path)
    for where, line in lines:
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        words = line.split(maxsplit=9)  # a name may contain spaces
        _require(where, words, 10, "IMAGE_ID QW QX QY QZ TX TY TZ CAMERA_ID NAME")
        image_id, camera_id = _integer(where, "image_id", words[0]), _integer(where, "camera_id", words[8])
        if image_id in images:
            raise InputError("an image occurs twice", where=where, field="image_id", got=image_id)
        pose = [_number(where, field, word) for field, word in zip(_POSE_FIELDS, words[1:8], strict=True)]
        keypoints_where, keypoints = next(lines, (where, ""))  # the second line, which may be empty
        xy, ids = _keypoints(keypoints_where, keypoints)
        images[image_id] = checked_image(where, words[9].strip(), camera_id, pose, xy, ids)
    return images


def read_points(path: Path) -> ColmapPoints:
    """The 3D points, in the file's order. Raises InputError."""
    ids: list[int] = []
    lengths: list[int] = []
    rows: list[list[float]] = []
    for where, line in _records(path):
        words = line.split()
        _require(where, words, 8, "POINT3D_ID X Y Z R G B ERROR TRACK[]")
        if len(words) % 2:
            raise InputError("the track is incomplete", where=where, field="track", expected="pairs of numbers")
        ids.append(_integer(where, "point3D_id", words[0]))
        lengths.append((len(words) - 8) // 2)
        row = [_number(where, field, word) for field, word in zip(_POINT_FIELDS[1:], words[1:8], strict=True)]
        if not all(0 <= channel <= 255 for channel in row[3:6]):
            raise InputError("impossible colour", where=where, field="rgb", expected="0 to 255", got=words[4:7])
        rows.append(row)
    values = np.array(rows, dtype=np.float64).reshape(-1, 7)
    return checked_points(str(path), ids, values[:, :3], values[:, 3:6], values[:, 6], lengths)


def encode(model: ColmapModel) -> dict[str, bytes]:
    """The three files' bytes by name."""
    cameras = ["# CAMERA_ID, MODEL, WIDTH, HEIGHT, PARAMS[]"]
    for camera_id, camera in model.cameras.items():
        cameras.append(_words(camera_id, camera.model, camera.width, camera.height, *camera.params))
    images = ["# IMAGE_ID, QW, QX, QY, QZ, TX, TY, TZ, CAMERA_ID, NAME", "# POINTS2D[] as (X, Y, POINT3D_ID)"]
    for image_id, image in model.images.items():
        pose = (*image.quat.tolist(), *image.translation.tolist())
        images.append(_words(image_id, *pose, image.camera_id, image.name))
        keypoints = zip(image.points2d.tolist(), image.point3d_ids.tolist(), strict=True)
        images.append(_words(*(word for (x, y), point in keypoints for word in (x, y, point))))
    points = ["# POINT3D_ID, X, Y, Z, R, G, B, ERROR, TRACK[] as (IMAGE_ID, POINT2D_IDX)"]
    cloud, seen = model.points, tracks(model)
    columns = (cloud.ids.tolist(), cloud.xyz.tolist(), cloud.rgb.tolist(), cloud.error_px.tolist())
    for point_id, xyz, rgb, error_px in zip(*columns, strict=True):
        track = (number for element in seen[point_id] for number in element)
        points.append(_words(point_id, *xyz, *rgb, error_px, *track))
    files = {"cameras.txt": cameras, "images.txt": images, "points3D.txt": points}
    return {name: ("\n".join(lines) + "\n").encode("utf-8") for name, lines in files.items()}


def _words(*values: int | float | str) -> str:
    return " ".join(value if isinstance(value, str) else repr(value) for value in values)


def _lines(path: Path) -> Iterator[tuple[str, str]]:
    """Every line with its place, ``FILE:LINE``."""
    try:
        text = path.read_bytes().decode("utf-8")
    except UnicodeDecodeError as error:
        raise InputError("not a text file", where=path, expected="UTF-8", got=f"byte {error.start}") from None
    for number, line in enumerate(text.replace("\r\n", "\n").split("\n"), start=1):
        yield f"{path}:{number}", line


def _records(path: Path) -> Iterator[tuple[str, str]]:
    return ((where, line) for where, line in _lines(path) if line.strip() and not line.lstrip().startswith("#"))


def _require(where: str, words: list[str], count: int, layout: str) -> None:
    if len(words) < count:
        raise InputError("the line is incomplete", where=where, expected=layout, got=f"{len(words)} words")


def _integer(where: str, field: str, word: str) -> int:
    try:
        value = int(word)
    except ValueError:
        value = -1
    if not 0 <= value <= _LARGEST_ID:
        raise InputError("not a number", where=where, field=field, expected="an integer, at least 0", got=word[:80])
    return value


def _number(where: str, field: str, word: str) -> float:
    try:
        return float(word)
    except ValueError:
        raise InputError("not a number", where=where, field=field, expected="a number", got=word[:80]) from None


def _keypoints(where: str, line: str) -> tuple[np.ndarray, np.ndarray]:
    """Positions [m, 2] and the ids of their 3D points [m]."""
    words = line.split()
    try:
        table = np.array(words, dtype=np.float64).reshape(-1, 3)
        ids = np.array(words[2::3], dtype=np.int64)
    except (ValueError, OverflowError):
        expected = "triples X Y POINT3D_ID"
        hint = "Each image has two lines, the second of which may be empty."
        raise InputError(
            "the keypoints are malformed", where=where, field="points2D", expected=expected, hint=hint
        ) from None
    if (ids < NO_POINT).any():
        raise InputError("impossible point id", where=where, field="points2D", got=int(ids.min()))
    return table[:, :2], ids
