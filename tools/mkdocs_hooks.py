"""mkdocs hook: fills docs/benchmarks.md with the tables of benchmarks/results/*.json."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

MARKER = "<!-- benchmark tables -->"
RESULTS = Path(__file__).resolve().parents[1] / "benchmarks" / "results"


def on_page_markdown(markdown: str, **_: Any) -> str:
    """Mkdocs calls this with every page; the marker becomes tables."""
    return markdown.replace(MARKER, tables(RESULTS)) if MARKER in markdown else markdown


def tables(folder: Path) -> str:
    """Every result file in ``folder`` as a section with a table; says so if there is none."""
    sections = [
        section(json.loads(path.read_text(encoding="utf-8")), path.stem) for path in sorted(folder.glob("*.json"))
    ]
    return "\n\n".join(sections) or "No results have been recorded yet."


def section(result: Mapping[str, Any], name: str) -> str:
    """One result: a heading, how it was taken, and its rows."""
    told = {key: value for key, value in result.items() if key != "title" and isinstance(value, str | int | float)}
    facts = [f"{key}: {value}" for key, value in told.items()]
    head = f"## {result.get('title', name)}\n\n" + "; ".join(facts)
    return head + "\n\n" + table(result.get("rows", []))


def table(rows: Sequence[Mapping[str, Any]]) -> str:
    """A Markdown table; its columns are the rows' keys in order of first appearance."""
    columns = list(dict.fromkeys(key for row in rows for key in row))
    lines = ["| " + " | ".join(columns) + " |", "|" + "---|" * len(columns)]
    lines += ["| " + " | ".join(cell(row.get(column)) for column in columns) + " |" for row in rows]
    return "\n".join(lines)


def cell(value: object) -> str:
    """A value as people read it."""
    if value is None:
        return ""
    return f"{value:.4g}" if isinstance(value, float) else str(value)
