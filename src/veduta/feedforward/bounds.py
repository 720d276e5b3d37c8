"""Settings of models that nobody could train or load are refused by name."""

from __future__ import annotations

from collections.abc import Mapping

from veduta.core import InputError

GROUPS = 8
"""Channels are normalised in so many groups, and attended to by heads of as many."""
MAX_CHANNELS = 4096


def check_settings(plan: object, allowed: Mapping[str, tuple[bool, str]]) -> None:
    """InputError for the first setting that is not good; ``allowed``: by name, whether it is, and what would be."""
    for name, (good, expected) in allowed.items():
        if not good:
            kind = type(plan).__name__
            raise InputError("setting out of range", where=kind, field=name, expected=expected, got=getattr(plan, name))


def between(value: float, least: float, most: float, *, multiple: int = 1) -> tuple[bool, str]:
    """Whether a number lies between two others and is a multiple of a third (1: any number), and how to say so."""
    told = f"{least:,} to {most:,}" + (f", a multiple of {multiple}" if multiple > 1 else "")
    return least <= value <= most and (multiple == 1 or value % multiple == 0), told
