"""Information along a path of cameras: numbers, pictures and a film."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from veduta import information
from veduta.core import Cameras, InformationMap, InputError, Noise, Posterior, RasterOptions, Scene
from veduta.information import Calibration, ErrorModel, Warp
from veduta.io.atomic import atomic_path
from veduta.io.exr import require_exr, write_exr
from veduta.io.images import read_image, to_bytes, write_png
from veduta.io.video import write_mp4
from veduta.recipes.flights import one_by_one
from veduta.recipes.information_pictures import gain_picture, overlay_picture, std_picture

TITLES = {"predicted_error": "predicted error", "error_std": "standard deviation of the error"}
"""What the pictures of further maps are called."""


@dataclass(frozen=True, kw_only=True)
class MapFiles:
    """What :func:`draw_maps` made."""

    arrays: tuple[Path, ...]
    """NPZ per camera: see :func:`save_map`."""
    overlays: tuple[Path, ...]
    """The picture under the map, as PNG."""
    video: Path | None
    """Of the overlays; None where none was asked for or the pictures have several sizes."""
    gain: float
    """Mean over all pixels of all maps, nats."""
    std: float
    """Root of the mean variance, colour units."""
    unknown: float
    """Share of the pixels with more than half of the gain where nothing is known."""


def unknown_gain(noise: Noise) -> float:
    """What a pixel tells about which nothing is known, nats: the most that there is."""
    return 1.5 * math.log1p(noise.tau**2 / noise.sigma**2)


def draw_maps(
    scene: Scene,
    posterior: Posterior,
    cameras: Cameras | Sequence[Cameras],
    out: Path,
    *,
    options: RasterOptions | None = None,
    backend: str = "auto",
    calibration: Calibration | None = None,
    warp: Warp | None = None,
    errors: ErrorModel | None = None,
    exr: bool = False,
    video: bool = True,
    fps: float = 30.0,
    names: Sequence[str] | None = None,
    on_frame: Callable[[int, int], None] | None = None,
) -> MapFiles:
    """Write ``out/maps/NAME.npz``, ``out/gain/NAME.png``, ``out/std/NAME.png``, ``out/overlay/NAME.png`` per camera.

    With ``errors`` also ``out/predicted_error/NAME.png``, with ``calibration`` ``out/error_std/NAME.png``, and both in
    the NPZ. Also ``out/overlay.mp4`` unless ``video`` is off, and with ``exr`` ``out/maps/NAME.exr``. Colours go from 0
    to the gain (nats) where nothing is known, and to the standard deviation tau of the photographs' values: they mean
    the same in all pictures of a run. One map is in memory at a time; files of the same names are replaced. ``names``
    are file names without suffix, numbers unless given; ``on_frame`` is called with the maps done and their total.
    Raises OutputError where nothing can be written, InputError for a path without cameras.
    """
    if not 0 < fps < float("inf"):
        raise InputError("a video that does not move", field="fps", expected="more than 0 pictures per second", got=fps)
    if exr:
        require_exr()
    single = one_by_one(cameras)
    if not single:
        raise InputError("a path without cameras", field="path", expected="at least one camera", got="none")
    stems = [f"{i:04d}" for i in range(len(single))] if names is None else list(names)
    assert len(set(stems)) == len(single), "one name per camera, each once"
    total, arrays, overlays = _Totals(top=unknown_gain(posterior.noise)), list[Path](), list[Path]()
    for done, (stem, camera) in enumerate(zip(stems, single, strict=True), start=1):
        found = information.map(
            scene, posterior, camera, options=options, backend=backend, calibration=calibration, warp=warp
        )
        arrays.append(out / "maps" / f"{stem}.npz")
        overlays.append(out / "overlay" / f"{stem}.png")
        predicted = None if errors is None else _error_map(scene, errors, camera, options, backend)
        further = _further(found, posterior.noise, calibration, predicted)
        save_map(arrays[-1], found, further=further)
        write_pictures(out, stem, found, posterior.noise)
        for name, values in further.items():
            write_png(out / name / f"{stem}.png", std_picture(values, top=posterior.noise.tau, title=TITLES[name]))
        if exr:
            layers = {"gain": found.gain[0], "std": found.variance[0].sqrt(), "RGB": found.color[0], **further}
            write_exr(out / "maps" / f"{stem}.exr", layers)
        total.add_(found)
        if on_frame is not None:
            on_frame(done, len(single))
    one_size = len({(camera.width, camera.height) for camera in single}) == 1
    film = out / "overlay.mp4" if video and one_size else None
    if film is not None:
        write_mp4(film, (read_image(path)[0] for path in overlays), fps=fps)
    return MapFiles(arrays=tuple(arrays), overlays=tuple(overlays), video=film, **total.means())


def save_map(path: Path, found: InformationMap, *, further: Mapping[str, Float[Tensor, "h w"]] | None = None) -> None:
    """Write one map as NPZ, atomically: ``numpy.load(path)`` needs no pickle. Raises OutputError.

    ``gain`` (nats) and ``std`` (colour units, 0 to 1), both "h w" float32; ``color``, the render, "h w 3" uint8;
    ``world_from_camera`` "4 4", ``intrinsics`` "3 3" and ``time_s``, of the camera; and ``further`` maps by name, "h w"
    float32.
    """
    assert len(found.cameras) == 1, "one map"
    arrays = {
        "gain": _float32(found.gain[0]),
        "std": _float32(found.variance[0].sqrt()),
        "color": to_bytes(found.color[0]).numpy(),
        "world_from_camera": found.cameras.world_from_camera[0].numpy(),
        "intrinsics": found.cameras.intrinsics[0].numpy(),
        "time_s": found.cameras.time[0].numpy(),
    }
    arrays |= {name: _float32(values) for name, values in (further or {}).items()}
    with atomic_path(path) as temporary, temporary.open("wb") as file:
        np.savez_compressed(file, allow_pickle=False, **arrays)


def write_pictures(out: Path, stem: str, found: InformationMap, noise: Noise) -> None:
    """``gain/STEM.png``, ``std/STEM.png`` and ``overlay/STEM.png`` in the folder ``out``. Raises OutputError."""
    top = unknown_gain(noise)
    write_png(out / "gain" / f"{stem}.png", gain_picture(found.gain[0], top=top))
    write_png(out / "std" / f"{stem}.png", std_picture(found.variance[0].sqrt(), top=noise.tau))
    write_png(out / "overlay" / f"{stem}.png", overlay_picture(found.color[0], found.gain[0], top=top))


@dataclass
class _Totals:
    """Sums over all pixels so far."""

    top: float
    pixels: int = 0
    gain: float = 0.0
    variance: float = 0.0
    unknown: float = 0.0

    def add_(self, found: InformationMap) -> None:
        self.pixels += found.gain.numel()
        self.gain += float(found.gain.double().sum())
        self.variance += float(found.variance.double().sum())
        self.unknown += float((found.gain > 0.5 * self.top).sum())

    def means(self) -> dict[str, float]:
        """By the names of :class:`MapFiles`."""
        return {
            "gain": self.gain / self.pixels,
            "std": math.sqrt(self.variance / self.pixels),
            "unknown": self.unknown / self.pixels,
        }


def _error_map(
    scene: Scene, errors: ErrorModel, camera: Cameras, options: RasterOptions | None, backend: str
) -> Float[Tensor, "h w"]:
    return information.error_map(scene, errors, camera, options=options, backend=backend)[0]


def _further(
    found: InformationMap, noise: Noise, calibration: Calibration | None, predicted: Float[Tensor, "h w"] | None
) -> dict[str, Float[Tensor, "h w"]]:
    """``predicted_error``: mean |e| that the model expects; ``error_std``: 68.27 % of the errors are smaller."""
    maps = {} if predicted is None else {"predicted_error": predicted}
    if calibration is not None:
        maps["error_std"] = calibration.std(found.variance[0], noise.sigma if predicted is None else predicted)
    return maps


def _float32(values: Float[Tensor, "*b"]) -> np.ndarray:
    return values.detach().cpu().to(torch.float32).numpy()
