"""What photographs told about a scene, in one safetensors file that knows which scene it is about; exact to the bit."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor

from veduta.core import LAG, PACKED_BLOCK, DirectionMap, Evidence, Gaussians, InputError, ResidualSums, Scene
from veduta.io.tensors import load_tensors, require_schema, save_tensors

SCHEMA_VERSION = 1
"""Of evidence files; raised when a tensor changes its meaning."""
_VERSION = "veduta.evidence"
_SCENE = "veduta.evidence.scene"
_COUNTS = "veduta.evidence.counts"
_GAUSSIANS = ("means", "quats", "scales", "opacities", "sh")
_LAGS = 2 * LAG + 1
_RESIDUALS: Mapping[str, tuple[int | None, ...]] = {
    "squares": (),
    "count": (),
    "lagged": (_LAGS, _LAGS),
    "lagged_count": (_LAGS, _LAGS),
    "colors": (),
    "colors_squared": (),
}


def save_evidence(evidence: Evidence, path: str | Path, *, scene: Scene) -> None:
    """Write what was gathered about ``scene`` to one file, atomically. Raises OutputError."""
    tensors = {"fisher": evidence.fisher, "sky.seen": evidence.sky.seen, "sky.up": evidence.sky.up}
    if evidence.score is not None:
        tensors["score"] = evidence.score
    if evidence.residuals is not None:
        tensors |= {f"residuals.{field}": getattr(evidence.residuals, field) for field in _RESIDUALS}
    counts = {"views": evidence.views, "clustered": evidence.clustered}
    metadata = {_VERSION: str(SCHEMA_VERSION), _SCENE: scene_fingerprint(scene), _COUNTS: json.dumps(counts)}
    save_tensors(path, tensors, metadata=metadata)


def load_evidence(path: str | Path, *, scene: Scene) -> Evidence:
    """The evidence in a file of :func:`save_evidence`, which must be about this very scene.

    A file of something else, of another schema version, about another scene, or with tensors that are missing,
    misshapen or not finite raises InputError.
    """
    path = Path(path)
    tensors, metadata = load_tensors(path)
    _check_kind(metadata, path, scene)
    views, clustered = _counts(metadata.get(_COUNTS, ""), path)
    rows = len(scene.background) + sum(len(actor.gaussians) for actor in scene.actors.values())
    residuals = None
    if any(name.startswith("residuals.") for name in tensors):
        sums = {field: _tensor(tensors, f"residuals.{field}", shape, path) for field, shape in _RESIDUALS.items()}
        residuals = ResidualSums(**sums)
    return Evidence(
        fisher=_tensor(tensors, "fisher", (rows, PACKED_BLOCK), path),
        score=_tensor(tensors, "score", (rows, PACKED_BLOCK), path) if "score" in tensors else None,
        residuals=residuals,
        sky=DirectionMap(
            seen=_tensor(tensors, "sky.seen", (None, None), path, infinite=True),
            up=_tensor(tensors, "sky.up", (3,), path),
        ),
        views=views,
        clustered=clustered,
    )


def scene_fingerprint(scene: Scene) -> str:
    """A hash of all Gaussians, each in its owner's frame, and of who owns them; motions and sky are not in it."""
    digest = hashlib.blake2b(digest_size=16)
    owners: dict[str, Gaussians] = {"": scene.background}
    owners |= {f"actor {name}": actor.gaussians for name, actor in scene.actors.items()}
    for name, gaussians in owners.items():
        for field in _GAUSSIANS:
            tensor: Tensor = getattr(gaussians, field).detach().cpu().contiguous()
            digest.update(json.dumps([name, field, str(tensor.dtype), list(tensor.shape)]).encode())
            digest.update(tensor.reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()


def _check_kind(metadata: Mapping[str, str], path: Path, scene: Scene) -> None:
    require_schema(metadata, path, field=_VERSION, version=SCHEMA_VERSION, what="evidence", again="gather it")
    about, given = metadata.get(_SCENE), scene_fingerprint(scene)
    if about != given:
        hint = "Evidence holds for the very Gaussians that it was gathered for: gather it again for this scene."
        raise InputError("evidence about another scene", where=path, field=_SCENE, expected=given, got=about, hint=hint)


def _counts(text: str, path: Path) -> tuple[int, bool]:
    """How many views were counted, and whether the score is clustered by them."""
    try:
        counts = json.loads(text)
        views, clustered = counts["views"], counts["clustered"]
    except (ValueError, TypeError, KeyError, RecursionError):
        views, clustered = None, None
    if type(views) is not int or views < 0 or type(clustered) is not bool:
        raise InputError("corrupt", where=path, field=_COUNTS, expected="views (0 or more) and clustered (a bool)")
    return views, clustered


def _tensor(
    tensors: Mapping[str, Tensor], name: str, shape: tuple[int | None, ...], path: Path, *, infinite: bool = False
) -> Tensor:
    """The tensor of that name, its shape and values checked."""
    if name not in tensors:
        raise InputError("a tensor is missing", where=path, field=name)
    tensor = tensors[name]
    fits = tensor.ndim == len(shape) and all(
        want in (None, got) for want, got in zip(shape, tensor.shape, strict=False)
    )
    if not fits or not tensor.is_floating_point():
        expected = f"floats of shape ({', '.join('any' if side is None else str(side) for side in shape)})"
        got = f"{str(tensor.dtype).removeprefix('torch.')} of shape {tuple(tensor.shape)}"
        raise InputError("a tensor is misshapen", where=path, field=name, expected=expected, got=got)
    if not bool((tensor >= 0).all() if infinite else torch.isfinite(tensor).all()):
        problem = "a tensor has values below 0" if infinite else "a tensor is not finite"
        raise InputError(problem, where=path, field=name)
    return tensor
