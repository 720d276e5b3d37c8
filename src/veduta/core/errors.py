"""Errors that a user can act on: what is wrong, where, what was expected and found, and what to do."""

from __future__ import annotations

from pathlib import Path


class VedutaError(Exception):
    """A problem in what the user gave, told in the user's words; the CLI prints it and exits with 2.

    ``where`` names the file (and line) or option, ``field`` the field in it; ``hint`` is one sentence on what to do.
    """

    def __init__(
        self,
        problem: str,
        *,
        where: str | Path | None = None,
        field: str | None = None,
        expected: str | None = None,
        got: object | None = None,
        hint: str | None = None,
    ) -> None:
        self.problem = problem
        self.where = None if where is None else str(where)
        self.field = field
        self.expected = expected
        self.got = None if got is None else str(got)
        self.hint = hint
        super().__init__(self.line())

    def line(self) -> str:
        """The problem on one line: ``where, field NAME: problem: expected X, got Y``."""
        place = ", ".join(part for part in (self.where, f"field {self.field}" if self.field else None) if part)
        facts = ", ".join(
            part
            for part in (
                f"expected {self.expected}" if self.expected else None,
                f"got {self.got}" if self.got is not None else None,
            )
            if part
        )
        return ": ".join(part for part in (place, self.problem, facts) if part)

    def __str__(self) -> str:
        return self.line() if self.hint is None else f"{self.line()}\n  hint: {self.hint}"


class InputError(VedutaError):
    """A file, folder or value that the user gave cannot be used."""


class OutputError(VedutaError):
    """A result could not be written; nothing that was there before has been harmed."""


class UnsupportedError(VedutaError):
    """A backend or format lacks what was asked of it."""


class MissingDependencyError(VedutaError):
    """An optional package is not installed; the hint names the pip command."""


class WeightsError(VedutaError):
    """A file of weights does not fit the model it is meant for."""


class MemoryFullError(VedutaError):
    """A GPU has no memory left for what was asked; what was saved before is still good."""


class DivergedError(VedutaError):
    """An optimisation produced values that are not finite."""
