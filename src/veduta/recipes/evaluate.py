"""How well a scene predicts photographs that it was not made from."""

from __future__ import annotations

from collections.abc import Callable, Container, Iterable
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath

import torch
from jaxtyping import Float
from torch import Tensor

from veduta.core import InputError, RasterOptions, Render, Scene, Views, ViewSource
from veduta.io.atomic import write_json
from veduta.io.images import write_png
from veduta.io.tensors import save_tensors
from veduta.measure import depth_error, psnr, ssim
from veduta.measure.images import comparable
from veduta.render import render_scene

EVAL_SCHEMA_VERSION = 1
PSNR_CAP_DB = 100.0
"""Reported for pictures that agree exactly, so that means and JSON stay finite."""
MEASURES = (
    "PSNR: 10 log10(1 / mean squared error) over the RGB values of an undistorted photograph, 0 to 1. "
    "SSIM: Gaussian window 11x11, sigma 1.5, K1 0.01, K2 0.03, valid windows only, mean over RGB. "
    "Renders are clamped to 0..1 and rounded to 8 bits; masked pixels are left out."
)


@dataclass(frozen=True, kw_only=True)
class ViewScore:
    """One photograph against its prediction."""

    name: str
    psnr: float | None
    """dB; None where there is nothing to compare, since the photograph is masked altogether."""
    ssim: float | None
    """None also where only pixels at the border are not masked, on which no window of SSIM is centred."""
    depth_error: float | None
    """Mean absolute difference of z depth where it is known, in the capture's unit; None where none is known."""
    width: int
    height: int
    photo: str | None = None
    """File of the photograph as compared, relative to the folder of the report; None if no pictures were asked for."""
    render: str | None = None
    depth: str | None = None
    """Rendered z depth in a safetensors file, under ``depth`` ("h w"; 0 where nothing was drawn)."""


@dataclass(frozen=True, kw_only=True)
class Evaluation:
    """Scores per view, their means, and the protocol that they were measured by."""

    views: tuple[ViewScore, ...]
    protocol: str
    """How these numbers came about, in full sentences."""

    @property
    def psnr(self) -> float | None:
        """Mean over the views that have one, dB; None without any."""
        return _mean(view.psnr for view in self.views)

    @property
    def ssim(self) -> float | None:
        """Mean over the views that have one; None without any."""
        return _mean(view.ssim for view in self.views)

    @property
    def depth_error(self) -> float | None:
        """Mean over the views with known depth; None without any."""
        return _mean(view.depth_error for view in self.views)

    def as_dict(self) -> dict[str, object]:
        """What ``eval.json`` holds."""
        return {
            "schema_version": EVAL_SCHEMA_VERSION,
            "mean": {"psnr": self.psnr, "ssim": self.ssim, "depth_error": self.depth_error},
            "views": [vars(view).copy() for view in self.views],
            "protocol": self.protocol,
        }


def evaluate(
    scene: Scene,
    source: ViewSource,
    *,
    backend: str = "auto",
    options: RasterOptions | None = None,
    out: Path | None = None,
    pictures: bool = True,
    split: str = "",
    on_view: Callable[[int, int], None] | None = None,
) -> Evaluation:
    """Draw every view of ``source`` on the scene's device and compare; one view is in memory at a time.

    ``options`` are those that the scene was fitted with. ``out`` is a run's folder: it gets ``eval.json`` and, with
    ``pictures``, photograph, render and depth of every view under ``eval/``. ``split`` says in words how the views were
    chosen and goes in front of the protocol. ``on_view`` is called with the instants done and their total. InputError
    for a source without views.
    """
    total = len(source)
    if total == 0:
        raise InputError(
            "no photographs are held out, so there is nothing to measure on",
            expected="at least one view",
            got="none",
            hint="Hold out some photographs (--test-every 8), or list them under 'test' in splits.json.",
        )
    scores: list[ViewScore] = []
    stems: set[str] = set()
    for i in range(total):
        views = source[i]
        found, drawn = _score(scene, views, backend=backend, options=options)
        if out is not None and pictures:
            found = [_with_pictures(out, score, views.rgb[k], drawn, k, stems) for k, score in enumerate(found)]
        scores.extend(found)
        if on_view is not None:
            on_view(i + 1, total)
    result = Evaluation(views=tuple(scores), protocol=_protocol(scores, split))
    if out is not None:
        write_json(out / "eval.json", result.as_dict())
    return result


def _score(
    scene: Scene, views: Views, *, backend: str, options: RasterOptions | None
) -> tuple[list[ViewScore], Render]:
    """The scores of one instant's views, and what was drawn, as it is seen."""
    with torch.no_grad():
        drawn = render_scene(scene, views.cameras, options=options, backend=backend)
    drawn = drawn.replace(color=as_seen(drawn.color))
    trusted = views.weight > 0
    weight = None if bool(trusted.all()) else trusted.to(drawn.color)
    photo = views.rgb.to(drawn.color)
    psnrs = psnr(drawn.color, photo, weight).clamp(max=PSNR_CAP_DB).tolist()
    ssims = ssim(drawn.color, photo, weight).tolist()
    by_psnr, by_ssim = (able.tolist() for able in comparable(trusted.float()))
    depths = _depth_errors(drawn.depth, drawn.alpha, views)
    width, height = views.cameras.width, views.cameras.height
    scores = [
        ViewScore(
            name=name,
            psnr=psnrs[i] if by_psnr[i] else None,
            ssim=ssims[i] if by_ssim[i] else None,
            depth_error=depths[i],
            width=width,
            height=height,
        )
        for i, name in enumerate(views.names)
    ]
    return scores, drawn


def as_seen(color: Float[Tensor, "*b h w 3"]) -> Float[Tensor, "*b h w 3"]:
    """What an 8-bit picture of these colours shows: clamped to 0..1 and rounded."""
    return (color.clamp(0.0, 1.0) * 255.0).round() / 255.0


def _depth_errors(depth: Float[Tensor, "v h w"], alpha: Float[Tensor, "v h w"], views: Views) -> list[float | None]:
    if views.depth is None or views.depth_valid is None:
        return [None] * len(views)
    depth, alpha = depth.cpu(), alpha.cpu()
    known = views.depth_valid & (views.weight > 0) & (alpha > 0)
    found = [depth_error(depth[i], views.depth[i], known[i]) for i in range(len(views))]
    return [None if error is None else error.mean_absolute for error in found]


def _with_pictures(
    out: Path, score: ViewScore, photo: Float[Tensor, "h w 3"], drawn: Render, row: int, stems: set[str]
) -> ViewScore:
    """The score with its pictures, which are written under a name that is not in ``stems`` and then is."""
    stem = _unused_stem(score.name, stems)
    stems.add(stem)
    files = {
        "photo": f"eval/{stem}_photo.png",
        "render": f"eval/{stem}_render.png",
        "depth": f"eval/{stem}_depth.safetensors",
    }
    write_png(out / files["photo"], photo)
    write_png(out / files["render"], drawn.color[row])
    save_tensors(out / files["depth"], {"depth": drawn.depth[row].contiguous()}, metadata={"kind": "z depth"})
    return replace(score, **files)


def file_stems(names: Iterable[str]) -> list[str]:
    """A flat file name without suffix for each photograph, no two alike: ``front/0001.jpg`` -> ``front__0001``."""
    stems: dict[str, None] = {}
    for name in names:
        stems[_unused_stem(name, stems)] = None
    return list(stems)


def _unused_stem(name: str, used: Container[str]) -> str:
    parts = PurePosixPath(name.replace("\\", "/")).with_suffix("").parts
    stem = "__".join(part for part in parts if part not in ("/", "..", "."))
    while stem in used:
        stem += "_"
    return stem


def _protocol(scores: list[ViewScore], split: str) -> str:
    sizes = sorted({(score.width, score.height) for score in scores})
    shown = ", ".join(f"{width}x{height}" for width, height in sizes[:3]) + (", ..." if len(sizes) > 3 else "")
    count = "1 view" if len(scores) == 1 else f"{len(scores)} views"
    return " ".join(part for part in (split, f"{count} at {shown} pixels.", _left_out(scores), MEASURES) if part)


def _left_out(scores: list[ViewScore]) -> str:
    """What is not in the means, and why; empty where all is."""
    masked = sum(score.psnr is None for score in scores)
    bordered = sum(score.ssim is None for score in scores) - masked
    parts = [
        f"{masked} of them masked altogether: nothing to compare, left out of the means." if masked else "",
        f"{bordered} of them masked but for the border: left out of the mean SSIM." if bordered else "",
    ]
    return " ".join(part for part in parts if part)


def _mean(values: Iterable[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return sum(known) / len(known) if known else None
