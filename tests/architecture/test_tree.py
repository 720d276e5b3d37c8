"""The tree speaks of the project only, and holds no artefacts."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

MACHINE_PATHS = re.compile(r"(?<![\w.])/(?:work|root|opt|home|Users|mnt|data)/\w")
"""Absolute paths of somebody's machine."""
ARTEFACTS = {
    ".so",
    ".o",
    ".pyc",
    ".whl",
    ".ply",
    ".splat",
    ".mp4",
    ".safetensors",
    ".jpg",
    ".npz",
    ".pt",
    ".pth",
    ".ckpt",
}


SHIPPED = {"object_small.safetensors": 40_000_000}
"""What belongs to the package although it was made, and how large it may become."""


@pytest.fixture(scope="module")
def tracked(root: Path) -> list[Path]:
    """Every file that belongs to the repository."""
    if not (root / ".git").exists() or shutil.which("git") is None:
        pytest.skip("not a git checkout")
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=root, capture_output=True, text=True, check=True)
    return [root / name for name in listed.stdout.split("\0") if name and (root / name).is_file()]


def test_no_machine_paths(tracked: list[Path]) -> None:
    found = []
    for path in tracked:
        if path.suffix in {".png", ".gz"}:
            continue
        text = path.read_text(encoding="utf-8", errors="replace")
        found += [f"{path}: {match.group()}" for match in MACHINE_PATHS.finditer(text)]
    assert not found


def test_no_artefacts(tracked: list[Path]) -> None:
    assert not [path for path in tracked if path.suffix.lower() in ARTEFACTS and path.name not in SHIPPED]


def test_no_large_files(tracked: list[Path]) -> None:
    assert not [path for path in tracked if path.stat().st_size > SHIPPED.get(path.name, 500_000)]
