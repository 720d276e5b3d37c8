"""A folder with a COLMAP model: ``sparse/0`` (or ``sparse``, or the best ``sparse/N``) and its photographs."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
from jaxtyping import Float, Int
from torch import Tensor

from veduta.core import Cameras, Capture, Lens, PointCloud, UnsupportedError
from veduta.data.checks import enough_photos, existing_photos
from veduta.data.moving import read_times
from veduta.data.reader import ReadOptions
from veduta.data.shots import Findings, Shot, Sightings, capture_of
from veduta.data.units import read_units
from veduta.geometry.rotations import matrix_from_quat
from veduta.io.colmap import ColmapCamera, ColmapImage, ColmapModel, ColmapPoints, read_model
from veduta.io.paths import inside

MODEL_FILES = tuple(f"{part}{suffix}" for part in ("cameras", "images") for suffix in (".bin", ".txt"))
"""A folder with any of these is meant to be a model; what it lacks is told when it is read."""
MODEL_PARENTS = ("sparse", "colmap/sparse")
IMAGE_FOLDERS = ("images", "input", ".")
"""Where photographs are looked for, relative to the capture."""

FISHEYE_MODELS = frozenset({"SIMPLE_FISHEYE", "FISHEYE", "SIMPLE_RADIAL_FISHEYE", "RADIAL_FISHEYE", "OPENCV_FISHEYE"})
"""Lenses whose distortion is a polynomial of the angle off the axis, cut short or whole."""
PERSPECTIVE_MODELS = frozenset({"SIMPLE_PINHOLE", "PINHOLE", "SIMPLE_RADIAL", "RADIAL", "OPENCV", "FULL_OPENCV"})


class ColmapReader:
    """Reads COLMAP's models, text or binary, with photographs in ``images`` or beside ``sparse``.

    COLMAP knows no times: they come from ``times.json`` ({"NAME": seconds}) in the capture's folder, and are 0 without.
    Nor does it know metres: ``units.json`` ({"metric": true}) says that lengths are in them.
    """

    name = "COLMAP"

    def recognises(self, path: Path) -> bool:
        """A capture's folder, its ``images``, or a folder of photographs with ``sparse`` inside."""
        return _capture_folder(path) is not None

    def read(self, path: Path, options: ReadOptions) -> Capture:
        """The capture of the model with the most registered photographs."""
        folder = _capture_folder(path)
        assert folder is not None, path
        model_folder, model = best_model(folder)
        return capture_of(_findings(folder, model_folder, model, only_cameras=options.only_cameras), options)


def model_folders(capture: Path) -> list[Path]:
    """Every folder of a capture that holds a COLMAP model, in a fixed order."""
    found: list[Path] = []
    for parent in MODEL_PARENTS:
        sparse = capture / parent
        if not sparse.is_dir():
            continue
        inner = sorted(path for path in sparse.iterdir() if path.is_dir() and not path.name.startswith("."))
        found += [path for path in (sparse, *inner) if any((path / name).is_file() for name in MODEL_FILES)]
    return found


def best_model(capture: Path) -> tuple[Path, ColmapModel]:
    """The model with the most registered photographs, the first of equals, and its folder."""
    models = [(folder, read_model(folder)) for folder in model_folders(capture)]
    return max(models, key=lambda pair: len(pair[1].images))


def _capture_folder(path: Path) -> Path | None:
    if model_folders(path):
        return path
    if path.name == "images" and model_folders(path.parent):
        return path.parent
    return None


def _findings(folder: Path, model_folder: Path, model: ColmapModel, *, only_cameras: bool = False) -> Findings:
    enough_photos(len(model.images), where=model_folder)
    images = sorted(model.images.values(), key=lambda image: image.name)
    files = _photo_files(folder, model_folder, [image.name for image in images], only_cameras=only_cameras)
    used = {image.camera_id for image in images}
    cameras = {key: _at_origin(camera, model_folder, key) for key, camera in model.cameras.items() if key in used}
    ids, order = model.points.ids.sort()
    weights = _point_weights(model.points)
    times = read_times(folder, [image.name for image in images])
    shots = [
        Shot(
            name=image.name,
            path=file,
            camera=cameras[image.camera_id].replace(
                world_from_camera=_world_from_camera(image)[None],
                time=torch.tensor([times[image.name]], dtype=torch.float64),
            ),
            sightings=_sightings(image, ids, order, weights),
        )
        for image, file in zip(images, files, strict=True)
    ]
    return Findings(
        shots=tuple(shots), points=_points(model.points), source=folder, model=model_folder, metric=read_units(folder)
    )


def _photo_files(folder: Path, model_folder: Path, names: Sequence[str], *, only_cameras: bool) -> list[Path]:
    """The photographs, in the one of IMAGE_FOLDERS that has the most of them."""

    def files_in(place: str) -> list[Path]:
        return [inside(folder / place, name, where=model_folder, field="image name") for name in names]

    places = {place: files_in(place) for place in IMAGE_FOLDERS}
    best = max(places, key=lambda place: sum(file.is_file() for file in places[place]))
    if not only_cameras:
        existing_photos(
            list(zip(names, places[best], strict=True)),
            where=model_folder,
            hint="Put the photographs back, or estimate poses again without them (veduta sfm).",
        )
    return places[best]


def _at_origin(camera: ColmapCamera, model_folder: Path, key: int) -> Cameras:
    """One camera at the origin, of COLMAP's model and parameters."""
    if camera.model not in PERSPECTIVE_MODELS | FISHEYE_MODELS:
        raise UnsupportedError(
            "a lens that veduta does not undistort",
            where=model_folder,
            field=f"camera {key} model",
            expected=", ".join(sorted(PERSPECTIVE_MODELS | FISHEYE_MODELS)),
            got=camera.model,
            hint="Undistort the photographs with COLMAP's image_undistorter.",
        )
    fx, fy, cx, cy = camera.intrinsics
    pinhole = Cameras.pinhole(
        torch.eye(4, dtype=torch.float64)[None], fx=fx, fy=fy, cx=cx, cy=cy, width=camera.width, height=camera.height
    )
    return pinhole.replace(lens=_lens(camera.model, camera.distortion))


def _lens(model: str, distortion: Sequence[float]) -> Lens | None:
    """COLMAP's lens as one of :class:`Lens`'s models; None where it distorts nothing."""
    if model in FISHEYE_MODELS:
        return Lens("OPENCV_FISHEYE", (*distortion, *[0.0] * (4 - len(distortion))))
    if not any(distortion):
        return None
    if model == "SIMPLE_RADIAL":
        return Lens("RADIAL", (distortion[0], 0.0))
    return Lens(model, tuple(distortion))


def _world_from_camera(image: ColmapImage) -> Float[Tensor, "4 4"]:
    camera_from_world = matrix_from_quat(image.quat)
    world_from_camera = torch.eye(4, dtype=torch.float64)
    world_from_camera[:3, :3] = camera_from_world.T
    world_from_camera[:3, 3] = -camera_from_world.T @ image.translation
    return world_from_camera


def _points(points: ColmapPoints) -> PointCloud | None:
    if len(points) == 0:
        return None
    return PointCloud(xyz=points.xyz.float(), rgb=points.rgb.float() / 255)


def _point_weights(points: ColmapPoints) -> Float[Tensor, " p"]:
    """Trust by reprojection error, exp(-(error / mean error)^2) as in DS-NeRF (Deng 2022, eq. 5); 1 where unknown."""
    known = points.error_px > 0
    if not known.any():
        return torch.ones_like(points.error_px)
    ratio = points.error_px / points.error_px[known].mean()
    return torch.where(known, torch.exp(-ratio.square()), torch.ones_like(ratio))


def _sightings(
    image: ColmapImage, ids: Int[Tensor, " p"], order: Int[Tensor, " p"], weights: Float[Tensor, " p"]
) -> Sightings | None:
    """The points that the photograph shows, None for none; ``ids`` are the cloud's, sorted, ``order`` their rows."""
    if len(ids) == 0:
        return None
    seen = image.point3d_ids.unique()
    place = torch.searchsorted(ids, seen).clamp(max=len(ids) - 1)
    rows = order[place[ids[place] == seen]]
    return Sightings(points=rows, weight=weights[rows].float()) if len(rows) else None
