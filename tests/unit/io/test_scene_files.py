"""Scenes: exact to the bit, and every corruption named."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from veduta.core import Actor, Gaussians, InputError, OutputError, Scene, Sky
from veduta.geometry.motion import RigidMotion
from veduta.io.scenes import SCHEMA_VERSION, load_scene, save_scene
from veduta.io.tensors import load_tensors, save_tensors


def drive(times: list[float]) -> RigidMotion:
    poses = torch.eye(4, dtype=torch.float64).repeat(len(times), 1, 1)
    poses[:, 0, 3] = torch.tensor(times) * 3
    return RigidMotion(times=torch.tensor(times, dtype=torch.float64), world_from_object=poses, tolerance_s=0.25)


@pytest.fixture(scope="module")
def scene(make_gaussians: Callable) -> Scene:
    return Scene(
        background=make_gaussians(30, degree=2),
        actors={
            "Wagen ä": Actor(make_gaussians(7, degree=1, seed=1), drive([0.0, 0.5, 2.0]), category="car"),
            "b": Actor(make_gaussians(0, degree=0), drive([1.0])),
        },
        sky=Sky(texture=torch.rand(4, 8, 3), up=torch.tensor([0.0, -1.0, 0.0])),
    )


def assert_identical(a: Gaussians, b: Gaussians) -> None:
    for field in ("means", "quats", "scales", "opacities", "sh"):
        assert torch.equal(getattr(a, field), getattr(b, field)), field


def test_what_is_saved_is_loaded_bit_for_bit(tmp_path: Path, scene: Scene) -> None:
    save_scene(scene, tmp_path / "a.safetensors")
    back = load_scene(tmp_path / "a.safetensors")
    assert_identical(back.background, scene.background)
    assert list(back.actors) == ["Wagen ä", "b"]
    assert [actor.category for actor in back.actors.values()] == ["car", "object"]
    for time in (-1.0, 0.0, 0.7, 2.2, 3.0):
        assert_identical(back.at(time), scene.at(time))
    assert back.sky is not None
    assert scene.sky is not None
    assert torch.equal(back.sky.texture, scene.sky.texture)
    assert torch.equal(back.sky.up, scene.sky.up)


def test_a_still_scene_without_a_sky(tmp_path: Path, make_gaussians: Callable) -> None:
    for gaussians in (make_gaussians(3), Gaussians.empty(3), make_gaussians(3).to(torch.float64)):
        save_scene(Scene(background=gaussians), tmp_path / "a.safetensors")
        back = load_scene(tmp_path / "a.safetensors")
        assert_identical(back.background, gaussians)
        assert back.background.means.dtype == gaussians.means.dtype
        assert (back.actors, back.sky) == ({}, None)


def test_equal_scenes_give_equal_files(tmp_path: Path, scene: Scene) -> None:
    save_scene(scene, tmp_path / "a")
    save_scene(load_scene(tmp_path / "a"), tmp_path / "b")
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_gradients_do_not_hinder(tmp_path: Path, make_gaussians: Callable) -> None:
    g = make_gaussians(3)
    save_scene(Scene(background=g.replace(means=g.means.requires_grad_())), tmp_path / "a")
    assert not load_scene(tmp_path / "a").background.means.requires_grad


@pytest.mark.parametrize("version", ["0", str(SCHEMA_VERSION + 1), "x"])
def test_another_schema_version(tmp_path: Path, scene: Scene, version: str) -> None:
    save_scene(scene, tmp_path / "a")
    tensors, metadata = load_tensors(tmp_path / "a")
    save_tensors(tmp_path / "a", tensors, metadata={**metadata, "veduta.scene": version})
    with pytest.raises(InputError, match=rf"schema version: expected {SCHEMA_VERSION}, got {version}") as caught:
        load_scene(tmp_path / "a")
    assert "fit again" in (caught.value.hint or "")


def test_tensors_of_something_else(tmp_path: Path) -> None:
    save_tensors(tmp_path / "a", {"weight": torch.zeros(3)})
    with pytest.raises(InputError, match="not a scene"):
        load_scene(tmp_path / "a")


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("background.means", None, r"field background\.means: a tensor is missing"),
        (
            "background.means",
            torch.zeros(30, 4),
            r"background\.means: .*expected floats of shape \(any, 3\), got float32",
        ),
        ("background.means", torch.zeros(30, 3, dtype=torch.int64), "misshapen: .*got int64 of shape"),
        ("background.means", torch.zeros(29, 3), "field background: the tensors' lengths differ"),
        ("background.opacities", torch.full((30,), float("nan")), r"background\.opacities: a tensor is not finite"),
        ("background.sh", torch.zeros(30, 5, 3), "unknown number of harmonics: expected 1, 4, 9, 16, got 5"),
        ("actor.0.times", torch.tensor([0.0, 2.0, 1.0]), r"actor\.0\.times: corrupt motion"),
        ("actor.0.times", torch.tensor([0.0, 2.0]), r"actor\.0\.times: corrupt motion"),
        ("actor.1.tolerance_s", None, r"actor\.1\.tolerance_s: a tensor is missing"),
        ("sky.up", None, r"sky\.up: a tensor is missing"),
    ],
)
def test_corrupt_tensors(tmp_path: Path, scene: Scene, name: str, value: torch.Tensor | None, message: str) -> None:
    save_scene(scene, tmp_path / "a")
    tensors, metadata = load_tensors(tmp_path / "a")
    del tensors[name]
    save_tensors(tmp_path / "a", tensors if value is None else {**tensors, name: value}, metadata=metadata)
    with pytest.raises(InputError, match=message):
        load_scene(tmp_path / "a")


LABELS = [
    *("", "{", "3", "[3]", "[" * 100_000, '[{"name": "a"}]'),
    '[{"name": 1, "category": "c"}]',
    '[{"name": [], "category": "c"}]',
    '[{"name": "a", "category": "c"}, {"name": "a", "category": "c"}]',
]


@pytest.mark.parametrize("labels", LABELS)
def test_corrupt_labels(tmp_path: Path, scene: Scene, labels: str) -> None:
    save_scene(scene, tmp_path / "a")
    tensors, metadata = load_tensors(tmp_path / "a")
    save_tensors(tmp_path / "a", tensors, metadata={**metadata, "veduta.actors": labels})
    with pytest.raises(InputError, match=r"field veduta\.actors: corrupt"):
        load_scene(tmp_path / "a")


def test_other_motions_are_a_programming_error(tmp_path: Path, make_gaussians: Callable) -> None:
    class Still:
        def place(self, gaussians: Gaussians, time: float) -> Gaussians:
            return gaussians

    with pytest.raises(TypeError, match="actor 'a': expected a RigidMotion, got Still"):
        save_scene(Scene(make_gaussians(1), {"a": Actor(make_gaussians(1), Still())}), tmp_path / "a")


def test_a_full_disk(tmp_path: Path, scene: Scene, full_disk: Callable) -> None:
    save_scene(Scene(Gaussians.empty()), tmp_path / "a")
    with full_disk(), pytest.raises(OutputError):
        save_scene(scene, tmp_path / "a")
    assert len(load_scene(tmp_path / "a").background) == 0
