"""A run's folder: nothing is overwritten, and a crash costs at most the last line of the log."""

from __future__ import annotations

import json
from datetime import datetime, timedelta, timezone
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from veduta.core import InputError, OutputError
from veduta.io.runs import SCHEMA_VERSION, RunFolder, read_json_object


def create(path: Path, **changes: object) -> RunFolder:
    settings = {"capture": "fox", "fingerprint": "f00", "command": "veduta fit fox", "seed": 3}
    return RunFolder.create(path, {"steps": 7, "lr": 1e-3, "size": (1, 2)}, **(settings | changes))  # type: ignore


def test_what_was_asked_is_read_again(tmp_path: Path) -> None:
    when = datetime(2025, 3, 1, 12, 0, 30, tzinfo=timezone(timedelta(hours=2)))
    create(tmp_path / "a" / "run", created=when)
    record = RunFolder.open(tmp_path / "a" / "run").record()
    assert record.schema_version == SCHEMA_VERSION
    assert record.config == {"steps": 7, "lr": 1e-3, "size": [1, 2]}
    assert record.created == "2025-03-01T10:00:30+00:00"
    assert record.capture == str(Path("fox").resolve())
    assert (record.fingerprint, record.command, record.seed) == ("f00", "veduta fit fox", 3)
    assert record.veduta_version


def test_a_run_is_never_started_over_another(tmp_path: Path) -> None:
    create(tmp_path)
    before = (tmp_path / "run.json").read_bytes()
    with pytest.raises(OutputError, match="there is a run already") as caught:
        create(tmp_path, seed=4)
    assert "--resume" in (caught.value.hint or "")
    assert (tmp_path / "run.json").read_bytes() == before


def test_a_folder_of_something_else_is_refused(tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").write_text("mine")
    with pytest.raises(OutputError, match="not empty and holds no run"):
        create(tmp_path)
    assert [p.name for p in tmp_path.iterdir()] == ["thesis.tex"]


def test_a_file_in_its_place(tmp_path: Path) -> None:
    (tmp_path / "run").write_text("mine")
    with pytest.raises(OutputError, match="cannot write"):
        create(tmp_path / "run")
    with pytest.raises(OutputError, match="cannot write"):
        create(tmp_path / "run" / "deeper")
    assert (tmp_path / "run").read_text() == "mine"


def test_settings_that_are_not_json_are_a_programming_error(tmp_path: Path) -> None:
    for value in (float("nan"), object()):
        with pytest.raises((ValueError, TypeError)):
            RunFolder.create(tmp_path, {"x": value}, capture=".", fingerprint="", command="", seed=0)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("there", [True, False])
def test_not_a_run(tmp_path: Path, there: bool) -> None:
    with pytest.raises(InputError, match="not a run: expected the folder of a run, got"):
        RunFolder.open(tmp_path if there else tmp_path / "none")


@pytest.mark.parametrize("version", [0, SCHEMA_VERSION + 1, None, "1", [1]])
def test_another_schema_version(tmp_path: Path, version: object) -> None:
    run = create(tmp_path)
    run.record_path.write_text(json.dumps({**json.loads(run.record_path.read_text()), "schema_version": version}))
    with pytest.raises(InputError, match=rf"field schema_version: .*expected {SCHEMA_VERSION}, got") as caught:
        run.record()
    assert "fit again" in (caught.value.hint or "")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"seed": "3"}, 'field seed: corrupt: expected a whole number, got "3"'),
        ({"seed": True}, "field seed: corrupt"),
        ({"config": []}, r"field config: corrupt: expected an object, got \[\]"),
        ({"command": None}, "field command: corrupt: expected a text, got null"),
        ({"sneed": 1}, "field sneed: unknown field"),
    ],
)
def test_corrupt_records(tmp_path: Path, change: dict, message: str) -> None:
    run = create(tmp_path)
    run.record_path.write_text(json.dumps({**json.loads(run.record_path.read_text()), **change}))
    with pytest.raises(InputError, match=message):
        run.record()


def test_missing_fields(tmp_path: Path) -> None:
    run = create(tmp_path)
    values = json.loads(run.record_path.read_text())
    del values["fingerprint"]
    run.record_path.write_text(json.dumps(values))
    with pytest.raises(InputError, match="field fingerprint: corrupt: expected a text, got nothing"):
        run.record()


@pytest.mark.parametrize(
    "data", [b"", b"{", b'{"a":', b"[]", b"3", b"\xff", b"[" * 100_000, b'{"a": ' + b"9" * 5000 + b"}"]
)
def test_what_is_not_a_json_object(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "run.json").write_bytes(data)
    with pytest.raises(InputError, match=r"run\.json"):
        read_json_object(tmp_path / "run.json")


@given(st.binary(max_size=60))
def test_any_bytes_as_a_record(tmp_path_factory: pytest.TempPathFactory, data: bytes) -> None:
    folder = tmp_path_factory.mktemp("fuzz")
    (folder / "run.json").write_bytes(data)
    with pytest.raises(InputError):
        RunFolder.open(folder).record()


def test_checkpoints_in_the_order_of_their_steps(tmp_path: Path) -> None:
    run = create(tmp_path)
    assert run.latest_checkpoint() is None
    run.checkpoints_path.mkdir()
    for step in (200, 9_999_999, 10_000_000, 1000):
        run.checkpoint_path(step).touch()
    (run.checkpoints_path / ".step_0000300.abc.tmp.safetensors").touch()
    (run.checkpoints_path / "notes.txt").touch()
    assert [step for step, _ in run.checkpoints()] == [200, 1000, 9_999_999, 10_000_000]
    assert run.latest_checkpoint() == run.checkpoint_path(10_000_000)
    run.drop_old_checkpoints(keep=2)
    assert [step for step, _ in run.checkpoints()] == [9_999_999, 10_000_000]
    assert (run.checkpoints_path / "notes.txt").exists()


def test_the_log(tmp_path: Path) -> None:
    run = create(tmp_path)
    assert list(run.log()) == []
    run.append_log({"event": "Stepped", "loss": 0.5, "text": "zwei\nZeilen ä"})
    run.append_log({"event": "Scored", "psnr": float("inf")})
    events = [{"event": "Stepped", "loss": 0.5, "text": "zwei\nZeilen ä"}, {"event": "Scored", "psnr": None}]
    assert list(run.log()) == events
    with run.log_path.open("ab") as file:
        file.write(b'{"event": "cut sh')
    assert list(run.log()) == events
    run.append_log({"event": "Saved"})
    assert list(run.log()) == [*events, {"event": "Saved"}]


def test_a_log_is_cut_after_a_step(tmp_path: Path) -> None:
    run = create(tmp_path)
    run.cut_log(after_step=0)  # nothing there, nothing made
    assert not run.log_path.exists()
    for step in (0, 5, 10, 15):
        run.append_log({"event": "stepped", "step": step})
    run.append_log({"event": "note"})
    with run.log_path.open("ab") as file:
        file.write(b"no event\n")
    before = run.log_path.read_bytes()
    run.cut_log(after_step=15)
    assert run.log_path.read_bytes() == before
    run.cut_log(after_step=9)
    assert run.log_path.read_bytes().splitlines() == [
        line for line in before.splitlines() if b"10" not in line and b"15" not in line
    ]


def test_a_log_that_cannot_be_cut_stays_whole(tmp_path: Path, full_disk) -> None:
    run = create(tmp_path)
    for step in range(9):
        run.append_log({"event": "stepped", "step": step, "text": "x" * 100})
    with full_disk(), pytest.raises(OutputError, match=r"log\.jsonl"):
        run.cut_log(after_step=7)
    assert len(list(run.log())) == 9


def test_a_log_that_is_nothing_but_a_cut_line(tmp_path: Path) -> None:
    run = create(tmp_path)
    run.log_path.write_text('{"cut')
    run.append_log({"a": 1})
    assert list(run.log()) == [{"a": 1}]


def test_a_log_with_a_broken_line_in_the_middle(tmp_path: Path) -> None:
    run = create(tmp_path)
    run.log_path.write_text('{"a": 1}\nnonsense\n{"b": 2}\n')
    with pytest.raises(InputError, match=r"log\.jsonl:2"):
        list(run.log())


def test_a_log_that_cannot_be_written(tmp_path: Path, full_disk) -> None:
    run = create(tmp_path)
    with full_disk(), pytest.raises(OutputError, match=r"log\.jsonl"):
        run.append_log({"text": "x" * 10_000})
