"""The definition of rendering, in plain vectorised torch: any dtype, any device, differentiable by autograd."""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from veduta.core import (
    Cameras,
    Gaussians,
    RasterOptions,
    Render,
    Screen,
    ScreenCovariance,
    ScreenMoments,
)
from veduta.render.reference import information
from veduta.render.reference.compositing import Collect, Grid, composite
from veduta.render.reference.cutoffs import MAX_ALPHA, MIN_ALPHA, MIN_TRANSMITTANCE, SMOOTH, STANDARD, Cutoffs
from veduta.render.reference.linear_map import drawn_rows, linear_map, pull, push, spread
from veduta.render.reference.projection import Pinholes, Splats, drawable, project
from veduta.render.shared import require_pinhole

__all__ = ["MAX_ALPHA", "MIN_ALPHA", "MIN_TRANSMITTANCE", "SMOOTH", "STANDARD", "Cutoffs", "Reference"]


class Reference:
    """Every other backend is tested against this one.

    Gaussians that cannot be drawn (a value that is not finite, behind the camera, off the screen, ...; see
    :func:`~veduta.render.reference.projection.drawable`) leave no trace in the images and have gradients of zero.
    Gradients also flow to ``background``, ``features`` and the cameras' poses and intrinsics.
    """

    name = "reference"

    def __init__(self, *, cutoffs: Cutoffs = STANDARD) -> None:
        self._cutoffs = cutoffs

    def rasterize(
        self,
        gaussians: Gaussians,
        cameras: Cameras,
        *,
        features: Float[Tensor, "n f"] | None = None,
        background: Float[Tensor, "3"] | None = None,
        options: RasterOptions | None = None,
    ) -> Render:
        """Draw the Gaussians from every camera; images have the dtype of ``gaussians.means``.

        A background of None is black. Raises :class:`UnsupportedError` where the cameras have a lens.
        """
        require_pinhole(cameras, backend=self.name)
        options = RasterOptions() if options is None else options
        count, dtype = len(gaussians), gaussians.means.dtype
        pinholes = Pinholes.of(cameras.to(gaussians.means.device), dtype)
        seen = drawable(gaussians, pinholes, options=options, cutoffs=self._cutoffs)
        if features is not None:
            seen &= features.detach().isfinite().all(dim=-1)
        camera, row = seen.nonzero(as_tuple=True)
        splats = project(gaussians, pinholes, camera, row, options=options, cutoffs=self._cutoffs)
        screen, collect = None, None
        if options.keep_screen:
            screen = screen_of(splats, seen)
            splats = splats.replace(means_px=screen.means_px[seen])
            collect = adder(screen.absgrad, camera * count + row)
        values = [splats.color, splats.depth[:, None], *([] if features is None else [features[row]])]
        blended, alpha, transmittance = composite(
            splats,
            camera,
            torch.cat(values, dim=1),
            Grid(images=len(cameras), width=cameras.width, height=cameras.height),
            cutoffs=self._cutoffs,
            collect=collect,
        )
        color = blended[..., :3]
        if background is not None:
            color = color + transmittance[..., None] * background
        return Render(
            color=color,
            alpha=alpha,
            depth=torch.where(alpha > 0, blended[..., 3] / torch.where(alpha > 0, alpha, 1), 0),
            features=None if features is None else blended[..., 4:],
            screen=screen,
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
        """See :func:`veduta.render.screen_moments`."""
        require_pinhole(camera, backend=self.name)
        options = RasterOptions() if options is None else options
        picture = information.draw(gaussians, camera, behind=behind, options=options, cutoffs=self._cutoffs)
        return information.moments(
            picture, photograph=photograph, weight=weight, clustered=clustered, count=len(gaussians)
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
        rows, lines = self._linear_map(gaussians, camera, options)
        return spread(rows, pull(lines, moments[rows]), len(gaussians))

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
        rows, lines = self._linear_map(gaussians, camera, options)
        return spread(rows, push(lines, blocks[rows]), len(gaussians))

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
        require_pinhole(camera, backend=self.name)
        options = RasterOptions() if options is None else options
        picture = information.draw(gaussians, camera, behind=behind, options=options, cutoffs=self._cutoffs)
        return information.covariance(picture, forms)

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
        forms = self.screen_push(gaussians, camera, blocks, options=options)
        return self.screen_covariance(gaussians, camera, forms, behind=behind, options=options)

    def _linear_map(
        self, gaussians: Gaussians, camera: Cameras, options: RasterOptions | None
    ) -> tuple[Int[Tensor, " m"], Float[Tensor, "m 9 13"]]:
        require_pinhole(camera, backend=self.name)
        options = RasterOptions() if options is None else options
        pinholes, rows = drawn_rows(gaussians, camera, options=options, cutoffs=self._cutoffs)
        return rows, linear_map(gaussians, pinholes, rows, options=options, cutoffs=self._cutoffs)


def screen_of(splats: Splats, seen: Bool[Tensor, "c n"]) -> Screen:
    """What became of each Gaussian; ``means_px`` and ``radii_px`` are 0 where nothing could be drawn."""
    place = seen.flatten().nonzero()[:, 0]
    flat = splats.means_px.new_zeros(seen.numel(), 2)
    means_px = flat.index_copy(0, place, splats.means_px).reshape(*seen.shape, 2)
    if means_px.requires_grad:
        means_px.retain_grad()
    radii_px = flat[:, 0].index_copy(0, place, splats.extent_px.amax(dim=-1)).reshape(seen.shape)
    return Screen(means_px=means_px, absgrad=flat.reshape(*seen.shape, 2), radii_px=radii_px, visible=seen)


def adder(total: Float[Tensor, "c n 2"], place: Int[Tensor, " m"]) -> Collect:
    """Adds amounts per splat to ``total``, where splat i has the (flat) place ``place[i]``."""

    def add(splats: Int[Tensor, " i"], amounts: Float[Tensor, "i 2"]) -> None:
        total.view(-1, 2).index_add_(0, place[splats], amounts)

    return add
