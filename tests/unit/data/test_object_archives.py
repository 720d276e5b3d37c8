"""Objects from HDF5 files in the published layout: protocols, cameras, hostile files."""

from __future__ import annotations

import math
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from tests.unit.data.published import object_rig, rgba, write_archive
from veduta.core import Examples, InputError, MissingDependencyError
from veduta.data import ObjectArchives

h5py = pytest.importorskip("h5py")
pytestmark = pytest.mark.filterwarnings("default::DeprecationWarning")

NAMES = [f"object_{i:02d}" for i in range(12)]


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("h5") / "gobjaverse.h5"
    write_archive(path, NAMES, views=9)
    return path


def _groups(path: Path, name: str, count: int) -> list[list[int]]:
    with h5py.File(path) as file:
        return [file[f"{name}/groups/groups_{count}_{j}"][()].tolist() for j in range(count)]


def test_every_tenth_name_is_for_testing(archive: Path) -> None:
    test, train = (ObjectArchives((archive,), split=split) for split in ("test", "train"))
    assert isinstance(test, Examples)
    assert [name for _, name in test.objects] == ["object_00", "object_10"]
    assert [name for _, name in train.objects] == [n for n in NAMES if n not in ("object_00", "object_10")]
    assert len(train) == 10


def test_a_list_of_splits_is_both(tmp_path: Path) -> None:
    files = tuple(tmp_path / f"co3d_{category}.hdf5" for category in ("hydrant", "teddybear"))
    for path in files:
        write_archive(path, ["a", "b", "c"], splits=["c", "a"], views=6)
    objects = ObjectArchives(files, split="test")
    assert [(path.name, name) for path, name in objects.objects] == [(f.name, n) for f in files for n in ("c", "a")]
    assert objects.objects == ObjectArchives(files, split="train").objects
    assert objects.evaluation(3).name == "a"


@pytest.mark.parametrize("count", [2, 4])
def test_evaluation_shows_the_first_of_each_group_and_judges_by_the_last(archive: Path, count: int) -> None:
    objects = ObjectArchives((archive,), split="test", inputs=count, targets=count)
    example = objects.evaluation(1)
    groups = _groups(archive, "object_10", count)
    assert [int(name) for name in example.inputs.names] == [group[0] for group in groups]
    assert [int(name) for name in example.targets.names] == [group[-1] for group in groups]
    again = objects.evaluation(1)
    assert torch.equal(example.inputs.rgb, again.inputs.rgb)


def test_training_draws_one_view_of_each_group_in_any_order(archive: Path) -> None:
    objects = ObjectArchives((archive,), split="train", size_px=16)
    groups = _groups(archive, objects.objects[2][1], 4)
    orders, views = set(), set()
    for seed in range(14):
        example = objects.sample(2, torch.Generator().manual_seed(seed))
        for part in (example.inputs, example.targets):
            belongs = [next(g for g, group in enumerate(groups) if int(name) in group) for name in part.names]
            assert sorted(belongs) == [0, 1, 2, 3]
            orders.add(tuple(belongs))
        views |= set(example.inputs.names)
    assert len(orders) > 5
    assert len(views) > 6


def test_pictures_and_cameras_are_as_stored(archive: Path) -> None:
    example = ObjectArchives((archive,), split="test").evaluation(0)
    view = int(example.inputs.names[1])
    stored = torch.from_numpy(rgba(view)).float() / 255
    assert torch.equal(example.inputs.rgb[1], stored[..., :3])
    assert example.input_alpha is not None
    assert torch.equal(example.input_alpha[1], stored[..., 3])
    cameras = example.inputs.cameras
    matrix = torch.tensor([[256 / math.tan(0.35), 0, 256], [0, 256 / math.tan(0.4), 256], [0, 0, 1]])
    assert torch.allclose(cameras.intrinsics, matrix.expand(4, 3, 3), rtol=1e-6)
    # Poses relative to the first one are the stored ones; near and far are about its distance.
    poses = object_rig(0, 9)
    ids = [int(name) for name in example.inputs.names]
    relative = torch.linalg.inv(cameras.world_from_camera[0]) @ cameras.world_from_camera[1]
    assert torch.allclose(relative, torch.linalg.inv(poses[ids[0]]) @ poses[ids[1]], atol=1e-5)
    distance = float(poses[ids[0]][:3, 3].norm())
    assert example.near == pytest.approx(distance - 0.8, abs=1e-5)
    assert example.far == pytest.approx(distance + 0.8, abs=1e-5)


def test_reduction_keeps_cameras_and_weighs_colour_by_coverage(archive: Path) -> None:
    small = ObjectArchives((archive,), split="test", size_px=64).evaluation(0)
    full = ObjectArchives((archive,), split="test").evaluation(0)
    assert small.input_alpha is not None
    assert full.input_alpha is not None
    assert float(small.input_alpha.mean()) == pytest.approx(float(full.input_alpha.mean()), rel=1e-5)
    covered = small.input_alpha > 0
    colours = full.inputs.rgb[:, :1, :1].expand_as(small.inputs.rgb)
    assert torch.allclose(small.inputs.rgb[covered], colours[covered], atol=1e-5)
    assert torch.allclose(small.inputs.cameras.intrinsics[:, :2] * 8, full.inputs.cameras.intrinsics[:, :2])


def test_a_master_file_may_link_to_its_parts(tmp_path: Path) -> None:
    write_archive(tmp_path / "part_0.h5", ["a"], views=6)
    with h5py.File(tmp_path / "master.h5", "w") as file:
        file["a"] = h5py.ExternalLink("part_0.h5", "/a")
    assert ObjectArchives((tmp_path / "master.h5",), split="test", size_px=8).evaluation(0).name == "a"


def _broken(tmp_path: Path, damage: str) -> Path:
    path = tmp_path / "x.h5"
    write_archive(path, ["a"], views=6)
    if damage == "cut off":
        path.write_bytes(path.read_bytes()[:-2000])
        return path
    if damage == "text":
        path.write_text("no archive")
        return path
    with h5py.File(path, "r+") as file:
        group = file["a"]
        if damage == "other size":
            _replace(group, np.zeros((512, 256, 4), dtype=np.uint8))
        elif damage == "absurd size":
            del group["image_0"]
            group.create_dataset("image_0", shape=(1 << 20, 1 << 20, 4), dtype=np.uint8, chunks=(512, 512, 4))
        elif damage == "absurd chunk":
            del group["image_0"]
            group.create_dataset(
                "image_0", shape=(512, 512, 4), maxshape=(None, 512, 4), dtype=np.uint8, chunks=(1 << 19, 512, 4)
            )
        elif damage == "floats":
            _replace(group, np.zeros((512, 512, 4), dtype=np.float32))
        elif damage == "elsewhere":
            del group["image_0"]
            (tmp_path / "raw").write_bytes(bytes(512 * 512 * 4))
            external = [(str(tmp_path / "raw"), 0, 512 * 512 * 4)]
            group.create_dataset("image_0", shape=(512, 512, 4), dtype=np.uint8, external=external)
        elif damage == "escape":
            del group["image_0"]
            group["image_0"] = h5py.ExternalLink("../y.h5", "/a")
        elif damage == "soft":
            del group["image_0"]
            group["image_0"] = h5py.SoftLink("/a/image_1")
        elif damage == "no group":
            del group["groups"]
        elif damage == "odd group":
            del group["groups/groups_4_0"]
            group["groups/groups_4_0"] = np.zeros((2, 2))
        elif damage == "no view":
            del group["groups/groups_4_0"]
            group["groups/groups_4_0"] = np.array([77], dtype=np.uint8)
        elif damage == "a group for a picture":
            del group["image_0"]
            group.create_group("image_0")
        elif damage == "pose":
            group["c2w_0"][...] = np.full((4, 4), np.nan)
        elif damage == "fov":
            group["fov_0"][...] = [0.0, 9.0]
        elif damage == "no names":
            file["splits/test"] = np.zeros(3)
        elif damage == "empty":
            del file["a"]
    return path


def _replace(group: Any, values: np.ndarray) -> None:
    del group["image_0"]
    group["image_0"] = values


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        ("cut off", "cannot read|cannot be read|not what"),
        ("text", "cannot read the file"),
        ("other size", "image_0.*uint8.*512, 512, 4"),
        ("absurd size", "image_0.*1048576"),
        ("absurd chunk", "image_0.*absurd size"),
        ("floats", "image_0.*float32"),
        ("elsewhere", "image_0.*elsewhere"),
        ("escape", "image_0.*leaves its folder"),
        ("soft", "soft link"),
        ("no group", "groups_4_0.*missing"),
        ("odd group", "groups_4_0.*whole numbers"),
        ("no view", "image_77.*missing"),
        ("a group for a picture", "image_0.*a group"),
        ("pose", "c2w_0.*not finite"),
        ("fov", "fov_0.*between 0 and pi"),
        ("no names", "splits/test"),
        ("empty", "empty"),
    ],
)
def test_hostile_files_are_told_by_field(tmp_path: Path, damage: str, message: str) -> None:
    path = _broken(tmp_path, damage)
    with pytest.raises(InputError, match=message) as caught:
        ObjectArchives((path,), split="test").evaluation(0)
    assert str(path) in str(caught.value)


def test_without_h5py_the_package_is_named(archive: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "h5py", None)
    with pytest.raises(MissingDependencyError, match=r"veduta\[feedforward\]"):
        len(ObjectArchives((archive,)))


def test_a_missing_file_is_told() -> None:
    with pytest.raises(InputError, match="no such file"):
        len(ObjectArchives((Path("nowhere.h5"),)))
