"""The command line as documented is the command line as it is."""

from __future__ import annotations

import re
import shlex
from functools import cache
from pathlib import Path

import pytest

from veduta.cli.main import main
from veduta.cli.parsing import VERBS


@cache
def options(verb: str) -> frozenset[str]:
    """Every option of a verb, from its own help."""
    import contextlib
    import io

    text = io.StringIO()
    with contextlib.redirect_stdout(text):
        assert main([verb, "--help"]) == 0
    plain = re.sub(r"\x1b\[[0-9;]*m", "", text.getvalue())
    return frozenset(re.findall(r"(?<![\w-])--?[a-z][\w.-]*", plain))


def commands(root: Path) -> list[tuple[str, list[str]]]:
    """Every ``veduta VERB ...`` in a code block of README and docs: where, and its words."""
    found = []
    for page in [root / "README.md", *sorted((root / "docs").rglob("*.md"))]:
        for block in re.findall(r"^```\n(.*?)^```", page.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL):
            for line in block.splitlines():
                if line.startswith("veduta ") and "VERB" not in line:
                    words = shlex.split(re.sub(r"\[|\]| {2,}.*", " ", line.split(" #")[0]))
                    found.append((page.name, words[1:]))
    return found


def test_every_verb_is_documented(root: Path) -> None:
    page = (root / "docs" / "cli.md").read_text(encoding="utf-8")
    assert re.findall(r"^## ([\w-]+)$", page, re.MULTILINE) == list(VERBS)


def test_documented_commands_exist(root: Path) -> None:
    wrong = []
    for page, (verb, *words) in commands(root):
        if verb in ("--version",):
            continue
        known = options(verb) if verb in VERBS else frozenset()
        wrong += [f"{page}: veduta {verb} {word}" for word in words if word.startswith("-") and word not in known]
        wrong += [] if verb in VERBS else [f"{page}: veduta {verb}"]
    assert not wrong


def test_options_named_in_the_reference_exist(root: Path) -> None:
    sections = re.split(r"^## ([\w-]+)$", (root / "docs" / "cli.md").read_text(encoding="utf-8"), flags=re.MULTILINE)
    wrong = []
    for verb, text in zip(sections[1::2], sections[2::2], strict=True):
        named = re.findall(r"`(--[a-z][\w.-]*)", text)
        wrong += [f"{verb} {name}" for name in named if name not in options(verb)]
    assert not wrong


def test_options_named_anywhere_exist(root: Path) -> None:
    known = frozenset().union(*map(options, VERBS))
    wrong = []
    for page in [root / "README.md", *sorted((root / "docs").rglob("*.md"))]:
        named = re.findall(r"`(--[a-z][\w.-]*)", page.read_text(encoding="utf-8"))
        wrong += [f"{page.name}: {name}" for name in named if name not in known]
    assert not wrong


@pytest.mark.parametrize("verb", VERBS)
def test_help_has_an_example(verb: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([verb, "--help"]) == 0
    assert f"veduta {verb}" in capsys.readouterr().out
