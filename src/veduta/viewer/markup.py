"""Texts of any origin as HTML."""

from __future__ import annotations

from html import escape

HARMLESS = "\n\t\u00a0\u200c\u200d"
"""Not printable by Python's rule, yet part of honest text."""


def safe(value: str) -> str:
    """Escaped for text and for quoted attributes; what cannot be encoded, or would reorder text, becomes U+FFFD."""
    return escape("".join(c if c.isprintable() or c in HARMLESS else "\ufffd" for c in value), quote=True)
