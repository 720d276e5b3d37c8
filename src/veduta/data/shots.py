"""What a reader finds in a capture's files, before any photograph is opened, and how it becomes a Capture."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import torch
from jaxtyping import Float, Int
from torch import Tensor

from veduta.core import Cameras, Capture, InputError, PointCloud
from veduta.data.checks import checked_photo, enough_photos, listed
from veduta.data.depths import check_depth, depth_file
from veduta.data.moving import read_tracks
from veduta.data.reader import ReadOptions
from veduta.data.resample import fitted_size
from veduta.data.source import FileViews, Photo, PhotoCache
from veduta.data.splits import Split, choose_split
from veduta.data.upright import estimate_up, shown_upright
from veduta.geometry.lens import pinhole_for
from veduta.geometry.projection import scale_cameras

MAX_OFFSET = 1e5
"""Distance from the origin over the capture's extent beyond which float32 cannot tell the cameras apart well."""


@dataclass(frozen=True, eq=False)
class Sightings:
    """The points of structure from motion that one photograph shows."""

    points: Int[Tensor, " m"]
    """Rows of the capture's point cloud."""
    weight: Float[Tensor, " m"]
    """Trust, 0 to 1."""


@dataclass(frozen=True, eq=False)
class Shot:
    """One photograph as a capture's files describe it."""

    name: str
    """Relative to the folder of images, with ``/``; unique."""
    path: Path
    camera: Cameras
    """One camera, of the photograph as it lies on disk, with its lens (float64)."""
    mask: Path | None = None
    """A mask that the format names; a folder of masks is looked through besides."""
    sightings: Sightings | None = None


@dataclass(frozen=True, eq=False)
class Findings:
    """All that a reader found."""

    shots: tuple[Shot, ...]
    points: PointCloud | None
    source: Path
    """The capture's folder."""
    model: Path
    """The file or folder that poses come from, for messages."""
    split: Split | None = None
    up: Float[Tensor, "3"] | None = None
    backdrop: Float[Tensor, "3"] | None = None
    """Colour that transparent pixels are composited over; None: transparency is a mask."""
    metric: bool = False
    """Whether a unit of length is a metre."""


def capture_of(found: Findings, options: ReadOptions) -> Capture:
    """The capture: photographs checked by their headers, split, to be undistorted and reduced as they are read.

    Besides what the format tells, a folder may hold ``depth/STEM.npz`` (arrays ``depth``, z in the capture's unit, and
    ``valid``, both of the photograph's size) and ``tracks.json`` (see :func:`veduta.data.moving.read_tracks`).
    """
    enough_photos(len(found.shots), where=found.model)
    shots = sorted(found.shots, key=lambda shot: shot.name)
    _unique_names(shots, found.model)
    _near_origin(shots, found.model)
    orientations = [1] * len(shots) if options.only_cameras else _orientations(shots, found.model)
    masks = _masks(shots, found.source, options.masks)
    depths = _depths(shots, found.source)
    flat = _flat_cameras([shot.camera for shot in shots], options.max_size)
    photos = {
        shot.name: Photo(
            name=shot.name,
            path=shot.path,
            original=shot.camera,
            camera=camera.to(torch.float32).replace(time=camera.time),
            mask=masks.get(shot.name),
            sparse_depth=_sparse_depth(shot, found.points, camera),
            depth=depths.get(shot.name),
        )
        for shot, camera in zip(shots, flat, strict=True)
    }
    split = choose_split(found.source, list(photos), test_every=options.test_every, of_format=found.split)
    cache = PhotoCache(options.image_budget_mb * 2**20)
    up = found.up
    if up is None:
        poses = [
            shown_upright(shot.camera.world_from_camera[0], orientation=orientation)
            for shot, orientation in zip(shots, orientations, strict=True)
        ]
        up = estimate_up(torch.stack(poses))
    return Capture(
        train=FileViews([photos[name] for name in split.train], cache=cache, backdrop=found.backdrop),
        test=FileViews([photos[name] for name in split.test], cache=cache, backdrop=found.backdrop),
        cameras=_sensors(list(photos.values())),
        points=found.points,
        tracks=read_tracks(found.source),
        up=up,
        metric=found.metric,
        source=found.source,
        background=found.backdrop,
    )


def fingerprint(capture: Capture) -> str:
    """What tells one capture from another: a hash of poses, intrinsics, times, image sizes, of the points and tracks.

    For photographs on disk also their names, files' sizes, masks and the split.
    """
    digest = hashlib.sha256()
    for sensor, cameras in sorted(capture.cameras.items()):
        digest.update(json.dumps([sensor, cameras.width, cameras.height]).encode())
        for tensor in (cameras.world_from_camera, cameras.intrinsics, cameras.time):
            digest.update(tensor.contiguous().cpu().numpy().tobytes())
    if capture.points is not None:
        digest.update(capture.points.xyz.contiguous().cpu().numpy().tobytes())
    for name, track in sorted(capture.tracks.items()):
        digest.update(json.dumps([name, track.category]).encode())
        for tensor in (track.times, track.world_from_object, track.size_m):
            digest.update(tensor.contiguous().cpu().numpy().tobytes())
    for source in (capture.train, capture.test):
        digest.update((source.fingerprint() if isinstance(source, FileViews) else str(len(source))).encode())
    return digest.hexdigest()


def sensor_folder(name: str) -> str:
    """What a capture's sensor is called after: the folder of a photograph of that name, ``camera`` without folders."""
    folder = str(PurePosixPath(name).parent)
    return "camera" if folder == "." else folder


def _orientations(shots: Sequence[Shot], model: Path) -> list[int]:
    """EXIF orientation of each photograph, 1 to 8; InputError for one that does not fit the model."""
    sizes = [(shot.camera.width, shot.camera.height) for shot in shots]
    return [
        checked_photo(shot.path, width=width, height=height, model=model).orientation
        for shot, (width, height) in zip(shots, sizes, strict=True)
    ]


def _unique_names(shots: Sequence[Shot], model: Path) -> None:
    names = [shot.name for shot in shots]
    twice = sorted({name for name in names if names.count(name) > 1}) if len(set(names)) < len(names) else []
    if twice:
        raise InputError("photographs named twice", where=model, expected="each name once", got=listed(twice))


def _near_origin(shots: Sequence[Shot], model: Path) -> None:
    positions = torch.cat([shot.camera.positions_world for shot in shots])
    centre = positions.mean(dim=0)
    extent = float((positions - centre).norm(dim=1).max())
    offset = float(centre.norm())
    if offset > MAX_OFFSET * extent > 0:
        raise InputError(
            "the cameras are too far from the origin",
            where=model,
            expected=f"at most {MAX_OFFSET:.0e} times the capture's own extent of {extent:.3g}",
            got=f"{offset:.3g}",
            hint="Subtract an offset from all positions and points, as is done for map coordinates.",
        )


def _masks(shots: Sequence[Shot], source: Path, folder: Path | None) -> dict[str, Path]:
    """The mask of each photograph that has one: the format's own, else ``masks/NAME``, ``NAME.png`` or ``STEM.png``."""
    if folder is not None and not folder.is_dir():
        raise InputError("no such folder of masks", where=folder, field="masks", expected="a folder")
    looked_in = source / "masks" if folder is None else folder
    masks: dict[str, Path] = {}
    for shot in shots:
        stem = str(PurePosixPath(shot.name).with_suffix(""))
        candidates = [looked_in / shot.name, looked_in / f"{shot.name}.png", looked_in / f"{stem}.png"]
        found = next((path for path in candidates if path.is_file()), None)
        mask = found if shot.mask is None else shot.mask
        if mask is not None:
            checked_photo(mask, width=shot.camera.width, height=shot.camera.height, model=shot.path)
            masks[shot.name] = mask
    if folder is not None and not masks:
        raise InputError(
            "no mask fits any photograph",
            where=folder,
            field="masks",
            expected=f"masks named like {shots[0].name}.png",
            hint="A mask has its photograph's name, with .png added or in place of the suffix; black is not trusted.",
        )
    return masks


def _depths(shots: Sequence[Shot], source: Path) -> dict[str, Path]:
    """The files of known depth, checked by their headers."""
    paths = {shot.name: depth_file(source, shot.name) for shot in shots}
    depths = {name: path for name, path in paths.items() if path.is_file()}
    for shot in shots:
        if shot.name in depths:
            check_depth(depths[shot.name], width=shot.camera.width, height=shot.camera.height)
    return depths


def _flat_cameras(cameras: Sequence[Cameras], max_size: int | None) -> list[Cameras]:
    """The pinhole cameras of the undistorted, reduced photographs; the geometry is found once per lens."""
    by_lens: dict[tuple[object, ...], Cameras] = {}
    flat: list[Cameras] = []
    for camera in cameras:
        key = (camera.width, camera.height, camera.lens, tuple(camera.intrinsics.flatten().tolist()))
        if key not in by_lens:
            pinhole = pinhole_for(camera)
            width, height = fitted_size(pinhole.width, pinhole.height, max_size)
            by_lens[key] = scale_cameras(pinhole, width=width, height=height)
        flat.append(by_lens[key].replace(world_from_camera=camera.world_from_camera, time=camera.time))
    return flat


def _sparse_depth(shot: Shot, points: PointCloud | None, camera: Cameras) -> Float[Tensor, "m 4"] | None:
    """Rows x, y, depth, weight of the seen points that lie in front of the camera and on its undistorted picture."""
    if shot.sightings is None or points is None:
        return None
    xyz = points.xyz[shot.sightings.points].double()
    rotation, position = camera.world_from_camera[0, :3, :3], camera.world_from_camera[0, :3, 3]
    seen = (xyz - position) @ rotation @ camera.intrinsics[0].T
    depth = seen[:, 2]
    px = seen[:, :2] / depth[:, None].clamp(min=1e-12)
    inside = (depth > 0) & (px > 0).all(dim=1) & (px[:, 0] < camera.width) & (px[:, 1] < camera.height)
    rows = torch.cat([px, depth[:, None], shot.sightings.weight[:, None].double()], dim=1)
    return rows[inside].float()


def _sensors(photos: Sequence[Photo]) -> dict[str, Cameras]:
    """Cameras in time order by sensor: a folder of photographs (``camera`` without folders) and an image size."""
    groups: dict[tuple[str, int, int], list[Photo]] = {}
    for photo in sorted(photos, key=lambda p: (float(p.camera.time[0]), p.name)):
        key = (sensor_folder(photo.name), photo.camera.width, photo.camera.height)
        groups.setdefault(key, []).append(photo)
    folders = [folder for folder, _, _ in groups]
    return {
        folder if folders.count(folder) == 1 else f"{folder}_{width}x{height}": Cameras.cat([p.camera for p in group])
        for (folder, width, height), group in groups.items()
    }
