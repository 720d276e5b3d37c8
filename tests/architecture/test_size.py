"""Modules and functions stay short enough to be read."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

MODULE_LINES = 400
FUNCTION_LINES = 60

LONGER_MODULES: dict[str, str] = {}
"""Path below src/veduta -> why it is better in one piece."""
LONGER_FUNCTIONS: dict[str, str] = {}
"""Path below src/veduta and the function's name, joined by ``::`` -> why it is better in one piece."""


def modules(root: Path) -> Iterator[tuple[str, str]]:
    """Every module's path below src/veduta, and its text."""
    package = root / "src" / "veduta"
    for path in sorted(package.rglob("*.py")):
        yield path.relative_to(package).as_posix(), path.read_text(encoding="utf-8")


def functions(text: str) -> Iterator[tuple[str, int]]:
    """Every function's name and number of lines, nested ones included; blank lines and docstring count."""
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            assert node.end_lineno is not None
            yield node.name, node.end_lineno - node.lineno + 1


def test_modules_are_short(root: Path) -> None:
    long = {name: lines for name, text in modules(root) if (lines := len(text.splitlines())) > MODULE_LINES}
    assert set(long) == set(LONGER_MODULES), f"over {MODULE_LINES} lines, or no longer so: {long}"


def test_functions_are_short(root: Path) -> None:
    long = {
        f"{name}::{function}": lines
        for name, text in modules(root)
        for function, lines in functions(text)
        if lines > FUNCTION_LINES
    }
    assert set(long) == set(LONGER_FUNCTIONS), f"over {FUNCTION_LINES} lines, or no longer so: {long}"


def test_exceptions_are_argued() -> None:
    assert all(len(reason.split()) >= 5 for reason in (*LONGER_MODULES.values(), *LONGER_FUNCTIONS.values()))
