"""From what is unknown about each Gaussian to what is unknown about each pixel.

Legend: Sigma = sum over Gaussians of J P J^T -> covariance of the pixel's colour, T -> transmittance left for the
background, gain = 1/2 log det(1 + Sigma / sigma^2) nats (the mutual information of the pixel's three values and the
parameters), variance = tr Sigma / 3. All of symmetric 3x3 matrices in closed form, on whole pictures at once.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Protocol, runtime_checkable

import torch
from jaxtyping import Float
from torch import Tensor

from veduta.core import Cameras, InformationMap, Noise, Posterior, RasterOptions, Scene
from veduta.information.checks import check_belongs, check_scene
from veduta.information.directions import background_variance
from veduta.information.frames import covariance_to_world
from veduta.information.gather import behind
from veduta.render import screen_covariance, screen_push
from veduta.render.backends import Backend

WARP_FLOOR = 0.01
"""Disagreement (mean absolute difference of colours) between neighbouring views that means nothing: interpolation."""


@runtime_checkable
class Scaled(Protocol):
    """A calibration: by how much standard deviations are too small."""

    @property
    def scale(self) -> float:
        """Factor of the standard deviation."""
        ...


Warp = Callable[[Cameras, Tensor], Tensor]
"""Takes one camera and the picture drawn there ("h w 3") and gives, per pixel ("h w"), how much the known pictures
disagree about it: a mean absolute difference of colours, 0 or more."""


@torch.no_grad()
def map(
    scene: Scene,
    posterior: Posterior,
    cameras: Cameras,
    *,
    options: RasterOptions | None = None,
    backend: str | Backend = "auto",
    calibration: Scaled | None = None,
    warp: Warp | None = None,
    on_view: Callable[[int, int], None] | None = None,
) -> InformationMap:
    """What a photograph from each camera would tell, pixel by pixel.

    ``gain`` is in nats for a pixel photographed once with noise sigma; ``variance`` in squared colour units, for what
    is unknown about the scene (the noise of a photograph is not in it). A pixel behind which nothing is known has the
    gain 1.5 log(1 + tau^2 / sigma^2), and none has more: colours vary by tau, so where the linearisation claims a
    larger variance it is saturated, Sigma (1 + Sigma / s)^-1 with s = tau^2 (1 - T^2), which keeps the order of
    pixels.

    ``calibration`` multiplies the variance by its squared scale, ``warp`` by sqrt(1 + disagreement / 0.01); both leave
    the gain as it is. ``options`` are those of :func:`gather`. ``on_view`` is told (cameras done, cameras). Raises
    InputError for a posterior of another scene and for parameters that are not finite.
    """
    check_scene(scene)
    check_belongs(scene, posterior)
    size = (len(cameras), cameras.height, cameras.width)
    gain = scene.background.means.new_empty(size)
    variance, color = torch.empty_like(gain), gain.new_empty(*size, 3)
    for i in range(len(cameras)):
        camera = cameras[i]
        color[i], covariance = _unknown(scene, posterior, camera, options, backend)
        gain[i] = information_gain(covariance, noise=posterior.noise)
        variance[i] = covariance[..., [0, 3, 5]].mean(dim=-1)
        if calibration is not None:
            variance[i] *= calibration.scale**2
        if warp is not None:
            variance[i] *= torch.sqrt(1 + warp(camera, color[i]).to(variance) / WARP_FLOOR)
        if on_view is not None:
            on_view(i + 1, len(cameras))
    return InformationMap(gain=gain, variance=variance, color=color, cameras=cameras)


def information_gain(covariance: Float[Tensor, "*b 6"], *, noise: Noise) -> Float[Tensor, "*b"]:
    """1/2 log det(1 + Sigma / sigma^2) nats, at most that of a colour of which only tau is known."""
    e1, e2, e3 = _invariants(covariance / noise.sigma**2)
    unknown = 1.5 * math.log1p(noise.tau**2 / noise.sigma**2)
    return (0.5 * torch.log1p(e1 + e2 + e3)).clamp(max=unknown)


def saturated(covariance: Float[Tensor, "*b 6"], limit: Float[Tensor, "*b"]) -> Float[Tensor, "*b 6"]:
    """Sigma (1 + Sigma / s)^-1 for s = ``limit`` >= 0: Sigma where it is small, never more than s, in the same order.

    With X = Sigma / s and its invariants e1, e2, e3: X (1 + X)^-1 = (X + e1 X - X^2 + e3) / (1 + e1 + e2 + e3), by
    Cayley and Hamilton.
    """
    scale = limit.clamp(min=torch.finfo(limit.dtype).tiny)[..., None]
    x = torch.where(limit[..., None] > 0, covariance / scale, 0)
    e1, e2, e3 = _invariants(x)
    rr, rg, rb, gg, gb, bb = x.unbind(-1)
    total = 1 + e1 + e2 + e3
    diagonal = [
        rr + rr * (gg + bb) - rg * rg - rb * rb + e3,
        gg + gg * (rr + bb) - rg * rg - gb * gb + e3,
        bb + bb * (rr + gg) - rb * rb - gb * gb + e3,
    ]
    beside = [rg + rg * bb - rb * gb, rb + rb * gg - rg * gb, gb + gb * rr - rg * rb]
    entries = [diagonal[0], beside[0], beside[1], diagonal[1], beside[2], diagonal[2]]
    return torch.stack(entries, dim=-1) * (scale / total[..., None])


def _unknown(
    scene: Scene, posterior: Posterior, camera: Cameras, options: RasterOptions | None, backend: str | Backend
) -> tuple[Float[Tensor, "h w 3"], Float[Tensor, "h w 6"]]:
    """One camera's picture, and the covariance of its colours, background included."""
    placed = scene.at(float(camera.time[0]))
    blocks = covariance_to_world(scene, placed, posterior.covariance).to(placed.means)
    forms = screen_push(placed, camera, blocks, options=options, backend=backend)
    drawn = screen_covariance(placed, camera, forms, behind=behind(scene, camera), options=options, backend=backend)
    noise, clear = posterior.noise, drawn.clear
    covariance = saturated(drawn.covariance, noise.tau**2 * (1 - clear.square()).clamp(min=0))
    covariance[..., [0, 3, 5]] += background_variance(posterior.sky, camera, clear, noise=noise)[..., None]
    return drawn.color, covariance


def _invariants(
    packed: Float[Tensor, "*b 6"],
) -> tuple[Float[Tensor, "*b"], Float[Tensor, "*b"], Float[Tensor, "*b"]]:
    """Trace, sum of principal 2x2 minors and determinant of positive semidefinite matrices: not below 0."""
    rr, rg, rb, gg, gb, bb = packed.unbind(-1)
    e2 = rr * gg - rg * rg + rr * bb - rb * rb + gg * bb - gb * gb
    e3 = rr * (gg * bb - gb * gb) - rg * (rg * bb - rb * gb) + rb * (rg * gb - rb * gg)
    return (rr + gg + bb).clamp(min=0), e2.clamp(min=0), e3.clamp(min=0)
