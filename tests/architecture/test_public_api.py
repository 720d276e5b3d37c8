"""The public API is a file under test: what changes for users changes there, in sight of the review."""

from __future__ import annotations

from pathlib import Path

from tests.architecture.public_api import public_api


def test_public_api_is_as_recorded(root: Path) -> None:
    recorded = (root / "tests" / "architecture" / "public_api.txt").read_text(encoding="utf-8").splitlines()
    current = list(public_api())
    gone, new = sorted(set(recorded) - set(current)), sorted(set(current) - set(recorded))
    assert current == recorded, (
        f"gone: {gone}; new: {new}. If that is meant: "
        "python tests/architecture/public_api.py > tests/architecture/public_api.txt, and a line in CHANGELOG.md"
    )
