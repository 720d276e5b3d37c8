"""The layers of docs/architecture.md, checked by import-linter with the settings of pyproject.toml."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from pathlib import Path


def test_packages_import_only_downwards(root: Path) -> None:
    linter = Path(sys.executable).with_name("lint-imports")
    result = subprocess.run([linter, "--no-cache"], cwd=root, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stdout + result.stderr


def test_the_documented_layers_are_the_checked_ones(root: Path) -> None:
    settings = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))
    checked = settings["tool"]["importlinter"]["contracts"][0]["layers"]
    page = (root / "docs" / "architecture.md").read_text(encoding="utf-8")
    block = page.split("## Layers", 1)[1].split("```", 2)[1]
    documented = [re.split(r"\s{3,}", line)[0] for line in re.sub(r" +\|", " |", block).strip().splitlines()]
    assert documented == checked
