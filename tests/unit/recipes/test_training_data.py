"""Every published layout opens by its name."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from tests.unit.data.published import scene, write_archive, write_chunks, write_scanned
from tests.unit.recipes.objects import Balls
from veduta.core import InputError
from veduta.data import MeshObjects
from veduta.recipes.training.data import TEST_DATA, TRAINING_DATA, DataOptions, held_out_examples, open_examples


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    pytest.importorskip("h5py")
    folder = tmp_path_factory.mktemp("published")
    (folder / "co3d").mkdir()
    write_archive(folder / "gobjaverse", ["a", "b"], views=6)
    write_archive(folder / "co3d" / "co3d_hydrant.hdf5", ["h"], splits=["h"], views=6)
    write_scanned(folder / "gso", "mug", views=8)
    for kind, size in {"re10k": (640, 360), "acid": (640, 360), "dtu": (640, 512)}.items():
        write_chunks(folder / kind / "train", {"000000.torch": [scene("s", 50, size=size)]})
        write_chunks(folder / kind / "test", {"000000.torch": [scene("s", 4, size=size)]})
        index = {"s": {"context": [0, 3], "target": [1, 2]}}
        (folder / kind / f"evaluation_index_{kind}.json").write_text(json.dumps(index))
    return folder


@pytest.mark.parametrize("kind", ["gobjaverse", "gso", "co3d", "re10k", "acid", "dtu"])
def test_layouts_to_be_judged_by(root: Path, kind: str) -> None:
    examples = open_examples(TEST_DATA, kind, DataOptions(path=root / kind, size_px=32))
    assert len(examples) == 1
    example = examples.evaluation(0)
    assert example.inputs.rgb.shape[1:] == (32, 32, 3)
    assert (example.input_alpha is None) == (kind in ("re10k", "acid", "dtu"))


@pytest.mark.parametrize("kind", ["gobjaverse", "re10k", "acid"])
def test_layouts_to_learn_from(root: Path, kind: str) -> None:
    examples = open_examples(TRAINING_DATA, kind, DataOptions(path=root / kind, size_px=16, targets=3))
    example = examples.sample(0, torch.Generator().manual_seed(0))
    assert example.targets.rgb.shape == (3, 16, 16, 3)


@pytest.mark.parametrize(("count", "held_out"), [(1, []), (2, []), (3, [0]), (8, [0]), (9, [0, 8]), (17, [0, 8, 16])])
def test_meshes_that_scores_come_from_are_not_learned_from(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, count: int, held_out: list[int]
) -> None:
    for number in reversed(range(count)):
        (tmp_path / f"{number:02d}.obj").write_text("")
    drawn = Balls(1).evaluation(0)
    for name in ("sample", "evaluation"):
        monkeypatch.setattr(MeshObjects, name, lambda self, index, *_: drawn.replace(name=self.paths[index].stem))
    options, generator = DataOptions(path=tmp_path), torch.Generator()
    learned = open_examples(TRAINING_DATA, "meshes", options)
    scored = held_out_examples("meshes", options)
    names = {int(learned.sample(i, generator).name) for i in range(len(learned))}
    assert names == set(range(count)) - set(held_out)
    assert ([] if scored is None else [int(scored.evaluation(i).name) for i in range(len(scored))]) == held_out
    assert len(open_examples(TEST_DATA, "meshes", options)) == count


def test_folders_without_their_files_are_told(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no HDF5 files"):
        open_examples(TEST_DATA, "co3d", DataOptions(path=tmp_path))
    with pytest.raises(InputError, match="which views to evaluate"):
        open_examples(TEST_DATA, "re10k", DataOptions(path=tmp_path))
