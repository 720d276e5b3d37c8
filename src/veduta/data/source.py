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
from veduta.core.pages import on_own_pages
from veduta.data.depths import KnownDepth, read_depth
from veduta.data.resample import area_resize
from veduta.geometry.lens import distort, pinhole_for
from veduta.io.images import read_image

BAND_ROWS = 256
"""Rows of a sampling map that are worked out in float64 at a time."""
RGB_AND_WEIGHT_BYTES, DEPTH_AND_VALID_BYTES, COVERAGE_BYTES = 4, 5, 1
"""Of a kept pixel: 8 bits a channel; float32 and bool; 8 bits beside the weight of a masked cut-out."""
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
    depth: Path | None = None
    """File of the depth of every pixel of ``path``, as :mod:`veduta.data.depths` reads it."""

    @property
    def needed_bytes(self) -> int:
        """Most memory that the photograph takes in a cache."""
        per_pixel = RGB_AND_WEIGHT_BYTES + (0 if self.depth is None else DEPTH_AND_VALID_BYTES)
        per_pixel += 0 if self.mask is None else COVERAGE_BYTES
        return self.camera.width * self.camera.height * per_pixel


@dataclass(frozen=True, eq=False)
class Pixels:
    """A photograph as it is kept: 8 bits per channel."""

    rgb: UInt8[Tensor, "h w 3"]
    weight: UInt8[Tensor, "h w"] | None
    """None: 1 everywhere."""
    known: KnownDepth | None = None
    """float32; None: no depth is known."""
    coverage: UInt8[Tensor, "h w"] | None = None
    """Of a cut-out photograph that is composited over a backdrop."""

    @property
    def nbytes(self) -> int:
        """Memory taken."""
        weight_bytes = sum(0 if part is None else part.nbytes for part in (self.weight, self.coverage))
        return self.rgb.nbytes + weight_bytes + (0 if self.known is None else self.known.nbytes)

    def on_own_pages(self) -> Pixels:
        """The same, in memory that what comes and goes while photographs are read has no part in."""
        weight, known, coverage = self.weight, self.known, self.coverage
        return Pixels(
            rgb=on_own_pages(self.rgb),
            weight=None if weight is None else on_own_pages(weight),
            known=None if known is None else KnownDepth(on_own_pages(known.depth), on_own_pages(known.valid)),
            coverage=None if coverage is None else on_own_pages(coverage),
        )


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
        self._kept[path] = pixels.on_own_pages()
        self.used_bytes += pixels.nbytes
        while self.used_bytes > self.budget_bytes:
            _, dropped = self._kept.popitem(last=False)
            self.used_bytes -= dropped.nbytes

    def undistortion_grid(self, camera: Cameras) -> Float[Tensor, "h w 2"]:
        """Where to sample for a lens, as ``grid_sample`` counts; the last lens' grid is kept, since most have one."""
        key = (camera.width, camera.height, camera.lens, tuple(camera.intrinsics.flatten().tolist()))
        if key not in self._maps:
            self._maps = {key: _undistortion_grid(camera)}
        return self._maps[key]


class FileViews:
    """Photographs on disk, one camera per instant: a ViewSource.

    Reading undistorts (after COLMAP's rules), composites or masks transparency, and reduces by exact area; results are
    kept with 8 bits per channel in a cache. Known depth goes the same way, by the nearest pixel, and is kept
    as float32. Indexing raises InputError for a photograph or a depth that cannot be read.
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
        weight, known = pixels.weight, pixels.known
        return Views(
            cameras=photo.camera,
            rgb=(pixels.rgb[None].float() / 255),
            weight=torch.ones(1, *pixels.rgb.shape[:2]) if weight is None else weight[None].float() / 255,
            names=(photo.name,),
            depth=None if known is None else known.depth[None],
            depth_valid=None if known is None else known.valid[None],
            alpha=None if pixels.coverage is None else pixels.coverage[None].float() / 255,
        )

    @property
    def names(self) -> tuple[str, ...]:
        """All photographs' names, in order."""
        return tuple(photo.name for photo in self._photos)

    @property
    def missing(self) -> tuple[str, ...]:
        """Names of the photographs that are not on the disk, as ``only_cameras`` of ReadOptions allows."""
        return tuple(photo.name for photo in self._photos if not photo.path.is_file())

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
        """Hash of names, files' sizes in bytes, masks, image sizes, intrinsics, poses and times, in order."""
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
        coverage = None
        if alpha is not None and self.backdrop is not None:
            rgb = rgb * alpha[..., None] + self.backdrop * (1 - alpha[..., None])
            coverage = _to_bytes(self._resampled(alpha[..., None], photo)[..., 0])
            alpha = None
        weight, known = self._weight(photo, alpha), self._known_depth(photo)
        if weight is None:
            return Pixels(rgb=_to_bytes(self._resampled(rgb, photo)), weight=None, known=known, coverage=coverage)
        # Colour times weight over weight, so that masked colour does not bleed into the rest.
        colour = self._resampled(rgb * weight[..., None], photo)
        weight = self._resampled(weight[..., None], photo)
        rgb = _to_bytes(colour / weight.clamp(min=NO_TRUST))
        return Pixels(rgb=rgb, weight=_to_bytes(weight[..., 0]), known=known, coverage=coverage)

    def _known_depth(self, photo: Photo) -> KnownDepth | None:
        if photo.depth is None:
            return None
        known = read_depth(photo.depth, width=photo.original.width, height=photo.original.height)
        grid = None if photo.original.lens is None else self._cache.undistortion_grid(photo.original)
        return known.resampled(grid, width=photo.camera.width, height=photo.camera.height)

    def _weight(self, photo: Photo, alpha: Float[Tensor, "h w"] | None) -> Float[Tensor, "h w"] | None:
        """Trust per pixel of the file; None: 1 everywhere."""
        weight = alpha
        if photo.mask is not None:
            mask, _ = read_image(photo.mask)
            _same_size(mask, photo, photo.mask)
            mask = mask.mean(dim=-1)
            weight = mask if weight is None else weight * mask
        return None if weight is None or bool((weight == 1).all()) else weight

    def _resampled(self, image: Float[Tensor, "h w c"], photo: Photo) -> Float[Tensor, "h2 w2 c"]:
        if photo.original.lens is not None:
            image = _sampled(image, self._cache.undistortion_grid(photo.original))
        return area_resize(image, width=photo.camera.width, height=photo.camera.height)


def _undistortion_grid(camera: Cameras) -> Float[Tensor, "h w 2"]:
    """Positions of :func:`veduta.geometry.lens.undistortion_map`, as shares -1 to 1, made in bands to save memory."""
    flat = pinhole_for(camera)
    bands: list[Tensor] = []
    for top in range(0, flat.height, BAND_ROWS):
        rows = min(BAND_ROWS, flat.height - top)
        y, x = torch.meshgrid(torch.arange(top, top + rows) + 0.5, torch.arange(flat.width) + 0.5, indexing="ij")
        px = torch.stack([x, y], dim=-1).double()
        focal, centre = torch.diagonal(flat.intrinsics[0])[:2], flat.intrinsics[0, :2, 2]
        bent = distort((px - centre) / focal, camera.lens)
        bent = bent * torch.diagonal(camera.intrinsics[0])[:2] + camera.intrinsics[0, :2, 2]
        bands.append((2 * bent / bent.new_tensor([camera.width, camera.height]) - 1).float())
    return torch.cat(bands)


def _sampled(image: Float[Tensor, "h w c"], grid: Float[Tensor, "h2 w2 2"]) -> Float[Tensor, "h2 w2 c"]:
    """Bilinear samples; beyond the outermost pixel centres the nearest pixel, of which COLMAP's rules leave no more."""
    planes = image.permute(2, 0, 1)[None].contiguous()
    bands = [
        torch.nn.functional.grid_sample(planes, band[None], mode="bilinear", padding_mode="border", align_corners=False)
        for band in grid.split(BAND_ROWS)
    ]
    return torch.cat(bands, dim=2)[0].permute(1, 2, 0)


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
