"""Files of network weights: our own, and checkpoints that others published.

Ours are safetensors files whose text says which model they are of and how it was set up. Foreign ones are PyTorch's zip
files; they are read without running anything in them: classes that they name and we do not know become empty shells.
"""

from __future__ import annotations

import json
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from veduta.core import InputError, WeightsError
from veduta.io.paths import require_file
from veduta.io.tensors import load_tensors, require_schema, save_tensors

SCHEMA_FIELD, SCHEMA = "veduta_weights", 1
_BEFORE_REASON = "WeightsUnpickler error:"
MAX_CLASSES = 200
"""Unknown classes that a checkpoint may name."""
MAX_STRUCTURE_BYTES = 32 * 2**20
"""Of what a PyTorch file says of its tensors (names, shapes, settings); published ones take less than one of them."""
_TENSORS = "/data/"
"""In the names of a PyTorch file's entries that hold tensors."""


@dataclass(frozen=True)
class Weights:
    """The content of a file of weights."""

    kind: str
    """Which model they are of."""
    settings: Mapping[str, Any]
    """How that was set up, as JSON values."""
    tensors: Mapping[str, Tensor]


def save_weights(path: str | Path, weights: Weights) -> None:
    """Write one file, atomically. Raises OutputError."""
    settings = json.dumps(weights.settings, sort_keys=True)
    metadata = {SCHEMA_FIELD: str(SCHEMA), "kind": weights.kind, "settings": settings}
    save_tensors(path, weights.tensors, metadata=metadata)


def load_weights(path: str | Path) -> Weights:
    """What :func:`save_weights` wrote; whatever is wrong raises InputError."""
    path = Path(path)
    tensors, metadata = load_tensors(path)
    require_schema(
        metadata, path, field=SCHEMA_FIELD, version=SCHEMA, what="a file of weights", again="import or train them"
    )
    try:
        settings = json.loads(metadata["settings"])
        kind = metadata["kind"]
    except (KeyError, ValueError) as error:
        raise InputError("not a file of weights", where=path, expected="a kind of model and its settings") from error
    if not isinstance(settings, dict):
        raise InputError("not a file of weights", where=path, field="settings", expected="a JSON object")
    return Weights(kind, settings, tensors)


class Shell:
    """Stands for an object of a class that is not known here; takes what it is made of and does nothing."""

    def __new__(cls, *_args: object, **_named: object) -> Shell:
        """Whatever the arguments."""
        return super().__new__(cls)

    def __init__(self, *_args: object, **_named: object) -> None:
        pass

    def __setstate__(self, _state: object) -> None:
        pass


def read_checkpoint(path: str | Path) -> dict[str, Tensor]:
    """The state dict of a PyTorch or Lightning checkpoint in its order; tensors are mapped from the file, not read.

    Nothing in the file is run (``weights_only``). Raises WeightsError for a file of another kind.
    """
    path = require_file(path, what="a checkpoint (.ckpt, .pt, .pth)")
    if not zipfile.is_zipfile(path):
        raise _unreadable(path, "a file that is not a zip archive")
    try:
        problem = archive_problem(path)
    except Exception as error:  # zipfile raises several kinds over damaged archives
        raise _unreadable(path, _told(error)) from error
    if problem is not None:
        raise _unreadable(path, problem)
    try:
        with torch.serialization.safe_globals(_shells(path)):
            content = torch.load(path, map_location="cpu", mmap=True, weights_only=True)
    except Exception as error:  # torch raises a dozen kinds over files that are not what they seem
        raise _unreadable(path, _told(error)) from error
    state = content.get("state_dict", content) if isinstance(content, dict) else None
    if not isinstance(state, dict) or not state:
        raise _unreadable(path, "no state_dict in it")
    odd = [key for key, value in state.items() if not (isinstance(key, str) and isinstance(value, Tensor))]
    if odd:
        raise _unreadable(path, f"{len(odd)} entries that are not tensors with a name, {str(odd[0])[:80]!r} first")
    return dict(state)


def archive_problem(path: Path) -> str | None:
    """Why a PyTorch zip file must not be loaded: it would take far more memory than its size tells; None: no reason.

    PyTorch stores entries as they are. Compressed ones could unpack to anything, and tensors mapped from them would
    hold the compressed bytes.
    """
    with zipfile.ZipFile(path) as archive:
        for entry in archive.infolist():
            if entry.compress_type != zipfile.ZIP_STORED:
                return f"a compressed entry, {entry.filename[:80]!r}"
            if _TENSORS not in entry.filename and entry.file_size > MAX_STRUCTURE_BYTES:
                return f"{entry.file_size} bytes about its tensors, in {entry.filename[:80]!r}"
    return None


def _shells(path: Path) -> list[Any]:
    """An empty class for every name in the file that torch does not know."""
    names = torch.serialization.get_unsafe_globals_in_checkpoint(path)
    if len(names) > MAX_CLASSES:
        raise ValueError(f"{len(names)} unknown classes")
    return [type(name.rpartition(".")[2], (Shell,), {"__module__": name.rpartition(".")[0]}) for name in names]


def _told(error: Exception) -> str:
    """The line that says what was wrong; the unpickler's comes after advice that must not be followed."""
    text = str(error).partition(_BEFORE_REASON)[2] or str(error)
    return next((line.strip() for line in text.splitlines() if line.strip()), type(error).__name__)


def _unreadable(path: Path, got: str) -> WeightsError:
    return WeightsError(
        "not a checkpoint that can be read",
        where=path,
        expected="a PyTorch or Lightning checkpoint with a state_dict",
        got=got,
        hint="download the file again; checkpoints from before PyTorch 1.6 have to be saved anew with a later one",
    )
