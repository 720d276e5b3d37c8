"""Google's scanned objects in the published layout."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from tests.unit.data.published import object_rig, rgba, write_scanned
from veduta.core import Examples, InputError
from veduta.data import ScannedObjects
from veduta.data.object_views import camera_groups, members


@pytest.fixture(scope="module")
def scanned(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("gso")
    write_scanned(folder, "mug")
    write_scanned(folder, "boot", views=9)
    return folder


def test_evaluation_shows_the_views_nearest_to_the_means(scanned: Path) -> None:
    objects = ScannedObjects(scanned, size_px=512)
    assert isinstance(objects, Examples)
    assert [path.name for path in objects.objects] == ["boot", "mug"]
    example = objects.evaluation(1)
    positions = object_rig(3, 12)[:, :3, 3]
    inputs = [int(name[2:]) for name in example.inputs.names]
    for group, chosen in zip(members(camera_groups(positions, 4)), inputs, strict=True):
        middle = positions[group].mean(dim=0)
        assert chosen == min(group, key=lambda view: float((positions[view] - middle).norm()))
    targets = [int(name[2:]) for name in example.targets.names]
    rest = [view for view in range(12) if view not in inputs]
    assert targets == [rest[group[-1]] for group in members(camera_groups(positions[rest], 4))]
    assert (example.near, example.far) == (0.5, 2.5)
    assert not set(inputs) & set(targets)


def test_opengl_poses_pictures_intrinsics_and_depth(scanned: Path) -> None:
    example = ScannedObjects(scanned).evaluation(1)
    view = int(example.inputs.names[2][2:])
    poses, first = object_rig(3, 12), int(example.inputs.names[0][2:])
    found = example.inputs.cameras.world_from_camera
    expected = torch.linalg.inv(poses[first]) @ poses[view]
    assert torch.allclose(torch.linalg.inv(found[0]) @ found[2], expected, atol=1e-5)
    matrix = torch.tensor([[700.0, 0, 256.0], [0, 705.0, 250.0], [0, 0, 1]])
    assert torch.equal(example.inputs.cameras.intrinsics[2], matrix)
    stored = torch.from_numpy(rgba(view)).float() / 255
    assert torch.allclose(example.inputs.rgb[2], stored[..., :3], atol=1e-6)
    assert example.input_alpha is not None
    assert torch.allclose(example.input_alpha[2], stored[..., 3], atol=1e-6)
    # Depth is stored from the bottom up; beyond far it is unknown.
    shallow = ScannedObjects(scanned, inputs=6, targets=6)
    whole = shallow.evaluation(1)
    for part in (whole.inputs, whole.targets):
        for row, name in enumerate(part.names):
            known = int(name[2:]) < 2
            assert part.depth is not None
            assert part.depth_valid is not None
            assert bool(part.depth_valid[row, :256].all()) == known
            assert not bool(part.depth_valid[row, 256:].any())
            if known:
                assert float(part.depth[row, 0, 0]) == 1.0 + int(name[2:])


def test_training_draws_from_groups(scanned: Path) -> None:
    objects = ScannedObjects(scanned, size_px=32)
    drawn = {objects.sample(0, torch.Generator().manual_seed(seed)).inputs.names for seed in range(4)}
    assert len(drawn) > 1
    assert objects.sample(0, torch.Generator()).inputs.depth is None


def _edited(folder: Path, change: dict[str, Any]) -> Path:
    path = write_scanned(folder, "x", views=8)
    content = json.loads(path.read_text())
    for frame in content["frames"]:
        frame.update(change)
    path.write_text(json.dumps(content))
    return path


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"file_path": "../../secret.png"}, "leaves its folder"),
        ({"file_path": "/etc/passwd"}, "leaves its folder"),
        ({"file_path": 3}, "file_path"),
        ({"file_path": "gone.png"}, "no such file"),
        ({"transform_matrix": [[1, 2], [3, 4]]}, "transform_matrix.*4 rows"),
        ({"transform_matrix": "eye"}, "transform_matrix"),
        ({"transform_matrix": [[1e300] * 4] * 4}, "transform_matrix"),
        ({"transform_matrix": [[2.0, 0, 0, 0], [0, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]]}, "transform_matrix.*rigid"),
        ({"intrinsic_matrix": None}, "intrinsic_matrix"),
        ({"intrinsic_matrix": [[-1.0, 0, 1], [0, 1, 1], [0, 0, 1]]}, "intrinsic_matrix.*focal"),
    ],
)
def test_hostile_transforms_are_told_by_field(tmp_path: Path, change: dict[str, Any], message: str) -> None:
    path = _edited(tmp_path, change)
    with pytest.raises(InputError, match=message) as caught:
        ScannedObjects(tmp_path).evaluation(0)
    assert str(path.parent) in str(caught.value)


@pytest.mark.parametrize("damage", ["size", "opaque", "pfm", "pfm header", "pfm short", "frames", "few"])
def test_hostile_pictures_are_told_by_file(tmp_path: Path, damage: str) -> None:
    path = write_scanned(tmp_path, "x", views=7 if damage == "few" else 8)
    for i in range(8):
        picture, depth = path.parent / f"r_{i:03d}.png", path.parent / "depth" / f"r_{i:03d}.pfm"
        if damage == "size":
            Image.fromarray(np.zeros((100, 512, 4), dtype=np.uint8)).save(picture)
        elif damage == "opaque":
            Image.fromarray(np.zeros((512, 512, 3), dtype=np.uint8)).save(picture)
        elif damage == "pfm":
            depth.write_bytes(b"PF\n512 512\n-1.0\n" + bytes(512 * 512 * 4))
        elif damage == "pfm header":
            depth.write_bytes(b"Pf\nwide high\n")
        elif damage == "pfm short":
            depth.write_bytes(b"Pf\n512 512\n-1.0\n" + bytes(77))
    if damage == "frames":
        path.write_text('{"frames": [3]}')
    expected = {
        "size": "512 x 100",
        "opaque": "no transparency",
        "pfm": "PFM with one channel",
        "pfm header": "PFM with one channel",
        "pfm short": "cut off",
        "frames": "no list of views",
        "few": "too few views",
    }
    with pytest.raises(InputError, match=expected[damage]):
        ScannedObjects(tmp_path).evaluation(0)


def test_folders_without_objects_are_told(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no objects"):
        ScannedObjects(tmp_path)
    with pytest.raises(InputError, match="no such folder"):
        ScannedObjects(tmp_path / "gone")
