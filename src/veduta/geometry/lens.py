"""Lens distortion after COLMAP's camera models, and its removal by COLMAP's undistorter's rules.

Normalised coordinates are (x / z, y / z) in the camera's axes, so a pinhole maps them to pixels by its intrinsics.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from jaxtyping import Float
from torch import Tensor

from veduta.core import Cameras, Lens, UnsupportedError

MIN_SCALE, MAX_SCALE = 0.2, 2.0
"""COLMAP's bounds on the undistorted image's size relative to the distorted one's (its defaults)."""

_NEWTON_STEPS = 30
_CONVERGED = 1e-8
"""Largest residual, in normalised coordinates (1e-5 px at a focal length of 1000 px), of an accepted solution."""
_ON_BORDER_PX = 1e-9
"""Distance of a border's pixel centres from the principal point below which they lie on it, but for rounding."""


def distort(xy: Float[Tensor, "*b 2"], lens: Lens | None) -> Float[Tensor, "*b 2"]:
    """Where the lens draws what a pinhole draws at ``xy`` (both normalised); differentiable.

    Raises :class:`UnsupportedError` for a model that is not one of :class:`Lens`'s.
    """
    if lens is None:
        return xy
    return _model(lens)(xy, lens.params)


def undistort(xy: Float[Tensor, "*b 2"], lens: Lens | None) -> Float[Tensor, "*b 2"]:
    """The inverse of :func:`distort`, by Newton's method, in the dtype of ``xy`` (solved in float64; no gradient).

    NaN where the model sends no point: beyond a fold of its polynomial, or 90 degrees or more off the axis.
    """
    if lens is None:
        return xy
    target = xy.detach().to(torch.float64)
    if lens.model == "OPENCV_FISHEYE":
        return _undistort_fisheye(target, lens.params).to(xy.dtype)
    model, params = _model(lens), lens.params
    guess = target
    for _ in range(_NEWTON_STEPS):
        here, x_row, y_row = _value_and_jacobian(lambda p: model(p, params), guess)
        error = target - here
        if not (error.abs() > _CONVERGED * 1e-4).any():
            break
        determinant = x_row[..., 0] * y_row[..., 1] - x_row[..., 1] * y_row[..., 0]
        step_x = (error[..., 0] * y_row[..., 1] - x_row[..., 1] * error[..., 1]) / determinant
        step_y = (x_row[..., 0] * error[..., 1] - error[..., 0] * y_row[..., 0]) / determinant
        guess = guess + torch.stack([step_x, step_y], dim=-1)
    solved = ((model(guess, params) - target).abs() <= _CONVERGED).all(dim=-1, keepdim=True)
    return torch.where(solved, guess, torch.nan).to(xy.dtype)


def pinhole_for(cameras: Cameras) -> Cameras:
    """The pinhole cameras of the undistorted pictures; poses and times as given; pinholes come back unchanged.

    The rules are those of COLMAP's ``image_undistorter`` with its default options (``blank_pixels`` 0): focal lengths
    stay; the size is scaled per axis, by the border pixel centres' undistorted positions, so that no blank pixel is
    left, within [0.2, 2], and cut to whole pixels; the principal point moves with the size. The cameras must share
    their intrinsics.
    """
    if cameras.lens is None:
        return cameras
    matrix = cameras.intrinsics[0].to(torch.float64)
    assert torch.equal(cameras.intrinsics, cameras.intrinsics[:1].expand_as(cameras.intrinsics)), "one lens, one matrix"
    scale_x = _size_scale(cameras, matrix, axis=0)
    scale_y = _size_scale(cameras, matrix, axis=1)
    width, height = max(1, int(scale_x * cameras.width)), max(1, int(scale_y * cameras.height))
    intrinsics = cameras.intrinsics.clone()
    intrinsics[:, 0, 2] *= width / cameras.width
    intrinsics[:, 1, 2] *= height / cameras.height
    return cameras.replace(intrinsics=intrinsics, width=width, height=height, lens=None)


def undistortion_map(cameras: Cameras) -> Float[Tensor, "h w 2"]:
    """For each pixel centre of :func:`pinhole_for`'s picture, the position in the distorted picture (float64 px)."""
    flat = pinhole_for(cameras)
    source, target = cameras.intrinsics[0].to(torch.float64), flat.intrinsics[0].to(torch.float64)
    y, x = torch.meshgrid(
        torch.arange(flat.height, dtype=torch.float64) + 0.5,
        torch.arange(flat.width, dtype=torch.float64) + 0.5,
        indexing="ij",
    )
    return _to_px(distort(_to_normalised(torch.stack([x, y], dim=-1), target), cameras.lens), source)


def sample_bilinear(image: Float[Tensor, "h w c"], px: Float[Tensor, "*b 2"]) -> Float[Tensor, "*b c"]:
    """The image at positions in pixels (the first pixel's centre is (0.5, 0.5)); 0 beyond the outermost centres."""
    height, width = image.shape[:2]
    size = px.new_tensor([width, height])
    grid = (2 * px / size - 1).to(image.dtype).reshape(1, 1, -1, 2)
    taken = torch.nn.functional.grid_sample(
        image.permute(2, 0, 1)[None], grid, mode="bilinear", padding_mode="border", align_corners=False
    )
    inside = ((px >= 0.5) & (px <= size - 0.5)).all(dim=-1, keepdim=True)
    values = taken[0, :, 0].T.reshape(*px.shape[:-1], image.shape[2])
    return torch.where(inside, values, 0.0)


def undistort_image(image: Float[Tensor, "h w c"], cameras: Cameras) -> tuple[Float[Tensor, "h2 w2 c"], Cameras]:
    """The picture that the pinhole cameras of :func:`pinhole_for` would have taken, and those cameras.

    Bilinear, as COLMAP; any number of channels, so that masks and weights take the same way. Pixels that the distorted
    picture does not show are 0.
    """
    assert image.shape[:2] == (cameras.height, cameras.width), (image.shape, cameras.height, cameras.width)
    if cameras.lens is None:
        return image, cameras
    return sample_bilinear(image, undistortion_map(cameras).to(image.device)), pinhole_for(cameras)


def _size_scale(cameras: Cameras, matrix: Tensor, *, axis: int) -> float:
    """The undistorted size over the distorted one along x (axis 0) or y (axis 1)."""
    sizes = (cameras.width, cameras.height)
    along = torch.arange(sizes[1 - axis], dtype=torch.float64) + 0.5
    borders = []
    for position in (0.5, sizes[axis] - 0.5):
        fixed = torch.full_like(along, position)
        px = torch.stack([fixed, along] if axis == 0 else [along, fixed], dim=-1)
        flat = _to_px(undistort(_to_normalised(px, matrix), cameras.lens), matrix)[:, axis]
        borders.append(flat[torch.isfinite(flat)])
    first, last = borders
    centre = float(matrix[axis, 2])
    if not (len(first) and len(last)):
        return MAX_SCALE
    sides = [(centre, centre - float(first.max())), (sizes[axis] - 0.5 - centre, float(last.min()) - centre)]
    # The lens leaves a border through the principal point where it is, which asks for the size to stay.
    shrink = max(distance / drawn if abs(drawn) > _ON_BORDER_PX else 1.0 for distance, drawn in sides)
    return min(max(1.0 / shrink, MIN_SCALE), MAX_SCALE)


def _value_and_jacobian(function: Callable[[Tensor], Tensor], xy: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """The value at each point, and the gradients of its x and of its y there."""
    with torch.enable_grad():
        point = xy.detach().requires_grad_()
        value = function(point)
        (x_row,) = torch.autograd.grad(value[..., 0].sum(), point, retain_graph=True)
        (y_row,) = torch.autograd.grad(value[..., 1].sum(), point)
    return value.detach(), x_row, y_row


def _to_normalised(px: Tensor, matrix: Tensor) -> Tensor:
    return (px - matrix[:2, 2]) / torch.diagonal(matrix)[:2]


def _to_px(xy: Tensor, matrix: Tensor) -> Tensor:
    return xy * torch.diagonal(matrix)[:2] + matrix[:2, 2]


def _model(lens: Lens) -> Callable[[Tensor, tuple[float, ...]], Tensor]:
    if lens.model not in _MODELS:
        raise UnsupportedError(
            "this lens model is not supported",
            field="camera model",
            expected=", ".join(["PINHOLE", *_MODELS]),
            got=lens.model,
            hint="undistort the images with COLMAP's image_undistorter first",
        )
    model, count = _MODELS[lens.model]
    assert len(lens.params) == count, f"{lens.model} takes {count} parameters, got {len(lens.params)}"
    return model


def _radial(xy: Tensor, params: tuple[float, ...]) -> Tensor:
    k1, k2 = params
    r2 = xy.square().sum(-1, keepdim=True)
    return xy * (1 + r2 * (k1 + r2 * k2))


def _opencv(xy: Tensor, params: tuple[float, ...]) -> Tensor:
    return _radial(xy, params[:2]) + _tangential(xy, *params[2:])


def _full_opencv(xy: Tensor, params: tuple[float, ...]) -> Tensor:
    k1, k2, p1, p2, k3, k4, k5, k6 = params
    r2 = xy.square().sum(-1, keepdim=True)
    above = 1 + r2 * (k1 + r2 * (k2 + r2 * k3))
    below = 1 + r2 * (k4 + r2 * (k5 + r2 * k6))
    return xy * (above / below) + _tangential(xy, p1, p2)


def _tangential(xy: Tensor, p1: float, p2: float) -> Tensor:
    x, y = xy.unbind(-1)
    r2 = x * x + y * y
    return torch.stack(
        [2 * p1 * x * y + p2 * (r2 + 2 * x * x), 2 * p2 * x * y + p1 * (r2 + 2 * y * y)],
        dim=-1,
    )


def _fisheye(xy: Tensor, params: tuple[float, ...]) -> Tensor:
    r2 = xy.square().sum(-1, keepdim=True)
    small = r2 < 1e-12
    r = torch.where(small, torch.ones_like(r2), r2).sqrt()
    return xy * torch.where(small, 1.0, _fisheye_angle(torch.atan(r), params)[0] / r)


def _undistort_fisheye(xy: Tensor, params: tuple[float, ...]) -> Tensor:
    """One-dimensional Newton for the angle off the axis, which the distorted radius determines."""
    radius = xy.square().sum(-1, keepdim=True).sqrt()
    theta = radius.clamp_max(torch.pi / 2)
    for _ in range(_NEWTON_STEPS):
        value, slope = _fisheye_angle(theta, params)
        theta = theta - (value - radius) / slope
    value, _ = _fisheye_angle(theta, params)
    solved = ((value - radius).abs() <= _CONVERGED) & (theta >= 0) & (theta < torch.pi / 2)
    ratio = torch.where(radius < 1e-6, 1.0, torch.tan(theta) / radius.clamp_min(1e-6))
    return torch.where(solved, xy * ratio, torch.nan)


def _fisheye_angle(theta: Tensor, params: tuple[float, ...]) -> tuple[Tensor, Tensor]:
    """The distorted radius at an angle off the axis, and its derivative (Kannala and Brandt 2006)."""
    k1, k2, k3, k4 = params
    t2 = theta * theta
    value = theta * (1 + t2 * (k1 + t2 * (k2 + t2 * (k3 + t2 * k4))))
    slope = 1 + t2 * (3 * k1 + t2 * (5 * k2 + t2 * (7 * k3 + t2 * 9 * k4)))
    return value, slope


_MODELS: dict[str, tuple[Callable[[Tensor, tuple[float, ...]], Tensor], int]] = {
    "RADIAL": (_radial, 2),
    "OPENCV": (_opencv, 4),
    "FULL_OPENCV": (_full_opencv, 8),
    "OPENCV_FISHEYE": (_fisheye, 4),
}
