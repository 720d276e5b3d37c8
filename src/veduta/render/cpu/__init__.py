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
    Screen,
    ScreenCovariance,
    ScreenMoments,
    UnsupportedError,
)
from veduta.render.cpu import information
from veduta.render.cpu.functions import Colors, Composite, Project, camera_numbers
from veduta.render.shared import require_pinhole

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
        numbers = camera_numbers(cameras)
        limits = [options.near_m, options.far_m, options.low_pass_px2, float(options.antialias)]
        inputs = gaussians.means, gaussians.quats, gaussians.scales, gaussians.opacities
        projected = [Project.apply(*inputs, camera, limits) for camera in numbers]
        means_px = _stack([p[0] for p in projected], gaussians.means.new_zeros(0, len(gaussians), 2))
        screen = None
        extents = [p[3] for p in projected]
        if features is not None:
            _hide_rows_not_finite(features, extents)
        degree = gaussians.sh_degree if options.sh_degree is None else min(options.sh_degree, gaussians.sh_degree)
        colors = [
            Colors.apply(gaussians.means, gaussians.sh, e, camera, degree)
            for camera, e in zip(numbers, extents, strict=True)
        ]
        if options.keep_screen:
            screen = _screen(means_px, extents)
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
        return _render(pictures, screen, background, features, cameras)

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
    named = {"means": gaussians.means, "quats": gaussians.quats, "scales": gaussians.scales}
    named |= {"opacities": gaussians.opacities, "sh": gaussians.sh}
    if features is not None:
        named["features"] = features
    for name, tensor in named.items():
        if tensor.dtype != torch.float32 or tensor.device.type != "cpu":
            raise UnsupportedError(
                "only float32 on the CPU is supported",
                where="backend 'cpu'",
                field=name,
                expected="torch.float32 on cpu",
                got=f"{tensor.dtype} on {tensor.device}",
                hint="convert with .to(torch.float32), or use backend='reference'",
            )


def _hide_rows_not_finite(features: Tensor, extents: list[Tensor]) -> None:
    finite = features.detach().isfinite().all(dim=-1)
    if not finite.all():
        for extent in extents:
            extent[~finite] = 0


def _screen(means_px: Tensor, extents: list[Tensor]) -> Screen:
    if means_px.requires_grad:
        means_px.retain_grad()
    reach = _stack(extents, torch.zeros_like(means_px))
    radii = torch.maximum(reach[..., 0], reach[..., 1])  # amax along a short axis is many times slower
    return Screen(means_px=means_px, absgrad=torch.zeros_like(means_px), radii_px=radii, visible=radii > 0)


def _render(
    pictures: list[tuple[Tensor, Tensor, Tensor, Tensor, Tensor | None]],
    screen: Screen | None,
    background: Tensor | None,
    features: Tensor | None,
    cameras: Cameras,
) -> Render:
    blank = torch.zeros(0, cameras.height, cameras.width, 3)
    color = _stack([p[0] for p in pictures], blank)
    alpha = _stack([p[1] for p in pictures], blank[..., 0])
    depth = _stack([p[2] for p in pictures], blank[..., 0])
    clear = _stack([p[3] for p in pictures], blank[..., 0])
    if background is not None:
        color = color + clear[..., None] * background
    mixed = None
    if features is not None:
        layers = [p[4] for p in pictures if p[4] is not None]
        mixed = _stack(layers, torch.zeros(0, cameras.height, cameras.width, features.shape[1]))
    return Render(color=color, alpha=alpha, depth=depth, features=mixed, screen=screen)


def _stack(parts: list[Tensor], empty: Tensor) -> Tensor:
    """Stacked along a new first axis, without a copy where there is one part only."""
    if not parts:
        return empty
    return parts[0].unsqueeze(0) if len(parts) == 1 else torch.stack(parts)
