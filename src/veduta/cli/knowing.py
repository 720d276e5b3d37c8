"""What the verbs of information begin with: evidence, and errors to learn from, each under its own bar."""

from __future__ import annotations

from rich.console import Console

from veduta.cli.terminal import counting, tell
from veduta.core import Evidence
from veduta.information import ErrorModel
from veduta.recipes.information import Subject, evidence_of
from veduta.recipes.information_errors import errors_of


def gathered(subject: Subject, console: Console, *, backend: str) -> Evidence:
    """The evidence, kept or gathered, which is told."""
    with counting(console, "gathering evidence") as progress:
        known = evidence_of(subject, backend=backend, on_view=progress)
    tell(console, known.told)
    return known.evidence


def learned_errors(subject: Subject, console: Console, *, backend: str) -> ErrorModel:
    """The errors that Gaussians had in the training pictures, kept or learned."""
    with counting(console, "learning errors") as progress:
        return errors_of(subject, backend=backend, on_step=progress)
