"""COLMAP's sparse model as values, and the checks that every reader of it shares.

Names and orders follow COLMAP's documentation of its output format, https://colmap.github.io/format.html, and of its
camera models, https://colmap.github.io/cameras.html.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Int, UInt8
from torch import Tensor

from veduta.core import InputError

PARAMETERS: Mapping[str, tuple[str, ...]] = {
    "SIMPLE_PINHOLE": ("f", "cx", "cy"),
    "PINHOLE": ("fx", "fy", "cx", "cy"),
    "SIMPLE_RADIAL": ("f", "cx", "cy", "k"),
    "RADIAL": ("f", "cx", "cy", "k1", "k2"),
    "OPENCV": ("fx", "fy", "cx", "cy", "k1", "k2", "p1", "p2"),
    "OPENCV_FISHEYE": ("fx", "fy", "cx", "cy", "k1", "k2", "k3", "k4"),
    "FULL_OPENCV": ("fx", "fy", "cx", "cy", "k1", "k2", "p1", "p2", "k3", "k4", "k5", "k6"),
    "FOV": ("fx", "fy", "cx", "cy", "omega"),
    "SIMPLE_RADIAL_FISHEYE": ("f", "cx", "cy", "k"),
    "RADIAL_FISHEYE": ("f", "cx", "cy", "k1", "k2"),
    "THIN_PRISM_FISHEYE": ("fx", "fy", "cx", "cy", "k1", "k2", "p1", "p2", "k3", "k4", "sx1", "sy1"),
    "RAD_TAN_THIN_PRISM_FISHEYE": (
        *("fx", "fy", "cx", "cy", "k0", "k1", "k2", "k3", "k4", "k5", "p0", "p1", "s0", "s1", "s2", "s3"),
    ),
    "SIMPLE_DIVISION": ("f", "cx", "cy", "k"),
    "DIVISION": ("fx", "fy", "cx", "cy", "k"),
    "SIMPLE_FISHEYE": ("f", "cx", "cy"),
    "FISHEYE": ("fx", "fy", "cx", "cy"),
    "EUCM": ("fx", "fy", "cx", "cy", "alpha", "beta"),
    "EQUIRECTANGULAR": ("w", "h"),
}
"""The parameters of each camera model, in the file's order."""
MODEL_NAMES = tuple(PARAMETERS)
"""Camera models by the number that binary files use."""
NO_POINT = -1
"""The 3D point of a keypoint that has none."""
_FOCAL = ("f", "fx", "fy")
_MAX_SIDE = 1_000_000  # pixels


@dataclass(frozen=True)
class ColmapCamera:
    """The inner geometry of a camera; its image plane starts at (0, 0), the first pixel's centre is (0.5, 0.5)."""

    model: str
    """A key of PARAMETERS."""
    width: int
    height: int
    params: tuple[float, ...]
    """Pixels and distortion coefficients, in the order of ``PARAMETERS[model]``."""

    @property
    def intrinsics(self) -> tuple[float, float, float, float]:
        """Focal lengths and principal point in pixels: fx, fy, cx, cy. The model must have them."""
        named = dict(zip(PARAMETERS[self.model], self.params, strict=True))
        focal = named.get("f", math.nan)
        return named.get("fx", focal), named.get("fy", focal), named["cx"], named["cy"]

    @property
    def distortion(self) -> tuple[float, ...]:
        """The parameters after focal lengths and principal point."""
        return self.params[PARAMETERS[self.model].index("cy") + 1 :]


@dataclass(frozen=True, eq=False)
class ColmapImage:
    """A registered photograph."""

    name: str
    """Path relative to the folder of images, as the file says it; not checked (see :func:`veduta.io.paths.inside`)."""
    camera_id: int
    quat: Float[Tensor, "4"]
    """Unit quaternion wxyz of camera_from_world, float64."""
    translation: Float[Tensor, "3"]
    """Translation of camera_from_world, float64."""
    points2d: Float[Tensor, "m 2"]
    """Keypoints in pixels, float64."""
    point3d_ids: Int[Tensor, " m"]
    """The 3D point of each keypoint, or NO_POINT."""


@dataclass(frozen=True, eq=False)
class ColmapPoints:
    """Triangulated points."""

    ids: Int[Tensor, " p"]
    xyz: Float[Tensor, "p 3"]
    """World positions, float64."""
    rgb: UInt8[Tensor, "p 3"]
    error_px: Float[Tensor, " p"]
    """Mean reprojection error; negative where it was not computed."""
    track_lengths: Int[Tensor, " p"]
    """In how many images each point was found."""

    def __len__(self) -> int:
        return self.ids.shape[0]


@dataclass(frozen=True, eq=False)
class ColmapModel:
    """A sparse model: every image's ``camera_id`` is a key of ``cameras``."""

    cameras: dict[int, ColmapCamera]
    images: dict[int, ColmapImage]
    points: ColmapPoints


def checked_camera(where: str, model: str, width: int, height: int, params: Sequence[float]) -> ColmapCamera:
    """The camera, or InputError if no photograph can have been taken with it."""
    if model not in PARAMETERS:
        raise InputError("unknown camera model", where=where, field="model", expected="a COLMAP model", got=model)
    names = PARAMETERS[model]
    if len(params) != len(names):
        expected = f"{len(names)} parameters ({', '.join(names)}) for {model}"
        raise InputError("wrong number of parameters", where=where, field="params", expected=expected, got=len(params))
    for field, side in (("width", width), ("height", height)):
        if not 0 < side <= _MAX_SIDE:
            raise InputError("impossible image size", where=where, field=field, expected="pixels, at least 1", got=side)
    for name, value in zip(names, params, strict=True):
        if not math.isfinite(value) or (name in _FOCAL and value <= 0):
            expected = "a positive number of pixels" if name in _FOCAL else "a finite number"
            raise InputError("impossible camera", where=where, field=name, expected=expected, got=value)
    return ColmapCamera(model=model, width=width, height=height, params=tuple(params))


def checked_image(
    where: str, name: str, camera_id: int, pose: Sequence[float], keypoints: np.ndarray, point3d_ids: np.ndarray
) -> ColmapImage:
    """The image of pose (qw, qx, qy, qz, tx, ty, tz) and keypoints [m, 2], or InputError if they are not numbers."""
    if not all(math.isfinite(value) for value in pose):
        raise InputError("the pose is not finite", where=where, field="pose", got=" ".join(f"{v:g}" for v in pose))
    quat = torch.tensor(pose[:4], dtype=torch.float64)
    norm = torch.linalg.vector_norm(quat)
    if not 1e-6 < norm < 1e6:
        expected, got = "a unit quaternion", " ".join(f"{v:g}" for v in pose[:4])
        raise InputError("the pose is no rotation", where=where, field="quaternion", expected=expected, got=got)
    if not np.isfinite(keypoints).all():
        raise InputError("a keypoint is not finite", where=where, field="points2D")
    if not name:
        raise InputError("the image has no name", where=where, field="name")
    return ColmapImage(
        name=name,
        camera_id=camera_id,
        quat=quat / norm,
        translation=torch.tensor(pose[4:], dtype=torch.float64),
        points2d=torch.from_numpy(np.array(keypoints, dtype=np.float64)),
        point3d_ids=torch.from_numpy(np.array(point3d_ids, dtype=np.int64)),
    )


def checked_points(
    where: str, ids: Sequence[int], xyz: np.ndarray, rgb: np.ndarray, error_px: np.ndarray, lengths: Sequence[int]
) -> ColmapPoints:
    """The points, or InputError if a position is not finite or an id occurs twice."""
    finite = np.isfinite(xyz).all(axis=1)
    if not finite.all():
        first = int(np.argmin(finite))
        problem = f"{int((~finite).sum())} of {len(ids)} points are not finite"
        raise InputError(problem, where=where, field="xyz", got=f"{xyz[first].tolist()} for point {ids[first]}")
    if len(set(ids)) != len(ids):
        raise InputError("a point occurs twice", where=where, field="point3D_id")
    return ColmapPoints(
        ids=torch.tensor(ids, dtype=torch.int64),
        xyz=torch.from_numpy(np.ascontiguousarray(xyz, dtype=np.float64)),
        rgb=torch.from_numpy(np.ascontiguousarray(rgb, dtype=np.uint8)),
        error_px=torch.from_numpy(np.ascontiguousarray(error_px, dtype=np.float64)),
        track_lengths=torch.tensor(lengths, dtype=torch.int64),
    )


def tracks(model: ColmapModel) -> dict[int, list[tuple[int, int]]]:
    """For each 3D point the (image id, index of keypoint) that see it, gathered from the images."""
    seen: dict[int, list[tuple[int, int]]] = {point: [] for point in model.points.ids.tolist()}
    for image_id, image in model.images.items():
        for index, point in enumerate(image.point3d_ids.tolist()):
            if point in seen:
                seen[point].append((image_id, index))
    return seen
