"""What others compute, written anew from descriptions of their arithmetic: the maps that ours are compared with.

Legend: p -> pixel, i -> Gaussian, T alpha -> compositing weight, v -> d colour / d alpha, J -> derivative of one
pixel's colour by one parameter, H -> Fisher information.

- ``FaithFusion``: as its released code computes it, mistakes included. Parameters are centre, unit quaternion, scales,
  opacity (activated values) and spherical harmonics of degree 1. h = sum over pixels of g^2 (sum over channels of J)^2,
  for a harmonic coefficient of g^2 J^2 of its own channel; g = 1 / n in training and 1 in a new view, n the position in
  the pixel's tile list of the last Gaussian that it draws. All 23 numbers of a Gaussian are added up, over training
  views too: H. A new view gives r = h / (H + 1e-6) per Gaussian, blended like a colour where depth times coverage is
  above 0.1; the map is log(1 + blend / (1000 n)) + 1e-9, and 100 where coverage is below 0.1.
- ``fisher_rf``: FisherRF's picture of uncertainty. H of the colours (constant and all harmonics), summed over training
  *and* new views, times the Gaussian's depth, blended like a colour.
- ``textbook_diagonal``: the Laplace approximation with a diagonal H of all 13 parameters of a Gaussian (logarithms and
  logit, as they are optimised), noise 1, a prior of precision 1e-6 in every unit: variance = sum of J^2 / (H + 1e-6).

Not reproduced: FaithFusion's misplaced pointer to the harmonics (it spoils the part of the centre's gradient that goes
through the viewing direction), the derivative along the quaternion itself, and cut-offs: alpha is capped at 0.999 here
and its derivative is 0 there.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from information_hits import list_positions
from jaxtyping import Float
from torch import Tensor

from veduta.core import Cameras, Evidence, Gaussians
from veduta.geometry.packed import pack, unpack
from veduta.geometry.sh import SH_C0, sh_basis
from veduta.render import rasterize, screen_covariance, screen_moments, screen_pull, screen_push

RIDGE = 1e-6
"""What FisherRF (by default) and FaithFusion add to H, in whatever unit."""
FAITHFUSION_DEGREE = 1
FAITHFUSION_DIVISOR = 1000.0
FAITHFUSION_HOLE, FAITHFUSION_HOLE_ALPHA, FAITHFUSION_NEAREST = 100.0, 0.1, 0.1
BLUR_PX = 1.0
"""Standard deviation of the blur before a picture's gradient is taken."""
BLUR_REACH_PX = 4
GRAY = 0.5
"""Colour of a Gaussian whose harmonics are all 0."""

Progress = Callable[[], None]


@dataclass(frozen=True, eq=False)
class FaithFusion:
    """Its map of new views; see the module."""

    gaussians: Gaussians
    information: Float[Tensor, " n"]
    """H."""

    @staticmethod
    def gather(gaussians: Gaussians, cameras: list[Cameras]) -> FaithFusion:
        """H over training views."""
        total = gaussians.means.new_zeros(len(gaussians), dtype=torch.float64)
        for camera in cameras:
            n = list_positions(gaussians, camera).clamp(min=1e-6)
            total += faithfusion_information(gaussians, camera, weight=n.reciprocal().square().to(gaussians.means))
        return FaithFusion(gaussians=gaussians, information=total)

    def map(self, camera: Cameras) -> Float[Tensor, "h w"]:
        """The map of one camera."""
        own = faithfusion_information(self.gaussians, camera, weight=None)
        ratio = (own / (self.information + RIDGE)).to(self.gaussians.means)
        drawn = rasterize(self.gaussians, camera, features=ratio[:, None])
        assert drawn.features is not None
        blend, alpha = drawn.features[0, ..., 0], drawn.alpha[0]
        blend = torch.where(drawn.depth[0] * alpha > FAITHFUSION_NEAREST, blend, 0)
        n = list_positions(self.gaussians, camera).clamp(min=1e-6).to(blend)
        gain = torch.log1p(blend / n / FAITHFUSION_DIVISOR) + 1e-9
        return torch.where(alpha < FAITHFUSION_HOLE_ALPHA, FAITHFUSION_HOLE, gain)


def faithfusion_information(
    gaussians: Gaussians, camera: Cameras, *, weight: Float[Tensor, "h w"] | None
) -> Float[Tensor, " n"]:
    """One view's h, float64: all parameters of a Gaussian in one sum; ``weight`` is g^2 (None: 1)."""
    shown, channels = summed_channels(gaussians, camera)
    moments = screen_moments(shown, camera, weight=weight)
    blocks = screen_pull(shown, camera, moments.fisher)
    squares = torch.diagonal(unpack(blocks), dim1=1, dim2=2).double()
    opacity, scales = gaussians.opacities.double(), gaussians.scales.double()
    by_mean = squares[:, 0:3].sum(dim=1)
    by_scale = (squares[:, 3:6] / scales.square()).sum(dim=1)
    by_quaternion = 4 * squares[:, 6:9].sum(dim=1)  # w = G dq with G G^T = 4 I
    by_opacity = squares[:, 9] / (opacity * (1 - opacity)).square().clamp(min=torch.finfo(torch.float32).tiny)
    basis_squared = (FAITHFUSION_DEGREE + 1) ** 2 * SH_C0**2  # sum over k of Y_k^2, in any direction (Unsoeld 1927)
    by_harmonics = moments.fisher[:, 33].double() * channels.double() * basis_squared
    return by_mean + by_scale + by_quaternion + by_opacity + by_harmonics


def summed_channels(gaussians: Gaussians, camera: Cameras) -> tuple[Gaussians, Float[Tensor, " n"]]:
    """The same Gaussians with red = red + green + blue as seen from one camera, green = blue = 0.

    Harmonics above FAITHFUSION_DEGREE are left out. A channel clamped at 0 has no part in the sum, and its derivative
    by the viewing direction none either. Also gives how many channels are not clamped. So the derivatives of red are
    the sum over channels of the original's derivatives, exactly.
    """
    sh = gaussians.sh[:, : (FAITHFUSION_DEGREE + 1) ** 2]
    degree = round(sh.shape[1] ** 0.5) - 1
    directions = torch.nn.functional.normalize(gaussians.means - camera.positions_world[0].to(gaussians.means), dim=1)
    colors = GRAY + torch.einsum("nk,nkc->nc", sh_basis(directions, degree), sh)
    free = (colors > 0).to(sh)
    channels = free.sum(dim=1)
    red = torch.einsum("nkc,nc->nk", sh, free)
    red[:, 0] += (channels - 1) * GRAY / SH_C0
    black = torch.zeros_like(red)
    black[:, 0] = -1 / SH_C0  # below 0, so clamped, and its derivative with it
    return gaussians.replace(sh=torch.stack([red, black, black], dim=-1)), channels


def fisher_rf_information(training: Evidence, new: Evidence) -> Float[Tensor, " n"]:
    """H of all colour coefficients, up to one factor: every degree's share is the same multiple of the constant's."""
    return sum(torch.diagonal(unpack(e.fisher), dim1=1, dim2=2)[:, 10:13].sum(dim=1) for e in (training, new))  # pyright: ignore[reportReturnType]


def fisher_rf(gaussians: Gaussians, camera: Cameras, information: Float[Tensor, " n"]) -> Float[Tensor, "h w"]:
    """H times depth, blended like a colour."""
    forward = camera.world_from_camera[0, :3, 2].to(gaussians.means)
    depth = (gaussians.means - camera.positions_world[0].to(gaussians.means)) @ forward
    drawn = rasterize(gaussians, camera, features=(information * depth)[:, None].to(gaussians.means))
    assert drawn.features is not None
    return drawn.features[0, ..., 0]


def textbook_covariance(evidence: Evidence) -> Float[Tensor, "n 91"]:
    """1 / (H + 1e-6), parameter by parameter."""
    diagonal = torch.diagonal(unpack(evidence.fisher), dim1=1, dim2=2)
    return pack(torch.diag_embed((diagonal + RIDGE).reciprocal()))


def plain_variance(gaussians: Gaussians, camera: Cameras, covariance: Float[Tensor, "n 91"]) -> Float[Tensor, "h w"]:
    """Trace of the sum over Gaussians of J P J^T, over 3: no background, nothing saturated."""
    forms = screen_push(gaussians, camera, covariance)
    return screen_covariance(gaussians, camera, forms).covariance[..., [0, 3, 5]].mean(dim=-1)


def gradient_magnitude(color: Float[Tensor, "h w 3"]) -> Float[Tensor, "h w"]:
    """Length of the gradient of the blurred picture, over its channels too."""
    steps = torch.arange(-BLUR_REACH_PX, BLUR_REACH_PX + 1).to(color)
    kernel = torch.exp(-0.5 * (steps / BLUR_PX) ** 2)
    kernel = kernel / kernel.sum()
    planes = color.permute(2, 0, 1)[:, None]
    planes = torch.nn.functional.pad(planes, (BLUR_REACH_PX,) * 4, mode="replicate")
    planes = torch.nn.functional.conv2d(planes, kernel[None, None, :, None])
    planes = torch.nn.functional.conv2d(planes, kernel[None, None, None, :])
    down, right = torch.gradient(planes[:, 0], dim=(1, 2))
    return (down.square() + right.square()).sum(dim=0).sqrt()
