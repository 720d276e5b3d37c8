"""Photographs on disk as a ViewSource: undistorted and reduced as they are read, kept under a budget of bytes."""

from __future__ import annotations

import hashlib
import json
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from veduta.core import Cameras, InputError, Views
from veduta.data.resample import area_resize
from veduta.geometry.lens import sample_bilinear, undistortion_map
from veduta.io.images import read_image

NO_TRUST = 1e-4
"""Weight below which a resampled pixel has no colour of its own."""


@dataclass(frozen=True, eq=False)
class Photo:
    """One photograph: where it lies, what took it, and what becomes of it."""

    name: str
    path: Path
    original: Cameras
    """One camera, of the file's pixels, with its lens."""
    camera: Cameras
    """One pinhole camera (float32), of the pixels that :class:`FileViews` gives."""
    mask: Path | None
    sparse_depth: Float[Tensor, "m 4"] | None
    """Rows x, y (px), z depth, weight."""

    @property
    def needed_bytes(self) -> int:
        """Most memory that the photograph takes in a cache."""
        return self.camera.width * self.camera.height * 4


@dataclass(frozen=True, eq=False)
class Pixels:
    """A photograph as it is kept: 8 bits per channel."""

    rgb: UInt8[Tensor, "h w 3"]
    weight: UInt8[Tensor, "h w"] | None
    """None: 1 everywhere."""

    @property
    def nbytes(self) -> int:
        """Memory taken."""
        return self.rgb.numel() + (0 if self.weight is None else self.weight.numel())


class PhotoCache:
    """The most recently used photographs, up to a budget of bytes; shared by the sources of one capture."""

    def __init__(self, budget_bytes: int) -> None:
        self.budget_bytes = budget_bytes
        self.used_bytes = 0
        self._kept: OrderedDict[Path, Pixels] = OrderedDict()
        self._maps: dict[tuple[object, ...], Tensor] = {}

    def get(self, path: Path) -> Pixels | None:
        """The kept photograph, which thereby becomes the most recently used."""
        pixels = self._kept.get(path)
        if pixels is not None:
            self._kept.move_to_end(path)
        return pixels

    def put(self, path: Path, pixels: Pixels) -> None:
        """Keep a photograph, and drop the least recently used ones that no longer fit; larger than all: not kept."""
        if pixels.nbytes > self.budget_bytes:
            return
        self._kept[path] = pixels
        self.used_bytes += pixels.nbytes
        while self.used_bytes > self.budget_bytes:
            _, dropped = self._kept.popitem(last=False)
            self.used_bytes -= dropped.nbytes

    def undistortion_map(self, camera: Cameras) -> Float[Tensor, "h w 2"]:
        """The sampling positions for a lens; the last lens' are kept, since most captures have one."""
        key = (camera.width, camera.height, camera.lens, tuple(camera.intrinsics.flatten().tolist()))
        if key not in self._maps:
            self._maps = {key: undistortion_map(camera).float()}
        return self._maps[key]


class FileViews:
    """Photographs on disk, one camera per instant: a ViewSource.

    Reading undistorts (after COLMAP's rules), composites or masks transparency, and reduces by exact area; results are
    kept with 8 bits per channel in a cache. Indexing raises InputError for a photograph that cannot be read.
    """

    def __init__(
        self, photos: Sequence[Photo], *, cache: PhotoCache, backdrop: Float[Tensor, "3"] | None = None
    ) -> None:
        self._photos = tuple(photos)
        self._cache = cache
        self.backdrop = backdrop
        """Colour that transparent pixels are composited over, with full trust; None: transparency is a mask."""

    def __len__(self) -> int:
        return len(self._photos)

    def __getitem__(self, i: int, /) -> Views:
        """The i-th photograph: float32, one camera, a pinhole."""
        photo = self._photos[i]
        pixels = self._cache.get(photo.path)
        if pixels is None:
            pixels = self._read(photo)
            self._cache.put(photo.path, pixels)
        weight = pixels.weight
        return Views(
            cameras=photo.camera,
            rgb=(pixels.rgb[None].float() / 255),
            weight=torch.ones(1, *pixels.rgb.shape[:2]) if weight is None else weight[None].float() / 255,
            names=(photo.name,),
        )

    @property
    def names(self) -> tuple[str, ...]:
        """All photographs' names, in order."""
        return tuple(photo.name for photo in self._photos)

    def camera(self, i: int) -> Cameras:
        """The i-th photograph's camera, without reading the photograph."""
        return self._photos[i].camera

    def sparse_depth(self, i: int) -> tuple[Float[Tensor, "m 2"], Float[Tensor, " m"], Float[Tensor, " m"]] | None:
        """Depths measured by structure from motion: (positions in px, z depth, weight 0 to 1); None if none are known.

        Positions are the points' projections into the undistorted picture. They are surfaces' depths up to the points'
        own error, which the weight falls with.
        """
        rows = self._photos[i].sparse_depth
        return None if rows is None else (rows[:, :2], rows[:, 2], rows[:, 3])

    @property
    def needed_bytes(self) -> int:
        """Most memory that these photographs will take in the cache."""
        return min(self._cache.budget_bytes, sum(photo.needed_bytes for photo in self._photos))

    def fingerprint(self) -> str:
        """Hash of names, files' sizes in bytes, masks, image sizes, intrinsics and poses, in order."""
        digest = hashlib.sha256(json.dumps(None if self.backdrop is None else self.backdrop.tolist()).encode())
        for photo in self._photos:
            camera = photo.camera
            mask = None if photo.mask is None else photo.mask.name
            facts = [photo.name, photo.path.stat().st_size, mask, camera.width, camera.height]
            digest.update(json.dumps(facts).encode())
            digest.update(camera.world_from_camera.numpy().tobytes() + camera.intrinsics.numpy().tobytes())
            digest.update(camera.time.numpy().tobytes())
        return digest.hexdigest()

    def _read(self, photo: Photo) -> Pixels:
        rgb, alpha = read_image(photo.path)
        _same_size(rgb, photo, photo.path)
        if alpha is not None and self.backdrop is not None:
            rgb = rgb * alpha[..., None] + self.backdrop * (1 - alpha[..., None])
            alpha = None
        weight = torch.ones_like(rgb[..., 0]) if alpha is None else alpha
        if photo.mask is not None:
            mask, _ = read_image(photo.mask)
            _same_size(mask, photo, photo.mask)
            weight = weight * mask.mean(dim=-1)
        trusted = bool((weight == 1).all())
        layers = torch.cat([rgb * weight[..., None], weight[..., None]], dim=-1)
        layers = self._resampled(layers, photo)
        weight = layers[..., 3]
        if trusted and bool((weight > 1 - NO_TRUST).all()):
            return Pixels(rgb=_to_bytes(layers[..., :3]), weight=None)
        colour = layers[..., :3] / weight[..., None].clamp(min=NO_TRUST)
        return Pixels(rgb=_to_bytes(colour), weight=_to_bytes(weight))

    def _resampled(self, layers: Float[Tensor, "h w 4"], photo: Photo) -> Float[Tensor, "h2 w2 4"]:
        if photo.original.lens is not None:
            layers = sample_bilinear(layers, self._cache.undistortion_map(photo.original))
        return area_resize(layers, width=photo.camera.width, height=photo.camera.height)


def _same_size(image: Tensor, photo: Photo, path: Path) -> None:
    height, width = image.shape[:2]
    if (width, height) != (photo.original.width, photo.original.height):
        raise InputError(
            "the image changed after the capture was opened",
            where=path,
            expected=f"{photo.original.width} x {photo.original.height}",
            got=f"{width} x {height}",
        )


def _to_bytes(values: Float[Tensor, "*b"]) -> UInt8[Tensor, "*b"]:
    return (values.clamp(0, 1) * 255).round().to(torch.uint8)
