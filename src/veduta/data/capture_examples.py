"""A capture as a model of objects or of scenes wants to see it, and the way back to the capture's own frame."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor

from veduta.core import Cameras, Capture, Example, InputError, Views, ViewSource
from veduta.data.meshes import BOX_RADIUS
from veduta.data.object_views import DEPTH_MARGIN, align_to_first, aligned_from_world, camera_groups, members
from veduta.data.resample import area_resize, fitted_size
from veduta.data.source import FileViews
from veduta.data.squares import aimed_camera, lanczos_resize, square, turned_image
from veduta.data.visual_hull import Silhouette, hull_ball
from veduta.geometry import Similarity, focus_point, project, scale_cameras, transform_cameras

Mask = Callable[[Float[Tensor, "h w 3"]], Float[Tensor, "h w"]]
"""From a photograph to how much of each pixel the object covers."""

OBJECT_SLACK = 1.05
"""How much larger than the object a view of it is cut."""
_HULL_VIEWS = 24
"""Views that the object's extent is worked out from, at most."""
_HULL_PX = 160
_FAINT = 1e-3
_NEAREST = 0.05
"""Nearest depth, in distances of the camera."""
_NEAR, _FAR = 1.0, 100.0
"""Depths of scene models (RealEstate10K)."""
_NEAR_BASELINES = 2.0
"""Nearest depth of a scene without points, in distances between its inputs."""
_NEAR_QUANTILE, _NEAR_MARGIN = 0.02, 0.8


@dataclass(frozen=True, eq=False)
class CaptureExample:
    """An example made of a capture, and where it lies in it."""

    example: Example
    capture_from_example: Similarity
    """Maps what a model predicts into the capture's frame."""
    outline: Literal["cut out", "masks", "guessed", "none"]
    """Where the object's outline comes from; ``none``: a scene."""


def capture_object(
    capture: Capture, *, inputs: int = 4, targets: int | None = None, size_px: int = 256, mask: Mask | None = None
) -> CaptureExample:
    """An object on its own, in [-0.5, 0.5]^3 and in the frame of the first input, seen by cameras turned to look at it.

    The outline comes from transparency or masks; ``mask``, such as :func:`~veduta.data.border_mask`, guesses one where
    the capture has neither. Middle and size come from the visual hull of the outlines. Pictures are resampled for
    cameras in the same places that look straight at the object and show it as large as fits. ``inputs`` views spread
    around it are shown; the held-out views or, where there are none, the others, are the targets (all, or ``targets``).

    Raises InputError for too few views, for no outline, where outlines have nothing in common, and for views from
    within the object.
    """
    shown = _Photos(capture, capture.train, mask)
    chosen = choose_inputs(shown.poses, inputs)
    silhouettes = [shown.silhouette(i) for i in choose_inputs(shown.poses, min(_HULL_VIEWS, len(shown.cameras)))]
    middle, radius = hull_ball(silhouettes, start=focus_point(shown.poses), where=capture.source)
    scale = BOX_RADIUS / radius
    boxed = Similarity(scale, torch.eye(3, dtype=torch.float64), -scale * middle)
    seen, seen_alpha = shown.aimed(chosen, boxed, size_px)
    source, rest = _rest(capture, shown, chosen, mask)
    truth, truth_alpha = source.aimed([rest[i] for i in _evenly(len(rest), targets)], boxed, size_px)
    distance = float(seen.cameras.positions_world[0].norm())
    example = Example(
        name=capture.source.name,
        inputs=seen,
        targets=truth,
        near=max(distance - DEPTH_MARGIN, _NEAREST * distance),
        far=distance + DEPTH_MARGIN,
        input_alpha=seen_alpha,
        target_alpha=truth_alpha,
    )
    move = aligned_from_world(seen.cameras)
    example_from_capture = Similarity(1.0, move[:3, :3], move[:3, 3]).compose(boxed)
    return CaptureExample(align_to_first(example), example_from_capture.inverse(), shown.outline)


def capture_scene(
    capture: Capture, *, inputs: int = 2, targets: int | None = None, size_px: int = 256
) -> CaptureExample:
    """Neighbouring views of a scene, reduced by LANCZOS and cut in the middle, scaled so that it begins at depth 1.

    Where it begins is told by the capture's points, or else guessed as twice the distance between the inputs; it ends
    at depth 100. ``inputs`` views that see much the same are shown; the held-out views or, where there are none, the
    others, are the targets (all, or ``targets`` of them). Raises InputError for too few views, or views all in one
    place.
    """
    shown = _Photos(capture, capture.train, None)
    chosen = choose_neighbours(shown.poses, inputs)
    scale = _NEAR / _nearest_depth(capture, shown.poses[chosen])
    scaled = Similarity(scale, torch.eye(3, dtype=torch.float64), torch.zeros(3, dtype=torch.float64))
    source, rest = _rest(capture, shown, chosen, None)
    example = Example(
        name=capture.source.name,
        inputs=shown.squared(chosen, scaled, size_px),
        targets=source.squared([rest[i] for i in _evenly(len(rest), targets)], scaled, size_px),
        near=_NEAR,
        far=_FAR,
    )
    return CaptureExample(example, scaled.inverse(), "none")


def choose_inputs(cameras: Cameras, count: int) -> list[int]:
    """Views spread around what all look at: of every k-means group of directions, the one nearest to its mean."""
    _enough(len(cameras), count)
    directions = torch.nn.functional.normalize(cameras.positions_world.double() - focus_point(cameras), dim=1)
    chosen: list[int] = []
    for group in members(camera_groups(directions, count)):
        mean = directions[group].mean(dim=0)
        chosen.append(group[int((directions[group] - mean).norm(dim=1).argmin())])
    return sorted(chosen)


def choose_neighbours(cameras: Cameras, count: int) -> list[int]:
    """Views that see much the same: the one most in the middle, and those nearest to it in place and direction."""
    _enough(len(cameras), count)
    positions, forward = cameras.positions_world.double(), cameras.world_from_camera[:, :3, 2].double()
    apart = torch.cdist(positions, positions)
    typical = apart.median().clamp_min(1e-12)
    cost = apart / typical + torch.acos((forward @ forward.T).clamp(-1, 1))
    middle = int(cost.sum(dim=1).argmin())
    cost[middle, apart[middle] <= 1e-9 * typical] = math.inf
    cost[middle, middle] = -1.0
    return sorted(cost[middle].argsort(stable=True)[:count].tolist())


class _Photos:
    """The photographs of a source, read when they are needed; cameras without them."""

    def __init__(self, capture: Capture, source: ViewSource, mask: Mask | None) -> None:
        self.source = source
        self.cameras = [_camera(source, i) for i in range(len(source))]
        """One camera each; image sizes may differ."""
        self.outline: Literal["cut out", "masks", "guessed", "none"] = "none"
        """Of the last photograph that was asked for its outline."""
        self._mask = mask
        self._background = torch.ones(3) if capture.background is None else capture.background
        self._where = capture.source

    @property
    def poses(self) -> Cameras:
        """All cameras, as if their pictures were of one size."""
        return Cameras.cat([camera.replace(width=1, height=1) for camera in self.cameras])

    def cut_out(self, index: int) -> tuple[Float[Tensor, "h w 3"], Float[Tensor, "h w"]]:
        """Straight colour and coverage of a photograph."""
        view = self.source[index]
        rgb = view.rgb[0]
        if view.alpha is not None:
            self.outline = "cut out"
            alpha = view.alpha[0]
            straight = (rgb - self._background * (1 - alpha[..., None])) / alpha[..., None].clamp_min(_FAINT)
            return straight.clamp(0, 1) * (alpha > _FAINT)[..., None], alpha
        if float(view.weight.min()) < 1:
            self.outline = "masks"
            return rgb, view.weight[0]
        if self._mask is None:
            raise InputError(
                "no outline of the object",
                where=f"{self._where}, {view.names[0]}",
                expected="transparency or a mask",
                got="neither",
                hint="Give masks, cut the object out (RGBA), or let the pictures' borders tell (--guess-masks).",
            )
        self.outline = "guessed"
        return rgb, self._mask(rgb)

    def silhouette(self, index: int) -> Silhouette:
        """A photograph's outline, reduced."""
        _, alpha = self.cut_out(index)
        camera = self.cameras[index]
        width, height = fitted_size(camera.width, camera.height, _HULL_PX)
        small = area_resize(alpha[..., None], width=width, height=height)[..., 0]
        return Silhouette(scale_cameras(camera, width=width, height=height), small)

    def aimed(self, indices: Sequence[int], boxed: Similarity, size_px: int) -> tuple[Views, Float[Tensor, "v h w"]]:
        """Views by cameras turned to the origin of the boxed frame, straight colour, and coverage."""
        parts: list[Views] = []
        alphas: list[Tensor] = []
        for index in indices:
            rgb, alpha = self.cut_out(index)
            camera = transform_cameras(self.cameras[index], boxed)
            try:
                wanted = aimed_camera(camera, torch.zeros(3), radius=BOX_RADIUS * OBJECT_SLACK, size_px=size_px)
            except ValueError as error:
                raise InputError(
                    "a photograph taken from within the object's ball",
                    where=f"{self._where}, photograph {index}",
                    expected="photographs from outside",
                    got=error,
                    hint="Leave it out, or check the masks: what they show is too large.",
                ) from error
            covered = alpha[..., None]
            layers = torch.cat([rgb * covered, covered, torch.ones_like(covered)], dim=2)
            turned = turned_image(layers, camera, wanted)
            share = turned[..., 3:4]
            straight = torch.where(share > _FAINT, turned[..., :3] / share.clamp_min(_FAINT), 0.0).clamp(0, 1)
            name = self.source[index].names
            parts.append(Views.of(wanted, rgb=straight[None], weight=turned[None, ..., 4].clamp(0, 1), names=name))
            alphas.append(turned[..., 3].clamp(0, 1))
        return _stacked(parts, size_px), torch.stack(alphas) if alphas else torch.zeros(0, size_px, size_px)

    def squared(self, indices: Sequence[int], scaled: Similarity, size_px: int) -> Views:
        """Views cut square, in the scaled frame; what is masked has the mean colour of the rest."""
        parts: list[Views] = []
        for index in indices:
            view = self.source[index]
            view = view.replace(cameras=transform_cameras(view.cameras, scaled))
            parts.append(square(_filled(view), size_px, resize=lanczos_resize))
        return _stacked(parts, size_px)


def _filled(view: Views) -> Views:
    """The photograph with the mean of its trusted colours where it is masked, which is black else and looks solid."""
    weight = view.weight[..., None]
    if float(weight.min()) == 1:
        return view
    mean = (view.rgb * weight).sum(dim=(0, 1, 2)) / weight.sum().clamp_min(_FAINT)
    return view.replace(rgb=view.rgb * weight + mean * (1 - weight))


def _camera(source: ViewSource, index: int) -> Cameras:
    """The camera of a photograph, without reading it where that can be."""
    camera = source.camera(index) if isinstance(source, FileViews) else source[index].cameras
    assert len(camera) == 1, "one camera per instant"
    return camera


def _stacked(parts: Sequence[Views], size_px: int) -> Views:
    """Views of one size as one."""
    if not parts:
        nothing = torch.zeros(0, 4, 4)
        cameras = Cameras.pinhole(nothing, fx=1.0, fy=1.0, cx=0.0, cy=0.0, width=size_px, height=size_px)
        return Views.of(cameras, rgb=torch.zeros(0, size_px, size_px, 3))
    return Views.of(
        Cameras.cat([part.cameras for part in parts]),
        rgb=torch.cat([part.rgb for part in parts]),
        weight=torch.cat([part.weight for part in parts]),
        names=tuple(name for part in parts for name in part.names),
    )


def _rest(capture: Capture, shown: _Photos, chosen: Sequence[int], mask: Mask | None) -> tuple[_Photos, list[int]]:
    """The photographs to judge by: the held-out ones, or those that are not shown."""
    if len(capture.test):
        return _Photos(capture, capture.test, mask), list(range(len(capture.test)))
    return shown, [i for i in range(len(shown.cameras)) if i not in chosen]


def _evenly(count: int, wanted: int | None) -> list[int]:
    """At most ``wanted`` of so many, at even steps; all of them for None."""
    if wanted is None or wanted >= count:
        return list(range(count))
    return [int((i + 0.5) * count / wanted) for i in range(wanted)]


def _nearest_depth(capture: Capture, inputs: Cameras) -> float:
    """The depth at which the scene begins for the inputs, in the capture's unit."""
    if capture.points is not None and len(capture.points.xyz):
        _, depth = project(capture.points.xyz.float(), inputs)
        ahead = depth[depth > 0]
        if len(ahead):
            return _NEAR_MARGIN * float(torch.quantile(ahead[:1_000_000], _NEAR_QUANTILE))
    positions = inputs.positions_world.double()
    baseline = float(torch.cdist(positions, positions).max())
    if baseline <= 0:
        raise InputError(
            "the inputs were taken from one place",
            where=capture.source,
            expected="photographs from different places",
            hint="Take photographs a step apart.",
        )
    return _NEAR_BASELINES * baseline


def _enough(found: int, wanted: int) -> None:
    if found < wanted:
        raise InputError(
            "too few photographs with poses",
            expected=f"at least {wanted} to look at",
            got=found,
            hint="Add photographs, hold out fewer, or ask for fewer inputs.",
        )
