"""Do the training views, as drawn, agree about what a camera shows? A second opinion that needs no derivatives.

Where a surface stands where several training views see it, they agree about its colour; floaters, walls in the wrong
place and colours made up for single views do not survive the comparison. The idea is WarpRF's (arXiv 2506.22433).
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from veduta.core import Cameras, InputError, RasterOptions, Scene, ViewSource
from veduta.geometry import project, sample_bilinear, unproject_rays
from veduta.information.checks import check_scene
from veduta.render import render_scene
from veduta.render.backends import Backend

NEIGHBOURS = 6
"""Training views that are asked about each camera."""
TOLERANCE = 0.05
"""Depths that differ by less than this share are of one surface; 0.02 and 0.1 order errors as well."""
MIN_ALPHA = 0.5
"""A pixel that is less covered than this shows what lies behind all Gaussians."""
MIN_OVERLAP = 0.2
"""Views that see less than this share of a camera's points are asked only where there are no others."""
SAMPLES = 24
"""Neighbours are chosen by as many points a side of each picture."""
UNSEEN = 0.3
"""Mean absolute difference of two unrelated colours: 1.13 tau (normal colours), tau being 0.27 in photographs."""
BEHIND = 1e4
"""What lies behind all Gaussians is this many times farther than anything else in the comparison."""


class WarpConsistency:
    """How much the nearest training views, drawn from the scene, disagree about each pixel of a camera.

    An object of it is what :func:`veduta.information.map` takes as ``warp``. ``views`` are the photographs (only their
    cameras are made use of) or the cameras that the scene was fitted to. The ``neighbours`` of a camera are the views
    that stand nearest to it relative to the distance of what it shows, itself left out. In a scene with moving objects
    they are drawn at the time of the camera asked about, so that one frozen instant is compared with itself.

    What was drawn is kept up to ``budget_mb``, the most recently used; of 480x270 pixels 2.6 MB each. Raises
    InputError where there is no view, and for parameters that are not finite.

    It sharpens the order of errors a little (capture of 25 training views, AUSE of |e| per view): .294 to .289 on
    interpolating, .280 to .256 on extrapolating views. As the factor of the variance, sqrt(1 + disagreement / 0.01), is
    1 where views agree and above 1 elsewhere (1.8 on average over training views), standard deviations are to be
    calibrated with it: :func:`~veduta.information.calibrate` takes it too.
    """

    def __init__(
        self,
        scene: Scene,
        views: ViewSource | Cameras | Sequence[Cameras],
        *,
        neighbours: int = NEIGHBOURS,
        tolerance: float = TOLERANCE,
        options: RasterOptions | None = None,
        backend: str | Backend = "auto",
        budget_mb: int = 256,
    ) -> None:
        check_scene(scene)
        self.scene, self.neighbours, self.tolerance = scene, neighbours, tolerance
        self.cameras = _single(views)
        if not self.cameras:
            raise InputError(
                "no training views to compare with",
                expected="at least one camera",
                got="none",
                hint="Give the photographs, or the cameras, that the scene was fitted to.",
            )
        self._options, self._backend = options, backend
        self._budget_bytes = budget_mb * 2**20
        self._kept: OrderedDict[tuple[int, float], Float[Tensor, "h w 5"]] = OrderedDict()

    def __call__(self, camera: Cameras, color: Float[Tensor, "h w 3"]) -> Float[Tensor, "h w"]:
        """Mean absolute difference of colours between ``color``, drawn at ``camera``, and what its neighbours show.

        Over channels, and over the neighbours that see the same surface: those whose depth there is the same up to
        ``tolerance``. A pixel that shows what lies behind all Gaussians is compared with neighbours that do in its
        direction. Where no neighbour can be compared, two unrelated colours are assumed: :data:`UNSEEN`. (With 0, as if
        all agreed, the order of errors on extrapolating views is worse than without any warp: AUSE .313 for .280.)
        """
        difference, agreeing = self.compare(camera, color)
        return torch.where(agreeing > 0, difference, UNSEEN)

    @torch.no_grad()
    def compare(
        self, camera: Cameras, color: Float[Tensor, "h w 3"]
    ) -> tuple[Float[Tensor, "h w"], Int[Tensor, "h w"]]:
        """The mean difference, 0 where nothing can be compared, and how many neighbours it is the mean over."""
        assert len(camera) == 1, f"one camera at a time, got {len(camera)}"
        time = float(camera.time[0])
        drawn = self._draw(camera)
        points, covered = surface_points(camera, depth=drawn[..., 3], alpha=drawn[..., 4])
        total = torch.zeros_like(drawn[..., 0])
        agreeing = torch.zeros_like(total, dtype=torch.int64)
        for index in self.nearest(camera, points):
            picture = self._picture(index, time)
            difference, agrees = warp_difference(
                color.to(points), points, covered, self.cameras[index], picture, tolerance=self.tolerance
            )
            total += torch.where(agrees, difference, 0)
            agreeing += agrees
        return total / agreeing.clamp(min=1), agreeing

    def nearest(self, camera: Cameras, points: Float[Tensor, "h w 3"]) -> list[int]:
        """The training views that are asked about one camera, which shows these ``points`` of the world; nearest first.

        A view's nearness to a point that it sees is 1 - |b - a| / (|x - a| + |x - b|) for a point x and cameras at a
        and b, which is 1 for one place and 0 for opposite ones; the mean counts. Views that see none are left out.
        """
        rows, columns = (torch.linspace(0, side - 1, min(side, SAMPLES)).long() for side in points.shape[:2])
        some = points[rows][:, columns].reshape(-1, 3)
        place = camera.positions_world.to(some)
        away = (some - place).norm(dim=-1)
        ranked: list[tuple[bool, float, int]] = []
        for index, other in enumerate(self.cameras):
            px, depth = project(some, other)
            sees = (((px >= 0) & (px <= px.new_tensor([other.width, other.height]))).all(dim=-1) & (depth > 0))[0]
            if _same(camera, other) or not bool(sees.any()):
                continue
            there = other.positions_world.to(some)
            nearness = 1 - (there - place).norm() / (away + (some - there).norm(dim=-1))
            few = float(sees.double().mean()) < MIN_OVERLAP
            ranked.append((few, -float(nearness[sees].mean()), index))
        return [index for _, _, index in sorted(ranked)[: self.neighbours]]

    def _picture(self, index: int, time: float) -> Float[Tensor, "h w 5"]:
        """What one training view shows at ``time``, drawn unless it was kept."""
        key = (index, time if self.scene.actors else 0.0)
        picture = self._kept.pop(key, None)
        if picture is None:
            camera = self.cameras[index]
            picture = self._draw(camera.replace(time=torch.full_like(camera.time, time)))
        self._kept[key] = picture
        while len(self._kept) > 1 and sum(kept.nbytes for kept in self._kept.values()) > self._budget_bytes:
            self._kept.popitem(last=False)
        return picture

    def _draw(self, camera: Cameras) -> Float[Tensor, "h w 5"]:
        """Colour, depth, alpha."""
        drawn = render_scene(self.scene, camera, options=self._options, backend=self._backend)
        return torch.cat([drawn.color, drawn.depth[..., None], drawn.alpha[..., None]], dim=-1)[0]


def surface_points(
    camera: Cameras, *, depth: Float[Tensor, "h w"], alpha: Float[Tensor, "h w"]
) -> tuple[Float[Tensor, "h w 3"], Bool[Tensor, "h w"]]:
    """What each pixel of one camera shows, as points in the world, and whether they are of a surface.

    Where they are not, they are so far that every place in the scene sees them in the same direction.
    """
    origin, rays = unproject_rays(camera.to(depth.device))
    axis = camera.world_from_camera[0, :3, 2].to(rays)
    covered = alpha >= MIN_ALPHA
    reach = max(float(depth.max()), float(origin.abs().max()), 1.0)
    along = torch.where(covered, depth, BEHIND * reach).to(rays) / (rays[0] @ axis)
    return (origin.to(rays) + along[..., None] * rays[0]).to(depth), covered


def warp_difference(
    color: Float[Tensor, "h w 3"],
    points: Float[Tensor, "h w 3"],
    covered: Bool[Tensor, "h w"],
    other: Cameras,
    picture: Float[Tensor, "h2 w2 5"],
    *,
    tolerance: float = TOLERANCE,
) -> tuple[Float[Tensor, "h w"], Bool[Tensor, "h w"]]:
    """Absolute difference of colours, mean over channels, between pixels and where ``other`` sees their ``points``.

    Also whether it does see them: they lie in its ``picture`` (colour, z depth, alpha), and the picture's own depth
    there is theirs up to the share ``tolerance``; or it shows no surface either, where theirs is not ``covered``.
    """
    px, depth = project(points.reshape(-1, 3), other)
    px, depth = px[0], depth[0].view(covered.shape)
    size = px.new_tensor([other.width, other.height])
    inside = ((px >= 0) & (px <= size)).all(dim=-1).view(covered.shape)
    to_centres = torch.minimum(px.clamp(min=0.5), size - 0.5)  # half a pixel at the border: its outermost values
    seen = sample_bilinear(picture, to_centres).view(*covered.shape, 5)
    surface = (seen[..., 4] >= MIN_ALPHA) & ((seen[..., 3] - depth).abs() <= tolerance * depth)
    agrees = torch.where(covered, surface, seen[..., 4] < MIN_ALPHA) & inside & (depth > 0)
    return (seen[..., :3] - color).abs().mean(dim=-1), agrees


def _same(a: Cameras, b: Cameras) -> bool:
    return (a.width, a.height) == (b.width, b.height) and torch.equal(a.world_from_camera, b.world_from_camera)


def _single(views: ViewSource | Cameras | Sequence[Cameras]) -> tuple[Cameras, ...]:
    """Every camera by itself."""
    items = [views[index] for index in range(len(views))]
    cameras = [item if isinstance(item, Cameras) else item.cameras for item in items]
    return tuple(group[row] for group in cameras for row in range(len(group)))
