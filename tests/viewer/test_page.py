"""The page: balanced, self-contained, accessible, and deaf to what hostile names try to say."""

from __future__ import annotations

import base64
import hashlib
import re
from dataclasses import replace
from html.parser import HTMLParser

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from veduta.viewer.charts import Chart, Series
from veduta.viewer.content import Content, Headline, Picture, Score, duration, flatten, number
from veduta.viewer.page import page

PIXEL = "data:image/jpeg;base64,AAAA"
VOID = {"meta", "img", "input", "br", "wbr", "link", "hr"}
SELF_CLOSED = {"line", "polyline", "circle"}
HOSTILE = "\"'><img src=x onerror=alert(1)><script>alert('&amp;')</script>\u202egnp.\x00\ud800</style></title>"


class Document(HTMLParser):
    """Tags with their attributes; fails on anything closed that was not open, or left open."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(text)
        self.close()
        assert self.open == [], f"left open: {self.open}"

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert len({name for name, _ in attrs}) == len(attrs), f"an attribute twice in {tag}"
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert tag in SELF_CLOSED, tag
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open, f"</{tag}> closes nothing"
        assert self.open.pop() == tag, f"</{tag}> in the wrong place"

    def handle_data(self, data: str) -> None:
        if not {"script", "style"} & set(self.open):
            self.text += data

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attrs for name, attrs in self.tags if name == tag]


def content(name: str = "0001.png", count: int = 3, *, depth: str | None = PIXEL) -> Content:
    scores = tuple(Score(name=f"{name}{i}", psnr=30.0 + i, ssim=0.9, depth_error=0.1) for i in range(count))
    pictures = tuple(
        Picture(score=s, aspect=1.5, photo=PIXEL, render=PIXEL, error=PIXEL, depth=depth, thumbnail=PIXEL)
        for s in scores
    )
    return Content(
        title=name,
        created=name,
        summary=name,
        headlines=(Headline(label=name, value=name, unit=name, note=name),),
        pictures=pictures,
        scores=scores,
        charts=(Chart(title=name, series=(Series(name=name, points=((0.0, 1.0), (9.0, 2.0)), noisy=True),) * 2),),
        depth_unit=name,
        protocol=name,
        notes=(name,),
        settings={name: ((name, name),)},
        command=name,
        versions=((name, name),),
    )


@pytest.mark.parametrize(
    "made",
    [
        content(),
        content(depth=None),
        content(count=0),
        replace(content(), charts=(), settings={}, command="", notes=(), headlines=(), protocol=""),
    ],
    ids=["everything", "no depth", "nothing held out", "little known"],
)
def test_the_page_is_balanced_and_needs_nothing_else(made: Content):
    text = page(made)
    document = Document(text)
    assert len({attrs["id"] for _, attrs in document.tags if attrs.get("id")}) == sum(
        "id" in attrs for _, attrs in document.tags
    )
    for tag, attrs in document.tags:
        assert tag not in {"link", "iframe", "object", "embed", "base", "form"}
        for name in ("src", "href", "srcset", "action", "data"):
            assert (attrs.get(name) or "#").startswith(("data:image/", "#")), (tag, attrs)
        assert not any(name.startswith("on") for name in attrs), attrs
    outside = text.replace("http://www.w3.org/2000/svg", "")  # a name, never fetched
    assert not re.search(r"https?://|url\(|@import|//cdn", outside)


def test_the_browser_is_told_to_run_our_script_alone_and_to_fetch_nothing():
    text = page(content())
    policy = next(a["content"] for a in Document(text).all("meta") if a.get("http-equiv"))
    script = re.search(r"<script>(.*?)</script>", text, re.DOTALL)
    assert policy is not None
    assert script is not None
    digest = base64.b64encode(hashlib.sha256(script[1].encode()).digest()).decode()
    assert "default-src 'none'" in policy
    assert f"script-src 'sha256-{digest}'" in policy


def test_hostile_names_stay_text():
    harmless, document = Document(page(content())), Document(page(content(HOSTILE)))
    assert [tag for tag, _ in document.tags if tag != "wbr"] == [tag for tag, _ in harmless.tags if tag != "wbr"]
    assert "onerror=alert(1)" in document.text
    assert not {"\u202e", "\x00", "\ud800"} & set(document.text)
    page(content(HOSTILE)).encode("utf-8")


@settings(max_examples=30)
@given(st.text(max_size=60))
def test_any_name_leaves_the_page_balanced(name: str):
    Document(page(content(name, count=1))).text.encode("utf-8")


def test_every_picture_has_an_alternative_text_and_every_control_a_name():
    document = Document(page(content()))
    assert document.all("html")[0]["lang"] == "en"
    assert all(attrs.get("alt") for attrs in document.all("img"))
    assert all(attrs.get("aria-label") for attrs in document.all("input"))
    assert all(attrs.get("scope") for attrs in document.all("th"))


def test_every_view_is_in_the_table_with_its_numbers():
    document = Document(page(content()))
    values = [attrs["data-value"] for attrs in document.all("td")]
    assert values == [v for i in range(3) for v in (repr(30.0 + i), "0.9", "0.1")]
    assert [attrs["data-value"] for attrs in document.all("th") if "data-value" in attrs] == [
        "0001.png0",
        "0001.png1",
        "0001.png2",
    ]


def test_unknown_numbers_are_dashes():
    unknown = Score(name="a", psnr=float("nan"), ssim=None)
    document = Document(page(replace(content(), scores=(unknown,), pictures=())))
    assert [attrs["data-value"] for attrs in document.all("td")] == ["", ""]
    assert document.text.count("–") == 2


def test_nothing_held_out_is_said():
    assert "No photographs were held out" in Document(page(content(count=0))).text


def test_numbers_read_well():
    assert [number(x, 2) for x in (1.005, None, float("nan"), float("inf"))] == ["1.00", "–", "–", "∞"]
    assert [duration(s) for s in (2.34, 45, 312, 3599.7, 7380)] == [
        "2.3 s",
        "45 s",
        "5 min 12 s",
        "1 h 00 min",
        "2 h 03 min",
    ]


def test_settings_are_grouped_by_their_first_name():
    grouped = flatten(
        {"steps": 7000, "rates": {"means": 1.6e-4, "more": {"deep": True}}, "doublings": (0.15, 0.4), "x": None}
    )
    assert grouped == {
        "general": (("steps", "7,000"), ("doublings", "0.15, 0.4"), ("x", "none")),
        "rates": (("means", "0.00016"), ("more.deep", "yes")),
    }
