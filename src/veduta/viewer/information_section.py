"""The report's section on how much is known: maps, sparsification, reliability."""

from __future__ import annotations

from veduta.viewer.charts import chart_card
from veduta.viewer.content import GainPicture, Knowledge, Signal, number
from veduta.viewer.markup import safe
from veduta.viewer.parts import TALL, cell, heads, layers, panel, thumb, tiles
from veduta.viewer.pictures import FULL_ERROR


def knowledge_section(knowledge: Knowledge | None) -> str:
    """The section; ``""`` where nothing has been measured."""
    if knowledge is None:
        return ""
    parts = (_gallery(knowledge), tiles(knowledge.facts) if knowledge.facts else "", _cards(knowledge))
    if not any(parts):
        return ""
    protocol = f'<p class="protocol quiet">{safe(knowledge.protocol)}</p>' if knowledge.protocol else ""
    return (
        '<section id="knowledge"><div class="heading"><h2>How much do we know</h2>'
        '<p class="quiet">Gain is what a photograph taken there would still tell, pixel by pixel.</p>'
        f"{protocol}</div>{''.join(parts)}</section>\n"
    )


def _gallery(knowledge: Knowledge) -> str:
    if not knowledge.pictures:
        return ""
    shown = len(knowledge.pictures)
    which = f"{shown} of {knowledge.total} maps, evenly chosen. " if shown < knowledge.total else ""
    figures = "".join(_figure(i, picture, knowledge) for i, picture in enumerate(knowledge.pictures))
    thumbs = "".join(_thumb(i, picture) for i, picture in enumerate(knowledge.pictures))
    return (
        f'<div class="gallery"><p class="scale quiet">{which}<span class="bar-of-gains">known, 0'
        f'<i class="ramp gains"></i>{knowledge.top:.3g} nats and more, unknown</span></p>'
        f'<div class="figures">{figures}</div><nav class="thumbs" aria-label="Maps of gain">{thumbs}</nav></div>'
    )


def _figure(index: int, picture: GainPicture, knowledge: Knowledge) -> str:
    name, place = safe(picture.name), f"{index + 1} of {len(knowledge.pictures)}"
    label = f'Gain <i class="ramp gains"></i> 0 to {knowledge.top:.3g} nats'
    panels = panel("gain", label, f"Gain of {name}: brighter is less known", picture.gain)
    if picture.error is not None:
        label = f'Error <i class="ramp"></i> 0 to {FULL_ERROR:g}'
        panels += panel("error", label, f"Error of {name}: brighter is worse", picture.error)
    shape = ("tall" if picture.aspect < TALL else "wide") + (" pair" if picture.error is None else "")
    choices = (("overlay", "Overlay"), ("gain", "Gain"), *((("error", "Error"),) if picture.error is not None else ()))
    return (
        f'<figure id="gain-{index}" class="view" style="--aspect:{picture.aspect:.4f}">'
        f'<figcaption><h3><bdi>{name}</bdi></h3><span class="quiet place">{place}</span>'
        f'<span class="scores"><b>{number(picture.mean, 2)}</b> nats per pixel</span>'
        f"{layers('Compare the render with', choices)}</figcaption>"
        f'<div class="stage {shape}"><div class="compare">'
        f'<img class="under" src="{picture.render}" alt="Render of {name} from the learned scene">'
        f'<img class="over" src="{picture.overlay}" alt="Render of {name}, covered where it is not known">'
        '<span class="tag left">Render</span><span class="tag right">Overlay</span>'
        '<span class="divider" aria-hidden="true"></span>'
        f'<input type="range" min="0" max="100" step="0.5" value="50" aria-label="Share of {name} shown as render">'
        f"</div>{panels}</div></figure>"
    )


def _thumb(index: int, picture: GainPicture) -> str:
    name = safe(picture.name)
    return thumb(f"gain-{index}", index, name, picture.thumbnail, picture.aspect, number(picture.mean, 2))


def _cards(knowledge: Knowledge) -> str:
    cards = "".join(chart_card(chart) for chart in knowledge.charts) + _table(knowledge.signals)
    return f'<div class="charts">{cards}</div>' if cards else ""


def _table(signals: tuple[Signal, ...]) -> str:
    """Only where there is something to compare."""
    if len(signals) < 2:
        return ""
    rows = "".join(
        f'<tr><th scope="row" data-value="{safe(signal.name)}"><bdi>{safe(signal.name)}</bdi></th>'
        f"{cell(signal.ause, 3)}{cell(signal.pooled, 3)}{cell(signal.spearman, 2)}</tr>"
        for signal in signals
    )
    return (
        '<div class="card signals"><h3>Against simpler signals</h3><div class="scroll"><table class="sortable">'
        '<caption class="hidden">How well each signal sorts pixels by their error</caption>'
        f"{heads(['Signal', 'AUSE', 'pooled', 'rank corr.'])}<tbody>{rows}</tbody></table></div></div>"
    )
