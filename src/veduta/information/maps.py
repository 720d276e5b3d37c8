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

from veduta import kernels
from veduta.core import Cameras, InformationMap, Noise, Posterior, RasterOptions, Scene, ScreenCovariance
from veduta.information.checks import check_belongs, check_scene
from veduta.information.directions import axes_in, background_variance, variances
from veduta.information.frames import covariance_to_world
from veduta.information.gather import behind
from veduta.render import screen_uncertainty
from veduta.render.backends import Backend

_FAR_ABOVE = 1e12
"""What exceeds its limit so many times is saturated whatever it is; the cube is still a float32."""
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
    the gain as it is. ``options`` are those of :func:`gather`. All is worked out on the scene's device. ``on_view`` is
    told (cameras done, cameras). Raises InputError for a posterior of another scene and for parameters that are not
    finite.
    """
    check_scene(scene)
    check_belongs(scene, posterior)
    posterior = posterior.to(scene.background.means.device)
    size = (len(cameras), cameras.height, cameras.width)
    gain = scene.background.means.new_empty(size)
    variance, color = torch.empty_like(gain), gain.new_empty(*size, 3)
    for i in range(len(cameras)):
        camera = cameras[i]
        drawn = _drawn(scene, posterior, camera, options, backend)
        color[i] = drawn.color
        gain[i], variance[i] = _of_pixels(drawn, posterior, camera)
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
    return _nats(e1 + e2 + e3, noise)


def saturated(covariance: Float[Tensor, "*b 6"], limit: Float[Tensor, "*b"]) -> Float[Tensor, "*b 6"]:
    """Sigma (1 + Sigma / s)^-1 for s = ``limit`` >= 0: Sigma where it is small, never more than s, in the same order.

    With X = Sigma / s and its invariants e1, e2, e3: X (1 + X)^-1 = (X + e1 X - X^2 + e3) / (1 + e1 + e2 + e3), by
    Cayley and Hamilton.
    """
    some = limit > 0
    x = _planes(covariance) * torch.where(some, 1 / torch.where(some, limit, 1), 0)
    x = x.clamp_(-_FAR_ABOVE, _FAR_ABOVE)
    rr, rg, rb, gg, gb, bb = x
    minors = [gg * bb - gb * gb, rr * bb - rb * rb, rr * gg - rg * rg]
    e1, e2, e3 = _invariants_of(x, minors)
    entries = [
        rr + minors[1] + minors[2] + e3,
        rg + rg * bb - rb * gb,
        rb + rb * gg - rg * gb,
        gg + minors[0] + minors[2] + e3,
        gb + gb * rr - rg * rb,
        bb + minors[0] + minors[1] + e3,
    ]
    return (torch.stack(entries) * (limit / (1 + e1 + e2 + e3))).movedim(0, -1)


def _drawn(
    scene: Scene, posterior: Posterior, camera: Cameras, options: RasterOptions | None, backend: str | Backend
) -> ScreenCovariance:
    """One camera's picture, and the covariance of its colours for uncertain Gaussians."""
    placed = scene.at(float(camera.time[0]))
    blocks = covariance_to_world(scene, placed, posterior.covariance).to(placed.means)
    return screen_uncertainty(placed, camera, blocks, behind=behind(scene, camera), options=options, backend=backend)


def _of_pixels(
    drawn: ScreenCovariance, posterior: Posterior, camera: Cameras
) -> tuple[Float[Tensor, "h w"], Float[Tensor, "h w"]]:
    """Gain and variance, background included: by kernels, or in torch as :func:`saturated` and so on define them."""
    noise, clear, matrix = posterior.noise, drawn.clear, camera.intrinsics[0]
    if kernels.available() and clear.dtype == torch.float32 and clear.device.type == "cpu":
        excess, variance = kernels.unknown(
            drawn.covariance,
            clear,
            variances(posterior.sky, noise=noise).float(),
            axes=axes_in(posterior.sky, camera).flatten().tolist(),
            pixels=(float(matrix[0, 0]), float(matrix[1, 1]), float(matrix[0, 2]), float(matrix[1, 2])),
            tau2=noise.tau**2,
            precision=noise.sigma**-2,
        )
        return _nats(excess, noise), variance
    covariance = saturated(drawn.covariance, noise.tau**2 * (1 - clear.square()).clamp(min=0))
    behind_it = background_variance(posterior.sky, camera, clear, noise=noise)
    for diagonal in (0, 3, 5):
        covariance[..., diagonal] += behind_it
    variance = (covariance[..., 0] + covariance[..., 3] + covariance[..., 5]) / 3
    return information_gain(covariance, noise=noise), variance


def _nats(excess: Float[Tensor, "*b"], noise: Noise) -> Float[Tensor, "*b"]:
    """1/2 log(1 + excess), at most that of a colour of which only tau is known."""
    return (0.5 * torch.log1p(excess)).clamp(max=1.5 * math.log1p(noise.tau**2 / noise.sigma**2))


def _planes(packed: Float[Tensor, "*b 6"]) -> Float[Tensor, "6 ..."]:
    """Each entry's values side by side in memory: several times as fast to work on."""
    return packed.movedim(-1, 0).contiguous()


def _invariants(packed: Float[Tensor, "*b 6"]) -> list[Float[Tensor, "*b"]]:
    """Trace, sum of principal 2x2 minors and determinant of positive semidefinite matrices: not below 0."""
    x = _planes(packed)
    rr, rg, rb, gg, gb, bb = x
    return _invariants_of(x, [gg * bb - gb * gb, rr * bb - rb * rb, rr * gg - rg * rg])


def _invariants_of(x: Float[Tensor, "6 ..."], minors: list[Float[Tensor, "*b"]]) -> list[Float[Tensor, "*b"]]:
    rr, rg, rb, gg, gb, bb = x
    determinant = rr * minors[0] - rg * (rg * bb - rb * gb) + rb * (rg * gb - rb * gg)
    return [value.clamp_(min=0) for value in (rr + gg + bb, minors[0] + minors[1] + minors[2], determinant)]
