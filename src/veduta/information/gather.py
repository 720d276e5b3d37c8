"""What photographs told about each Gaussian of a scene: Fisher information, score, residuals, directions.

Legend: J -> derivative of one pixel's colour by the 13 parameters of one Gaussian; r -> residual, drawn minus
photographed; w -> trust of the pixel: it is an observation with noise variance sigma^2 / w.
H = sum w J^T J -> ``fisher``; K = sum w^2 (J^T r)(J^T r)^T -> ``score``, or, clustered, the sum over photographs of
(sum w J^T r)(sum w J^T r)^T.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from veduta.core import PACKED_BLOCK, Cameras, Evidence, InputError, RasterOptions, Scene, ViewSource
from veduta.geometry import sky_color
from veduta.information.checks import check_scene, check_view
from veduta.information.directions import add_seen, no_directions
from veduta.information.frames import information_to_owners
from veduta.information.noise import add_residuals, no_residuals, residual_sums
from veduta.render import screen_moments, screen_pull
from veduta.render.backends import Backend


@torch.no_grad()
def gather(
    scene: Scene,
    views: ViewSource | Cameras | Sequence[Cameras],
    *,
    options: RasterOptions | None = None,
    backend: str | Backend = "auto",
    known_background: bool = False,
    clustered: bool = False,
    shard: tuple[int, int] = (0, 1),
    on_view: Callable[[int, int], None] | None = None,
) -> Evidence:
    """What photographs tell about each Gaussian, summed over all of them.

    Cameras without photographs give the Fisher information only (``score`` and ``residuals`` None). Each camera sees
    the scene at its own time; evidence about a moving object adds up in the object's own frame, and where it is absent
    it gets none. ``options`` are those that the scene was fitted, or is to be drawn, with. With ``known_background``
    nothing about the background counts as unknown (objects cut out before one colour). ``clustered`` sums the score
    over each photograph before squaring it.

    ``shard`` (rank, count) takes every count-th item of ``views`` from rank on; :func:`add` or :func:`reduce` of the
    shards gives the evidence of all. ``on_view`` is told (items done, items to do). A scene without Gaussians, or no
    views, gives evidence of nothing. Sums over views have the dtype of the scene, noise and directions are float64; all
    are on the scene's device, which photographs and cameras need not be.
    Raises InputError for parameters or photographs that are not finite and photographs of another size than their
    camera's.
    """
    check_scene(scene)
    rank, count = shard
    if not 0 <= rank < count:
        raise InputError("no such shard", field="shard", expected="(rank, count) with 0 <= rank < count", got=shard)
    without = isinstance(views, Cameras) or _are_cameras(views)
    evidence = no_evidence(scene, photographs=not without, known_background=known_background, clustered=clustered)
    items = range(rank, len(views), count)
    for done, index in enumerate(items, start=1):
        item = views[index]
        if not isinstance(item, Cameras):
            check_view(item)
        cameras = item if isinstance(item, Cameras) else item.cameras
        for row in range(len(cameras)):
            photograph = None if isinstance(item, Cameras) else (item.rgb[row], item.weight[row])
            evidence = _told(evidence, scene, cameras[row], photograph, options, backend)
        if on_view is not None:
            on_view(done, len(items))
    return evidence


def no_evidence(
    scene: Scene, *, photographs: bool = True, known_background: bool = False, clustered: bool = False
) -> Evidence:
    """Evidence about a scene before the first view."""
    local = scene.local()
    return Evidence(
        fisher=local.means.new_zeros(len(local), PACKED_BLOCK),
        score=local.means.new_zeros(len(local), PACKED_BLOCK) if photographs else None,
        residuals=no_residuals().to(local.means.device) if photographs else None,
        sky=no_directions(known=known_background).to(local.means.device),
        views=0,
        clustered=clustered,
    )


def add(a: Evidence, b: Evidence) -> Evidence:
    """The evidence of all photographs of both, which must be about one scene and of one kind."""
    kinds = [(len(e.fisher), e.score is not None, e.clustered) for e in (a, b)]
    if kinds[0] != kinds[1] or not torch.equal(a.sky.up, b.sky.up) or a.sky.seen.shape != b.sky.seen.shape:
        raise InputError(
            "evidence of different kinds cannot be added",
            expected="two of as many Gaussians, both with or both without photographs, both clustered or neither",
            got=" and ".join(f"{n} Gaussians, score {s}, clustered {c}" for n, s, c in kinds),
        )
    return a.replace(
        fisher=a.fisher + b.fisher,
        score=None if a.score is None or b.score is None else a.score + b.score,
        residuals=None if a.residuals is None or b.residuals is None else add_residuals(a.residuals, b.residuals),
        sky=a.sky.replace(seen=a.sky.seen + b.sky.seen),
        views=a.views + b.views,
    )


def reduce(evidence: Evidence) -> Evidence:
    """The sum over all processes of torch.distributed's default group, the same in each.

    Every process must call it, with evidence of one scene gathered with the same settings; one whose shard was empty
    too. Where no group was set up there is one process, and its evidence is returned as it is.
    """
    if not (torch.distributed.is_available() and torch.distributed.is_initialized()):
        return evidence
    views = evidence.fisher.new_tensor(evidence.views, dtype=torch.int64)
    return evidence.replace(
        fisher=_summed(evidence.fisher),
        score=None if evidence.score is None else _summed(evidence.score),
        residuals=None if evidence.residuals is None else evidence.residuals.map(_summed),
        sky=evidence.sky.replace(seen=_summed(evidence.sky.seen)),
        views=int(_summed(views)),
    )


def behind(scene: Scene, camera: Cameras) -> Float[Tensor, "h w 3"] | None:
    """What one camera would see without Gaussians, in the dtype of the scene; None is black."""
    if scene.sky is None:
        return None
    return sky_color(scene.sky, camera)[0].to(scene.background.means)


def _told(
    evidence: Evidence,
    scene: Scene,
    camera: Cameras,
    photograph: tuple[Float[Tensor, "h w 3"], Float[Tensor, "h w"]] | None,
    options: RasterOptions | None,
    backend: str | Backend,
) -> Evidence:
    """With what one camera tells added; the sums over Gaussians are added in place."""
    placed = scene.at(float(camera.time[0]))
    rgb, weight = (None, None) if photograph is None else (picture.to(placed.means) for picture in photograph)
    moments = screen_moments(
        placed,
        camera,
        photograph=rgb,
        weight=weight,
        behind=behind(scene, camera),
        clustered=evidence.clustered,
        options=options,
        backend=backend,
    )
    pairs = ((evidence.fisher, moments.fisher), (evidence.score, moments.score))
    for total, sums in pairs:
        if total is not None and sums is not None:
            blocks = screen_pull(placed, camera, sums, options=options, backend=backend)
            total.add_(information_to_owners(scene, placed, blocks))
    amount = moments.clear.square() if weight is None else weight * moments.clear.square()
    residuals = evidence.residuals
    if residuals is not None and rgb is not None:
        residuals = add_residuals(residuals, residual_sums(moments.color - rgb, rgb, weight))
    return evidence.replace(residuals=residuals, sky=add_seen(evidence.sky, camera, amount), views=evidence.views + 1)


def _are_cameras(views: ViewSource | Sequence[Cameras]) -> bool:
    """Whether a list holds cameras rather than photographs; other sources yield photographs and are not touched."""
    return isinstance(views, list | tuple) and len(views) > 0 and isinstance(views[0], Cameras)


def _summed(values: Tensor) -> Tensor:
    total = values.clone().contiguous()
    torch.distributed.all_reduce(total)
    return total
