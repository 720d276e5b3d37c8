"""Results of benchmarks become tables of the documentation."""

from __future__ import annotations

import json
import runpy
from pathlib import Path

import pytest


@pytest.fixture(scope="module")
def hooks(root: Path) -> dict[str, object]:
    """The names of the mkdocs hook."""
    return runpy.run_path(str(root / "tools" / "mkdocs_hooks.py"))


def test_rows_become_a_table(hooks: dict[str, object], tmp_path: Path) -> None:
    rows = [{"scene": "fox", "psnr": 31.23456}, {"scene": "fern", "seconds": 3}]
    (tmp_path / "fit.json").write_text(json.dumps({"title": "Quality", "machine": "2 cores", "rows": rows}))
    text = hooks["tables"](tmp_path)  # type: ignore[operator]
    assert text.startswith("## Quality\n\nmachine: 2 cores\n\n| scene")
    assert text.endswith("| scene | psnr | seconds |\n|---|---|---|\n| fox | 31.23 |  |\n| fern |  | 3 |")


def test_no_results_are_no_error(hooks: dict[str, object], tmp_path: Path) -> None:
    assert "No results" in hooks["tables"](tmp_path)  # type: ignore[operator]


def test_recorded_results_can_be_read(hooks: dict[str, object], root: Path) -> None:
    for path in (root / "benchmarks" / "results").glob("*.json"):
        assert hooks["section"](json.loads(path.read_text(encoding="utf-8")), path.stem)  # type: ignore[operator]
