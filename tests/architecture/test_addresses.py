"""Compiled code is handed addresses only of tensors that something holds on to."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

from tests.architecture.test_size import modules


def passing(text: str) -> Iterator[int]:
    """Lines that take the address of the result of a call, which is gone before the address is used."""
    for node in ast.walk(ast.parse(text)):
        takes = isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "address"
        if takes and any(isinstance(part, ast.Call) for part in ast.walk(node.args[0])):
            yield node.lineno


def test_addresses_are_of_tensors_with_names(root: Path) -> None:
    found = [f"{path}:{line}" for path, text in modules(root) for line in passing(text)]
    assert not found


def test_the_rule_tells_them_apart() -> None:
    assert list(passing("address(colors.contiguous(), n, 3)")) == [1]
    assert list(passing("address(colors, *colors.shape)\naddress(self.colors, n)\naddress(colors[0], n)")) == []
