"""The folder of a run: what was asked (run.json), what happened (log.jsonl), what was learned.

``RUN/run.json``, ``RUN/log.jsonl``, ``RUN/checkpoints/step_0001000.safetensors``, ``RUN/scene.safetensors``,
``RUN/eval.json``, ``RUN/eval/*.png``, ``RUN/renders/``, ``RUN/report.html``.
"""

from __future__ import annotations

import json
import math
import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, fields
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any, BinaryIO

from veduta.core import InputError, OutputError
from veduta.io.atomic import as_output_error, finite_or_null, write_bytes, write_json
from veduta.io.paths import input_error, require_file

SCHEMA_VERSION = 1
"""Of run.json; raised when a field changes its meaning."""
MAX_JSON_BYTES = 16 * 2**20
_CHECKPOINT = re.compile(r"step_(\d{7,12})\.safetensors")


@dataclass(frozen=True, kw_only=True)
class RunRecord:
    """What run.json says."""

    schema_version: int
    veduta_version: str
    created: str
    """ISO 8601, UTC."""
    capture: str
    """Path of the capture, absolute: its folder, or the file in it that was named."""
    fingerprint: str
    """Of the capture's contents, so that a run is not resumed on other photographs."""
    command: str
    seed: int
    config: dict[str, Any]
    """The whole configuration, as plain JSON values."""


@dataclass(frozen=True)
class RunFolder:
    """A run's folder and the places in it; :meth:`create` makes one, :meth:`open` finds one."""

    path: Path

    @staticmethod
    def create(
        path: str | Path,
        config: Mapping[str, Any],
        *,
        capture: str | Path,
        fingerprint: str,
        command: str,
        seed: int,
        created: datetime | None = None,
    ) -> RunFolder:
        """A new run in ``path``, a folder that must be empty or not exist yet; ``config`` is plain JSON values.

        ``created`` is now unless told. Raises OutputError, also for a folder that holds a run or anything else.
        """
        run = RunFolder(Path(path))
        run._refuse_taken()
        when = datetime.now(UTC) if created is None else created.astimezone(UTC)
        record = RunRecord(
            schema_version=SCHEMA_VERSION,
            veduta_version=_veduta_version(),
            created=when.isoformat(timespec="seconds"),
            capture=str(_lasting(Path(capture))),
            fingerprint=fingerprint,
            command=command,
            seed=seed,
            config=json.loads(json.dumps(dict(config), allow_nan=False)),
        )
        write_json(run.record_path, asdict(record))
        return run

    @staticmethod
    def open(path: str | Path) -> RunFolder:
        """The run in ``path``. Raises InputError if there is none."""
        run = RunFolder(Path(path))
        if not run.record_path.is_file():
            got = "no such folder" if not run.path.is_dir() else "a folder without run.json"
            hint = "Name the folder that `veduta fit` or `veduta train` wrote with -o."
            raise InputError("not a run", where=run.path, expected="the folder of a run", got=got, hint=hint)
        return run

    @property
    def record_path(self) -> Path:
        """run.json."""
        return self.path / "run.json"

    @property
    def log_path(self) -> Path:
        """log.jsonl."""
        return self.path / "log.jsonl"

    @property
    def checkpoints_path(self) -> Path:
        """The folder of checkpoints."""
        return self.path / "checkpoints"

    @property
    def scene_path(self) -> Path:
        """The finished scene, in the capture's frame."""
        return self.path / "scene.safetensors"

    @property
    def evaluation_path(self) -> Path:
        """eval.json; its pictures are in the folder :attr:`evaluation_pictures_path`."""
        return self.path / "eval.json"

    @property
    def evaluation_pictures_path(self) -> Path:
        """The folder of held-out views, rendered."""
        return self.path / "eval"

    @property
    def renders_path(self) -> Path:
        """The folder of pictures and films along paths."""
        return self.path / "renders"

    @property
    def report_path(self) -> Path:
        """report.html."""
        return self.path / "report.html"

    def record(self) -> RunRecord:
        """What run.json says. A missing, corrupt or foreign one, or one of another schema, raises InputError."""
        values = read_json_object(self.record_path)
        version = values.get("schema_version")
        if version != SCHEMA_VERSION:
            raise InputError(
                "the run was written by another version of veduta",
                where=self.record_path,
                field="schema_version",
                expected=str(SCHEMA_VERSION),
                got=json.dumps(version)[:40],
                hint=f"Use version {str(values.get('veduta_version', 'that wrote it'))[:40]}, or fit again.",
            )
        types = {"schema_version": int, "seed": int, "config": dict}
        for field in fields(RunRecord):
            expected = types.get(field.name, str)
            if type(values.get(field.name)) is not expected:
                got = "nothing" if field.name not in values else json.dumps(values[field.name])[:40]
                name = {int: "a whole number", dict: "an object", str: "a text"}[expected]
                raise InputError("corrupt", where=self.record_path, field=field.name, expected=name, got=got)
        unknown = sorted(values.keys() - {field.name for field in fields(RunRecord)})
        if unknown:
            raise InputError("unknown field", where=self.record_path, field=unknown[0][:40])
        return RunRecord(**values)

    def checkpoint_path(self, step: int) -> Path:
        """Where the checkpoint after ``step`` steps belongs."""
        return self.checkpoints_path / f"step_{step:07d}.safetensors"

    def checkpoints(self) -> list[tuple[int, Path]]:
        """The checkpoints there are with their steps, earliest first."""
        if not self.checkpoints_path.is_dir():
            return []
        named = ((_CHECKPOINT.fullmatch(path.name), path) for path in self.checkpoints_path.iterdir())
        return sorted((int(match[1]), path) for match, path in named if match)

    def latest_checkpoint(self) -> Path | None:
        """The checkpoint with the most steps; None before the first."""
        found = self.checkpoints()
        return found[-1][1] if found else None

    def drop_old_checkpoints(self, *, keep: int = 1) -> None:
        """Delete all but the last ``keep`` checkpoints. Raises OutputError."""
        assert keep >= 1, keep
        for _, path in self.checkpoints()[:-keep]:
            with as_output_error(path):
                path.unlink(missing_ok=True)

    def append_log(self, event: Mapping[str, Any]) -> None:
        """Add one event to the log, as a line of JSON (null for what is not finite). Raises OutputError.

        What a crash left of an unfinished line is removed first.
        """
        line = json.dumps(finite_or_null(event), ensure_ascii=False, allow_nan=False) + "\n"
        with as_output_error(self.log_path), self.log_path.open("ab+") as file:
            _cut_unfinished_line(file)
            file.write(line.encode("utf-8"))

    def cut_log(self, *, after_step: int) -> None:
        """Drop the events of later steps, atomically: a run goes on from a checkpoint and will tell them again.

        Lines that are no events stay. Raises OutputError.
        """
        if not self.log_path.exists():
            return
        with as_output_error(self.log_path):
            lines = self.log_path.read_bytes().splitlines(keepends=True)
        kept = [line for line in lines if _step_of(line) <= after_step]
        if len(kept) < len(lines):
            write_bytes(self.log_path, b"".join(kept))

    def log(self) -> Iterator[dict[str, Any]]:
        """The events so far, in order; a last line that a crash cut short is left out. Raises InputError."""
        if not self.log_path.exists():
            return
        try:
            lines = self.log_path.read_bytes().split(b"\n")
        except OSError as error:
            raise input_error(error, self.log_path) from error
        for number, line in enumerate(lines[:-1], start=1):  # what follows the last line end is empty or cut short
            yield _object(line, f"{self.log_path}:{number}")

    def _refuse_taken(self) -> None:
        """OutputError unless the folder is empty or does not exist."""
        if self.record_path.exists():
            hint = "Continue it with --resume, or choose another folder."
            raise OutputError("there is a run already", where=self.path, hint=hint)
        with as_output_error(self.path):
            if self.path.exists() and any(self.path.iterdir()):
                hint = "Choose a new or empty folder: nothing in this one is touched."
                raise OutputError("the folder is not empty and holds no run", where=self.path, hint=hint)


def read_json_object(path: str | Path) -> dict[str, Any]:
    """The JSON object in a file of at most MAX_JSON_BYTES. Anything else raises InputError with its line."""
    path = require_file(path, what="a JSON file")
    try:
        with path.open("rb") as file:
            data = file.read(MAX_JSON_BYTES + 1)
    except OSError as error:
        raise input_error(error, path) from error
    if len(data) > MAX_JSON_BYTES:
        raise InputError("too large", where=path, expected=f"at most {MAX_JSON_BYTES} bytes of JSON")
    return _object(data, str(path))


def finite_number(value: object) -> float | None:
    """A JSON value as a finite float; None for anything else, booleans included."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    try:
        number = float(value)
    except OverflowError:
        return None
    return number if math.isfinite(number) else None


def _lasting(capture: Path) -> Path:
    """The absolute path. Links are followed, but not that of a file: what it names lies beside the link."""
    return capture.parent.resolve() / capture.name if capture.is_file() else capture.resolve()


def _cut_unfinished_line(file: BinaryIO) -> None:
    """Shorten an open file to its last line end."""
    size = file.seek(0, os.SEEK_END)
    if size == 0:
        return
    file.seek(size - 1)
    if file.read(1) == b"\n":
        return
    start = max(0, size - MAX_JSON_BYTES)
    file.seek(start)
    file.truncate(start + file.read().rfind(b"\n") + 1)


def _step_of(line: bytes) -> int:
    """The step of an event in the log; 0 for anything else."""
    try:
        step = _object(line, "").get("step")
    except InputError:
        return 0
    return step if isinstance(step, int) else 0


def _object(data: bytes, where: str) -> dict[str, Any]:
    try:
        value = json.loads(data.decode("utf-8"))
    except json.JSONDecodeError as error:
        raise InputError("not JSON", where=f"{where}:{error.lineno}", got=error.msg) from None
    except (ValueError, RecursionError) as error:  # not UTF-8, absurdly long numbers, absurdly deep nesting
        raise InputError("not JSON", where=where, got=str(error)[:80]) from None
    if not isinstance(value, dict):
        raise InputError("not a JSON object", where=where, expected="{...}", got=type(value).__name__)
    return value


def _veduta_version() -> str:
    try:
        return metadata.version("veduta")
    except metadata.PackageNotFoundError:  # a checkout on the path that was never installed
        return "unknown"
