"""Which photographs are held out."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from veduta.core import InputError
from veduta.data.checks import listed
from veduta.io.paths import input_error

MIN_TRAIN = 2
MAX_JSON_BYTES = 256 * 2**20
LONGEST_WHOLE = 18
"""Digits of a whole number that 64 bits surely hold; longer ones are read as floating-point numbers."""


@dataclass(frozen=True)
class Split:
    """Names of photographs to train on and to hold out; photographs in neither are not used."""

    train: tuple[str, ...]
    test: tuple[str, ...]


def choose_split(folder: Path, names: Sequence[str], *, test_every: int, of_format: Split | None) -> Split:
    """``splits.json`` in the folder, else the format's own split, else every ``test_every``-th name is held out."""
    split = read_splits(folder / "splits.json", names) or of_format or every_nth(names, test_every)
    if len(split.train) < MIN_TRAIN:
        raise InputError(
            "too few photographs to train on",
            where=folder,
            expected=f"at least {MIN_TRAIN}",
            got=f"{len(split.train)}, with {len(split.test)} held out",
            hint="Hold out fewer photographs (test_every=0 holds out none).",
        )
    return split


def every_nth(names: Sequence[str], test_every: int) -> Split:
    """Every ``test_every``-th name in sorted order is held out, the first included; 0 holds out none."""
    ordered = sorted(names)
    held_out = ordered[::test_every] if test_every else []
    return Split(train=tuple(n for n in ordered if n not in set(held_out)), test=tuple(held_out))


def read_splits(path: Path, names: Sequence[str]) -> Split | None:
    """The split in a file ``{"train": [...], "test": [...]}``; one list alone leaves all the others to the other side.

    None without a file, or for one with neither key, which is another program's.
    """
    if not path.is_file():
        return None
    content = read_json(path)
    if not any(key in content for key in ("train", "test")):
        return None
    train = _names(content["train"], names, path, "train") if "train" in content else None
    test = _names(content["test"], names, path, "test") if "test" in content else None
    if train is None:
        train = sorted(set(names) - set(test or ()))
    if test is None:
        test = sorted(set(names) - set(train))
    return split_of(train, test, where=path)


def split_of(train: Sequence[str], test: Sequence[str], *, where: Path) -> Split:
    """The split of two lists of names, sorted; InputError for a name in both, whose score would be no held-out one."""
    both = sorted(set(train) & set(test))
    if both:
        raise InputError(
            "photographs both trained on and held out", where=where, expected="each name once", got=listed(both)
        )
    return Split(train=tuple(sorted(set(train))), test=tuple(sorted(set(test))))


def read_json(path: Path) -> dict[str, object]:
    """The object in a JSON file; InputError with the line of a mistake."""
    try:
        size = path.stat().st_size
        if size > MAX_JSON_BYTES:
            raise InputError("the file is too large", where=path, expected=f"at most {MAX_JSON_BYTES} bytes", got=size)
        content = json.loads(path.read_text(encoding="utf-8"), parse_int=_whole)
    except OSError as error:
        raise input_error(error, path) from error
    except json.JSONDecodeError as error:
        raise InputError(
            "not valid JSON", where=f"{path}:{error.lineno}", expected="JSON", got=error.msg, hint="Correct the file."
        ) from error
    except (UnicodeDecodeError, RecursionError) as error:
        raise InputError("not valid JSON", where=path, expected="JSON in UTF-8", got=type(error).__name__) from error
    if not isinstance(content, dict):
        raise InputError("not a JSON object", where=path, expected="{...}", got=type(content).__name__)
    return content


def _whole(digits: str) -> float:
    """Beyond what floating-point numbers hold: infinity, which no field takes."""
    return int(digits) if len(digits) <= LONGEST_WHOLE else float(digits)


def _names(value: object, names: Sequence[str], path: Path, field: str) -> list[str]:
    """The photographs that a list names, by name or, where that is unique, by file name or by stem."""
    if not isinstance(value, list) or not all(isinstance(name, str) for name in value):
        raise InputError(
            "not a list of names", where=path, field=field, expected='["0001.jpg", ...]', got=type(value).__name__
        )
    known = aliases(names)
    unknown = [name for name in value if name not in known]
    if unknown:
        raise InputError(
            f"{len(unknown)} photographs that the capture does not have",
            where=path,
            field=field,
            expected=f"names such as {listed(sorted(names))}",
            got=listed(unknown),
        )
    return sorted({known[name] for name in value})


def aliases(names: Sequence[str]) -> dict[str, str]:
    """How a photograph may be called: its name, and its file name and stem where no other photograph shares them."""
    short: dict[str, set[str]] = {}
    for name in names:
        pure = PurePosixPath(name)
        for alias in {pure.name, pure.stem, str(pure.with_suffix("")), f"images/{name}"}:
            short.setdefault(alias, set()).add(name)
    return {alias: next(iter(full)) for alias, full in short.items() if len(full) == 1} | {name: name for name in names}
