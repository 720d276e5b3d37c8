"""Where examples come from, by the name of their layout."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import torch

from veduta.core import Example, Examples, InputError
from veduta.data import (
    SCENE_KINDS,
    MeshObjects,
    ObjectArchives,
    ScannedObjects,
    SceneChunks,
    SyntheticObjects,
    evaluation_index_in,
)

ENDLESS = 2**31 - 1
"""Objects of a supply without an end."""
HELD_OUT_SEED = 1_000_003
"""Added to the seed of procedural objects for those that are never learned from."""


@dataclass(frozen=True, kw_only=True)
class DataOptions:
    """Which examples, and how they are shown."""

    path: Path | None = None
    """File or folder; procedural objects need none."""
    size_px: int = 128
    """Width and height of the views of objects."""
    inputs: int = 4
    """Views that are shown."""
    targets: int = 4
    """Views that are not."""
    seed: int = 0
    """Of procedural objects."""

    def place(self, kind: str) -> Path:
        """The path; InputError without one."""
        if self.path is None:
            hint = f"Say where they are: --path PATH, or take --data {SYNTHETIC}."
            raise InputError("the examples' place is not told", field="path", expected=f"a place of {kind}", hint=hint)
        return self.path


def _archives(o: DataOptions, kind: str, split: Literal["train", "test"]) -> ObjectArchives:
    """One HDF5 file, or all those of a folder."""
    place = o.place(kind)
    files = (place,) if not place.is_dir() else tuple(sorted({*place.glob("*.h5"), *place.glob("*.hdf5")}))
    if not files:
        raise InputError("no HDF5 files", where=place, expected="*.h5 or *.hdf5")
    return ObjectArchives(files, split, size_px=o.size_px, inputs=o.inputs, targets=o.targets)


def _evaluated_scenes(o: DataOptions, kind: str) -> SceneChunks:
    """The scenes of the test split that the protocol's file beside it names."""
    root = o.place(kind)
    return SceneChunks(root, "test", SCENE_KINDS[kind], evaluation_index_in(root), size_px=o.size_px)


def _meshes(o: DataOptions) -> MeshObjects:
    return MeshObjects(o.place("meshes"), o.size_px, inputs=o.inputs, targets=o.targets)


@dataclass(frozen=True)
class Part:
    """Some of the examples of a supply."""

    whole: Examples
    indices: tuple[int, ...]

    def __len__(self) -> int:
        return len(self.indices)

    def sample(self, index: int, generator: torch.Generator) -> Example:
        """The whole supply's."""
        return self.whole.sample(self.indices[index], generator)

    def evaluation(self, index: int) -> Example:
        """The whole supply's."""
        return self.whole.evaluation(self.indices[index])


HELD_OUT_EVERY, HELD_OUT_FROM = 8, 3
"""Of meshes, by name: each eighth is not learned from, the first included, where there are three or more."""


def _parted(whole: Examples, *, held_out: bool) -> Part:
    """What is learned from, or what is not."""
    out = range(0, len(whole), HELD_OUT_EVERY) if len(whole) >= HELD_OUT_FROM else range(0)
    return Part(whole, tuple(i for i in range(len(whole)) if (i in out) == held_out))


SYNTHETIC = "synthetic"
Opener = Callable[[DataOptions], Examples]
TRAINING_DATA: Mapping[str, Opener] = {
    SYNTHETIC: lambda o: SyntheticObjects(ENDLESS, o.size_px, inputs=o.inputs, targets=o.targets, seed=o.seed),
    "meshes": lambda o: _parted(_meshes(o), held_out=False),
    "gobjaverse": lambda o: _archives(o, "gobjaverse", "train"),
    "re10k": lambda o: SceneChunks(o.place("re10k"), size_px=o.size_px, targets=o.targets),
    "acid": lambda o: SceneChunks(o.place("acid"), kind=SCENE_KINDS["acid"], size_px=o.size_px, targets=o.targets),
}
"""What models learn from; a new layout is a line here and one below."""
TEST_DATA: Mapping[str, Opener] = {
    SYNTHETIC: lambda o: SyntheticObjects(
        16, o.size_px, inputs=o.inputs, targets=o.targets, seed=o.seed + HELD_OUT_SEED
    ),
    "meshes": _meshes,
    "gobjaverse": lambda o: _archives(o, "gobjaverse", "test"),
    "gso": lambda o: ScannedObjects(o.place("gso"), o.size_px, inputs=o.inputs, targets=o.targets),
    "co3d": lambda o: _archives(o, "co3d", "test"),
    "re10k": lambda o: _evaluated_scenes(o, "re10k"),
    "acid": lambda o: _evaluated_scenes(o, "acid"),
    "dtu": lambda o: _evaluated_scenes(o, "dtu"),
}
"""What they are judged by."""
HELD_OUT_DATA: Mapping[str, Opener] = {"meshes": lambda o: _parted(_meshes(o), held_out=True)}
"""What a training is scored by where that is not all of :data:`TEST_DATA`."""


def open_examples(layouts: Mapping[str, Opener], kind: str, options: DataOptions) -> Examples:
    """The examples in one of the ``layouts``. InputError for another name, or a place that cannot be used."""
    if kind not in layouts:
        raise InputError("no such layout of data", field="data", expected=", ".join(layouts), got=repr(kind))
    return layouts[kind](options)


def held_out_examples(kind: str, options: DataOptions) -> Examples | None:
    """What a training is scored by and does not learn from; None where there is too little to part.

    Raises InputError like :func:`open_examples`.
    """
    found = open_examples(HELD_OUT_DATA if kind in HELD_OUT_DATA else TEST_DATA, kind, options)
    return found if len(found) else None


def told(kind: str, options: DataOptions, *, pool: int | None = None) -> str:
    """What run.json says of the examples."""
    place = f"seed {options.seed}" if options.path is None else str(options.path.resolve())
    if kind == "meshes":
        place += f" but each {HELD_OUT_EVERY}th"
    kept = "" if pool is None else f", the first {pool} with one draw of views each"
    return f"{kind}, {place}, {options.size_px} px, {options.inputs} + {options.targets} views{kept}"
