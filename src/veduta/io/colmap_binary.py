"""COLMAP's ``cameras.bin``, ``images.bin`` and ``points3D.bin``: little-endian, each a count and then the records."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from struct import Struct, error
from typing import Any

import numpy as np

from veduta.core import InputError
from veduta.io.colmap_model import (
    MODEL_NAMES,
    PARAMETERS,
    ColmapCamera,
    ColmapImage,
    ColmapModel,
    ColmapPoints,
    checked_camera,
    checked_image,
    checked_points,
    tracks,
)

_COUNT = Struct("<Q")
_CAMERA = Struct("<IiQQ")  # id, model, width, height; then the parameters as float64
_IMAGE = Struct("<I7dI")  # id, camera_from_world (quaternion wxyz, translation), camera id; then name\0, keypoints
_POINT = Struct("<Q3d3BdQ")  # id, xyz, rgb, error, length of the track; then the track
_TRACK_ELEMENT = Struct("<II")  # image id, index of the keypoint
_KEYPOINT = np.dtype([("xy", "<f8", 2), ("point3d_id", "<i8")])
_LARGEST_ID = 2**63 - 1


@dataclass
class _Cursor:
    """A place in a file's bytes that never goes beyond their end."""

    path: Path
    data: bytes
    offset: int = 0

    @property
    def where(self) -> str:
        return f"{self.path}, byte {self.offset}"

    def take(self, record: Struct, field: str) -> tuple[Any, ...]:
        """The next record's values; InputError if the file ends before it does."""
        try:
            values = record.unpack_from(self.data, self.offset)
        except error:
            raise self.truncated(field, record.size) from None
        self.offset += record.size
        return values

    def skip(self, size: int, field: str) -> int:
        """Move on by ``size`` bytes and return where they start."""
        if size > len(self.data) - self.offset:
            raise self.truncated(field, size)
        self.offset += size
        return self.offset - size

    def count(self, smallest: int, field: str) -> int:
        """A number of records, refused if so many of at least ``smallest`` bytes cannot follow."""
        (count,) = self.take(_COUNT, field)
        if count * smallest > len(self.data) - self.offset:
            raise self.truncated(field, count * smallest)
        return count

    def name(self) -> str:
        """A string that ends with a NUL byte."""
        end = self.data.find(b"\0", self.offset)
        if end < 0:
            raise InputError("the name does not end", where=self.where, field="name", hint=_HINT)
        text = self.data[self.offset : end]
        try:
            name = text.decode("utf-8")
        except UnicodeDecodeError:
            raise InputError("the name is not UTF-8", where=self.where, field="name", got=text[:80]) from None
        self.offset = end + 1
        return name

    def finish(self) -> None:
        """InputError if anything is left."""
        left = len(self.data) - self.offset
        if left:
            raise InputError("the file goes on after its last record", where=self.where, got=f"{left} more bytes")

    def truncated(self, field: str, size: int) -> InputError:
        left = max(0, len(self.data) - self.offset)
        return InputError(
            "truncated or corrupt",
            where=self.where,
            field=field,
            expected=f"{size} more bytes",
            got=f"{left} to the end of the file",
            hint=_HINT,
        )


_HINT = "Copy the model again from where it came, or run the structure from motion again."


def read_cameras(path: Path) -> dict[int, ColmapCamera]:
    """The cameras by id. Raises InputError."""
    cursor = _Cursor(path, path.read_bytes())
    cameras: dict[int, ColmapCamera] = {}
    for _ in range(cursor.count(_CAMERA.size, "number of cameras")):
        where = cursor.where
        camera_id, model, width, height = cursor.take(_CAMERA, "camera")
        if not 0 <= model < len(MODEL_NAMES):
            expected = f"0 to {len(MODEL_NAMES) - 1}"
            raise InputError("unknown camera model", where=where, field="model", expected=expected, got=model)
        name = MODEL_NAMES[model]
        params = cursor.take(Struct(f"<{len(PARAMETERS[name])}d"), "params")
        if camera_id in cameras:
            raise InputError("a camera occurs twice", where=where, field="camera_id", got=camera_id)
        cameras[camera_id] = checked_camera(where, name, width, height, params)
    cursor.finish()
    return cameras


def read_images(path: Path) -> dict[int, ColmapImage]:
    """The images by id. Raises InputError."""
    cursor = _Cursor(path, path.read_bytes())
    images: dict[int, ColmapImage] = {}
    for _ in range(cursor.count(_IMAGE.size + 1 + _COUNT.size, "number of images")):
        where = cursor.where
        image_id, *pose, camera_id = cursor.take(_IMAGE, "image")
        name = cursor.name()
        count = cursor.count(_KEYPOINT.itemsize, "number of points2D")
        start = cursor.skip(count * _KEYPOINT.itemsize, "points2D")
        keypoints = np.frombuffer(cursor.data, dtype=_KEYPOINT, count=count, offset=start)
        if image_id in images:
            raise InputError("an image occurs twice", where=where, field="image_id", got=image_id)
        images[image_id] = checked_image(where, name, camera_id, pose, keypoints["xy"], keypoints["point3d_id"])
    cursor.finish()
    return images


def read_points(path: Path) -> ColmapPoints:
    """The 3D points, in the file's order. Raises InputError."""
    cursor = _Cursor(path, path.read_bytes())
    count = cursor.count(_POINT.size, "number of points")
    ids: list[int] = []
    lengths: list[int] = []
    values = np.empty((count, 7))
    for row in range(count):
        point_id, *numbers, length = cursor.take(_POINT, "point")
        if point_id > _LARGEST_ID:
            raise InputError("impossible point id", where=cursor.where, field="point3D_id", got=point_id)
        ids.append(point_id)
        lengths.append(length)
        values[row] = numbers
        cursor.skip(length * _TRACK_ELEMENT.size, "track")
    cursor.finish()
    return checked_points(str(path), ids, values[:, :3], values[:, 3:6], values[:, 6], lengths)


def encode(model: ColmapModel) -> dict[str, bytes]:
    """The three files' bytes by name."""
    return {
        "cameras.bin": _encode_cameras(model),
        "images.bin": _encode_images(model),
        "points3D.bin": _encode_points(model),
    }


def _encode_cameras(model: ColmapModel) -> bytes:
    parts = [_COUNT.pack(len(model.cameras))]
    for camera_id, camera in model.cameras.items():
        parts.append(_CAMERA.pack(camera_id, MODEL_NAMES.index(camera.model), camera.width, camera.height))
        parts.append(np.array(camera.params, dtype="<f8").tobytes())
    return b"".join(parts)


def _encode_images(model: ColmapModel) -> bytes:
    parts = [_COUNT.pack(len(model.images))]
    for image_id, image in model.images.items():
        parts.append(_IMAGE.pack(image_id, *image.quat.tolist(), *image.translation.tolist(), image.camera_id))
        parts.append(image.name.encode("utf-8") + b"\0")
        keypoints = np.empty(len(image.point3d_ids), dtype=_KEYPOINT)
        keypoints["xy"] = image.points2d.numpy()
        keypoints["point3d_id"] = image.point3d_ids.numpy()
        parts += [_COUNT.pack(len(keypoints)), keypoints.tobytes()]
    return b"".join(parts)


def _encode_points(model: ColmapModel) -> bytes:
    points, seen = model.points, tracks(model)
    parts = [_COUNT.pack(len(points))]
    columns = (points.ids.tolist(), points.xyz.tolist(), points.rgb.tolist(), points.error_px.tolist())
    for point_id, xyz, rgb, error_px in zip(*columns, strict=True):
        track = seen[point_id]
        parts.append(_POINT.pack(point_id, *xyz, *rgb, error_px, len(track)))
        parts.append(np.array(track, dtype="<u4").tobytes())
    return b"".join(parts)
