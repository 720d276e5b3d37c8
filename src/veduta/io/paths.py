"""Paths that come out of files, which nobody should trust."""

from __future__ import annotations

import stat
from pathlib import Path, PurePosixPath, PureWindowsPath

from veduta.core import InputError


def inside(folder: Path, name: str, *, where: str | Path, field: str = "name") -> Path:
    """``folder / name`` for a ``name`` that was read from ``where``; it must stay below ``folder``.

    Absolute names, drive letters, ``..`` and NUL bytes raise InputError, on every system alike, and so do names that
    are no valid text. Symbolic links below ``folder`` are the user's own and are followed.
    """
    require_text(name, where=where, field=field)
    posix, windows = PurePosixPath(name), PureWindowsPath(name)
    escapes = posix.is_absolute() or windows.anchor or ".." in posix.parts or ".." in windows.parts
    if escapes or "\0" in name or not posix.parts:
        raise InputError(
            "the name leaves its folder",
            where=where,
            field=field,
            expected=f"a path relative to and inside {folder.name or folder}",
            got=repr(name),
            hint="Copy the file into the capture's folder and name it relative to that.",
        )
    return folder / name


def require_text(name: str, *, where: str | Path, field: str = "name") -> str:
    """``name`` if it can be written in UTF-8; InputError for one of other bytes, which Python reads as surrogates."""
    try:
        name.encode("utf-8")
    except UnicodeEncodeError:
        raise InputError(
            "the name is not valid UTF-8",
            where=where,
            field=field,
            expected="text",
            got=ascii(name),
            hint="Rename the file.",
        ) from None
    return name


def require_file(path: str | Path, *, what: str) -> Path:
    """``path`` if it is a readable regular file; else InputError, where ``what`` says what it should have been."""
    path = Path(path)
    try:
        mode = path.stat().st_mode
    except (FileNotFoundError, NotADirectoryError):
        raise InputError("no such file", where=path, expected=what, hint="Check the spelling of the path.") from None
    except OSError as error:
        raise input_error(error, path) from error
    if stat.S_ISDIR(mode):
        raise InputError("is a folder", where=path, expected=what, hint="Name the file in it.")
    if not stat.S_ISREG(mode):
        raise InputError("not an ordinary file", where=path, expected=what)
    return path


def input_error(error: OSError, path: str | Path) -> InputError:
    """The InputError that tells the user of an ``OSError`` met while reading ``path``."""
    return InputError(f"cannot read: {error.strerror or error}", where=path, hint="Check the file and its permissions.")
