"""Objects in HDF5 files in the layout of Gobjaverse as LaRa publishes it, and of Co3D as GD publishes it.

Per object a group with, for i = 0, 1, ...: ``image_i`` (uint8 [512, 512, 4]), ``c2w_i`` (float32 [4, 4], OpenCV axes),
``fov_i`` (radians, x and y); ``groups/groups_n_j`` lists the views of the j-th of n groups of like positions.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import torch

from veduta.core import Example, InputError, MissingDependencyError
from veduta.data.checks import rigid_pose
from veduta.data.cutouts import Cutout, cutout_example, fov_camera
from veduta.data.object_views import one_of_each
from veduta.io.paths import inside, require_file

PICTURE_PX = 512
"""Width and height of the pictures as published."""
TEST_EVERY = 10
_MAX_CHUNK_BYTES = 1 << 28
_MAX_GROUP = 10_000
_MAX_OBJECTS = 10_000_000
_WHAT = "an HDF5 file of objects"


@dataclass(frozen=True)
class ObjectArchives:
    """The objects of one or several HDF5 files; needs h5py (extra ``feedforward``).

    Without a ``splits`` group every tenth object by name is for testing and the others for training; with one, its
    ``test`` list is both. Groups are stored for 2 to 6 views. Training draws one view of each of ``inputs`` groups,
    in random order, and the targets the same way (they may coincide); the protocol of evaluation shows the first view
    of every group and judges by the last. Examples are in the frame of the first input; near and far lie 0.8 before
    and behind the distance of its camera.
    """

    files: tuple[Path, ...]
    split: Literal["train", "test"] = "train"
    size_px: int = PICTURE_PX
    """Smaller than 512: pictures are reduced by area."""
    inputs: int = 4
    targets: int = 4

    @cached_property
    def objects(self) -> tuple[tuple[Path, str], ...]:
        """File and name of every object, by file and name."""
        return tuple((path, name) for path in self.files for name in _names(path, self.split))

    def __len__(self) -> int:
        return len(self.objects)

    def sample(self, index: int, generator: torch.Generator) -> Example:
        """One random view of every group; see the class."""
        path, name = self.objects[index]
        with _opened(path) as file:
            stored = _StoredObject(file, path, name)
            inputs = one_of_each(stored.groups(self.inputs), generator)
            targets = one_of_each(stored.groups(self.targets), generator)
            return self._example(stored, inputs, targets)

    def evaluation(self, index: int) -> Example:
        """The first view of every group is shown, the last one judges."""
        path, name = self.objects[index]
        with _opened(path) as file:
            stored = _StoredObject(file, path, name)
            inputs = [group[0] for group in stored.groups(self.inputs)]
            targets = [group[-1] for group in stored.groups(self.targets)]
            return self._example(stored, inputs, targets)

    def _example(self, stored: _StoredObject, inputs: Sequence[int], targets: Sequence[int]) -> Example:
        shown, judged = ([stored.cutout(view) for view in views] for views in (inputs, targets))
        return cutout_example(stored.name, shown, judged, size_px=self.size_px)


@dataclass(frozen=True, eq=False)
class _StoredObject:
    """One object's group, read with suspicion."""

    file: Any
    path: Path
    name: str

    def groups(self, count: int) -> list[list[int]]:
        """Views of each of ``count`` groups."""
        return [self._group(f"groups/groups_{count}_{j}") for j in range(count)]

    def _group(self, field: str) -> list[int]:
        dataset = self._dataset(field, "whole numbers, one or more")
        kind = getattr(dataset.dtype, "kind", "")
        if len(dataset.shape) != 1 or not 0 < dataset.shape[0] <= _MAX_GROUP or kind not in "iu":
            raise self._wrong(field, "one or more whole numbers", f"{dataset.dtype} {tuple(dataset.shape)}")
        return [int(view) for view in self._read(dataset, field)]

    def cutout(self, view: int) -> Cutout:
        """Picture and camera of a view."""
        rgba = torch.from_numpy(self._array(f"image_{view}", (PICTURE_PX, PICTURE_PX, 4), "u", 1))
        pose = torch.from_numpy(self._array(f"c2w_{view}", (4, 4), "f", 8)).double()
        fov = [float(angle) for angle in self._array(f"fov_{view}", (2,), "f", 8)]
        if not all(math.isfinite(angle) and 0 < angle < math.pi for angle in fov):
            raise self._wrong(f"fov_{view}", "two angles between 0 and pi", fov)
        rigid = rigid_pose(pose, where=self.path, field=f"{self.name}/c2w_{view}", hint="Export the object again.")
        camera = fov_camera(rigid, (fov[0], fov[1]), width=PICTURE_PX, height=PICTURE_PX)
        return Cutout(name=f"{view:04d}", rgba=rgba, camera=camera)

    def _array(self, field: str, shape: tuple[int, ...], kind: str, most_bytes: int) -> Any:
        """A small array of a known shape, in memory."""
        dataset = self._dataset(field, f"an array {shape}")
        if tuple(dataset.shape) != shape or dataset.dtype.kind != kind or dataset.dtype.itemsize > most_bytes:
            raise self._wrong(
                field, f"{'uint8' if kind == 'u' else 'floats'} {shape}", f"{dataset.dtype} {dataset.shape}"
            )
        return self._read(dataset, field)

    def _dataset(self, field: str, expected: str) -> Any:
        """A dataset whose values lie in this file, in chunks of a sane size."""
        import h5py

        found = _member(self.file, self.path, f"{self.name}/{field}")
        if not isinstance(found, h5py.Dataset):
            raise self._wrong(field, expected, "a group")
        chunk = math.prod(found.chunks or (1,)) * found.dtype.itemsize
        if found.is_virtual or found.external or chunk > _MAX_CHUNK_BYTES:
            raise self._wrong(field, "values in this file", "values elsewhere, or in chunks of an absurd size")
        return found

    def _read(self, dataset: Any, field: str) -> Any:
        try:
            return dataset[()]
        except (OSError, RuntimeError, ValueError) as error:
            raise self._wrong(field, "values that can be read", error) from error

    def _wrong(self, field: str, expected: str, got: object) -> InputError:
        return InputError(
            "not what an object's field holds",
            where=self.path,
            field=f"{self.name}/{field}",
            expected=expected,
            got=got,
            hint="Download the file again, or compare its layout with the documentation.",
        )


def _names(path: Path, split: str) -> list[str]:
    """Names of the objects of a split."""
    with _opened(path) as file:
        if "splits" in file:
            return _listed(_member(file, path, "splits/test"), path)
        names = sorted(file.keys())
    if not names:
        raise InputError("the file is empty", where=path, expected="a group for every object", got="none")
    tested = set(names[::TEST_EVERY])
    return [name for name in names if (name in tested) == (split == "test")]


def _listed(names: Any, path: Path) -> list[str]:
    """The names that a split lists."""
    shape = getattr(names, "shape", ())
    if len(shape) != 1 or not 0 < shape[0] <= _MAX_OBJECTS or names.dtype.kind not in "SO":
        raise InputError(
            "no list of objects", where=path, field="splits/test", expected=f"1 to {_MAX_OBJECTS} names", got=shape
        )
    return [name.decode(errors="replace") if isinstance(name, bytes) else str(name) for name in names[()]]


def _member(file: Any, path: Path, field: str) -> Any:
    """A member of the file by its path; links may lead to files of the same folder, to nothing else."""
    import h5py

    found: Any = file
    for part in field.split("/"):
        link = found.get(part, getlink=True) if isinstance(found, h5py.Group) else None
        if isinstance(link, h5py.SoftLink):
            raise InputError("a soft link", where=path, field=field, expected="the values themselves", got=link.path)
        if isinstance(link, h5py.ExternalLink):
            inside(path.parent, link.filename, where=path, field=field)
        try:
            found = found[part] if link is not None else None
        except (KeyError, OSError, RuntimeError) as error:
            raise InputError("cannot be read", where=path, field=field, expected=_WHAT, got=error) from error
        if found is None:
            raise InputError(
                "missing",
                where=path,
                field=field,
                expected="the layout of Gobjaverse or Co3D in HDF5",
                hint="Groups exist for 2 to 6 views." if "groups_" in field else "Download the file again.",
            )
    return found


@contextmanager
def _opened(path: Path) -> Iterator[Any]:
    try:
        import h5py
    except ImportError as error:
        raise MissingDependencyError(
            "reading HDF5 files needs h5py", got=str(error), hint='Install it: pip install "veduta[feedforward]"'
        ) from error
    require_file(path, what=_WHAT)
    try:
        file = h5py.File(path, "r")
    except OSError as error:
        raise InputError(
            "cannot read the file", where=path, expected=_WHAT, got=error, hint="Download it again."
        ) from error
    with file:
        yield file
