"""The rasteriser in Triton: nothing to compile at installation, and testable without a GPU in Triton's interpreter.

What other kernels build on: :func:`veduta.render.cuda.functions.project` and ``color_of`` (one camera's view of each
Gaussian), :func:`veduta.render.cuda.binning.bin_tiles` (the tiles' lists, with records ready for
:mod:`veduta.render.cuda.tile_kernels`), :func:`veduta.render.cuda.composite.composite` (the picture, with what a walk
back through the lists needs), :func:`veduta.kernels.launch.launch`. Modules named ``*_kernels`` import Triton;
nothing outside this folder imports any module of it but this one, so that veduta works without Triton.
"""

from __future__ import annotations

from contextlib import nullcontext

import torch
from jaxtyping import Float
from torch import Tensor

from veduta.core import (
    Cameras,
    Gaussians,
    RasterOptions,
    Render,
    ScreenCovariance,
    ScreenMoments,
    UnsupportedError,
)
from veduta.kernels import gpu
from veduta.render.shared import camera_numbers, render_of, require_float32, require_pinhole, screen_of, stacked

__all__ = ["Cuda"]


class Cuda:
    """Triton kernels for float32 on NVIDIA GPUs (compute capability 7.0 or later).

    Gradients flow to all fields of the Gaussians, to ``features`` and to ``background``, not to the cameras. Pictures
    are bit-reproducible on one device; gradients are sums of atomic additions, whose order varies, unless
    ``deterministic``: then they are bit-reproducible too, at the price of 64 bytes (and 4 per feature) for every pair
    of a tile and a Gaussian, and of another pass over them.

    Drawing waits for the device once per camera, where the lists of the tiles are sized.
    """

    name = "cuda"

    def __init__(self, *, deterministic: bool = False) -> None:
        if not gpu.available():
            raise UnsupportedError(
                "the backend cannot be used",
                where="backend 'cuda'",
                got=gpu.reason(),
                hint="use backend='cpu' with tensors on the CPU; veduta doctor shows what works here",
            )
        self._deterministic = deterministic

    def rasterize(
        self,
        gaussians: Gaussians,
        cameras: Cameras,
        *,
        features: Float[Tensor, "n f"] | None = None,
        background: Float[Tensor, "3"] | None = None,
        options: RasterOptions | None = None,
    ) -> Render:
        """Draw the Gaussians from every camera; a background of None is black. The cameras may be on the CPU.

        Raises :class:`UnsupportedError` where the cameras have a lens or a tensor is not float32 on the GPU.
        """
        _check(gaussians, cameras, features)
        options = RasterOptions() if options is None else options
        gaussians = gaussians.map(torch.Tensor.contiguous)
        with _on(gaussians.means.device):
            numbers = camera_numbers(cameras).to(gaussians.means, non_blocking=True)
            return self._drawn(gaussians, cameras, numbers, features, background, options)

    def _drawn(
        self,
        gaussians: Gaussians,
        cameras: Cameras,
        numbers: Tensor,
        features: Tensor | None,
        background: Tensor | None,
        options: RasterOptions,
    ) -> Render:
        from veduta.render.cuda.composite import Composite
        from veduta.render.cuda.functions import color_of, hide_rows_not_finite, project

        features = None if features is None else features.contiguous()
        projected = [project(gaussians, camera, options) for camera in numbers]
        means_px = stacked([p.means_px for p in projected], gaussians.means.new_zeros(0, len(gaussians), 2))
        if features is not None:
            for p in projected:
                hide_rows_not_finite(features, p.extents)
        colors = [color_of(gaussians, p, camera, options) for camera, p in zip(numbers, projected, strict=True)]
        screen = screen_of(means_px, [p.extents for p in projected]) if options.keep_screen else None
        pictures = [
            Composite.apply(
                means_px[i],
                p.conics,
                p.opacities,
                p.depths,
                colors[i],
                features,
                p.extents,
                None if screen is None else screen.absgrad[i],
                (cameras.width, cameras.height),
                self._deterministic,
            )
            for i, p in enumerate(projected)
        ]
        return render_of(
            pictures, screen, background, features, gaussians.means.new_zeros(0, cameras.height, cameras.width, 3)
        )

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
        """See :func:`veduta.render.screen_moments`; sums of atomic additions, whose order varies."""
        from veduta.render.cuda.linear_map import view_of
        from veduta.render.cuda.moments import moments

        _check(gaussians, camera, None)
        with _on(gaussians.means.device):
            view = view_of(gaussians, camera, options)
            return moments(view, camera, photograph=photograph, weight=weight, behind=behind, clustered=clustered)

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
        from veduta.render.cuda.linear_map import view_of

        _check(gaussians, camera, None)
        with _on(gaussians.means.device):
            return view_of(gaussians, camera, options).pull(moments)

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
        from veduta.render.cuda.linear_map import view_of

        _check(gaussians, camera, None)
        with _on(gaussians.means.device):
            return view_of(gaussians, camera, options).push(blocks)

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
        from veduta.render.cuda.forms import covariance
        from veduta.render.cuda.linear_map import view_of

        _check(gaussians, camera, None)
        with _on(gaussians.means.device):
            return covariance(view_of(gaussians, camera, options), camera, forms, behind=behind)

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
        from veduta.render.cuda.forms import covariance
        from veduta.render.cuda.linear_map import view_of

        _check(gaussians, camera, None)
        with _on(gaussians.means.device):
            view = view_of(gaussians, camera, options)
            return covariance(view, camera, view.push(blocks), behind=behind)


def _on(device: torch.device) -> torch.cuda.device | nullcontext[None]:
    """Kernels start on the current device: make it this one."""
    return torch.cuda.device(device) if device.type == "cuda" else nullcontext()


def _check(gaussians: Gaussians, cameras: Cameras, features: Tensor | None) -> None:
    require_pinhole(cameras, backend="cuda")
    hint = "convert with .to(torch.float32) and .to('cuda'), or use backend='auto'"
    require_float32(gaussians, features, backend="cuda", device_type=gpu.device_type(), device="GPU", hint=hint)
