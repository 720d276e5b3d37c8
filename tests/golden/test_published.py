"""Published models: every name and shape, and checkpoints in their layout under the artificial weights."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from tests.golden.conftest import GOLDEN
from tests.golden.rules import weight
from veduta.core import WeightsError
from veduta.feedforward.checkpoints import import_checkpoint, kind_of, load_model
from veduta.feedforward.published import PUBLISHED, expected_shapes, from_published, to_published

LISTS = {
    "object": ("object_gd_plain", 440, 133_288_702),
    "object-residual": ("object_gd_residual", 440, 133_288_702),
    "scene": ("scene_gd", 610, 27_799_491),
    "lara": ("lara", 360, 125_335_880),
    "mvsplat": ("mvsplat", 471, 11_955_734),
}
needs_encoder = pytest.importorskip("transformers")


def listed(kind: str) -> dict[str, tuple[int, ...]]:
    """Names and shapes, in the order of the published checkpoint."""
    if not GOLDEN.is_dir():
        pytest.skip("no reference tensors: ../shared/golden is not there")
    lines = (GOLDEN / "keys" / f"{LISTS[kind][0]}.tsv").read_text().splitlines()[1:]
    rows = [line.split("\t") for line in lines]
    return {row[0]: tuple(int(size) for size in row[1].split("x")) for row in rows}


@pytest.mark.parametrize("kind", PUBLISHED)
def test_keys_and_shapes_are_the_published_ones(kind: str) -> None:
    _, keys, parameters = LISTS[kind]
    expected = expected_shapes(kind)
    assert expected == listed(kind)
    assert len(expected) == keys
    assert sum(p.numel() for p in PUBLISHED[kind].outline().parameters()) == parameters


@pytest.mark.parametrize("kind", PUBLISHED)
def test_names_go_there_and_back(kind: str) -> None:
    """Every tensor keeps its own values: none is lost, none takes another's place."""
    state = {key: torch.full(shape[:1], float(i)) for i, (key, shape) in enumerate(listed(kind).items())}
    own = from_published(kind, state)
    assert own.keys() == PUBLISHED[kind].outline().state_dict().keys()
    again = to_published(kind, own)
    constants = PUBLISHED[kind].constants
    assert again.keys() == state.keys()
    assert all(torch.equal(again[key], state[key]) for key in state if key not in constants)


@pytest.mark.parametrize("kind", PUBLISHED)
def test_the_kind_is_told_from_the_names(kind: str) -> None:
    state = {key: torch.zeros(1) for key in listed(kind)}
    assert kind_of(state, where=Path("x.ckpt")) == kind


def artificial(kind: str) -> dict[str, torch.Tensor]:
    """The whole state dict under the artificial weights; buffers hold zeros."""
    buffers = ("frequencies", "volume_grid", "group_centers", "dense_grid", "centers")
    return {
        key: torch.zeros(shape) if key.endswith(buffers) else weight(key, shape) for key, shape in listed(kind).items()
    }


def test_a_checkpoint_is_imported_and_loaded(tmp_path: Path) -> None:
    state = artificial("mvsplat")
    source = tmp_path / "mvsplat.ckpt"
    torch.save({"epoch": 3, "state_dict": state, "optimizer_states": [{"step": torch.tensor(7)}]}, source)
    told = import_checkpoint(source, tmp_path / "out")
    assert (told.kind, told.tensors, told.parameters) == ("mvsplat", 471, 11_955_734)
    assert told.compatibility.ray_distance_depth
    again = to_published("mvsplat", load_model(told.path).state_dict())
    assert again.keys() == state.keys()
    assert all(torch.equal(again[key], state[key]) for key in state)


@pytest.mark.parametrize("kind", PUBLISHED)
def test_what_is_missing_left_over_or_of_another_shape_is_listed(kind: str, tmp_path: Path) -> None:
    """In the true layout, but for tensors that are too small: every one of them is found."""
    names = list(listed(kind))
    state = {key: torch.zeros(1) for key in names[1:]} | {"net.surplus": torch.zeros(2)}
    source = tmp_path / "broken.ckpt"
    torch.save({"state_dict": state}, source)
    with pytest.raises(WeightsError) as told:
        import_checkpoint(source, tmp_path / "out")
    assert f"1 missing: {names[0]}" in str(told.value)
    assert "1 unexpected: net.surplus" in str(told.value)
    assert "of another shape" in str(told.value)
    assert not (tmp_path / "out").exists()
