"""The kernels as autograd functions: projection and colour, one camera each; the interface that other kernels build on.

:func:`project` gives what one camera sees of each Gaussian, :func:`~veduta.render.cuda.binning.bin_tiles` the tiles'
lists of them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor
from torch.autograd.function import once_differentiable

from veduta.core import Gaussians, RasterOptions
from veduta.core.record import TensorRecord
from veduta.kernels.launch import ROWS, launch, programs
from veduta.render.cuda.project_backward_kernels import project_backward_kernel
from veduta.render.cuda.project_kernels import project_kernel
from veduta.render.cuda.sh_kernels import color_backward_kernel, color_kernel, hide_kernel
from veduta.render.reference.cutoffs import MIN_ALPHA, MIN_QUAT_NORM
from veduta.render.reference.projection import FOV_MARGIN
from veduta.render.shared import used_sh_degree


@dataclass(frozen=True, eq=False)
class Projected(TensorRecord):
    """What one camera sees of n Gaussians; 0 where nothing is drawn. Differentiable, but for ``extents``."""

    means_px: Float[Tensor, "n 2"]
    conics: Float[Tensor, "n 3"]
    """Inverse covariance in the image, packed (xx, xy, yy), 1 / px^2."""
    depths: Float[Tensor, " n"]
    extents: Float[Tensor, "n 2"]
    """Half the sides of the rectangle within which alpha >= ``MIN_ALPHA``; 0 (both) where nothing is drawn."""
    opacities: Float[Tensor, " n"]
    """With the antialiasing factor, where that was asked for."""


def project(gaussians: Gaussians, camera: Float[Tensor, " 21"], options: RasterOptions) -> Projected:
    """One camera's view of contiguous float32 Gaussians; gradients flow to means, quats, scales and opacities."""
    means_px, conics, depths, extents, opacities = Project.apply(
        gaussians.means, gaussians.quats, gaussians.scales, gaussians.opacities, camera, options
    )
    return Projected(means_px=means_px, conics=conics, depths=depths, extents=extents, opacities=opacities)


def color_of(
    gaussians: Gaussians, projected: Projected, camera: Float[Tensor, " 21"], options: RasterOptions
) -> Float[Tensor, "n 3"]:
    """Colours seen from the camera; Gaussians whose colour is not finite get extents of 0, that is, are not drawn."""
    return Colors.apply(gaussians.means, gaussians.sh, projected.extents, camera, used_sh_degree(gaussians, options))


def hide_rows_not_finite(features: Float[Tensor, "n f"], extents: Float[Tensor, "n 2"]) -> None:
    """Extents of rows with a feature that is not finite become 0."""
    n, width = features.shape
    if width:
        launch(hide_kernel, programs(n), features.detach().contiguous(), extents, n, WIDTH=width, BLOCK=ROWS)


class Project(torch.autograd.Function):
    """means, quats, scales, opacities -> means_px, conics, depths, extents (not differentiable), screen opacities."""

    @staticmethod
    def forward(
        ctx: Any,
        means: Tensor,
        quats: Tensor,
        scales: Tensor,
        opacities: Tensor,
        camera: Tensor,
        options: RasterOptions,
    ):
        """The camera's 21 numbers."""
        n = len(means)
        means_px, conics, extents = means.new_empty(n, 2), means.new_empty(n, 3), means.new_empty(n, 2)
        depths = means.new_empty(n)
        filtered = means.new_empty(n) if options.antialias else opacities
        launch(
            project_kernel, programs(n),
            means, quats, scales, opacities, camera, means_px, conics, depths, extents, filtered, n,
            float(options.near_m), float(options.far_m), float(options.low_pass_px2),
            MIN_ALPHA=MIN_ALPHA, MIN_QUAT_NORM=MIN_QUAT_NORM, FOV_MARGIN=FOV_MARGIN, ANTIALIAS=options.antialias,
            BLOCK=ROWS,
        )  # fmt: skip
        ctx.options = options
        ctx.save_for_backward(means, quats, scales, opacities, extents, camera)
        ctx.mark_non_differentiable(extents)
        ctx.set_materialize_grads(False)
        return means_px, conics, depths, extents, filtered if options.antialias else opacities.view_as(opacities)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *given: Tensor | None):  # pyright: ignore[reportIncompatibleMethodOverride]
        """Gradients that nobody asked for arrive as None."""
        means, quats, scales, opacities, extents, camera = ctx.saved_tensors
        n, options = len(means), ctx.options
        shapes = means.new_zeros, ((n, 2), (n, 3), (n,), (n, 2), (n,))
        v_px, v_conics, v_depths, _, v_opacities = (
            shapes[0](shape) if g is None else g.contiguous() for g, shape in zip(given, shapes[1], strict=True)
        )
        v_means, v_quats, v_scales = torch.empty_like(means), torch.empty_like(quats), torch.empty_like(scales)
        v_own = torch.empty_like(opacities) if options.antialias else v_opacities
        launch(
            project_backward_kernel, programs(n),
            means, quats, scales, opacities, camera, extents, v_px, v_conics, v_depths, v_opacities,
            v_means, v_quats, v_scales, v_own, n, float(options.low_pass_px2),
            MIN_QUAT_NORM=MIN_QUAT_NORM, FOV_MARGIN=FOV_MARGIN, ANTIALIAS=options.antialias, BLOCK=ROWS,
        )  # fmt: skip
        return v_means, v_quats, v_scales, v_own, None, None


class Colors(torch.autograd.Function):
    """means, sh -> colours; Gaussians whose colour is not finite get their extents set to 0, that is, are not drawn."""

    @staticmethod
    def forward(ctx: Any, means: Tensor, sh: Tensor, extents: Tensor, camera: Tensor, degree: int):
        """Degrees above ``degree`` are left out."""
        n, stored = len(means), sh.shape[1]
        colors = torch.empty_like(means)
        launch(
            color_kernel,
            programs(n),
            means,
            sh,
            camera,
            extents,
            colors,
            n,
            STORED=stored,
            USED=(degree + 1) ** 2,
            BLOCK=ROWS,
        )
        ctx.degree = degree
        ctx.save_for_backward(means, sh, extents, colors, camera)
        return colors

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, v_colors: Tensor):  # pyright: ignore[reportIncompatibleMethodOverride]
        """Through the coefficients, and through the direction to the centres."""
        means, sh, extents, colors, camera = ctx.saved_tensors
        n, stored = len(means), sh.shape[1]
        v_means, v_sh = torch.empty_like(means), torch.empty_like(sh)
        launch(
            color_backward_kernel, programs(n),
            means, sh, camera, extents, colors, v_colors.contiguous(), v_sh, v_means, n,
            STORED=stored, USED=(ctx.degree + 1) ** 2, BLOCK=ROWS,
        )  # fmt: skip
        return v_means, v_sh, None, None, None
