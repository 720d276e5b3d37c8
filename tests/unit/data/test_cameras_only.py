"""Cameras of captures whose photographs are elsewhere, and cameras that were never photographs."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.unit.data.conftest import ring
from veduta.core import Cameras, InputError
from veduta.data import FileViews, open_capture, read_cameras, write_cameras
from veduta.geometry.lens import pinhole_for

Make = Callable[..., Path]
Json = dict[str, Any]


def some(count: int = 4) -> list[Cameras]:
    cameras = Cameras.pinhole(ring(count), fx=20.0, fy=21.0, cx=12.5, cy=8.25, width=24, height=16)
    cameras = cameras.replace(time=torch.arange(count, dtype=torch.float64) / 3)
    return [cameras[i] for i in range(count)]


def test_what_is_written_is_read_back(tmp_path: Path) -> None:
    cameras, names = some(), [f"photos/{i}.png" for i in range(4)]
    write_cameras(tmp_path / "transforms.json", cameras, names=names, facts=[{"gain_nats": float(i)} for i in range(4)])
    found, read = read_cameras(tmp_path / "transforms.json")
    assert found == names
    for camera, other in zip(cameras, read, strict=True):
        assert torch.allclose(camera.world_from_camera.float(), other.world_from_camera, atol=1e-6)
        assert torch.allclose(camera.intrinsics.float(), other.intrinsics)
        assert torch.equal(camera.time, other.time)
        assert (other.width, other.height, other.lens) == (24, 16, None)
    frames = json.loads((tmp_path / "transforms.json").read_text())["frames"]
    assert [frame["gain_nats"] for frame in frames] == [0.0, 1.0, 2.0, 3.0]


def test_a_lens_is_straightened_as_its_photographs_would_be(tmp_path: Path) -> None:
    write_cameras(tmp_path / "t.json", some(1), names=["a.png"])
    content = json.loads((tmp_path / "t.json").read_text())
    (tmp_path / "t.json").write_text(json.dumps(content | {"camera_model": "OPENCV", "k1": 0.2}))
    _, (camera,) = read_cameras(tmp_path / "t.json")
    assert camera.lens is None
    assert (camera.width, camera.height) != (24, 16)
    assert pinhole_for(camera) is camera


@pytest.mark.parametrize(
    ("change", "field"),
    [
        (lambda content: content.update(frames=[]), "frames"),
        (lambda content: content["frames"][1].pop("w"), "frames[1].w"),
        (lambda content: content["frames"][2].pop("transform_matrix"), "frames[2].transform_matrix"),
        (lambda content: content["frames"][1].update(w=100_000, h=100_000), "frames[1].w"),
        (lambda content: content["frames"][1].update(w=1, h=100_000_000), "frames[1].h"),
        (lambda content: content["frames"][1].update(h=1e300), "frames[1].w"),
        (lambda content: content["frames"][1].update(file_path="\udcff.png"), "frames[1].file_path"),
    ],
)
def test_a_file_without_cameras_is_refused(change: Callable[[Json], object], field: str, tmp_path: Path) -> None:
    write_cameras(tmp_path / "t.json", some(), names=list("abcd"))
    content = json.loads((tmp_path / "t.json").read_text())
    change(content)
    (tmp_path / "t.json").write_text(json.dumps(content))
    with pytest.raises(InputError) as caught:
        read_cameras(tmp_path / "t.json")
    assert caught.value.field is not None
    assert caught.value.field.endswith(field.rpartition(".")[2])


def test_cameras_without_names_are_numbered(tmp_path: Path) -> None:
    write_cameras(tmp_path / "t.json", some(2), names=["a", "b"])
    content = json.loads((tmp_path / "t.json").read_text())
    del content["frames"][1]["file_path"]
    (tmp_path / "t.json").write_text(json.dumps(content))
    assert read_cameras(tmp_path / "t.json")[0] == ["a", "0001"]


@pytest.mark.parametrize("kind", ["colmap", "transforms"])
def test_cameras_are_there_when_photographs_are_not(kind: str, colmap_capture: Make, transforms_capture: Make) -> None:
    folder = {"colmap": colmap_capture, "transforms": transforms_capture}[kind]()
    whole = open_capture(folder)
    for path in (folder / "images").iterdir():
        path.unlink()
    with pytest.raises(InputError, match="9 of 9 photographs are missing"):
        open_capture(folder)
    bare = open_capture(folder, only_cameras=True)
    assert isinstance(bare.train, FileViews)
    assert isinstance(whole.train, FileViews)
    assert bare.train.names == bare.train.missing == whole.train.names
    assert torch.equal(bare.train.camera(3).world_from_camera, whole.train.camera(3).world_from_camera)
    with pytest.raises(InputError, match="no such file"):
        bare.train[0]
