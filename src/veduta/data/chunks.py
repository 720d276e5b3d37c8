"""Scenes in the ``.torch`` chunks that pixelSplat publishes: RealEstate10K, ACID, DTU.

A chunk is a list of dictionaries: ``key``, ``url``, ``timestamps`` (int64 [n]), ``cameras`` (float32 [n, 18]: fx, fy,
cx, cy as shares of width and height, 0, 0, then camera-from-world 3 x 4 by rows, OpenCV axes) and ``images`` (encoded
files as uint8 [bytes]). ``index.json`` beside the chunks says which chunk holds which key.
"""

from __future__ import annotations

import math
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Literal, NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from veduta.core import Cameras, Example, InputError, Views
from veduta.data.checks import rigid_pose
from veduta.data.scene_pictures import covered, covered_intrinsics, decoded
from veduta.data.splits import read_json
from veduta.geometry import rigid_inverse
from veduta.io.paths import inside, require_file
from veduta.io.weights import archive_problem

MAX_CHUNK_BYTES = 4 << 30
_COLUMNS = 18
_MAX_FRAMES = 100_000
_HINT = "Download the chunk again."
_MIRROR = torch.diag(torch.tensor([-1.0, 1.0, 1.0, 1.0], dtype=torch.float64))


class Kind(NamedTuple):
    """What a data set's pictures and depths are like."""

    raw: tuple[int, int]
    """Width and height of the stored pictures."""
    near: float
    far: float


SCENE_KINDS: Mapping[str, Kind] = {
    "re10k": Kind((640, 360), 1.0, 100.0),
    "acid": Kind((640, 360), 1.0, 100.0),
    "dtu": Kind((640, 512), 2.125, 4.525),
}
"""Published data sets in this layout; lengths of DTU are divided by 200."""


@dataclass(frozen=True)
class SceneChunks:
    """The scenes of ``root/split``.

    Training draws a pair of frames ``gap`` apart (see :func:`warmed_gap`), targets between them, and mirrors half of
    all draws. Scenes that the protocol leaves out (too few frames, angle of view above ``max_fov_deg``) stand in for
    themselves by the next usable one. Evaluation takes views from ``evaluation_index``, a JSON file
    ``{key: null | {"context": [i, j], "target": [...]}}``; with one, its keys that are not null are the scenes.
    """

    root: Path
    split: Literal["train", "test"] = "train"
    kind: Kind = SCENE_KINDS["re10k"]
    """One of :data:`SCENE_KINDS`."""
    evaluation_index: Path | None = None
    size_px: int = 256
    inputs: int = 2
    targets: int = 4
    gap: tuple[int, int] = (45, 192)
    """Least and most frames between the outer inputs in training."""
    max_fov_deg: float = 100.0
    mirror: bool = True
    """Whether half of the training draws are mirrored left to right."""
    _last: list[tuple[Path, list[Any]]] = field(default_factory=list, init=False, repr=False, compare=False)
    """The chunk read last, in a list of one that threads replace as a whole."""

    def __post_init__(self) -> None:
        assert self.inputs >= 2, self.inputs

    @cached_property
    def keys(self) -> tuple[str, ...]:
        """Names of the scenes."""
        if self.evaluation_index is not None:
            return tuple(key for key, views in read_json(self.evaluation_index).items() if views is not None)
        return tuple(self._chunk_names)

    def __len__(self) -> int:
        return len(self.keys)

    def sample(self, index: int, generator: torch.Generator) -> Example:
        """A pair (or more) of views and targets between them, as for training."""
        count = len(self.keys)
        for step in range(count):
            scene = self._scene(self.keys[(index + step) % count])
            if len(scene.cameras) > self.gap[0] and scene.widest_fov_deg() <= self.max_fov_deg:
                inputs, targets = self._drawn(len(scene.cameras), generator)
                example = self._example(scene, inputs, targets)
                flip = self.mirror and float(torch.rand((), generator=generator)) < 0.5
                return mirrored(example) if flip else example
        raise InputError(
            "no scene can be trained on",
            where=self.root / self.split,
            expected=f"scenes of more than {self.gap[0]} frames, angles of view up to {self.max_fov_deg:g} degrees",
        )

    def evaluation(self, index: int) -> Example:
        """The views that ``evaluation_index`` names."""
        key = self.keys[index]
        if self.evaluation_index is None:
            raise InputError(
                "no views to evaluate are named",
                where=self.root / self.split,
                expected="an evaluation index",
                hint="Give evaluation_index, the JSON file of the protocol.",
            )
        scene = self._scene(key)
        views = read_json(self.evaluation_index)[key]
        inputs, targets = (self._listed(views, part, key, len(scene.cameras)) for part in ("context", "target"))
        return self._example(scene, inputs, targets)

    def _listed(self, views: object, part: str, key: str, frames: int) -> list[int]:
        """Frames that the evaluation index lists."""
        listed = views.get(part) if isinstance(views, dict) else None
        if (
            not isinstance(listed, list)
            or not listed
            or not all(isinstance(i, int) and not isinstance(i, bool) and 0 <= i < frames for i in listed)
        ):
            raise InputError(
                "no such frames",
                where=self.evaluation_index,
                field=f"{key}.{part}",
                expected=f"frames 0 to {frames - 1}",
                got=str(listed)[:60],
            )
        return listed

    def _drawn(self, frames: int, generator: torch.Generator) -> tuple[list[int], list[int]]:
        """Inputs a random gap apart, spread evenly; targets anywhere between the outer ones."""

        def whole(low: int, high: int, *shape: int) -> Tensor:
            return torch.randint(low, high + 1, shape, generator=generator)

        gap = int(whole(self.gap[0], min(self.gap[1], frames - 1)))
        left = int(whole(0, frames - 1 - gap))
        inputs = [left + round(gap * i / (self.inputs - 1)) for i in range(self.inputs)]
        return inputs, (left + whole(0, gap, self.targets)).tolist()

    def _example(self, scene: _Scene, inputs: list[int], targets: list[int]) -> Example:
        kind = self.kind
        return Example(
            name=scene.key,
            inputs=scene.views(inputs, kind.raw, self.size_px),
            targets=scene.views(targets, kind.raw, self.size_px),
            near=kind.near,
            far=kind.far,
        )

    @property
    def _folder(self) -> Path:
        return self.root / self.split

    @cached_property
    def _chunk_names(self) -> dict[str, object]:
        names = read_json(require_file(self._folder / "index.json", what="the index of the chunks"))
        if not names:
            raise InputError(
                "the index is empty", where=self._folder / "index.json", expected='{"key": "000000.torch"}'
            )
        return names

    def _scene(self, key: str) -> _Scene:
        """The scene of a key; one that ends in a number of two digits may be a variant of the scene without it."""
        index = self._folder / "index.json"
        stored = key if key in self._chunk_names else key.rpartition("_")[0]
        chunk_name = self._chunk_names.get(stored)
        if not isinstance(chunk_name, str):
            raise InputError(
                "a scene that no chunk holds",
                where=index,
                field=key,
                expected="the name of a chunk",
                got="nothing" if chunk_name is None else repr(chunk_name)[:40],
                hint="Download all chunks, or leave the scene out of the evaluation index.",
            )
        path = inside(self._folder, chunk_name, where=index, field=key)
        found = next((s for s in self._chunk(path) if isinstance(s, dict) and s.get("key") == stored), None)
        if found is None:
            raise InputError("the chunk lacks a scene of its index", where=path, field=stored, hint=_HINT)
        return _checked_scene(found, path, key)

    def _chunk(self, path: Path) -> list[Any]:
        """All scenes of a chunk; the last chunk is kept. Threads that want different ones get their own."""
        for kept, scenes in self._last:
            if kept == path:
                return scenes
        loaded = _load_chunk(path)
        self._last[:] = [(path, loaded)]
        return loaded


def evaluation_index_in(root: Path) -> Path:
    """The one file ``evaluation_index*.json`` beside the splits; InputError where there is none, or several."""
    found = sorted(root.glob("evaluation_index*.json"))
    if len(found) != 1:
        raise InputError(
            "no telling which views to evaluate",
            where=root,
            expected="one evaluation_index*.json",
            got=", ".join(path.name for path in found) or "none",
            hint="Put the JSON file of the protocol beside the folders train and test.",
        )
    return found[0]


def warmed_gap(step: int, *, warm_up_steps: int = 100_000) -> tuple[int, int]:
    """Least and most frames between inputs at a training step: from (25, 45) evenly to (45, 192) (MVSplat's schedule).

    The published code clamps the most to the least; this does what its configuration says.
    """
    share = min(1.0, step / warm_up_steps)
    return round(25 + share * 20), round(45 + share * 147)


def mirrored(example: Example) -> Example:
    """The scene as in a mirror: pictures and cameras turned left to right."""

    def reflected(views: Views) -> Views:
        cameras = views.cameras
        mirror = _MIRROR.to(cameras.world_from_camera)
        matrices = cameras.intrinsics.clone()
        matrices[:, 0, 2] = cameras.width - matrices[:, 0, 2]
        cameras = cameras.replace(world_from_camera=mirror @ cameras.world_from_camera @ mirror, intrinsics=matrices)
        return views.replace(cameras=cameras, rgb=views.rgb.flip(2))

    return example.replace(inputs=reflected(example.inputs), targets=reflected(example.targets))


@dataclass(frozen=True, eq=False)
class _Scene:
    key: str
    cameras: Float[Tensor, "n 18"]
    images: list[Any]
    path: Path

    def widest_fov_deg(self) -> float:
        """Of any frame, across or down."""
        return math.degrees(2 * math.atan(float((0.5 / self.cameras[:, :2]).max())))

    def views(self, frames: list[int], raw: tuple[int, int], size_px: int) -> Views:
        """Frames at the size of the model."""
        pictures, poses, matrices = [], [], []
        for frame in frames:
            field = f"{self.key}.images[{frame}]"
            data = self.images[frame]
            if not isinstance(data, Tensor) or data.dtype != torch.uint8 or data.dim() != 1:
                raise InputError("not an encoded picture", where=self.path, field=field, expected="uint8 [bytes]")
            if not data.is_contiguous():  # one stored byte can stand for any number of them
                got = f"{len(data)} bytes made of {data.untyped_storage().nbytes()}"
                expected = "bytes that are in the chunk"
                raise InputError("not an encoded picture", where=self.path, field=field, expected=expected, got=got)
            picture = decoded(data.numpy().tobytes(), size=raw, where=str(self.path), field=field)
            pictures.append(covered(picture, width=size_px, height=size_px))
            camera_from_world = torch.eye(4, dtype=torch.float64)
            camera_from_world[:3] = self.cameras[frame, 6:].double().reshape(3, 4)
            place = f"{self.key}.cameras[{frame}]"
            pose = rigid_pose(camera_from_world, where=self.path, field=place, hint=_HINT)
            poses.append(rigid_inverse(pose[None])[0].float())
            matrices.append(covered_intrinsics(self.cameras[frame, :4], raw, width=size_px, height=size_px))
        cameras = Cameras(
            world_from_camera=torch.stack(poses),
            intrinsics=torch.stack(matrices),
            time=torch.zeros(len(frames), dtype=torch.float64),
            width=size_px,
            height=size_px,
        )
        return Views.of(cameras, rgb=torch.stack(pictures), names=tuple(f"{frame:06d}" for frame in frames))


def _load_chunk(path: Path) -> list[Any]:
    require_file(path, what="a chunk of scenes")
    size = path.stat().st_size
    zipped = zipfile.is_zipfile(path)
    if zipped:
        with zipfile.ZipFile(path) as archive:
            size = max(size, sum(entry.file_size for entry in archive.infolist()))
    if size > MAX_CHUNK_BYTES:
        raise InputError("the chunk is too large", where=path, expected=f"at most {MAX_CHUNK_BYTES} bytes", got=size)
    if zipped and (problem := archive_problem(path)) is not None:
        expected = "a list of scenes, as PyTorch stores it"
        raise InputError("cannot read the chunk", where=path, expected=expected, got=problem, hint=_HINT)
    try:
        loaded = torch.load(path, map_location="cpu", weights_only=True, mmap=zipped)
    except Exception as error:  # torch's readers raise nearly anything on damaged files
        raise InputError(
            "cannot read the chunk",
            where=path,
            expected="a list of scenes, without pickled code",
            got=str(error)[:160],
            hint=_HINT,
        ) from error
    if not isinstance(loaded, list):
        raise InputError("not a list of scenes", where=path, expected="a list", got=type(loaded).__name__, hint=_HINT)
    return loaded


def _checked_scene(stored: dict[str, Any], path: Path, key: str) -> _Scene:
    cameras, images = stored.get("cameras"), stored.get("images")
    if (
        not isinstance(cameras, Tensor)
        or not cameras.is_floating_point()
        or cameras.dim() != 2
        or cameras.shape[1] != _COLUMNS
        or not 0 < cameras.shape[0] <= _MAX_FRAMES
    ):
        got = f"{cameras.dtype} {tuple(cameras.shape)}" if isinstance(cameras, Tensor) else type(cameras).__name__
        raise InputError(
            "not cameras", where=path, field=f"{key}.cameras", expected="floats [n, 18]", got=got, hint=_HINT
        )
    focal = cameras[:, :2]
    if not bool(torch.isfinite(cameras[:, :4]).all()) or not bool((focal > 0).all()):
        raise InputError(
            "a focal length that no lens has",
            where=path,
            field=f"{key}.cameras",
            expected="positive numbers",
            hint=_HINT,
        )
    if not isinstance(images, list) or len(images) != len(cameras):
        got = f"{len(images)} pictures" if isinstance(images, list) else type(images).__name__
        raise InputError(
            "not a picture per camera",
            where=path,
            field=f"{key}.images",
            expected=f"{len(cameras)} pictures",
            got=got,
            hint=_HINT,
        )
    return _Scene(key, cameras, images, path)
