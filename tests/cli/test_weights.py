"""``veduta weights import``: a published layout goes in, a file of weights and a report come out."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from tests.cli.conftest import Veduta
from veduta.feedforward import Compatibility
from veduta.feedforward.checkpoints import load_model
from veduta.feedforward.published import PUBLISHED, to_published


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.manual_seed(0)
    state = to_published("mvsplat", PUBLISHED["mvsplat"].build(Compatibility()).state_dict())
    path = tmp_path_factory.mktemp("published") / "epoch=49.ckpt"
    torch.save({"state_dict": state, "epoch": 49}, path)
    return path


def test_import(veduta: Veduta, checkpoint: Path, tmp_path: Path) -> None:
    done = veduta("weights", "import", checkpoint, tmp_path / "out")
    assert done.code == 0
    assert "471 tensors, 11,955,734 parameters" in done.out
    report = json.loads((tmp_path / "out" / "mvsplat.json").read_text())
    assert (report["kind"], report["source"], report["tensors"]) == ("mvsplat", "epoch=49.ckpt", 471)
    assert load_model(tmp_path / "out" / "mvsplat.safetensors").intake.multiple_px == 64
    again = veduta("weights", "import", checkpoint, tmp_path / "out")
    assert again.code == 2
    assert "exists" in again.err
    assert veduta("weights", "import", checkpoint, tmp_path / "out", "--force").code == 0


def test_neither_file_is_overwritten(veduta: Veduta, checkpoint: Path, tmp_path: Path) -> None:
    notes = tmp_path / "mvsplat.json"
    notes.write_text("mine")
    done = veduta("weights", "import", checkpoint, tmp_path)
    assert done.code == 2
    assert "mvsplat.json" in done.err
    assert notes.read_text() == "mine"
    assert not (tmp_path / "mvsplat.safetensors").exists()


def test_mistakes(veduta: Veduta, checkpoint: Path, tmp_path: Path) -> None:
    other = veduta("weights", "import", checkpoint, tmp_path, "--kind", "lara")
    assert other.code == 2
    assert "missing: net.view_embed" in other.err
    (tmp_path / "text.ckpt").write_text("hello")
    assert veduta("weights", "import", tmp_path / "text.ckpt", tmp_path).code == 2
    assert veduta("weights", "import", tmp_path / "none.ckpt", tmp_path).code == 2
