"""The command line in this process: exit code, standard output, standard error."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.cli.tiny import write_capture
from veduta.cli import main


@dataclass(frozen=True)
class Outcome:
    """What a command left on the terminal."""

    code: int
    out: str
    err: str


Veduta = Callable[..., Outcome]


@pytest.fixture
def veduta(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Veduta:
    """Runs one command line on a terminal of 200 columns without colours."""
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.setenv("NO_COLOR", "1")

    def run(*args: str | Path) -> Outcome:
        capsys.readouterr()
        code = main([str(arg) for arg in args])
        text = capsys.readouterr()
        return Outcome(code, text.out, text.err)

    return run


@pytest.fixture(scope="session")
def pristine_capture(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A capture that nobody changes."""
    return write_capture(tmp_path_factory.mktemp("pristine") / "capture")


@pytest.fixture
def capture(pristine_capture: Path, tmp_path: Path) -> Path:
    """A capture of one's own."""
    return Path(shutil.copytree(pristine_capture, tmp_path / "capture"))


@pytest.fixture(scope="session")
def pristine_run(pristine_capture: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run that nobody changes."""
    folder = tmp_path_factory.mktemp("runs") / "run"
    assert main(["fit", str(pristine_capture), "-o", str(folder), "--steps", "20", "--threads", "1"]) == 0
    return folder


@pytest.fixture
def run(pristine_run: Path, tmp_path: Path) -> Path:
    """A finished run of one's own."""
    return Path(shutil.copytree(pristine_run, tmp_path / "run"))
