"""Tensor files: exact, deterministic, readable by others, and safe to read."""

from __future__ import annotations

import contextlib
import json
import struct
from pathlib import Path

import pytest
import safetensors.torch
import torch
from hypothesis import given
from hypothesis import strategies as st

from veduta.core import InputError, OutputError
from veduta.io.tensors import load_tensors, save_tensors

DTYPES = [
    *(torch.float64, torch.float32, torch.float16, torch.bfloat16),
    *(torch.int64, torch.int32, torch.int16, torch.int8, torch.uint8, torch.bool),
]


def some_tensors() -> dict[str, torch.Tensor]:
    g = torch.Generator().manual_seed(0)
    tensors = {f"of.{d}": torch.randint(0, 2, (3, 5), generator=g).to(d) for d in DTYPES}
    base = torch.randn(4, 6, generator=g)
    return {
        **tensors,
        "scalar": torch.tensor(2.5),
        "nothing": torch.zeros(0, 3),
        "transposed": base.T,
        "view": base[1:3],
        "gradient": base.clone().requires_grad_(),
        "nan": torch.tensor([float("nan"), float("inf"), -0.0]),
    }


def assert_bitwise_equal(a: dict[str, torch.Tensor], b: dict[str, torch.Tensor]) -> None:
    assert a.keys() == b.keys()
    for name, tensor in a.items():
        assert tensor.dtype == b[name].dtype
        assert tensor.shape == b[name].shape
        raw = [t.detach().contiguous().reshape(-1).view(torch.uint8) for t in (tensor, b[name])]
        assert torch.equal(*raw), name


def test_what_is_saved_is_loaded_bit_for_bit(tmp_path: Path) -> None:
    save_tensors(tmp_path / "a.safetensors", some_tensors(), metadata={"kind": "test", "é": "ü\n"})
    tensors, metadata = load_tensors(tmp_path / "a.safetensors")
    assert_bitwise_equal(some_tensors(), tensors)
    assert metadata == {"kind": "test", "é": "ü\n"}
    assert not any(tensor.requires_grad for tensor in tensors.values())


def test_nothing_at_all(tmp_path: Path) -> None:
    save_tensors(tmp_path / "a.safetensors", {})
    assert load_tensors(tmp_path / "a.safetensors") == ({}, {})


def test_equal_values_give_equal_files(tmp_path: Path) -> None:
    tensors = some_tensors()
    save_tensors(tmp_path / "a", tensors, metadata={"x": "1", "y": "2"})
    save_tensors(tmp_path / "b", dict(reversed(tensors.items())), metadata={"y": "2", "x": "1"})
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_the_safetensors_package_reads_ours_and_we_read_its(tmp_path: Path) -> None:
    save_tensors(tmp_path / "a", some_tensors())
    assert_bitwise_equal(some_tensors(), safetensors.torch.load((tmp_path / "a").read_bytes()))
    apart = {name: tensor.detach().clone().contiguous() for name, tensor in some_tensors().items()}
    safetensors.torch.save_file(apart, tmp_path / "b", metadata={"k": "v"})
    tensors, metadata = load_tensors(tmp_path / "b")
    assert_bitwise_equal(apart, tensors)
    assert metadata == {"k": "v"}


def test_loaded_tensors_outlive_the_file(tmp_path: Path) -> None:
    path = tmp_path / "a"
    save_tensors(path, {"x": torch.arange(100_000)})
    tensors, _ = load_tensors(path)
    path.write_bytes(b"")
    assert torch.equal(tensors["x"], torch.arange(100_000))


def test_every_truncation(tmp_path: Path) -> None:
    path = tmp_path / "a"
    save_tensors(path, {"x": torch.arange(5.0), "y": torch.zeros(2, 2)})
    whole = path.read_bytes()
    for keep in range(len(whole)):
        path.write_bytes(whole[:keep])
        with pytest.raises(InputError, match="truncated, corrupt"):
            load_tensors(path)


@pytest.mark.parametrize("length", [2**63, 2**40, 10**9])
def test_absurd_header_lengths(tmp_path: Path, length: int) -> None:
    (tmp_path / "a").write_bytes(struct.pack("<Q", length) + b"{}" * 50)
    with pytest.raises(InputError, match=f"a header of {length} bytes"):
        load_tensors(tmp_path / "a")


@pytest.mark.parametrize(
    "entry",
    [
        {"dtype": "F32", "shape": [2**40], "data_offsets": [0, 16]},
        {"dtype": "F32", "shape": [2**33, 2**33], "data_offsets": [0, 16]},
        {"dtype": "F32", "shape": [4], "data_offsets": [0, 2**50]},
        {"dtype": "F32", "shape": [-4], "data_offsets": [0, 16]},
        {"dtype": "COMPLEX", "shape": [4], "data_offsets": [0, 16]},
        {"dtype": "F8_E8M0", "shape": [16], "data_offsets": [0, 16]},
        {"shape": [4]},
        [],
    ],
)
def test_headers_that_lie(tmp_path: Path, entry: object) -> None:
    text = json.dumps({"x": entry}).encode()
    (tmp_path / "a").write_bytes(struct.pack("<Q", len(text)) + text + bytes(16))
    with contextlib.suppress(InputError):
        tensors, _ = load_tensors(tmp_path / "a")
        assert tensors["x"].numel() == 16  # the one of eight that newer versions can read


def test_deeply_nested_headers(tmp_path: Path) -> None:
    text = b"[" * 100_000
    (tmp_path / "a").write_bytes(struct.pack("<Q", len(text)) + text)
    with pytest.raises(InputError):
        load_tensors(tmp_path / "a")


@given(data=st.data())
def test_fuzzed_files_never_raise_anything_else(tmp_path_factory: pytest.TempPathFactory, data: st.DataObject) -> None:
    path = tmp_path_factory.mktemp("fuzz") / "a"
    save_tensors(path, {"x": torch.arange(5.0), "y": torch.zeros(2, 2)}, metadata={"k": "v"})
    damaged = bytearray(path.read_bytes())
    for _ in range(data.draw(st.integers(1, 4))):
        damaged[data.draw(st.integers(0, len(damaged) - 1))] = data.draw(st.integers(0, 255))
    path.write_bytes(damaged)
    with contextlib.suppress(InputError):
        load_tensors(path)


def test_missing_file(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"no such file: expected a \.safetensors file"):
        load_tensors(tmp_path / "a")


def test_a_full_disk_keeps_the_old_checkpoint(tmp_path: Path, full_disk) -> None:
    path = tmp_path / "a"
    save_tensors(path, {"x": torch.ones(3)})
    with full_disk(), pytest.raises(OutputError):
        save_tensors(path, {"x": torch.ones(300_000)})
    assert load_tensors(path)[0]["x"].tolist() == [1, 1, 1]
    assert len(list(tmp_path.iterdir())) == 1


def test_unsupported_types_are_a_programming_error(tmp_path: Path) -> None:
    with pytest.raises(AssertionError):
        save_tensors(tmp_path / "a", {"x": torch.zeros(2, dtype=torch.complex64)})
