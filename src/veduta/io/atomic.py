"""Writing files so that a reader, or a crash, never meets half of one."""

from __future__ import annotations

import contextlib
import errno
import json
import math
import os
import shutil
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from veduta.core import OutputError

_HINTS: Mapping[int, str] = {
    errno.ENOSPC: "The disk is full: free some space or write to another place.",
    errno.EDQUOT: "Your quota on this disk is used up: free some space or write to another place.",
    errno.EFBIG: "The file is larger than this place allows: write to another place.",
    errno.EROFS: "This place is read-only: write to another place.",
    errno.EACCES: "You may not write here: change the permissions or write to another place.",
    errno.EPERM: "You may not write here: change the permissions or write to another place.",
    errno.ENOTDIR: "A part of this path is a file where a folder is needed: write to another place.",
    errno.EEXIST: "A part of this path is a file where a folder is needed: write to another place.",
    errno.EISDIR: "There is a folder of that name: choose another name.",
    errno.ENAMETOOLONG: "Choose a shorter name.",
}
_STEM_LENGTH = 64  # of the target's name kept in the temporary one: file systems end at 255 bytes


@contextmanager
def atomic_path(path: str | Path) -> Iterator[Path]:
    """Lend a temporary path beside ``path``, with its suffix; when the block ends well, that file replaces ``path``.

    The block must create the file. It is flushed to the disk and then renamed over ``path``, so that ``path`` holds
    either its old bytes or all of the new ones; missing parent folders are made, a symbolic link keeps pointing where
    it does. If the block raises, the temporary file is removed and ``path`` is as it was. Every ``OSError`` becomes an
    :class:`OutputError`.
    """
    path = Path(path)
    with as_output_error(path):
        target = path.resolve() if path.is_symlink() else path
        _refuse_unwritable(target, path)
        target.parent.mkdir(parents=True, exist_ok=True)
        temporary = target.with_name(f".{target.stem[:_STEM_LENGTH]}.{uuid.uuid4().hex[:12]}.tmp{target.suffix}")
        try:
            yield temporary
            if target.exists():
                shutil.copymode(target, temporary)
            _flush(temporary)
            os.replace(temporary, target)
        finally:
            with contextlib.suppress(OSError):
                temporary.unlink(missing_ok=True)
        with contextlib.suppress(OSError):  # the file is in place; folders cannot be flushed everywhere
            _flush(target.parent)


@contextmanager
def as_output_error(path: str | Path) -> Iterator[None]:
    """Turn every ``OSError`` of the block into an :class:`OutputError` about ``path``."""
    try:
        yield
    except OSError as error:
        reason = error.strerror or str(error)
        hint = _HINTS.get(error.errno or 0, "Write to another place.")
        raise OutputError(f"cannot write: {reason}", where=path, hint=hint) from error


def write_bytes(path: str | Path, data: bytes) -> None:
    """Write ``data`` to ``path`` atomically. Raises OutputError."""
    with atomic_path(path) as temporary:
        temporary.write_bytes(data)


def write_text(path: str | Path, text: str) -> None:
    r"""Write ``text`` to ``path`` in UTF-8, atomically, line ends as given. Raises OutputError.

    What UTF-8 cannot say, such as the bytes of a folder's name that are none, becomes ``\udcNN``, as in JSON.
    """
    write_bytes(path, text.encode("utf-8", errors="backslashreplace"))


def write_json(path: str | Path, value: Any) -> None:
    """Write ``value`` to ``path`` as indented JSON, atomically; numbers that are not finite become null."""
    write_text(path, json.dumps(finite_or_null(value), indent=2, ensure_ascii=False, allow_nan=False) + "\n")


def finite_or_null(value: Any) -> Any:
    """The same JSON-like value with every NaN and infinity, which JSON cannot say, replaced by None."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {key: finite_or_null(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [finite_or_null(item) for item in value]
    return value


def _refuse_unwritable(target: Path, path: Path) -> None:
    """Raise for what a rename would silently replace: a folder, a device, a file that its owner protected."""
    if target.is_dir():
        raise OutputError("cannot write: there is a folder of that name", where=path, hint=_HINTS[errno.EISDIR])
    if target.exists() and not target.is_file():
        raise OutputError("cannot write: not an ordinary file", where=path, hint="Choose another name.")
    if target.exists() and not os.access(target, os.W_OK):
        raise OutputError("cannot write: the file is read-only", where=path, hint=_HINTS[errno.EACCES])


def _flush(path: Path) -> None:
    """Make sure that the file's bytes, or the folder's entries, are on the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
