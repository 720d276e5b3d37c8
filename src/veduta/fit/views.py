"""The training photographs as the fit wants them: single pictures, in its frame, at the size of the moment."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import torch
from jaxtyping import Float
from torch import Tensor

from veduta.core import Cameras, InputError, Views, ViewSource
from veduta.fit.loss import HasSparseDepth, SparseDepth
from veduta.geometry import Similarity, scale_cameras, transform_cameras

NO_TRUST = 1e-4
"""A reduced pixel whose weight is below this has no colour of its own."""


@runtime_checkable
class HasFingerprint(Protocol):
    """A source of photographs that can say which ones they are."""

    def fingerprint(self) -> str:
        """A hash that changes when the photographs do."""
        ...


@runtime_checkable
class KnowsCameras(Protocol):
    """A source of photographs that knows their cameras without reading them."""

    def camera(self, i: int, /) -> Cameras:
        """The cameras of the i-th instant."""
        ...


@runtime_checkable
class KnowsBytes(Protocol):
    """A source that keeps the photographs that it has read, and knows how much memory that will take."""

    @property
    def needed_bytes(self) -> int:
        """Most memory that its photographs will take."""
        ...


@dataclass(frozen=True, eq=False)
class Target:
    """One picture to be reproduced."""

    rgb: Float[Tensor, "h w 3"]
    weight: Float[Tensor, "h w"] | None
    """None: 1 everywhere."""
    camera: Cameras
    """One camera of the picture's size, in the frame of the fit."""
    depth: SparseDepth | None = None

    @property
    def nbytes(self) -> int:
        """Memory of the pixels."""
        return 4 * (self.rgb.numel() + (0 if self.weight is None else self.weight.numel()))

    def on(self, device: torch.device) -> Target:
        """With the pixels and depths on a device, without waiting for it; the camera stays on the CPU."""
        return self._mapped(lambda t: t.to(device, non_blocking=True))

    def page_locked(self) -> Target:
        """With the pixels and depths in memory that a GPU reads by itself."""
        return self._mapped(lambda t: t.pin_memory())

    def _mapped(self, change: Callable[[Tensor], Tensor]) -> Target:
        known = self.depth
        return Target(
            rgb=change(self.rgb),
            weight=None if self.weight is None else change(self.weight),
            camera=self.camera,
            depth=known if known is None else SparseDepth(change(known.uv), change(known.depth), change(known.weight)),
        )


class _Cache:
    """Pictures by their place in the source, up to a number of bytes."""

    def __init__(self, budget_bytes: int) -> None:
        self.targets: dict[int, Target] = {}
        self._left_bytes = self._budget_bytes = budget_bytes

    def has_room_for(self, target: Target) -> bool:
        return target.nbytes <= self._left_bytes

    def add(self, index: int, target: Target) -> Target:
        self.targets[index] = target
        self._left_bytes -= target.nbytes
        return target

    def clear(self) -> None:
        self.targets, self._left_bytes = {}, self._budget_bytes


@dataclass(frozen=True)
class Place:
    """Where a picture is in its source."""

    instant: int
    row: int


class Targets:
    """All pictures of a source, prepared when first asked for and kept while their size is in use.

    Up to a budget of bytes they stay on the device. On a GPU, those beyond stay in main memory up to as many bytes
    again, page-locked, and are copied each time. What is beyond that is prepared again each time.
    """

    def __init__(
        self,
        source: ViewSource,
        *,
        similarity: Similarity,
        min_side_px: int,
        budget_bytes: int,
        with_depth: bool,
        device: torch.device | None = None,
    ) -> None:
        """Raises InputError where there are no photographs; reads them only where nothing else tells their cameras."""
        self._source = source
        self._similarity = similarity
        self._min_side_px = min_side_px
        self._device = torch.device("cpu") if device is None else device
        self._with_depth = with_depth
        self._near = _Cache(budget_bytes)
        self._waiting = _Cache(0 if self._device.type == "cpu" else budget_bytes)
        self._kept_downscale = 1
        self.places: list[Place] = []
        self.cameras: list[Cameras] = []
        """Of every picture at full size, in the frame of the fit."""
        for instant in range(len(source)):
            known = source.camera(instant) if isinstance(source, KnowsCameras) else source[instant].cameras
            cameras = transform_cameras(known, similarity)
            for row in range(len(cameras)):
                self.places.append(Place(instant, row))
                self.cameras.append(cameras[row])
        if not self.places:
            raise InputError("the capture has no training photographs", expected="at least one", got=0)

    def __len__(self) -> int:
        return len(self.places)

    def get(self, index: int, downscale: int) -> Target:
        """One picture, ``downscale`` times smaller (less if it were too small otherwise)."""
        if downscale != self._kept_downscale:
            self._near.clear()
            self._waiting.clear()
            self._kept_downscale = downscale
        kept = self._near.targets.get(index)
        if kept is not None:
            return kept
        target = self._waiting.targets.get(index)
        if target is None:
            target = self._prepared(index, downscale)
            if self._near.has_room_for(target):
                return self._near.add(index, target.on(self._device))
            if self._waiting.has_room_for(target):
                target = self._waiting.add(index, target.page_locked())
        return target.on(self._device)

    def _prepared(self, index: int, downscale: int) -> Target:
        place = self.places[index]
        view = self._source[place.instant]
        rgb, trust, camera = view.rgb[place.row], view.weight[place.row], self.cameras[index]
        weight = None if bool((trust == 1.0).all()) else trust
        height, width = reduced_size(camera.height, camera.width, downscale, self._min_side_px)
        if (height, width) != (camera.height, camera.width):
            rgb, weight = reduced(rgb, weight, height=height, width=width)
            camera = scale_cameras(camera, width=width, height=height)
        return Target(rgb=rgb.contiguous(), weight=weight, camera=camera, depth=self._depth(index))

    def _depth(self, index: int) -> SparseDepth | None:
        if not (self._with_depth and isinstance(self._source, HasSparseDepth)):
            return None
        known = self._source.sparse_depth(self.places[index].instant)
        if known is None or len(known[1]) == 0:
            return None
        px, depth, weight = known
        full = self.cameras[index]
        return SparseDepth(
            uv=px / px.new_tensor([full.width, full.height]), depth=depth * self._similarity.scale, weight=weight
        )


def reduced_size(height: int, width: int, downscale: int, min_side_px: int) -> tuple[int, int]:
    """The size of a picture made ``downscale`` times smaller, but not below ``min_side_px`` on the shorter side."""
    factor = max(1.0, min(float(downscale), min(height, width) / min_side_px))
    return max(1, round(height / factor)), max(1, round(width / factor))


def reduced(
    rgb: Float[Tensor, "h w 3"], weight: Float[Tensor, "h w"] | None, *, height: int, width: int
) -> tuple[Float[Tensor, "height width 3"], Float[Tensor, "height width"] | None]:
    """A smaller picture by exact area; colours are averaged by trust, and trust itself plainly."""
    rows, columns = area_weights(rgb.shape[0], height), area_weights(rgb.shape[1], width)
    if weight is None:
        return torch.einsum("Hh,hwc,Ww->HWc", rows, rgb, columns), None
    mean_weight = rows @ weight @ columns.T
    summed = torch.einsum("Hh,hwc,Ww->HWc", rows, rgb * weight[..., None], columns)
    trusted = mean_weight > NO_TRUST
    color = torch.where(trusted[..., None], summed / mean_weight.clamp(min=NO_TRUST)[..., None], 0.0)
    return color, torch.where(trusted, mean_weight, 0.0)


def area_weights(before: int, after: int) -> Float[Tensor, "after before"]:
    """Row i: the share of each old pixel in new pixel i, which covers [i, i + 1] * before / after of them."""
    edges = torch.arange(after + 1, dtype=torch.float64) * (before / after)
    pixels = torch.arange(before, dtype=torch.float64)
    covered = torch.minimum(edges[1:, None], pixels + 1) - torch.maximum(edges[:-1, None], pixels)
    covered = covered.clamp(min=0.0)
    return (covered / covered.sum(dim=1, keepdim=True)).float()


def kept_bytes(source: ViewSource) -> int:
    """Most memory that the source itself will keep of its photographs, beside what is prepared of them."""
    return source.needed_bytes if isinstance(source, KnowsBytes) else 0


def fingerprint(source: ViewSource) -> str:
    """Which photographs these are: the source's own word, or a hash of every picture and camera."""
    if isinstance(source, HasFingerprint):
        return source.fingerprint()
    digest = hashlib.blake2b(digest_size=16)
    for i in range(len(source)):
        view: Views = source[i]
        for tensor in (view.rgb, view.weight, view.cameras.world_from_camera, view.cameras.intrinsics):
            digest.update(tensor.contiguous().numpy().tobytes())
    return digest.hexdigest()


class ViewOrder:
    """Shuffled epochs: every picture once before any comes again."""

    def __init__(self, views: int) -> None:
        self.order = torch.zeros(0, dtype=torch.int64)
        """The current epoch's."""
        self.position = 0
        """How many of them were taken."""
        self._views = views

    def next(self, generator: torch.Generator) -> int:
        """The next picture's index."""
        if self.position >= len(self.order):
            self.order = torch.randperm(self._views, generator=generator)
            self.position = 0
        self.position += 1
        return int(self.order[self.position - 1])
