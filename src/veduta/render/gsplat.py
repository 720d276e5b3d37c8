"""gsplat behind the common signature, for comparison: ``rasterize(..., backend=Gsplat())``. Never needed.

Written against the documentation of ``gsplat.rasterization`` (docs.gsplat.studio). It is not one of
:data:`~veduta.render.BACKENDS`, since it does not keep their promises: releases differ in where alpha is clamped (0.999
or 0.99), and rows that are not finite are not left out.
"""

from __future__ import annotations

import importlib
from importlib import metadata
from typing import Any, NoReturn

import torch
from jaxtyping import Float
from torch import Tensor

from veduta.core import (
    Cameras,
    Gaussians,
    MissingDependencyError,
    RasterOptions,
    Render,
    Screen,
    ScreenCovariance,
    ScreenMoments,
    UnsupportedError,
)
from veduta.render.reference import Reference
from veduta.render.shared import require_pinhole, used_sh_degree

OLDEST, BEYOND = (1, 4), (1, 6)
"""Releases whose signature is known: from the first, below the second."""
INSTALL = "pip install 'gsplat>=1.4,<1.6'"


class Gsplat:
    """gsplat's CUDA rasteriser; float32 tensors on the GPU. Gradients flow to the Gaussians, features, background."""

    name = "gsplat"

    def __init__(self) -> None:
        self._rasterization = _load()

    def rasterize(
        self,
        gaussians: Gaussians,
        cameras: Cameras,
        *,
        features: Float[Tensor, "n f"] | None = None,
        background: Float[Tensor, "3"] | None = None,
        options: RasterOptions | None = None,
    ) -> Render:
        """See :func:`veduta.render.rasterize`; features take a second pass. What is empty is left to the reference."""
        require_pinhole(cameras, backend=self.name)
        options = RasterOptions() if options is None else options
        if not len(gaussians) or not len(cameras):
            return Reference().rasterize(gaussians, cameras, features=features, background=background, options=options)
        drawn, alpha, told = self._drawn(gaussians, cameras, gaussians.sh, options, used_sh_degree(gaussians, options))
        color, alpha = drawn[..., :3], alpha[..., 0]
        mixed = None
        if features is not None:
            mixed = features.new_zeros(*alpha.shape, 0)
            if features.shape[1]:
                mixed = self._drawn(gaussians, cameras, features, options, None)[0]
        return Render(
            color=color if background is None else color + (1 - alpha)[..., None] * background,
            alpha=alpha,
            depth=torch.where(alpha > 0, drawn[..., 3], 0),
            features=mixed,
            screen=_screen(told) if options.keep_screen else None,
        )

    def _drawn(
        self, gaussians: Gaussians, cameras: Cameras, values: Tensor, options: RasterOptions, degree: int | None
    ) -> tuple[Tensor, Tensor, dict[str, Any]]:
        """Colour by spherical harmonics with depth (``degree`` given), or plain values; alpha "c h w 1"; the rest."""
        like = gaussians.means
        return self._rasterization(
            means=like,
            quats=gaussians.quats,
            scales=gaussians.scales,
            opacities=gaussians.opacities,
            colors=values,
            viewmats=torch.linalg.inv(cameras.world_from_camera.double()).to(like),
            Ks=cameras.intrinsics.to(like),
            width=cameras.width,
            height=cameras.height,
            near_plane=options.near_m,
            far_plane=options.far_m,
            eps2d=options.low_pass_px2,
            sh_degree=degree,
            packed=False,
            render_mode="RGB" if degree is None else "RGB+ED",
            absgrad=options.keep_screen and degree is not None,
            rasterize_mode="antialiased" if options.antialias else "classic",
        )

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
        """Not to be had."""
        _refuse("screen_moments")

    def screen_pull(
        self,
        gaussians: Gaussians,
        camera: Cameras,
        moments: Float[Tensor, "n s"],
        *,
        options: RasterOptions | None = None,
    ) -> Float[Tensor, "n 91"]:
        """Not to be had."""
        _refuse("screen_pull")

    def screen_push(
        self,
        gaussians: Gaussians,
        camera: Cameras,
        blocks: Float[Tensor, "n 91"],
        *,
        options: RasterOptions | None = None,
    ) -> Float[Tensor, "n 39"]:
        """Not to be had."""
        _refuse("screen_push")

    def screen_covariance(
        self,
        gaussians: Gaussians,
        camera: Cameras,
        forms: Float[Tensor, "n 39"],
        *,
        behind: Float[Tensor, "h w 3"] | None = None,
        options: RasterOptions | None = None,
    ) -> ScreenCovariance:
        """Not to be had."""
        _refuse("screen_covariance")

    def screen_uncertainty(
        self,
        gaussians: Gaussians,
        camera: Cameras,
        blocks: Float[Tensor, "n 91"],
        *,
        behind: Float[Tensor, "h w 3"] | None = None,
        options: RasterOptions | None = None,
    ) -> ScreenCovariance:
        """Not to be had."""
        _refuse("screen_uncertainty")


def _load() -> Any:
    """``gsplat.rasterization``, of a release whose signature is known."""
    try:
        module = importlib.import_module("gsplat")
    except ImportError as error:
        raise MissingDependencyError(
            f"gsplat cannot be loaded: {error}", where="backend 'gsplat'", hint=f"{INSTALL}, or use backend='cuda'"
        ) from error
    version = str(getattr(module, "__version__", "")) or metadata.version("gsplat")
    numbers = tuple(int(part) for part in version.split("+")[0].split(".")[:2] if part.isdigit())
    if not OLDEST <= numbers < BEYOND:
        raise UnsupportedError(
            "this release of gsplat is not known",
            where="backend 'gsplat'",
            expected=" to below ".join(".".join(map(str, bound)) for bound in (OLDEST, BEYOND)),
            got=version,
            hint=f"{INSTALL}, or use backend='cuda'",
        )
    return module.rasterization


def _screen(told: dict[str, Any]) -> Screen:
    """Absolute gradients are gsplat's attribute of the projected means, there once their gradient is."""
    means_px: Tensor = told["means2d"]
    absgrad = torch.zeros_like(means_px)
    if means_px.requires_grad:
        means_px.retain_grad()

        def take(_: Tensor) -> None:
            absgrad.add_(told["means2d"].absgrad)

        means_px.register_hook(take)
    radii: Tensor = told["radii"]
    radii = (radii.amax(dim=-1) if radii.dim() == means_px.dim() else radii).to(means_px.dtype)
    return Screen(means_px=means_px, absgrad=absgrad, radii_px=radii, visible=radii > 0)


def _refuse(what: str) -> NoReturn:
    raise UnsupportedError(
        f"gsplat has no {what}", where="backend 'gsplat'", hint="use backend='cuda', 'cpu' or 'reference'"
    )
