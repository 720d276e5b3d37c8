"""How wrong the training pictures are, handed down to the Gaussians: error prediction, beside what is unknown.

What a fit could not explain where it was told (things that moved, gloss, detail finer than a pixel) it cannot explain
elsewhere either. That is another question than how much is known: a well-observed flickering screen has little gain
and large errors. Residuals drawn from Gaussians: PRIMU, arXiv 2508.02443; GS-U, arXiv 2603.22786.

Legend: e_p -> mean over channels of |drawn - photographed|; w_p -> trust; W_pg = T alpha -> share of Gaussian g in
pixel p; the background is the last column of W, so that the rows of W sum to 1; theta -> ``values`` and ``background``.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from veduta.core import Cameras, InputError, RasterOptions, Scene, TensorRecord, ViewSource
from veduta.information.checks import check_scene, check_view
from veduta.render import render_scene
from veduta.render.backends import Backend


@dataclass(frozen=True, eq=False)
class ErrorModel(TensorRecord):
    """How wrong each Gaussian's colour was in the training pictures."""

    values: Float[Tensor, " n"]
    """Mean absolute error over channels in colour units, 0 or more; a row per Gaussian of ``scene.at(t)``."""
    background: Float[Tensor, ""]
    """Of what lies behind all Gaussians."""
    mean: Float[Tensor, ""]
    """Of all training pixels: what Gaussians that no photograph showed fall back to."""


def fit_errors(
    scene: Scene,
    views: ViewSource,
    *,
    iterations: int = 8,
    ridge: float = 1.0,
    options: RasterOptions | None = None,
    backend: str | Backend = "auto",
    on_step: Callable[[int, int], None] | None = None,
) -> ErrorModel:
    """The errors of Gaussians that, composited like colours, come closest to the absolute residuals of ``views``.

    theta >= 0 minimises sum_p w_p (W theta - e)_p^2 + ridge |theta - mean|^2 by ``iterations`` steps of accelerated
    projected descent, each divided by D = W^T w, which bounds W^T w W from above since W >= 0 and its rows sum to 1.
    The first step from the mean is the mean of e by visibility; the others take it apart where Gaussians overlap. Each
    step draws every view once forward and once backward. ``ridge`` counts in pixels: how many pixels filled by a
    Gaussian weigh as much as the mean of all.

    The residual is absolute, not squared: few outliers otherwise decide. On a capture of 25 photographs with 80,000
    Gaussians (AUSE of |e|, per view): absolute .254 on interpolating and .335 on extrapolating held-out views, squared
    .271 and .337; the first step alone .267 and .337; ridge 10 instead of 1 .265 and .339. (Where
    drawn colours count as seen, clamped to 0..1, .251 and .319.)

    The errors are those of pictures that were trained on: held-out ones are larger, little when interpolating (by 1.2
    there), several times when extrapolating, where :func:`~veduta.information.map` tells more. ``on_step`` is told
    (steps done, steps). Raises InputError where there is no trusted pixel, and as
    :func:`~veduta.information.gather` does.
    """
    _check_settings(iterations, ridge)
    check_scene(scene)
    start = scene.local().means.new_zeros(_rows(scene) + 1)
    seen, told = _unexplained(scene, views, start, options, backend)
    if not bool(seen.sum() > 0):
        raise InputError(
            "no photographs to learn errors from",
            expected="at least one trusted pixel",
            got=f"{len(views)} views",
            hint="Give the photographs that the scene was fitted to; masks that hide everything leave nothing.",
        )
    mean = told.sum() / seen.sum()
    theta = ahead = start + mean
    told = told - seen * mean
    divisor = (seen + ridge).clamp(min=torch.finfo(seen.dtype).tiny)
    momentum = 1.0
    for step in range(1, iterations + 1):
        if step > 1:
            _, told = _unexplained(scene, views, ahead, options, backend)
        before, theta = theta, (ahead + (told - ridge * (ahead - mean)) / divisor).clamp(min=0)
        following = (1 + math.sqrt(1 + 4 * momentum**2)) / 2  # Beck and Teboulle 2009 (FISTA)
        ahead = (theta + (momentum - 1) / following * (theta - before)).clamp(min=0)
        momentum = following
        if on_step is not None:
            on_step(step, iterations)
    return ErrorModel(values=theta[:-1].clone(), background=theta[-1].clone(), mean=mean)


@torch.no_grad()
def error_map(
    scene: Scene,
    model: ErrorModel,
    cameras: Cameras,
    *,
    options: RasterOptions | None = None,
    backend: str | Backend = "auto",
) -> Float[Tensor, "c h w"]:
    """The expected |error| of each pixel, mean over channels, in colour units: W theta, 0 or more.

    To combine it with what is unknown, calibrate the two together (``calibrate(..., errors=model)``) and take
    :meth:`Calibration.std <veduta.information.Calibration.std>` of the map's variance and this: the calibrated variance
    of what is unknown, plus the square of this times a factor. Of two captures with 25 training views each, AUSE of
    |e| per view on held-out views, variance alone / predicted error alone / both: interpolating .294 / .251 / .247 and
    .282 / .264 / .254, extrapolating .280 / .319 / .266. So the sum orders errors better than either; under
    extrapolation what is unknown carries it. Gains in information stay those of the map. Raises InputError for a model
    of another scene.
    """
    if len(model.values) != _rows(scene):
        raise InputError(
            "does not belong to the scene",
            where="error model",
            field="values",
            expected=f"{_rows(scene)} rows, one per Gaussian",
            got=len(model.values),
            hint="The scene was edited since: fit the errors again.",
        )
    values = torch.cat([model.values, model.background[None]]).to(scene.background.means)
    drawn = render_scene(scene, cameras, features=values[:-1, None], options=options, backend=backend)
    assert drawn.features is not None
    return drawn.features[..., 0] + (1 - drawn.alpha) * values[-1]


def _unexplained(
    scene: Scene, views: ViewSource, theta: Float[Tensor, " m"], options: RasterOptions | None, backend: str | Backend
) -> tuple[Float[Tensor, " m"], Float[Tensor, " m"]]:
    """W^T w and W^T w (e - W theta), summed over the views; W^T is what the features' gradient is."""
    sums = theta.new_zeros(len(theta), 2)
    for index in range(len(views)):
        view = views[index]
        check_view(view)
        features = theta[:-1, None].repeat(1, 2).requires_grad_()
        drawn = render_scene(scene, view.cameras, features=features, options=options, backend=backend)
        assert drawn.features is not None
        clear, trust = (1 - drawn.alpha).detach(), view.weight.to(theta)
        error = (drawn.color.detach() - view.rgb.to(theta)).abs().mean(dim=-1)
        left = error - drawn.features[..., 0].detach() - clear * theta[-1]
        pixels = torch.stack([trust, trust * left], dim=-1)
        (pulled,) = torch.autograd.grad(drawn.features, features, pixels)
        sums[:-1] += pulled
        sums[-1] += (clear[..., None] * pixels).sum(dim=(0, 1, 2))
    return sums[:, 0], sums[:, 1]


def _rows(scene: Scene) -> int:
    return len(scene.background) + sum(len(actor.gaussians) for actor in scene.actors.values())


def _check_settings(iterations: int, ridge: float) -> None:
    if iterations < 1:
        raise InputError("no steps", field="iterations", expected="at least 1", got=iterations)
    if not 0 <= ridge < math.inf:
        raise InputError("not a number of pixels", field="ridge", expected="0 or more", got=ridge)
