"""The kernels of information: moments of one picture, the linear map either way, covariances of one picture.

The definition is :mod:`veduta.render.reference.information`; nothing here knows autograd.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from veduta.core import PACKED_BLOCK, Cameras, Gaussians, RasterOptions, ScreenCovariance, ScreenMoments
from veduta.kernels.loading import address, module
from veduta.render.shared import CLUSTERED, FISHER, FORMS, SCORE, camera_numbers, used_sh_degree

LARGE_BYTES = 2**23
"""From here on the system's page faults cost more than what is written into the pages."""


@dataclass(frozen=True, eq=False)
class View:
    """One camera's Gaussians, projected and coloured; opacities as they are stored."""

    gaussians: Gaussians
    camera: list[float]
    limits: list[float]
    degree: int
    means_px: Float[Tensor, "n 2"]
    conics: Float[Tensor, "n 3"]
    depths: Float[Tensor, " n"]
    extents: Float[Tensor, "n 2"]
    """0 where nothing is drawn."""
    opacities: Float[Tensor, " n"]
    """With the antialiasing factor, where that was asked for."""
    colors: Float[Tensor, "n 3"]

    def shape_addresses(self) -> list[int]:
        """Means, quats, scales and opacities."""
        g, n = self.gaussians, len(self.gaussians)
        return [address(g.means, n, 3), address(g.quats, n, 4), address(g.scales, n, 3), address(g.opacities, n)]

    def linear_arguments(self) -> tuple[int, int, int, list[int], list[float], list[float]]:
        """What the kernels of the linear map take first."""
        n, stored = len(self.gaussians), self.gaussians.sh.shape[1]
        given = [address(self.gaussians.sh, n, stored, 3), address(self.extents, n, 2), address(self.colors, n, 3)]
        return n, self.degree, stored, [*self.shape_addresses(), *given], self.camera, self.limits


def view_of(gaussians: Gaussians, camera: Cameras, options: RasterOptions | None) -> View:
    """Projection and colour, exactly as ``rasterize`` has them."""
    options = RasterOptions() if options is None else options
    gaussians = gaussians.map(lambda t: t.detach().contiguous())
    n, stored = len(gaussians), gaussians.sh.shape[1]
    numbers: list[float] = camera_numbers(camera)[0].tolist()
    limits = [options.near_m, options.far_m, options.low_pass_px2, float(options.antialias)]
    means = gaussians.means
    means_px, conics, extents = means.new_empty(n, 2), means.new_empty(n, 3), means.new_empty(n, 2)
    depths, colors = means.new_empty(n), means.new_empty(n, 3)
    view = View(
        gaussians=gaussians,
        camera=numbers,
        limits=limits,
        degree=used_sh_degree(gaussians, options),
        means_px=means_px,
        conics=conics,
        depths=depths,
        extents=extents,
        opacities=means.new_empty(n) if options.antialias else gaussians.opacities,
        colors=colors,
    )
    projected = [address(means_px, n, 2), address(conics, n, 3), address(depths, n), address(extents, n, 2)]
    filtered = address(view.opacities, n) if options.antialias else 0
    module().project(n, view.shape_addresses(), numbers, limits, [*projected, filtered])
    inputs = address(means, n, 3), address(gaussians.sh, n, stored, 3), address(extents, n, 2)
    module().sh(n, view.degree, stored, *inputs, numbers, address(colors, n, 3))
    return view


@dataclass(frozen=True, eq=False)
class Picture:
    """One view composited, and what its pixels' derivatives need."""

    frame: Any
    whitening: Float[Tensor, "n 4"]
    behind: Float[Tensor, "h w 3"] | None
    color: Float[Tensor, "h w 3"]
    """Over what lies behind."""
    clear: Float[Tensor, "h w"]

    def addresses(self) -> list[int]:
        """What the kernels take as a picture."""
        n, (h, w) = len(self.whitening), self.clear.shape
        return [address(self.whitening, n, 4), address(self.color, h, w, 3), address(self.behind, h, w, 3)]

    def covariance(self) -> tuple[ScreenCovariance, int]:
        """What is to be filled in, and the address of its six planes."""
        h, w = self.clear.shape
        planes = self.color.new_empty(6, h, w)
        empty = ScreenCovariance(color=self.color, clear=self.clear, covariance=planes.permute(1, 2, 0))
        return empty, address(planes, 6, h, w)


def composited(view: View, camera: Cameras, behind: Tensor | None) -> Picture:
    """The picture of a view, over ``behind``."""
    n, h, w = len(view.gaussians), camera.height, camera.width
    frame = module().Frame()
    arrays = [address(view.means_px, n, 2), address(view.conics, n, 3), address(view.opacities, n)]
    arrays += [address(view.extents, n, 2), address(view.depths, n), address(view.colors, n, 3)]
    module().bin(frame, n, w, h, arrays)
    color, clear = view.colors.new_empty(h, w, 3), view.colors.new_empty(h, w)
    module().composite(frame, 3, address(color, h, w, 3), 0, 0, address(clear, h, w))
    whitening = view.colors.new_empty(n, 4)
    module().whiten(n, view.shape_addresses(), view.camera, view.limits, address(whitening, n, 4))
    behind = _like(behind, color)
    if behind is not None:
        color = torch.addcmul(color, clear[..., None], behind)
    return Picture(frame=frame, whitening=whitening, behind=behind, color=color, clear=clear)


def screen_moments(
    gaussians: Gaussians,
    camera: Cameras,
    *,
    photograph: Float[Tensor, "h w 3"] | None,
    weight: Float[Tensor, "h w"] | None,
    behind: Float[Tensor, "h w 3"] | None,
    clustered: bool,
    options: RasterOptions | None,
) -> ScreenMoments:
    """See :func:`veduta.render.screen_moments`; what has no weight may be anything, NaN included."""
    view = view_of(gaussians, camera, options)
    picture = composited(view, camera, behind)
    n, h, w = len(gaussians), camera.height, camera.width
    photograph, weight = _like(photograph, picture.color), _like(weight, picture.color)
    columns = CLUSTERED if clustered else SCORE
    fisher = _rows(n, FISHER).zero_()
    score = None if photograph is None else _rows(n, columns).zero_()
    given = [address(photograph, h, w, 3), address(weight, h, w)]
    result = [address(fisher, n, FISHER), address(score, n, columns)]
    module().moments(picture.frame, picture.addresses(), given, result, clustered)
    return ScreenMoments(color=picture.color, clear=picture.clear, fisher=fisher, score=score)


def screen_pull(
    gaussians: Gaussians, camera: Cameras, moments: Float[Tensor, "n s"], *, options: RasterOptions | None
) -> Float[Tensor, "n 91"]:
    """See :func:`veduta.render.screen_pull`."""
    n, size = moments.shape
    assert size in (FISHER, SCORE, CLUSTERED), f"moments have 34, 39 or 9 columns, got {size}"
    view = view_of(gaussians, camera, options)
    moments = moments.to(view.colors).contiguous()
    blocks = _rows(n, PACKED_BLOCK)
    module().pull(*view.linear_arguments(), address(moments, n, size), size, address(blocks, n, PACKED_BLOCK))
    return blocks


def screen_push(
    gaussians: Gaussians, camera: Cameras, blocks: Float[Tensor, "n 91"], *, options: RasterOptions | None
) -> Float[Tensor, "n 39"]:
    """See :func:`veduta.render.screen_push`."""
    view = view_of(gaussians, camera, options)
    n = len(gaussians)
    blocks = blocks.to(view.colors).contiguous()
    forms = _rows(n, FORMS)
    module().push(*view.linear_arguments(), address(blocks, n, PACKED_BLOCK), address(forms, n, FORMS))
    return forms


def screen_covariance(
    gaussians: Gaussians,
    camera: Cameras,
    forms: Float[Tensor, "n 39"],
    *,
    behind: Float[Tensor, "h w 3"] | None,
    options: RasterOptions | None,
) -> ScreenCovariance:
    """See :func:`veduta.render.screen_covariance`."""
    view = view_of(gaussians, camera, options)
    picture = composited(view, camera, behind)
    forms = forms.to(picture.color).contiguous()
    covariance, planes = picture.covariance()
    module().covariance(picture.frame, picture.addresses(), address(forms, len(gaussians), FORMS), planes)
    return covariance


def screen_uncertainty(
    gaussians: Gaussians,
    camera: Cameras,
    blocks: Float[Tensor, "n 91"],
    *,
    behind: Float[Tensor, "h w 3"] | None,
    options: RasterOptions | None,
) -> ScreenCovariance:
    """See :func:`veduta.render.screen_uncertainty`."""
    view = view_of(gaussians, camera, options)
    picture = composited(view, camera, behind)
    blocks = blocks.to(picture.color).contiguous()
    covariance, planes = picture.covariance()
    given = address(blocks, len(gaussians), PACKED_BLOCK), planes
    module().uncertainty(picture.frame, picture.addresses(), *view.linear_arguments(), *given)
    return covariance


def _rows(count: int, columns: int) -> Tensor:
    """Memory to be written, in large pages where there is much of it."""
    rows = torch.empty(count, columns, dtype=torch.float32)
    if rows.nbytes >= LARGE_BYTES:
        module().prefer_large_pages(rows.data_ptr(), rows.nbytes)
    return rows


def _like(image: Tensor | None, other: Tensor) -> Tensor | None:
    return None if image is None else image.detach().to(other).contiguous()
