"""Scenes to files and back, in the frame that was asked for."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from tests.cli.tiny import tiny_scene
from veduta.core import Actor, InputError, OutputError, Scene, UnsupportedError
from veduta.geometry.motion import RigidMotion
from veduta.io.ply import read_ply
from veduta.recipes.export import AXES, export_scene, turn_up
from veduta.recipes.runs import load, save

UPS = [*AXES.values(), (0.6, 0.0, 0.8), (-0.6, 0.8, 0.0), (0.0, 0.0, -1.0), (1e-7, 0.0, -1.0), (1.0, 0.0, 0.0)]


@pytest.mark.parametrize("axis", list(AXES.values()))
@pytest.mark.parametrize("up", UPS)
def test_turning_up_is_a_rotation_that_does_it(
    up: tuple[float, float, float], axis: tuple[float, float, float]
) -> None:
    turn = turn_up(torch.tensor(up), axis)
    rotation = turn.rotation
    torch.testing.assert_close(rotation @ rotation.T, torch.eye(3, dtype=torch.float64), atol=1e-9, rtol=0)
    assert float(torch.linalg.det(rotation)) == pytest.approx(1.0)
    unit = torch.nn.functional.normalize(torch.tensor(up).double(), dim=0)
    torch.testing.assert_close(rotation @ unit, torch.tensor(axis).double(), atol=1e-6, rtol=0)
    assert turn.scale == 1.0


def test_turning_up_is_the_smallest_rotation() -> None:
    up = torch.tensor([0.6, 0.0, 0.8], dtype=torch.float64)
    turn = turn_up(up, AXES["z"])
    angle = torch.arccos((torch.trace(turn.rotation) - 1) / 2)
    assert float(angle) == pytest.approx(float(torch.arccos(up[2])))
    torch.testing.assert_close(turn_up(up, (0.6, 0.0, 0.8)).rotation, torch.eye(3).double(), atol=1e-9, rtol=0)


def moving_scene() -> Scene:
    """A background, and an object that is there from 0 to 1 s and moves 2 along x."""
    poses = torch.eye(4, dtype=torch.float64).repeat(2, 1, 1)
    poses[1, 0, 3] = 2.0
    motion = RigidMotion(times=torch.tensor([0.0, 1.0], dtype=torch.float64), world_from_object=poses)
    return Scene(background=tiny_scene(5).background, actors={"car": Actor(tiny_scene(3).background, motion)})


def test_moving_objects_are_exported_where_they_are(tmp_path: Path) -> None:
    scene = moving_scene()
    export_scene(scene, tmp_path / "start.ply")
    export_scene(scene, tmp_path / "end.ply", time=1.0)
    start, end = read_ply(tmp_path / "start.ply"), read_ply(tmp_path / "end.ply")
    moved = end.means - start.means
    torch.testing.assert_close(moved[:5], torch.zeros(5, 3))
    torch.testing.assert_close(moved[5:], torch.tensor([[2.0, 0.0, 0.0]]).expand(3, 3))


def test_absent_objects_are_left_out(tmp_path: Path) -> None:
    written = export_scene(moving_scene(), tmp_path / "late.ply", time=60.0)
    assert len(written) == len(read_ply(tmp_path / "late.ply")) == 5


def test_mistakes_are_told_and_nothing_is_lost(tmp_path: Path) -> None:
    (tmp_path / "a.ply").write_text("mine")
    with pytest.raises(OutputError, match="exists"):
        export_scene(tiny_scene(), tmp_path / "a.ply")
    assert (tmp_path / "a.ply").read_text() == "mine"
    with pytest.raises(InputError, match=r"ends in \.ply or \.splat"):
        export_scene(tiny_scene(), tmp_path / "a.glb")
    with pytest.raises(UnsupportedError, match="which way is up"):
        export_scene(tiny_scene(), tmp_path / "b.ply", rotate_up="z")
    assert [path.name for path in tmp_path.iterdir()] == ["a.ply"]


@pytest.mark.parametrize("suffix", [".ply", ".splat", ".safetensors"])
def test_saved_scenes_are_loaded_again(suffix: str, tmp_path: Path) -> None:
    scene, path = tiny_scene(), tmp_path / f"scene{suffix}"
    save(scene, path)
    loaded = load(path).background
    assert len(loaded) == len(scene.background)
    by_x, expected = loaded.means[:, 0].sort().values, scene.background.means[:, 0].sort().values
    torch.testing.assert_close(by_x, expected)


def test_a_whole_scene_keeps_its_actors(tmp_path: Path) -> None:
    save(moving_scene(), tmp_path / "scene.safetensors")
    assert list(load(tmp_path / "scene.safetensors").actors) == ["car"]


@pytest.mark.parametrize("suffix", [".ply", ".safetensors"])
def test_saving_replaces_only_when_asked_to(suffix: str, tmp_path: Path) -> None:
    path = tmp_path / f"scene{suffix}"
    path.write_text("mine")
    with pytest.raises(OutputError, match="exists"):
        save(tiny_scene(), path)
    assert path.read_text() == "mine"
    save(tiny_scene(), path, overwrite=True)
    assert len(load(path).background) == 40
