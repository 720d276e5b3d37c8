"""Files of weights: ours go there and back, foreign ones are read without running anything."""

from __future__ import annotations

import pickle
import sys
import types
import zipfile
from pathlib import Path

import pytest
import torch

from veduta.core import InputError, WeightsError
from veduta.io import weights
from veduta.io.tensors import save_tensors
from veduta.io.weights import MAX_CLASSES, Weights, load_weights, read_checkpoint, save_weights


def test_there_and_back(tmp_path: Path) -> None:
    stored = Weights("object", {"compatibility": {"neg_campos": True}, "sizes": [1, 2]}, {"a.b": torch.randn(3, 2)})
    save_weights(tmp_path / "w.safetensors", stored)
    again = load_weights(tmp_path / "w.safetensors")
    assert (again.kind, again.settings) == (stored.kind, stored.settings)
    assert torch.equal(again.tensors["a.b"], stored.tensors["a.b"])


@pytest.mark.parametrize(
    ("metadata", "said"),
    [
        ({}, "not a file of weights"),
        ({"veduta_weights": "99", "kind": "x", "settings": "{}"}, "another schema version"),
        ({"veduta_weights": "1", "settings": "{}"}, "not a file of weights"),
        ({"veduta_weights": "1", "kind": "x", "settings": "{"}, "not a file of weights"),
        ({"veduta_weights": "1", "kind": "x", "settings": "[]"}, "field settings"),
    ],
)
def test_other_safetensors_are_refused(metadata: dict[str, str], said: str, tmp_path: Path) -> None:
    save_tensors(tmp_path / "w.safetensors", {"a": torch.zeros(1)}, metadata=metadata)
    with pytest.raises(InputError, match=said):
        load_weights(tmp_path / "w.safetensors")


@pytest.mark.parametrize("wrapped", [True, False])
def test_checkpoints_keep_their_order(wrapped: bool, tmp_path: Path) -> None:
    state = {name: torch.full((2,), float(i)) for i, name in enumerate(("z", "a", "m"))}
    torch.save({"state_dict": state, "epoch": 1} if wrapped else state, tmp_path / "x.ckpt")
    found = read_checkpoint(tmp_path / "x.ckpt")
    assert list(found) == ["z", "a", "m"]
    assert torch.equal(found["m"], state["m"])


def test_unknown_classes_become_empty_shells(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A checkpoint that carries a configuration of a library that is not installed."""
    module = types.ModuleType("some_config_library")

    class Config(dict):  # type: ignore[type-arg]
        def __setstate__(self, state: object) -> None:
            raise AssertionError("code of the checkpoint's library was run")

        def __reduce__(self) -> tuple[object, ...]:
            return Config, (1, 2), {"content": 3}

    Config.__module__, Config.__qualname__ = "some_config_library", "Config"
    module.Config = Config  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "some_config_library", module)
    content = {"hyper_parameters": Config(), "state_dict": {"a": torch.ones(2)}}
    torch.save(content, tmp_path / "x.ckpt")
    monkeypatch.delitem(sys.modules, "some_config_library")
    assert torch.equal(read_checkpoint(tmp_path / "x.ckpt")["a"], torch.ones(2))


class Attack:
    def __init__(self, target: Path) -> None:
        self.target = target

    def __reduce__(self) -> tuple[object, ...]:
        return exec, (f"open({str(self.target)!r}, 'w').close()",)


def test_nothing_in_a_file_is_run(tmp_path: Path) -> None:
    torch.save({"state_dict": {"a": torch.ones(1)}, "x": Attack(tmp_path / "harm")}, tmp_path / "x.ckpt")
    assert list(read_checkpoint(tmp_path / "x.ckpt")) == ["a"]
    assert not (tmp_path / "harm").exists()


def test_plain_pickles_and_other_files_are_refused(tmp_path: Path) -> None:
    (tmp_path / "plain.ckpt").write_bytes(pickle.dumps({"state_dict": {}}))
    (tmp_path / "text.ckpt").write_text("hello")
    with zipfile.ZipFile(tmp_path / "zip.ckpt", "w") as archive:
        archive.writestr("hello.txt", "hello")
    torch.save([1, 2], tmp_path / "list.ckpt")
    torch.save({"state_dict": {}}, tmp_path / "empty.ckpt")
    torch.save({"state_dict": {"a": 3}}, tmp_path / "number.ckpt")
    for name in ("plain", "text", "zip", "list", "empty", "number"):
        with pytest.raises(WeightsError, match="not a checkpoint that can be read"):
            read_checkpoint(tmp_path / f"{name}.ckpt")


def test_a_truncated_checkpoint(tmp_path: Path) -> None:
    torch.save({"state_dict": {"a": torch.ones(5000)}}, tmp_path / "x.ckpt")
    whole = (tmp_path / "x.ckpt").read_bytes()
    (tmp_path / "x.ckpt").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(WeightsError):
        read_checkpoint(tmp_path / "x.ckpt")


def test_too_many_classes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    torch.save({"state_dict": {"a": torch.ones(1)}}, tmp_path / "x.ckpt")
    many = [f"m.C{i}" for i in range(MAX_CLASSES + 1)]
    monkeypatch.setattr(torch.serialization, "get_unsafe_globals_in_checkpoint", lambda _path: many)
    with pytest.raises(WeightsError, match="unknown classes"):
        read_checkpoint(tmp_path / "x.ckpt")


def _with_structure(path: Path, *, extra: int, compress: int) -> None:
    """A checkpoint whose pickle begins with a text of ``extra`` letters that nothing needs."""
    torch.save({"state_dict": {"a": torch.ones(1)}}, path)
    with zipfile.ZipFile(path) as archive:
        entries = {name: archive.read(name) for name in archive.namelist()}
    with zipfile.ZipFile(path, "w", compress) as archive:
        for name, content in entries.items():
            if name.endswith("data.pkl"):
                text = b"X" + extra.to_bytes(4, "little") + b"a" * extra + b"0"
                archive.writestr(name, content[:2] + text + content[2:])
            else:
                archive.writestr(name, content)


@pytest.mark.parametrize(
    ("extra", "compress", "said"),
    [
        (8 * 2**20, zipfile.ZIP_DEFLATED, "a compressed entry"),
        (2**20, zipfile.ZIP_STORED, "bytes about its tensors"),
    ],
)
def test_what_would_unpack_to_far_more_is_refused_unread(
    extra: int, compress: int, said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def read(*_args: object, **_named: object) -> None:
        raise AssertionError("it was read")

    monkeypatch.setattr(weights, "MAX_STRUCTURE_BYTES", 2**20)
    _with_structure(tmp_path / "x.ckpt", extra=extra, compress=compress)
    assert (tmp_path / "x.ckpt").stat().st_size < 2 * 2**20
    monkeypatch.setattr(torch, "load", read)
    monkeypatch.setattr(torch.serialization, "get_unsafe_globals_in_checkpoint", read)
    with pytest.raises(WeightsError, match=said):
        read_checkpoint(tmp_path / "x.ckpt")
