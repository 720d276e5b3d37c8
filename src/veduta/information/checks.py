"""What cannot be worked with, said before it is worked with."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from veduta.core import Evidence, Gaussians, InputError, Posterior, Scene, Views

_FIELDS = ("means", "quats", "scales", "opacities", "sh")


def check_scene(scene: Scene) -> None:
    """InputError naming the owner, the field and the first row of a value that is not finite."""
    _check_gaussians(scene.background, "the scene's background")
    for name, actor in scene.actors.items():
        _check_gaussians(actor.gaussians, f"the scene's actor {name!r}")


def check_belongs(scene: Scene, known: Evidence | Posterior) -> None:
    """InputError unless there is a block of finite numbers for each Gaussian of the scene."""
    what = "evidence" if isinstance(known, Evidence) else "posterior"
    named = (
        {"fisher": known.fisher, "score": known.score}
        if isinstance(known, Evidence)
        else {"covariance": known.covariance}
    )
    count = len(scene.background) + sum(len(actor.gaussians) for actor in scene.actors.values())
    for field, blocks in named.items():
        if blocks is None:
            continue
        if len(blocks) != count:
            hint = "It was gathered for another scene, or the scene was edited since: gather it again."
            raise InputError(
                "does not belong to the scene",
                where=what,
                field=field,
                expected=f"{count} rows, one per Gaussian",
                got=len(blocks),
                hint=hint,
            )
        _check_finite(blocks, what, field)


def check_view(view: Views) -> None:
    """InputError unless the photographs have their cameras' size, and finite values with a trust of 0 or more."""
    cameras = view.cameras
    expected = (len(cameras), cameras.height, cameras.width)
    names = ", ".join(view.names)
    for field, picture in (("rgb", view.rgb), ("weight", view.weight)):
        if tuple(picture.shape[:3]) != expected:
            raise InputError(
                "the photograph is not its camera's size",
                where=names,
                field=field,
                expected=_size(expected),
                got=_size(tuple(picture.shape[:3])),
                hint="scale the camera (veduta.geometry.scale_cameras) or the photograph.",
            )
        if not bool(torch.isfinite(picture).all()):
            raise InputError("the photograph has values that are not finite", where=names, field=field)
    if bool((view.weight < 0).any()):
        raise InputError("trust below 0", where=names, field="weight", expected="0 to 1", got=float(view.weight.min()))


def _check_gaussians(gaussians: Gaussians, where: str) -> None:
    for field in _FIELDS:
        _check_finite(getattr(gaussians, field), where, field)


def _check_finite(values: Float[Tensor, "*b"], where: str, field: str) -> None:
    if bool(values.sum().isfinite()):  # a tenth of the cost of asking each; what is not finite never sums to finite
        return
    finite = torch.isfinite(values)
    if bool(finite.all()):
        return
    rows = (~finite.reshape(len(finite), -1).all(dim=1)).nonzero()[:, 0]
    raise InputError(
        "a value is not finite",
        where=where,
        field=field,
        expected="finite numbers",
        got=f"{len(rows)} rows with others, the first of them row {int(rows[0])}",
        hint="Remove those Gaussians, or fit again: a fit that diverged leaves such values.",
    )


def _size(shape: tuple[int, ...]) -> str:
    count, height, width = shape
    return f"{count} of {width} x {height}"
