"""What may be imported, and what it may cost."""

from __future__ import annotations

import ast
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

FORBIDDEN = {
    "torchvision": "its wheels break with other builds of torch",
    "cv2": "pillow, numpy and scipy suffice",
    "pickle": "unpickling runs what a file says",
    "torchmetrics": "imports torchvision where that is installed",
    "lpips": "needs torchvision",
    "plyfile": "GPL; tests compare with it, no more",
}
HEAVY = ("scipy", "PIL", "imageio", "viser", "pycolmap", "tyro", "triton")
"""Loaded when first used, never by ``import veduta``."""
IMPORT_BUDGET_S = 0.5
TOOLS = ("all", "dev", "docs")
"""Extras that the package itself imports nothing of."""
MODULES = {"pillow": "PIL", "openexr": "OpenEXR"}
"""Packages whose modules have another name."""


def imported(path: Path) -> Iterator[str]:
    """Top-level names of all packages that a file imports, anywhere in it."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name.split(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            yield node.module.split(".")[0]


@pytest.mark.parametrize("folder", ["src", "examples", "benchmarks"])
def test_nothing_forbidden_is_imported(root: Path, folder: str) -> None:
    found = {
        f"{path.relative_to(root)}: {name}, {FORBIDDEN[name]}"
        for path in (root / folder).rglob("*.py")
        for name in imported(path)
        if name in FORBIDDEN
    }
    assert not found


def test_every_import_is_a_declared_dependency(root: Path) -> None:
    project = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    extras = project["optional-dependencies"].items()
    declared = [*project["dependencies"], *(name for extra, names in extras if extra not in TOOLS for name in names)]
    names = {dependency.split(">")[0].split("[")[0] for dependency in declared}
    modules = {MODULES.get(name, name.replace("-", "_")) for name in names}
    known = modules | {"veduta"} | sys.stdlib_module_names
    found = {name: str(path) for path in (root / "src").rglob("*.py") for name in imported(path) if name not in known}
    assert not found


def test_import_is_light() -> None:
    code = f"import sys, veduta; print([name for name in {HEAVY!r} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_import_costs_little_beyond_torch() -> None:
    code = (
        "import time, torch; start = time.process_time(); "
        "import veduta; veduta.Gaussians, veduta.render, veduta.rasterize; print(time.process_time() - start)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert float(done.stdout) < IMPORT_BUDGET_S
