"""Covariances of one picture's colours."""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor

from veduta.core import Cameras, ScreenCovariance
from veduta.kernels.launch import Tuning, launch_tuned
from veduta.render.cuda.form_kernels import covariance_kernel
from veduta.render.cuda.linear_map import View
from veduta.render.cuda.moments import WALKED, picture_of

SHAPES = Tuning(warps=(1, 2, 4), key=("BEHIND",))


def covariance(
    view: View, camera: Cameras, forms: Float[Tensor, "n 39"], *, behind: Float[Tensor, "h w 3"] | None
) -> ScreenCovariance:
    """See :func:`veduta.render.screen_covariance`."""
    picture = picture_of(view, camera, behind)
    tiles, color = picture.tiles, picture.color
    forms = forms.detach().to(color).contiguous()
    planes = color.new_empty(6, camera.height, camera.width)
    launch_tuned(
        covariance_kernel, SHAPES, picture.grid,
        tiles.ids, tiles.starts, tiles.records, tiles.values, picture.roots, forms, picture.clear,
        picture.plain.last, color if picture.behind is None else picture.behind, planes,
        tiles.width, tiles.height, tiles.columns, **WALKED, BEHIND=picture.behind is not None,
    )  # fmt: skip
    return ScreenCovariance(color=color, clear=picture.clear, covariance=planes.permute(1, 2, 0))
