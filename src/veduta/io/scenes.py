"""A whole :class:`Scene` in one safetensors file: background, actors with their motions, sky; exact to the bit."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor

from veduta.core import MAX_SH_DEGREE, Actor, Gaussians, InputError, Scene, Sky
from veduta.geometry.motion import RigidMotion
from veduta.io.tensors import load_tensors, require_schema, save_tensors

SCHEMA_VERSION = 1
"""Of scene files; raised when a tensor changes its meaning."""
_VERSION = "veduta.scene"
_ACTORS = "veduta.actors"
_SHAPES: Mapping[str, tuple[int | None, ...]] = {
    "means": (None, 3),
    "quats": (None, 4),
    "scales": (None, 3),
    "opacities": (None,),
    "sh": (None, None, 3),
    "times": (None,),
    "world_from_object": (None, 4, 4),
    "tolerance_s": (),
    "texture": (None, None, 3),
    "up": (3,),
}
_GAUSSIANS = ("means", "quats", "scales", "opacities", "sh")
_MOTION = ("times", "world_from_object", "tolerance_s")


def save_scene(scene: Scene, path: str | Path) -> None:
    """Write a scene whose actors move rigidly to one file, atomically. Raises OutputError."""
    tensors = _gaussian_tensors("background", scene.background)
    labels: list[dict[str, str]] = []
    for index, (name, actor) in enumerate(scene.actors.items()):
        motion = actor.motion
        if not isinstance(motion, RigidMotion):
            raise TypeError(f"actor {name!r}: expected a RigidMotion, got {type(motion).__name__}")
        labels.append({"name": name, "category": actor.category})
        tensors |= _gaussian_tensors(f"actor.{index}", actor.gaussians)
        tensors[f"actor.{index}.times"] = motion.times
        tensors[f"actor.{index}.world_from_object"] = motion.world_from_object
        tensors[f"actor.{index}.tolerance_s"] = torch.tensor(motion.tolerance_s, dtype=torch.float64)
    if scene.sky is not None:
        tensors |= {"sky.texture": scene.sky.texture, "sky.up": scene.sky.up}
    save_tensors(path, tensors, metadata={_VERSION: str(SCHEMA_VERSION), _ACTORS: json.dumps(labels)})


def load_scene(path: str | Path) -> Scene:
    """The scene in a file of :func:`save_scene`.

    A file of something else, of another schema version, or with tensors that are missing, misshapen or not finite
    raises InputError.
    """
    path = Path(path)
    tensors, metadata = load_tensors(path)
    require_schema(metadata, path, field=_VERSION, version=SCHEMA_VERSION, what="a scene", again="fit")
    actors: dict[str, Actor] = {}
    for index, (name, category) in enumerate(_labels(metadata.get(_ACTORS, ""), path)):
        motion = {field: _tensor(tensors, f"actor.{index}.{field}", path) for field in _MOTION}
        gaussians = _gaussians(tensors, f"actor.{index}", path)
        actors[name] = Actor(gaussians, _motion(motion, f"actor.{index}", path), category)
    sky = None
    if "sky.texture" in tensors:
        sky = Sky(texture=_tensor(tensors, "sky.texture", path), up=_tensor(tensors, "sky.up", path))
    return Scene(background=_gaussians(tensors, "background", path), actors=actors, sky=sky)


def _gaussian_tensors(prefix: str, gaussians: Gaussians) -> dict[str, Tensor]:
    return {f"{prefix}.{field}": getattr(gaussians, field) for field in _GAUSSIANS}


def _labels(text: str, path: Path) -> list[tuple[str, str]]:
    """Name and category of each actor, from the metadata."""
    corrupt = InputError("corrupt", where=path, field=_ACTORS, expected="a name and category of each actor")
    try:
        labels = [(label["name"], label["category"]) for label in json.loads(text)]
    except (ValueError, TypeError, KeyError, RecursionError):
        raise corrupt from None
    if not all(isinstance(word, str) for label in labels for word in label) or len(dict(labels)) < len(labels):
        raise corrupt
    return labels


def _tensor(tensors: Mapping[str, Tensor], name: str, path: Path) -> Tensor:
    """The tensor of that name, its shape and values checked."""
    if name not in tensors:
        raise InputError("a tensor is missing", where=path, field=name)
    tensor, shape = tensors[name], _SHAPES[name.rsplit(".", 1)[1]]
    fits = tensor.ndim == len(shape) and all(
        want in (None, got) for want, got in zip(shape, tensor.shape, strict=False)
    )
    if not fits or not tensor.is_floating_point():
        expected = f"floats of shape ({', '.join('any' if side is None else str(side) for side in shape)})"
        got = f"{str(tensor.dtype).removeprefix('torch.')} of shape {tuple(tensor.shape)}"
        raise InputError("a tensor is misshapen", where=path, field=name, expected=expected, got=got)
    if not bool(torch.isfinite(tensor).all()):
        raise InputError("a tensor is not finite", where=path, field=name)
    return tensor


def _gaussians(tensors: Mapping[str, Tensor], prefix: str, path: Path) -> Gaussians:
    fields = {field: _tensor(tensors, f"{prefix}.{field}", path) for field in _GAUSSIANS}
    counts = {field: tensor.shape[0] for field, tensor in fields.items()}
    if len(set(counts.values())) > 1:
        raise InputError("the tensors' lengths differ", where=path, field=prefix, got=counts)
    if fields["sh"].shape[1] not in [(degree + 1) ** 2 for degree in range(MAX_SH_DEGREE + 1)]:
        got = fields["sh"].shape[1]
        raise InputError(
            "unknown number of harmonics", where=path, field=f"{prefix}.sh", expected="1, 4, 9, 16", got=got
        )
    return Gaussians(**fields)


def _motion(fields: Mapping[str, Tensor], prefix: str, path: Path) -> RigidMotion:
    times, poses = fields["times"], fields["world_from_object"]
    if not len(times) == len(poses) > 0 or not bool((times.diff() > 0).all()):
        expected = "increasing times with a pose each"
        raise InputError("corrupt motion", where=path, field=f"{prefix}.times", expected=expected)
    return RigidMotion(times=times, world_from_object=poses, tolerance_s=float(fields["tolerance_s"]))
