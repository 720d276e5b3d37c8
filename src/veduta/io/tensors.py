"""Named tensors in a safetensors file: checkpoints, scenes, weights. No pickle, and the same bytes for the same values.

The format (https://huggingface.co/docs/safetensors): the header's length as a little-endian uint64, the header in JSON,
then the tensors' bytes one after the other. It is written here, so that equal tensors give equal files and a full disk
is noticed at the write that fails; it is read by the safetensors package.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Mapping
from pathlib import Path

import safetensors
import torch
from torch import Tensor

from veduta.core import InputError
from veduta.io.atomic import atomic_path
from veduta.io.paths import input_error, require_file

MAX_HEADER_BYTES = 64 * 2**20
"""Longer headers are refused before they are read: a million tensors have a shorter one."""
_LENGTH = struct.Struct("<Q")
_ALIGNMENT = 8
_METADATA = "__metadata__"
_DTYPES: Mapping[torch.dtype, str] = {
    torch.float64: "F64",
    torch.float32: "F32",
    torch.float16: "F16",
    torch.bfloat16: "BF16",
    torch.int64: "I64",
    torch.int32: "I32",
    torch.int16: "I16",
    torch.int8: "I8",
    torch.uint8: "U8",
    torch.bool: "BOOL",
}


def save_tensors(path: str | Path, tensors: Mapping[str, Tensor], *, metadata: Mapping[str, str] | None = None) -> None:
    """Write named tensors and text to one file, atomically. Raises OutputError."""
    names = sorted(tensors, key=lambda name: (-tensors[name].element_size(), name))  # widest first keeps all aligned
    header: dict[str, object] = {_METADATA: dict(sorted((metadata or {}).items()))}
    end = 0
    for name in names:
        tensor, start = tensors[name], end
        assert name != _METADATA, "a reserved name"
        assert tensor.dtype in _DTYPES, (name, tensor.dtype)
        end += tensor.numel() * tensor.element_size()
        header[name] = {"dtype": _DTYPES[tensor.dtype], "shape": list(tensor.shape), "data_offsets": [start, end]}
    text = json.dumps(header, separators=(",", ":")).encode("utf-8")
    text += b" " * (-len(text) % _ALIGNMENT)
    with atomic_path(path) as temporary, temporary.open("wb") as file:
        file.write(_LENGTH.pack(len(text)) + text)
        for name in names:
            flat = tensors[name].detach().cpu().contiguous().reshape(-1)
            file.write(flat.view(torch.uint8).numpy().data)


def load_tensors(path: str | Path, *, prefix: str = "") -> tuple[dict[str, Tensor], dict[str, str]]:
    """The tensors, on the CPU and independent of the file, and the text. Whatever is wrong raises InputError.

    With a ``prefix`` only those whose names begin with it are read.
    """
    path = require_file(path, what="a .safetensors file")
    try:
        _check_header_length(path)
        with safetensors.safe_open(path, framework="pt", device="cpu") as file:
            names = [name for name in file.keys() if name.startswith(prefix)]  # noqa: SIM118 (not a mapping)
            tensors = {name: file.get_tensor(name).clone() for name in names}
            return tensors, dict(file.metadata() or {})
    except InputError:
        raise
    except OSError as error:
        raise input_error(error, path) from error
    except Exception as error:  # beyond SafetensorError, torch raises several kinds over odd types and shapes
        raise _corrupt(path, str(error).splitlines()[0] if str(error) else type(error).__name__) from error


def require_schema(metadata: Mapping[str, str], path: Path, *, field: str, version: int, what: str, again: str) -> None:
    """InputError unless the file's text says that it holds ``what``, in this version of its form."""
    found = metadata.get(field)
    if found is None:
        raise InputError(f"not {what}", where=path, expected=f"{what} that veduta saved", got="other tensors")
    if found != str(version):
        hint = f"Use the version of veduta that wrote it, or {again} again."
        raise InputError("another schema version", where=path, field=field, expected=str(version), got=found, hint=hint)


def _check_header_length(path: Path) -> None:
    """InputError unless the header fits into the file and into MAX_HEADER_BYTES."""
    with path.open("rb") as file:
        start = file.read(_LENGTH.size)
    size = path.stat().st_size
    if len(start) < _LENGTH.size:
        raise _corrupt(path, f"a file of {size} bytes")
    (length,) = _LENGTH.unpack(start)
    if length > min(size - _LENGTH.size, MAX_HEADER_BYTES):
        raise _corrupt(path, f"a header of {length} bytes in a file of {size}")


def _corrupt(path: Path, got: str) -> InputError:
    return InputError(
        "truncated, corrupt, or of another kind",
        where=path,
        expected="a .safetensors file",
        got=got,
        hint="Copy the file again from where it came, or make it again.",
    )
