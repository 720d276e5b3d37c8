"""Models in files: what is refused, and in which words."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
import torch

from veduta.core import InputError, OutputError, WeightsError
from veduta.feedforward import Compatibility, checkpoints
from veduta.feedforward.checkpoints import check_state, embedded, import_checkpoint, kind_of, load_model
from veduta.feedforward.published import PUBLISHED, to_published
from veduta.feedforward.small import SmallPlan
from veduta.feedforward.small_densify import SmallDensifierPlan, small_object_model
from veduta.feedforward.small_weights import small_weights
from veduta.io.weights import Weights, save_weights


@pytest.fixture(scope="module")
def state() -> dict[str, torch.Tensor]:
    """A state of MVSplat under the published names."""
    torch.manual_seed(0)
    return to_published("mvsplat", PUBLISHED["mvsplat"].build(Compatibility()).state_dict())


def test_import_refuses_to_overwrite(state: dict[str, torch.Tensor], tmp_path: Path) -> None:
    torch.save({"state_dict": state}, tmp_path / "x.ckpt")
    told = import_checkpoint(tmp_path / "x.ckpt", tmp_path)
    with pytest.raises(OutputError, match="exists"):
        import_checkpoint(tmp_path / "x.ckpt", tmp_path)
    assert import_checkpoint(tmp_path / "x.ckpt", tmp_path, overwrite=True) == told
    assert load_model(told.path).drawing.background == (0.0, 0.0, 0.0)


def test_a_kind_that_does_not_exist_or_does_not_fit(state: dict[str, torch.Tensor], tmp_path: Path) -> None:
    torch.save({"state_dict": state}, tmp_path / "x.ckpt")
    with pytest.raises(InputError, match="no such model"):
        import_checkpoint(tmp_path / "x.ckpt", tmp_path, kind="chair")
    with pytest.raises(WeightsError, match="not those of Generative Densification of scenes"):
        import_checkpoint(tmp_path / "x.ckpt", tmp_path, kind="scene")


def test_tensors_of_something_else() -> None:
    with pytest.raises(WeightsError, match="a model that is known here"):
        kind_of({"conv.weight": torch.zeros(1)}, where=Path("x.ckpt"))


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (torch.tensor([1.0, float("nan")]), "NaN or infinite values: a"),
        (torch.tensor([1, 2]), r"not real numbers: a \(torch.int64\)"),
        (torch.zeros(2, 1), "a 2x1 instead of 2"),
        (torch.tensor(0.0), "a a single number instead of 2"),
    ],
)
def test_what_is_wrong_with_a_tensor_is_told(value: torch.Tensor, said: str) -> None:
    with pytest.raises(WeightsError, match=said):
        check_state({"a": value}, {"a": (2,)}, where="x", title="y")


def test_long_lists_are_cut() -> None:
    with pytest.raises(WeightsError, match=r"20 missing: .* and 12 more"):
        check_state({}, {f"k{i}": (1,) for i in range(20)}, where="x", title="y")


def test_files_of_weights_that_do_not_fit(tmp_path: Path) -> None:
    settings = {"compatibility": dataclasses.asdict(Compatibility())}
    path = tmp_path / "w.safetensors"
    for kind, given, said in (
        ("chair", settings, "a model that is not known"),
        ("mvsplat", {}, "settings that do not fit"),
        ("mvsplat", {"compatibility": {"left_handed": True}}, "settings that do not fit"),
        ("mvsplat", settings, "the tensors are not those of the model 'mvsplat'"),
    ):
        save_weights(path, Weights(kind, given, {"a": torch.zeros(1)}))
        with pytest.raises(WeightsError, match=said):
            load_model(path)


def test_small_models_and_the_embedded_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    coarse, densifier = SmallPlan(size_px=32, voxels=4, image_channels=8, channels=16, blocks=1), SmallDensifierPlan()
    model = small_object_model(coarse, densifier)
    path = tmp_path / "small.safetensors"
    save_weights(path, small_weights(model, coarse, densifier, half=True))
    monkeypatch.setattr(checkpoints, "EMBEDDED", path)
    again = embedded()
    assert again.intake == model.intake
    for name, value in model.state_dict().items():
        assert torch.equal(again.state_dict()[name], value.half().float()), name
    monkeypatch.setattr(checkpoints, "EMBEDDED", tmp_path / "none.safetensors")
    with pytest.raises(WeightsError, match="no object model comes with this installation"):
        embedded()
