"""The kernels as autograd functions: projection, colour, compositing; one camera each."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from veduta.kernels.loading import address, module

CHUNK = 4  # features composited per pass


class Project(torch.autograd.Function):
    """means, quats, scales, opacities -> means_px, conics, depths, extents (not differentiable), screen opacities."""

    @staticmethod
    def forward(
        ctx: Any,
        means: Tensor,
        quats: Tensor,
        scales: Tensor,
        opacities: Tensor,
        camera: list[float],
        limits: list[float],
    ):
        """One camera's 21 numbers; limits are near, far, low pass, antialias."""
        n = len(means)
        means_px, conics, extents = means.new_empty(n, 2), means.new_empty(n, 3), means.new_empty(n, 2)
        depths = means.new_empty(n)
        filtered = means.new_empty(n) if limits[3] else None
        inputs = [address(means, n, 3), address(quats, n, 4), address(scales, n, 3), address(opacities, n)]
        outputs = [address(t, *t.shape) for t in (means_px, conics, depths, extents)] + [address(filtered, n)]
        module().project(n, inputs, camera, limits, outputs)
        ctx.camera, ctx.limits = camera, limits
        ctx.save_for_backward(means, quats, scales, opacities, extents)
        ctx.mark_non_differentiable(extents)
        ctx.set_materialize_grads(False)
        return means_px, conics, depths, extents, opacities.view_as(opacities) if filtered is None else filtered

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *given: Tensor | None):  # pyright: ignore[reportIncompatibleMethodOverride]
        """Gradients that nobody asked for arrive as None."""
        means, quats, scales, opacities, extents = ctx.saved_tensors
        n = len(means)
        v_px, v_conics, v_depths, _, v_opacities = (None if g is None else g.contiguous() for g in given)
        filtered = bool(ctx.limits[3])
        grads = [torch.empty_like(means), torch.empty_like(quats), torch.empty_like(scales)]
        v_own = torch.empty_like(opacities) if filtered else v_opacities
        inputs = [address(means, n, 3), address(quats, n, 4), address(scales, n, 3), address(opacities, n)]
        arriving = [address(v_px, n, 2), address(v_conics, n, 3), address(v_depths, n)]
        arriving.append(address(v_opacities, n) if filtered else 0)
        leaving = [address(g, *g.shape) for g in grads] + [address(v_own, n) if filtered else 0]
        module().project_backward(n, inputs, ctx.camera, ctx.limits, address(extents, n, 2), arriving, leaving)
        return *grads, v_own, None, None


class Colors(torch.autograd.Function):
    """means, sh -> colours; Gaussians whose colour is not finite get their extents set to 0, that is, are not drawn."""

    @staticmethod
    def forward(ctx: Any, means: Tensor, sh: Tensor, extents: Tensor, camera: list[float], degree: int):
        """Degrees above ``degree`` are left out."""
        n, stored = len(means), sh.shape[1]
        colors = torch.empty_like(means)
        inputs = address(means, n, 3), address(sh, n, stored, 3), address(extents, n, 2)
        module().sh(n, degree, stored, *inputs, camera, address(colors, n, 3))
        ctx.camera, ctx.degree = camera, degree
        ctx.save_for_backward(means, sh, extents, colors)
        return colors

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, v_colors: Tensor):  # pyright: ignore[reportIncompatibleMethodOverride]
        """Through the coefficients, and through the direction to the centres."""
        means, sh, extents, colors = ctx.saved_tensors
        n, stored, v_colors = len(means), sh.shape[1], v_colors.contiguous()
        v_means, v_sh = torch.zeros_like(means), torch.empty_like(sh)
        inputs = address(means, n, 3), address(sh, n, stored, 3), address(extents, n, 2)
        arriving = address(colors, n, 3), address(v_colors, n, 3)
        leaving = address(v_sh, n, stored, 3), address(v_means, n, 3)
        module().sh_backward(n, ctx.degree, stored, *inputs, ctx.camera, *arriving, *leaving)
        return v_means, v_sh, None, None, None


class Composite(torch.autograd.Function):
    """What was projected -> colour, alpha, depth (alpha-normalised), transmittance and features.

    ``absgrad`` ("n 2", or None) is added to in the backward pass.
    """

    @staticmethod
    def forward(
        ctx: Any,
        means_px: Tensor,
        conics: Tensor,
        opacities: Tensor,
        depths: Tensor,
        colors: Tensor,
        features: Tensor | None,
        extents: Tensor,
        absgrad: Tensor | None,
        size: tuple[int, int],
    ):
        """``size`` is width, height."""
        n, (width, height) = len(means_px), size
        frame = module().Frame()
        arrays = [address(means_px, n, 2), address(conics, n, 3), address(opacities, n), address(extents, n, 2)]
        module().bin(frame, n, width, height, [*arrays, address(depths, n), address(colors, n, 3)])
        color = means_px.new_empty(height, width, 3)
        alpha, depth = means_px.new_empty(height, width), means_px.new_empty(height, width)
        transmittance = torch.empty_like(alpha)
        pictures = color, alpha, depth, transmittance
        module().composite(frame, 4, *(address(t, *t.shape) for t in pictures))
        mixed = None if features is None else _composite_features(frame, features, size)
        ctx.frame, ctx.size, ctx.absgrad = frame, size, absgrad
        ctx.save_for_backward(colors, depths, features, alpha, depth)
        ctx.set_materialize_grads(False)
        return *pictures, mixed

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *given: Tensor | None):  # pyright: ignore[reportIncompatibleMethodOverride]
        """Gradients that nobody asked for arrive as None."""
        colors, depths, features, alpha, depth = ctx.saved_tensors
        v_color, v_alpha, v_depth, v_clear, v_features = (None if g is None else g.contiguous() for g in given)
        if v_clear is not None:  # alpha = 1 - transmittance
            v_alpha = -v_clear if v_alpha is None else v_alpha - v_clear
        if v_depth is not None:  # depth = sum / alpha
            v_depth = torch.where(alpha > 0, v_depth / alpha, 0)
            v_alpha = -v_depth * depth if v_alpha is None else v_alpha - v_depth * depth
        n, (width, height) = len(colors), ctx.size
        v_px, v_conics = colors.new_zeros(n, 2), colors.new_zeros(n, 3)
        v_opacities, v_colors, v_depths = colors.new_zeros(n), torch.zeros_like(colors), torch.zeros_like(depths)
        absgrad = address(ctx.absgrad, n, 2)
        shared = [address(v_px, n, 2), address(v_conics, n, 3), address(v_opacities, n)]
        k, v_mixed = 0, None
        if features is not None:
            k, v_mixed = features.shape[1], torch.zeros_like(features)
            module().set_channels(ctx.frame, address(colors, n, 3), 3, 3, address(depths, n))
        arriving = [address(v_color, height, width, 3), address(v_alpha, height, width)]
        arriving += [address(v_depth, height, width), address(v_features, height, width, k)]
        leaving = [*shared, address(v_colors, n, 3), address(v_depths, n), absgrad, address(v_mixed, n, k)]
        module().composite_backward(ctx.frame, address(features, n, k), k, arriving, leaving)
        return v_px, v_conics, v_opacities, v_depths, v_colors, v_mixed, None, None, None


def _composite_features(frame: Any, features: Tensor, size: tuple[int, int]) -> Tensor:
    n, (width, height) = len(features), size
    parts = [features.new_empty(height, width, 0)]
    for begin in range(0, features.shape[1], CHUNK):
        part = features[:, begin : begin + CHUNK].contiguous()
        k = part.shape[1]
        module().set_channels(frame, address(part, n, k), k, k, 0)
        mixed = features.new_empty(height, width, k)
        module().composite(frame, k, address(mixed, height, width, k), 0, 0, 0)
        parts.append(mixed)
    return torch.cat(parts, dim=-1)
