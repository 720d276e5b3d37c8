"""The compiled CPU rasteriser behind the common signature."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from veduta import kernels
from veduta.core import (
    Cameras,
    Gaussians,
    RasterOptions,
    Render,
    ScreenCovariance,
    ScreenMoments,
    UnsupportedError,
)
from veduta.render.cpu import information
from veduta.render.cpu.functions import Colors, Composite, Project
from veduta.render.shared import (
    camera_numbers,
    render_of,
    require_float32,
    require_pinhole,
    screen_of,
    stacked,
    used_sh_degree,
)

__all__ = ["Cpu"]


class Cpu:
    """C++ kernels for float32 on the CPU; pictures and gradients are bit-identical for any number of threads.

    Gradients flow to all fields of the Gaussians, to ``features`` and to ``background``, not to the cameras.
    """

    name = "cpu"

    def __init__(self) -> None:
        if not kernels.available():
            raise UnsupportedError(
                "the backend cannot be used",
                where="backend 'cpu'",
                got=kernels.reason(),
                hint="install a C++17 compiler (g++ or clang) and reinstall veduta, or use backend='reference'",
            )

    def rasterize(
        self,
        gaussians: Gaussians,
        cameras: Cameras,
        *,
        features: Float[Tensor, "n f"] | None = None,
        background: Float[Tensor, "3"] | None = None,
        options: RasterOptions | None = None,
    ) -> Render:
        """Draw the Gaussians from every camera; a background of None is black.

        Raises :class:`UnsupportedError` where the cameras have a lens or a tensor is not float32 on the CPU.
        """
        options = RasterOptions() if options is None else options
        _check(gaussians, cameras, features)
        gaussians = gaussians.map(torch.Tensor.contiguous)
        numbers: list[list[float]] = camera_numbers(cameras).tolist()
        limits = [options.near_m, options.far_m, options.low_pass_px2, float(options.antialias)]
        inputs = gaussians.means, gaussians.quats, gaussians.scales, gaussians.opacities
        projected = [Project.apply(*inputs, camera, limits) for camera in numbers]
        means_px = stacked([p[0] for p in projected], gaussians.means.new_zeros(0, len(gaussians), 2))
        screen = None
        extents = [p[3] for p in projected]
        if features is not None:
            _hide_rows_not_finite(features, extents)
        degree = used_sh_degree(gaussians, options)
        colors = [
            Colors.apply(gaussians.means, gaussians.sh, e, camera, degree)
            for camera, e in zip(numbers, extents, strict=True)
        ]
        if options.keep_screen:
            screen = screen_of(means_px, extents)
        size = cameras.width, cameras.height
        pictures = [
            Composite.apply(
                means_px[i],
                p[1],
                p[4],
                p[2],
                colors[i],
                None if features is None else features.contiguous(),
                p[3],
                None if screen is None else screen.absgrad[i],
                size,
            )
            for i, p in enumerate(projected)
        ]
        return render_of(pictures, screen, background, features, torch.zeros(0, cameras.height, cameras.width, 3))

    @torch.no_grad()
    def screen_moments(
        self,
        gaussians: Gaussians,
        camera: Cameras,
        *,
        photograph: Float[Tensor, "h w 3"] | None = None,
        weight: Float[Tensor, "h w"] | None = None,
        behind: Float[Tensor, "h w 3"] | None = None,
        clustered: bool = False,
        options: RasterOptions | None = None,
    ) -> ScreenMoments:
        """See :func:`veduta.render.screen_moments`; what has no weight may be anything, NaN included."""
        _check(gaussians, camera, None)
        return information.screen_moments(
            gaussians,
            camera,
            photograph=photograph,
            weight=weight,
            behind=behind,
            clustered=clustered,
            options=options,
        )

    @torch.no_grad()
    def screen_pull(
        self,
        gaussians: Gaussians,
        camera: Cameras,
        moments: Float[Tensor, "n s"],
        *,
        options: RasterOptions | None = None,
    ) -> Float[Tensor, "n 91"]:
        """See :func:`veduta.render.screen_pull`."""
        _check(gaussians, camera, None)
        return information.screen_pull(gaussians, camera, moments, options=options)

    @torch.no_grad()
    def screen_push(
        self,
        gaussians: Gaussians,
        camera: Cameras,
        blocks: Float[Tensor, "n 91"],
        *,
        options: RasterOptions | None = None,
    ) -> Float[Tensor, "n 39"]:
        """See :func:`veduta.render.screen_push`."""
        _check(gaussians, camera, None)
        return information.screen_push(gaussians, camera, blocks, options=options)

    @torch.no_grad()
    def screen_covariance(
        self,
        gaussians: Gaussians,
        camera: Cameras,
        forms: Float[Tensor, "n 39"],
        *,
        behind: Float[Tensor, "h w 3"] | None = None,
        options: RasterOptions | None = None,
    ) -> ScreenCovariance:
        """See :func:`veduta.render.screen_covariance`."""
        _check(gaussians, camera, None)
        return information.screen_covariance(gaussians, camera, forms, behind=behind, options=options)

    @torch.no_grad()
    def screen_uncertainty(
        self,
        gaussians: Gaussians,
        camera: Cameras,
        blocks: Float[Tensor, "n 91"],
        *,
        behind: Float[Tensor, "h w 3"] | None = None,
        options: RasterOptions | None = None,
    ) -> ScreenCovariance:
        """See :func:`veduta.render.screen_uncertainty`."""
        _check(gaussians, camera, None)
        return information.screen_uncertainty(gaussians, camera, blocks, behind=behind, options=options)


def _check(gaussians: Gaussians, cameras: Cameras, features: Tensor | None) -> None:
    require_pinhole(cameras, backend="cpu")
    hint = "convert with .to(torch.float32), or use backend='reference'"
    require_float32(gaussians, features, backend="cpu", device_type="cpu", device="CPU", hint=hint)


def _hide_rows_not_finite(features: Tensor, extents: list[Tensor]) -> None:
    finite = features.detach().isfinite().all(dim=-1)
    if not finite.all():
        for extent in extents:
            extent[~finite] = 0
