"""Code that people will copy runs."""

from __future__ import annotations

import ast
import re
import runpy
from pathlib import Path

import pytest

from veduta.io.ply import read_ply

BLOCK = re.compile(r"^```python\n(.*?)^```", re.MULTILINE | re.DOTALL)
LONGEST_EXAMPLE = 60


def blocks(page: Path) -> list[str]:
    """The Python blocks of a page."""
    return BLOCK.findall(page.read_text(encoding="utf-8"))


@pytest.mark.slow
def test_readme_example(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (example,) = blocks(root / "README.md")
    assert len(example.strip().splitlines()) <= 10
    monkeypatch.chdir(tmp_path)
    variables: dict[str, object] = {}
    exec(compile(example, "README.md", "exec"), variables)
    found = re.fullmatch(r"(-?\d+\.\d) dB on (\d+) held-out views\n", capsys.readouterr().out)
    assert found is not None
    assert float(found[1]) > 15.0
    assert len(read_ply(tmp_path / "room.ply")) > 0


def test_blocks_of_the_documentation_are_python(root: Path) -> None:
    pages = [page for page in (root / "docs").rglob("*.md") if page.name != "architecture.md"]
    for page in pages:
        for block in blocks(page):
            ast.parse(block, filename=str(page))


def test_examples_are_short(root: Path) -> None:
    examples = sorted((root / "examples").glob("*.py"))
    assert examples
    assert all(len(path.read_text(encoding="utf-8").splitlines()) < LONGEST_EXAMPLE for path in examples)


def example(root: Path, number: int) -> dict[str, object]:
    """The names of a numbered example, not run as a program."""
    (path,) = (root / "examples").glob(f"{number:02d}_*.py")
    return runpy.run_path(str(path))


@pytest.mark.slow
def test_photographs_to_splat(root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    example(root, 1)["main"](tmp_path, steps=40)  # type: ignore[operator]
    assert "dB" in capsys.readouterr().out
    assert len(read_ply(tmp_path / "room.ply")) > 0


def test_moving_object(root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    example(root, 2)["main"](tmp_path)  # type: ignore[operator]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["at_0.0_s.png", "at_1.5_s.png"]
    places = re.findall(r"car is at \[(-?[\d.]+),", capsys.readouterr().out)
    assert float(places[1]) - float(places[0]) == pytest.approx(3.0, abs=0.05)


def test_your_own_features(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    example(root, 3)["main"]()  # type: ignore[operator]
    share = re.search(r"(\d+) % of the Gaussians", capsys.readouterr().out)
    assert share is not None
    assert int(share[1]) > 90
