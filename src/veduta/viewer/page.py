"""The report's page: values in, one HTML text out; nothing is fetched, and every text is escaped."""

from __future__ import annotations

import base64
import hashlib
import math
import re
from importlib.resources import files

from veduta.recipes.colors import INFORMATION_RAMP
from veduta.viewer.charts import chart_card
from veduta.viewer.content import Content, Picture, Score, number
from veduta.viewer.information_section import knowledge_section
from veduta.viewer.markup import safe
from veduta.viewer.parts import TALL, cell, heads, layers, panel, thumb, tiles
from veduta.viewer.pictures import FULL_ERROR, ramp_css


def page(content: Content) -> str:
    """The whole document."""
    style = _asset("report.css").replace("/*ramp*/", ramp_css()).replace("/*gains*/", ramp_css(INFORMATION_RAMP))
    script = _asset("report.js")
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode("ascii")
    policy = f"default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src 'sha256-{digest}'"
    sections = (
        _views(content),
        _curves(content),
        knowledge_section(content.knowledge),
        _table(content),
        _settings(content),
        _method(content),
    )
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        '<meta name="color-scheme" content="light dark">\n'
        f"<title>{safe(content.title)} · veduta report</title>\n<style>\n{style}</style>\n</head>\n<body>\n"
        f"{_header(content)}\n<main>\n{''.join(sections)}</main>\n{_footer(content)}\n"
        f"<script>{script}</script>\n</body>\n</html>\n"
    )


def _asset(name: str) -> str:
    return files("veduta.viewer").joinpath(name).read_text(encoding="utf-8")


def _header(content: Content) -> str:
    return (
        '<header><div class="top"><span class="mark">veduta</span>'
        f'<span class="quiet">{safe(content.created)}</span></div>'
        f'<h1><bdi>{_breakable(content.title)}</bdi></h1><p class="lead">{safe(content.summary)}</p>'
        f"{tiles(content.headlines)}</header>"
    )


def _breakable(name: str) -> str:
    """Escaped, and free to go on in the next line after a separator."""
    return re.sub(r"([_/.-]+)", r"\1<wbr>", safe(name))


def _views(content: Content) -> str:
    if not content.pictures:
        return ""
    shown, total = len(content.pictures), len(content.scores)
    which = f"{shown} of {total} are shown, evenly chosen from the worst to the best. " if shown < total else ""
    figures = "".join(_figure(i, picture, shown) for i, picture in enumerate(content.pictures))
    thumbs = "".join(_thumb(i, picture) for i, picture in enumerate(content.pictures))
    return (
        '<section id="views"><div class="heading"><h2>Held-out photographs</h2>'
        f'<p class="quiet">Never used for training. {which}Drag across a picture to compare.</p></div>'
        f'<div class="gallery"><div class="figures">{figures}</div>'
        f'<nav class="thumbs" aria-label="Held-out photographs">{thumbs}</nav></div></section>\n'
    )


def _figure(index: int, picture: Picture, count: int) -> str:
    score, name = picture.score, safe(picture.score.name)
    depth = panel("depth", "Depth, near is bright", f"Depth of {name}", picture.depth) if picture.depth else ""
    shape = ("tall" if picture.aspect < TALL else "wide") + ("" if depth else " pair")
    error_label = f'Error <i class="ramp"></i> 0 to {FULL_ERROR:g}'
    choices = (("render", "Render"), ("error", "Error"), *((("depth", "Depth"),) if picture.depth else ()))
    return (
        f'<figure id="view-{index}" class="view" style="--aspect:{picture.aspect:.4f}">'
        f'<figcaption><h3><bdi>{name}</bdi></h3><span class="quiet place">{index + 1} of {count}</span>'
        f'<span class="scores">{_scores(score)}</span>'
        f"{layers('Compare the photograph with', choices)}</figcaption>"
        f'<div class="stage {shape}"><div class="compare">'
        f'<img class="under" src="{picture.photo}" alt="Photograph {name}">'
        f'<img class="over" src="{picture.render}" alt="Render of {name} from the learned scene">'
        '<span class="tag left">Photograph</span><span class="tag right">Render</span>'
        '<span class="divider" aria-hidden="true"></span>'
        f'<input type="range" min="0" max="100" step="0.5" value="50" aria-label="Share of {name} shown as photograph">'
        f"</div>{panel('error', error_label, f'Error of {name}: brighter is worse', picture.error)}{depth}</div>"
        "</figure>"
    )


def _scores(score: Score) -> str:
    return f"<b>{number(score.psnr, 2)}</b> dB <b>{number(score.ssim, 3)}</b> SSIM"


def _thumb(index: int, picture: Picture) -> str:
    score = picture.score
    return thumb(f"view-{index}", index, safe(score.name), picture.thumbnail, picture.aspect, number(score.psnr, 1))


def _curves(content: Content) -> str:
    cards = "".join(chart_card(chart) for chart in content.charts)
    if not cards:
        return ""
    return (
        '<section id="curves"><div class="heading"><h2>How it learned</h2>'
        f'<p class="quiet">Over optimisation steps. Point at a curve to read it.</p></div><div class="charts">{cards}'
        "</div></section>\n"
    )


def _table(content: Content) -> str:
    if not content.scores:
        return (
            '<section id="scores"><div class="heading"><h2>Held-out photographs</h2></div>'
            "<p>No photographs were held out or evaluated, so there is nothing to measure the scene against.</p>"
            "</section>\n"
        )
    with_depth = any(score.depth_error is not None for score in content.scores)
    known = [s.psnr for s in content.scores if s.psnr is not None and math.isfinite(s.psnr)]
    low, high = (min(known) - 1.0, max(known)) if known else (0.0, 1.0)
    page_of = {picture.score.name: i for i, picture in enumerate(content.pictures)}
    rows = "".join(_row(score, page_of, with_depth, low, high) for score in content.scores)
    unit = f" ({safe(content.depth_unit)})" if content.depth_unit else ""
    labels = ["View", "PSNR (dB)", "SSIM", *([f"Depth error{unit}"] if with_depth else [])]
    protocol = f'<p class="protocol quiet">{safe(content.protocol)}</p>' if content.protocol else ""
    return (
        f'<section id="scores"><div class="heading"><h2>Every view</h2>{protocol}</div>'
        f'<div class="scroll"><table class="sortable"><caption class="hidden">Scores of held-out photographs</caption>'
        f"{heads(labels)}<tbody>{rows}</tbody></table></div></section>\n"
    )


def _row(score: Score, page_of: dict[str, int], with_depth: bool, low: float, high: float) -> str:
    name = f"<bdi>{safe(score.name)}</bdi>"
    index = page_of.get(score.name)
    view = name if index is None else f'<a href="#view-{index}" data-view="{index}">{name}</a>'
    psnr = math.nan if score.psnr is None else score.psnr
    share = min(max((psnr - low) / (high - low), 0.0), 1.0) if math.isfinite(psnr) else 0.0
    depth = cell(score.depth_error, 3) if with_depth else ""
    bar = f'<i class="bar" style="--share:{share:.3f}"></i>'
    return (
        f'<tr><th scope="row" data-value="{safe(score.name)}">{view}</th>'
        f"{cell(score.psnr, 2, bar)}{cell(score.ssim, 4)}{depth}</tr>"
    )


def _settings(content: Content) -> str:
    if not content.settings:
        return ""
    groups = "".join(
        f"<div class='group'><h3>{safe(name)}</h3><dl>"
        + "".join(f"<div><dt>{safe(key)}</dt><dd>{safe(value)}</dd></div>" for key, value in rows)
        + "</dl></div>"
        for name, rows in content.settings.items()
    )
    count = sum(len(rows) for rows in content.settings.values())
    return (
        '<section id="settings"><details><summary><h2>Settings</h2>'
        f'<span class="quiet">all {count}, as in run.json</span></summary>'
        f'<div class="groups">{groups}</div></details></section>\n'
    )


def _method(content: Content) -> str:
    notes = "".join(f"<p>{safe(note)}</p>" for note in content.notes)
    command = f"<pre><code>{safe(content.command)}</code></pre>" if content.command else ""
    if not (notes or command):
        return ""
    again = f"<h2>To do it again</h2>{command}" if command else ""
    return f'<section id="method">{again}{notes}</section>\n'


def _footer(content: Content) -> str:
    versions = "".join(f"<span><b>{safe(name)}</b> {safe(value)}</span>" for name, value in content.versions)
    return f'<footer><div class="versions">{versions}</div></footer>'
