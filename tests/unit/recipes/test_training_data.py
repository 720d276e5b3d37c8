"""Every published layout opens by its name."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from tests.unit.data.published import scene, write_archive, write_chunks, write_scanned
from veduta.core import InputError
from veduta.recipes.training.data import TEST_DATA, TRAINING_DATA, DataOptions, open_examples


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


def test_folders_without_their_files_are_told(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no HDF5 files"):
        open_examples(TEST_DATA, "co3d", DataOptions(path=tmp_path))
    with pytest.raises(InputError, match="which views to evaluate"):
        open_examples(TEST_DATA, "re10k", DataOptions(path=tmp_path))
