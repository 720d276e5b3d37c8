"""Examples that are made once and kept on the disk, for supplies that are slower than a training."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from veduta.core import Cameras, Example, Examples, InputError, Views
from veduta.io.tensors import load_tensors, require_schema, save_tensors
from veduta.recipes.training.data import DataOptions, told
from veduta.recipes.training.step import example_generator

POOL_SCHEMA = 1
_FIELD = "veduta_example_schema"
_OF = "of"


@dataclass(frozen=True)
class Pool:
    """The first ``count`` objects of ``source``, each with the views of one draw, in 8 bits.

    ``targets`` of those views are drawn anew at every :meth:`sample`; the inputs stay. Several processes may share
    ``folder``; a file in it says what its examples are, and one of others is refused.
    """

    source: Examples
    folder: Path
    count: int
    targets: int = 4
    seed: int = 0
    kind: str = ""
    """Layout of the source; see :mod:`veduta.recipes.training.data`."""
    options: DataOptions | None = None
    """Of the source; None: files are taken for what they are named after."""

    def __len__(self) -> int:
        return min(self.count, len(self.source))

    def sample(self, index: int, generator: torch.Generator) -> Example:
        """Object ``index`` with some of its target views."""
        whole = self.stored(index)
        some = torch.randperm(len(whole.targets), generator=generator)[: self.targets].sort().values
        targets = whole.targets
        picked = Views.of(targets.cameras[some], rgb=targets.rgb[some])
        alpha = None if whole.target_alpha is None else whole.target_alpha[some]
        return whole.replace(targets=picked, target_alpha=alpha)

    def evaluation(self, index: int) -> Example:
        """The source's own; nothing of it is kept."""
        return self.source.evaluation(index)

    def stored(self, index: int) -> Example:
        """All views that are kept of an object; made now if they are not there yet. Raises OutputError, InputError."""
        path = self.folder / f"{self.seed}_{index:07d}.safetensors"
        if not path.is_file():
            example = self.source.sample(index, example_generator(self.seed, index))
            save_tensors(path, _tensors(example), metadata=_metadata(example) | self._said())
        example, metadata = _example(path)
        self._check(example, metadata.get(_OF), path)
        return example

    def _said(self) -> dict[str, str]:
        """What is written into a file about its source."""
        return {} if self.options is None else {_OF: told(self.kind, self.options)}

    def _check(self, example: Example, of: str | None, path: Path) -> None:
        """InputError for examples ``of`` another source; where a file does not say, their shape must fit."""
        options = self.options
        if options is None:
            return
        targets, cameras = example.targets, example.inputs.cameras
        size = (options.size_px, options.size_px)
        fits = (cameras.width, cameras.height) == size and len(targets) == options.targets
        if example.input_alpha is not None:  # how many views of a scene are shown is not the options' to say
            fits = fits and len(example.inputs) == options.inputs
        expected = told(self.kind, options)
        if of == expected or (of is None and fits):
            return
        shape = f"{cameras.width} x {cameras.height} px, {len(example.inputs)} + {len(targets)} views"
        raise InputError(
            "an example that was kept for another training",
            where=path,
            expected=expected,
            got=shape if of is None else of,
            hint="Name another folder with --cache, or delete this one.",
        )


def _tensors(example: Example) -> dict[str, Tensor]:
    found: dict[str, Tensor] = {}
    parts = {"inputs": (example.inputs, example.input_alpha), "targets": (example.targets, example.target_alpha)}
    for name, (views, alpha) in parts.items():
        found[f"{name}.rgb"] = _bytes(views.rgb)
        if alpha is not None:
            found[f"{name}.alpha"] = _bytes(alpha)
        found[f"{name}.poses"] = views.cameras.world_from_camera.float()
        found[f"{name}.intrinsics"] = views.cameras.intrinsics.float()
    return found


def _metadata(example: Example) -> dict[str, str]:
    return {_FIELD: str(POOL_SCHEMA), "name": example.name, "near": repr(example.near), "far": repr(example.far)}


def _example(path: Path) -> tuple[Example, dict[str, str]]:
    tensors, metadata = load_tensors(path)
    require_schema(
        metadata, path, field=_FIELD, version=POOL_SCHEMA, what="a kept example", again="delete it and train"
    )
    try:
        example = Example(
            name=metadata["name"],
            inputs=_views(tensors, "inputs"),
            targets=_views(tensors, "targets"),
            near=float(metadata["near"]),
            far=float(metadata["far"]),
            input_alpha=_alpha(tensors, "inputs"),
            target_alpha=_alpha(tensors, "targets"),
        )
        return example, metadata
    except (KeyError, ValueError, IndexError) as error:
        raise InputError("corrupt", where=path, expected="an example's views", got=error, hint="Delete it.") from error


def _views(tensors: dict[str, Tensor], part: str) -> Views:
    rgb, poses = tensors[f"{part}.rgb"].float() / 255, tensors[f"{part}.poses"]
    if rgb.dim() != 4 or poses.shape != (len(rgb), 4, 4):
        raise ValueError(f"{part}: pictures {tuple(rgb.shape)}, poses {tuple(poses.shape)}")
    cameras = Cameras(
        world_from_camera=poses,
        intrinsics=tensors[f"{part}.intrinsics"],
        time=torch.zeros(len(poses), dtype=torch.float64),
        width=rgb.shape[2],
        height=rgb.shape[1],
    )
    return Views.of(cameras, rgb=rgb)


def _alpha(tensors: dict[str, Tensor], part: str) -> Tensor | None:
    kept = tensors.get(f"{part}.alpha")
    return None if kept is None else kept.float() / 255


def _bytes(values: Tensor) -> Tensor:
    return (values.clamp(0, 1) * 255).round().to(torch.uint8)
