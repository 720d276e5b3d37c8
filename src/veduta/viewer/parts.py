"""Pieces of HTML that more than one section of the report is made of."""

from __future__ import annotations

import math

from veduta.viewer.content import Headline, number
from veduta.viewer.markup import safe

TALL = 0.9
"""Pictures narrower than this (width over height) stand in one row; wider ones get small panels at their side."""


def tiles(headlines: tuple[Headline, ...]) -> str:
    """The large numbers."""
    return f'<dl class="tiles">{"".join(_tile(headline) for headline in headlines)}</dl>'


def panel(layer: str, label: str, alt: str, address: str) -> str:
    """A small picture with its label; texts are HTML already."""
    return f'<div class="panel {layer}"><img src="{address}" alt="{alt}"><span class="tag left">{label}</span></div>'


def layers(about: str, choices: tuple[tuple[str, str], ...]) -> str:
    """Buttons for (layer, label), the first one pressed: what the slider's right side shows."""
    buttons = "".join(
        f'<button type="button" data-layer="{layer}" aria-pressed="{str(i == 0).lower()}">{label}</button>'
        for i, (layer, label) in enumerate(choices)
    )
    return f'<span class="layers" role="group" aria-label="{about}">{buttons}</span>'


def thumb(address: str, index: int, name: str, picture: str, aspect: float, value: str) -> str:
    """A link to a gallery's figure; ``name`` is HTML already."""
    current = ' aria-current="true"' if index == 0 else ""
    return (
        f'<a href="#{address}" data-view="{index}"{current} title="{name}">'
        f'<img src="{picture}" alt="{name}" style="--aspect:{aspect:.4f}"><span>{value}</span></a>'
    )


def heads(labels: list[str]) -> str:
    """The head of a sortable table: a text column and columns of numbers; labels are HTML already."""
    return "<thead><tr>{}</tr></thead>".format(
        "".join(
            f'<th scope="col"{" class=number" if i else ""}><button type="button">{label}</button></th>'
            for i, label in enumerate(labels)
        )
    )


def cell(value: float | None, digits: int, bar: str = "") -> str:
    """A number in a sortable table."""
    known = "" if value is None or math.isnan(value) else repr(float(value))
    return f'<td data-value="{known}">{bar}{number(value, digits)}</td>'


def _tile(headline: Headline) -> str:
    unit = f" <small>{safe(headline.unit)}</small>" if headline.unit else ""
    note = f'<dd class="note">{safe(headline.note)}</dd>' if headline.note else ""
    return f"<div><dt>{safe(headline.label)}</dt><dd>{safe(headline.value)}{unit}</dd>{note}</div>"
