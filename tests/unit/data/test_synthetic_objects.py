"""Procedural objects: reproducible, varied, inside their box, drawn from where they say."""

from __future__ import annotations

import pickle

import numpy as np
import pytest
import torch

from veduta.core import Examples
from veduta.data import SyntheticObjects
from veduta.data.object_kinds import KINDS
from veduta.geometry import project

pytest.importorskip("embreex")


def _generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@pytest.mark.parametrize("name", KINDS)
def test_every_kind_of_thing_is_sound(name: str) -> None:
    maker, _ = KINDS[name]
    rounds = 16 if name == "package" else 8  # gables are rare
    for seed in range(rounds):
        mesh = maker(np.random.default_rng(seed)).boxed()
        assert float(mesh.vertices[mesh.faces].reshape(-1, 3).norm(dim=1).max()) <= 0.5 + 1e-5
        for part in (mesh.vertices, mesh.normals, mesh.uv, mesh.tint):
            assert bool(torch.isfinite(part).all())
        assert torch.allclose(mesh.normals.norm(dim=1), torch.ones(len(mesh.normals)), atol=1e-3)
        assert int(mesh.faces.max()) < len(mesh.vertices)
        assert int(mesh.material.max()) < len(mesh.materials)
        assert 100 < len(mesh.faces) < 150_000


def test_examples_are_what_they_promise() -> None:
    objects = SyntheticObjects(1000, size_px=32, inputs=3, targets=2, seed=5)
    assert isinstance(objects, Examples)
    assert len(objects) == 1000
    example = objects.sample(7, _generator())
    assert example.inputs.rgb.shape == (3, 32, 32, 3)
    assert example.targets.rgb.shape == (2, 32, 32, 3)
    assert example.input_alpha is not None
    assert example.input_alpha.shape == (3, 32, 32)
    assert example.target_alpha is not None
    for picture in (example.inputs.rgb, example.targets.rgb, example.input_alpha, example.target_alpha):
        assert 0 <= float(picture.min()) <= float(picture.max()) <= 1
    assert float(example.input_alpha.mean()) > 0.02
    apart = torch.cdist(example.inputs.cameras.positions_world, example.targets.cameras.positions_world)
    assert float(apart.min()) > 1e-3
    # Aligned, and between near and far.
    first = example.inputs.cameras.world_from_camera[0]
    assert torch.allclose(first[:3, :3], torch.eye(3), atol=1e-6)
    depth = example.targets.depth
    assert depth is not None
    seen = depth[example.targets.depth_valid]
    assert example.near < float(seen.min()) < float(seen.max()) < example.far + 0.05


def test_the_same_seed_gives_the_same_bits_and_another_another_object() -> None:
    objects = SyntheticObjects(10, size_px=24, seed=1)
    first, again, moved, other = (
        objects.sample(3, _generator(0)),
        SyntheticObjects(99, size_px=24, seed=1).sample(3, _generator(0)),
        objects.sample(3, _generator(1)),
        SyntheticObjects(10, size_px=24, seed=2).sample(3, _generator(0)),
    )
    assert torch.equal(first.inputs.rgb, again.inputs.rgb)
    assert not torch.equal(first.inputs.rgb, moved.inputs.rgb)
    assert not torch.equal(first.inputs.rgb, other.inputs.rgb)
    assert torch.equal(objects.evaluation(3).targets.rgb, objects.evaluation(3).targets.rgb)
    assert torch.equal(objects.mesh(3).vertices, objects.mesh(3).vertices)


def test_pictures_fit_the_cameras_that_come_with_them() -> None:
    """Points lifted from one view by its depth land on the object in the others."""
    for index in range(4):
        example = SyntheticObjects(10, size_px=48, seed=2).evaluation(index)
        views, alpha = example.inputs, example.input_alpha
        assert views.depth is not None
        assert alpha is not None
        rows, columns = torch.nonzero(alpha[0] == 1, as_tuple=True)
        matrix = views.cameras.intrinsics[0]
        z = views.depth[0][rows, columns]
        x = (columns + 0.5 - matrix[0, 2]) / matrix[0, 0] * z
        y = (rows + 0.5 - matrix[1, 2]) / matrix[1, 1] * z
        pose = views.cameras.world_from_camera[0]
        world = torch.stack([x, y, z], dim=1) @ pose[:3, :3].T + pose[:3, 3]
        pixels, _ = project(world, example.targets.cameras)
        assert example.target_alpha is not None
        grown = torch.nn.functional.max_pool2d(example.target_alpha[:, None], 3, 1, 1)[:, 0] > 0
        inside = (pixels > 0).all(-1) & (pixels < 48).all(-1)
        for view in range(len(grown)):
            at = pixels[view][inside[view]].long()
            assert float(grown[view][at[:, 1], at[:, 0]].float().mean()) > 0.99


def test_inputs_come_from_all_sides() -> None:
    objects = SyntheticObjects(10, size_px=8)
    for seed in range(5):
        positions = objects.sample(0, _generator(seed)).inputs.cameras.positions_world
        directions = torch.nn.functional.normalize(positions, dim=1)
        assert float((directions @ directions.T - 2 * torch.eye(4)).max()) < 0.97


def test_objects_vary() -> None:
    """Mean colours and coverage of a few dozen objects spread widely."""
    objects = SyntheticObjects(100, size_px=16, inputs=2, targets=1, seed=9)
    looks = []
    for index in range(30):
        example = objects.evaluation(index)
        assert example.input_alpha is not None
        covered = example.input_alpha > 0
        looks.append(torch.cat([example.inputs.rgb[covered].mean(dim=0), covered.float().mean()[None]]))
    assert float(torch.stack(looks).std(dim=0).min()) > 0.08


def test_supplies_travel_to_worker_processes() -> None:
    objects = pickle.loads(pickle.dumps(SyntheticObjects(5, size_px=8, inputs=2, targets=1)))
    assert torch.equal(
        objects.evaluation(2).inputs.rgb, SyntheticObjects(5, 8, inputs=2, targets=1).evaluation(2).inputs.rgb
    )


def test_indices_beyond_the_count_are_refused() -> None:
    with pytest.raises(AssertionError):
        SyntheticObjects(3, size_px=8).sample(3, _generator())
