"""How much do we know, in the report: what information.json says is shown, what is broken in it is named."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from tests.viewer.test_charts import hover_of
from tests.viewer.test_page import PIXEL, Document, content
from tests.viewer.test_report import HOSTILE, make_run
from veduta.core import InputError, Noise
from veduta.io.images import write_png
from veduta.io.information import (
    GainMaps,
    GainView,
    InformationRecord,
    Reliability,
    SignalCurve,
    Sparsification,
    write_information,
)
from veduta.io.tensors import save_tensors
from veduta.measure import ause, oracle_curve, removed_fractions
from veduta.viewer.charts import chart_svg
from veduta.viewer.content import GainPicture, Headline, Knowledge, Signal
from veduta.viewer.information import MAX_LINES, MAX_MAPS, chance_area, charts, facts, knowledge_of, spread
from veduta.viewer.information_section import knowledge_section
from veduta.viewer.page import page
from veduta.viewer.report import write_report

HEIGHT, WIDTH = 24, 36
SORTED = Sparsification(
    views=7,
    error="mean |e| over RGB",
    fractions=(0.0, 0.25, 0.5, 0.75),
    oracle=(1.0, 0.5, 0.25, 0.0),
    curves=(
        SignalCurve(name="gain", values=(1.0, 0.75, 0.5, 0.25), ause=0.1234, pooled=0.2345, spearman=0.567),
        SignalCurve(name="depth", values=(1.0, 1.0, math.nan, 1.25), ause=math.nan),
    ),
)
RELIABLE = Reliability(views=3, levels=(0.5, 0.9), before=(0.25, 0.617), after=(0.5, 0.885), scale=1.75)
NOISE = Noise(sigma=0.0313, kappa=9.7, tau=0.26)


def make_maps(run: Path, count: int = 2, *, names: tuple[str, ...] = (), photo: bool = True) -> GainMaps:
    generator = torch.Generator().manual_seed(0)
    views = []
    for i in range(count):
        files = {"gain": f"information/{i}.safetensors", "render": f"information/{i}.png"}
        save_tensors(run / files["gain"], {"gain": 4 * torch.rand(HEIGHT, WIDTH, generator=generator)})
        write_png(run / files["render"], torch.rand(HEIGHT, WIDTH, 3, generator=generator))
        if photo:
            files["photo"] = f"information/{i}_photo.png"
            write_png(run / files["photo"], torch.rand(HEIGHT, WIDTH, 3, generator=generator))
        views.append(GainView(name=names[i] if names else f"view {i}", **files))
    return GainMaps(top=4.5, views=tuple(views))


@pytest.fixture
def run(tmp_path: Path) -> Path:
    folder = make_run(tmp_path / "run")
    maps = make_maps(folder)
    write_information(
        folder,
        InformationRecord(noise=NOISE, sparsification=SORTED, reliability=RELIABLE, maps=maps, protocol="As measured."),
    )
    return folder


def read(run: Path) -> Document:
    return Document(write_report(run).read_text(encoding="utf-8"))


def test_the_report_shows_what_is_known(run: Path):
    document = read(run)
    for part in (
        *("How much do we know", "As measured.", "view 0", "view 1", "4.5 nats", "nats per pixel"),
        *("0.123", "0.234", "0.57", "88.5", "61.7 % before calibration", "1.75", "0.0313", "9.7 pixels count as one"),
        *("Sparsification", "oracle", "gain", "depth", "7 held-out views", "Reliability, %", "calibrated", "ideal"),
    ):
        assert part in document.text, part
    assert len(document.all("svg")) == 3 + 2
    assert len(document.all("img")) == 2 * 5 + 2 * (4 + 1)


def test_without_the_file_the_page_says_nothing_of_it(tmp_path: Path):
    document = read(make_run(tmp_path / "run"))
    assert "How much do we know" not in document.text
    assert knowledge_of(tmp_path) is None


@pytest.mark.parametrize(
    ("record", "shown", "missing"),
    [
        (InformationRecord(noise=NOISE), "Noise of a photograph", "AUSE"),
        (InformationRecord(noise=replace(NOISE, assumed=True)), "no photographs at hand", "count as one"),
        (InformationRecord(sparsification=SORTED), "0.123", "Reliability"),
        (InformationRecord(reliability=RELIABLE), "Reliability", "AUSE"),
        (InformationRecord(reliability=replace(RELIABLE, after=None, scale=None)), "not calibrated", "multiplied"),
        (InformationRecord(sparsification=replace(SORTED, curves=SORTED.curves[:1])), "0.123", "simpler signals"),
        (InformationRecord(sparsification=replace(SORTED, curves=())), "Sparsification", "simpler signals"),
        (InformationRecord(sparsification=replace(SORTED, views=1)), "1 held-out view,", "views"),
    ],
)
def test_each_part_stands_alone(tmp_path: Path, record: InformationRecord, shown: str, missing: str):
    write_information(tmp_path, record)
    knowledge = knowledge_of(tmp_path)
    assert knowledge is not None
    document = Document(knowledge_section(knowledge))
    assert shown in document.text
    assert missing not in document.text


def test_nothing_measured_is_no_section(tmp_path: Path):
    write_information(tmp_path, InformationRecord(protocol="Nothing."))
    assert knowledge_section(knowledge_of(tmp_path)) == ""


def test_maps_without_photographs_have_no_error(tmp_path: Path):
    write_information(tmp_path, InformationRecord(maps=make_maps(tmp_path, 1, photo=False)))
    knowledge = knowledge_of(tmp_path)
    assert knowledge is not None
    assert knowledge.pictures[0].error is None
    section = knowledge_section(knowledge)
    assert "Error" not in Document(section).text
    assert "pair" in section


def test_the_mean_gain_is_that_of_the_map(tmp_path: Path):
    maps = make_maps(tmp_path, 1)
    gain = torch.linspace(0, 3, HEIGHT * WIDTH).view(HEIGHT, WIDTH)
    save_tensors(tmp_path / maps.views[0].gain, {"gain": gain})
    write_information(tmp_path, InformationRecord(maps=maps))
    knowledge = knowledge_of(tmp_path)
    assert knowledge is not None
    assert knowledge.pictures[0].mean == pytest.approx(1.5)
    assert knowledge.pictures[0].aspect == WIDTH / HEIGHT
    assert len({knowledge.pictures[0].render, knowledge.pictures[0].overlay, knowledge.pictures[0].gain}) == 3


def test_many_maps_are_a_choice(tmp_path: Path):
    write_information(tmp_path, InformationRecord(maps=make_maps(tmp_path, 3 * MAX_MAPS, photo=False)))
    knowledge = knowledge_of(tmp_path)
    assert knowledge is not None
    assert len(knowledge.pictures) == MAX_MAPS
    assert (knowledge.pictures[0].name, knowledge.pictures[-1].name) == ("view 0", f"view {3 * MAX_MAPS - 1}")
    assert f"{MAX_MAPS} of {3 * MAX_MAPS} maps" in Document(knowledge_section(knowledge)).text


def test_a_choice_is_even_and_keeps_the_ends():
    assert spread(range(10), 4) == [0, 3, 6, 9]
    assert spread(range(3), 4) == [0, 1, 2]
    assert spread([], 4) == []


def test_the_area_of_chance_is_that_of_a_constant_uncertainty():
    error = torch.rand(1000, generator=torch.Generator().manual_seed(0))
    fractions, oracle = removed_fractions(), oracle_curve(error)
    measured = replace(SORTED, fractions=tuple(fractions.tolist()), oracle=tuple(oracle.tolist()), curves=())
    assert chance_area(measured) == pytest.approx(float(ause(error, torch.zeros(1000))))


def test_curves_are_drawn_in_percent_of_the_pixels():
    (chart,) = charts(InformationRecord(sparsification=SORTED))
    series = {line["name"]: line for line in hover_of(chart_svg(chart))["series"]}
    assert series["gain"]["points"] == [[0.0, 1.0], [25.0, 0.75], [50.0, 0.5], [75.0, 0.25]]
    assert series["depth"]["points"] == [[0.0, 1.0], [25.0, 1.0], [75.0, 1.25]]  # NaN is left out
    assert "reference" in series["oracle"]["kind"]


def test_coverage_is_drawn_over_its_level_up_to_the_whole():
    (chart,) = charts(InformationRecord(reliability=RELIABLE))
    hover = hover_of(chart_svg(chart))
    series = {line["name"]: line for line in hover["series"]}
    assert series["calibrated"]["points"] == [[50.0, 50.0], [90.0, 88.5]]
    assert series["before"]["points"] == [[50.0, 25.0], [90.0, 61.7]]
    left, right, top, bottom = hover["plot"]
    assert series["ideal"]["at"][0] == [left, bottom]
    assert series["ideal"]["at"][-1] == [right, top]
    assert hover["told"] == "{} % interval"
    by_hand = (0.5 * 0.25 + 0.4 * (0.25 + 0.283) + 0.1 * 0.283) / 2
    assert f"{by_hand:.3f} before" in chart.note


def test_only_the_first_signals_are_drawn_and_all_are_in_the_table(tmp_path: Path):
    many = tuple(replace(SORTED.curves[0], name=f"signal {i}") for i in range(12))
    write_information(tmp_path, InformationRecord(sparsification=replace(SORTED, curves=many)))
    knowledge = knowledge_of(tmp_path)
    assert knowledge is not None
    assert len(knowledge.charts[0].series) == MAX_LINES + 1
    assert len(Document(knowledge_section(knowledge)).all("tr")) == 1 + 12


def test_the_fact_tells_the_level_nearest_to_ninety_percent():
    measured = Reliability(views=1, levels=(0.5, 0.85, 0.99), before=(0.1, 0.2, 0.3))
    (fact,) = facts(InformationRecord(reliability=measured))
    assert (fact.label, fact.value) == ("In the 85 % interval", "20.0")


def test_hostile_names_stay_text(tmp_path: Path):
    run = make_run(tmp_path / "run")
    maps = make_maps(run, names=(HOSTILE, HOSTILE))
    curves = tuple(replace(curve, name=HOSTILE) for curve in SORTED.curves)
    write_information(
        run,
        InformationRecord(
            sparsification=replace(SORTED, error=HOSTILE, curves=curves), maps=maps, protocol=HOSTILE, posterior=HOSTILE
        ),
    )
    document = read(run)
    assert document.text.count(HOSTILE) >= 5
    assert all(str(attrs["src"]).startswith("data:image/jpeg;base64,") for attrs in document.all("img"))


def test_hostile_values_leave_the_page_as_it_is():
    def made(name: str) -> Knowledge:
        picture = GainPicture(
            name=name, mean=1.0, aspect=0.5, render=PIXEL, overlay=PIXEL, gain=PIXEL, error=PIXEL, thumbnail=PIXEL
        )
        return Knowledge(
            facts=(Headline(label=name, value=name, unit=name, note=name),),
            charts=tuple(replace(chart, title=name, note=name, caption=name, over=name) for chart in content().charts),
            signals=(Signal(name=name, ause=0.1, pooled=None, spearman=-1e-9),) * 2,
            pictures=(picture,) * 2,
            total=3,
            top=4.5,
            protocol=name,
        )

    hostile = "\"'><script>alert(1)</script>\u202e\x00\ud800"
    document, harmless = (Document(page(replace(content(), knowledge=made(name)))) for name in (hostile, "a"))
    assert [tag for tag, _ in document.tags] == [tag for tag, _ in harmless.tags]
    ids = [attrs["id"] for _, attrs in document.tags if "id" in attrs]
    assert len(ids) == len(set(ids))
    assert all(attrs.get("alt") for attrs in document.all("img"))
    assert all(attrs.get("aria-label") for attrs in document.all("input"))
    assert "-0.00" not in document.text


@pytest.mark.parametrize(
    "gain",
    [
        torch.zeros(HEIGHT, WIDTH + 1),
        torch.zeros(HEIGHT, WIDTH, 1),
        torch.zeros(HEIGHT * WIDTH),
        torch.zeros(HEIGHT, WIDTH, dtype=torch.int32),
        None,
    ],
)
def test_what_is_no_map_is_named(run: Path, gain: torch.Tensor | None):
    save_tensors(run / "information" / "0.safetensors", {"depth": torch.zeros(1)} if gain is None else {"gain": gain})
    with pytest.raises(InputError, match=r"0\.safetensors, field gain") as caught:
        write_report(run)
    assert caught.value.expected == f"a gain for each of {WIDTH}x{HEIGHT} pixels"


def test_gains_that_are_not_numbers_can_be_drawn(run: Path):
    gain = torch.full((HEIGHT, WIDTH), math.nan)
    gain[0, :3] = torch.tensor([math.inf, -math.inf, -1.0])
    save_tensors(run / "information" / "0.safetensors", {"gain": gain})
    assert "–" in read(run).text


@pytest.mark.parametrize("name", ["0.safetensors", "0.png", "0_photo.png"])
def test_missing_files_are_named(run: Path, name: str):
    (run / "information" / name).unlink()
    with pytest.raises(InputError, match=name.replace(".", r"\.")):
        write_report(run)


def test_photographs_of_another_size_are_named(run: Path):
    write_png(run / "information" / "0_photo.png", torch.zeros(HEIGHT + 1, WIDTH, 3))
    with pytest.raises(InputError, match=r"0\.png"):
        write_report(run)


@pytest.mark.parametrize("field", ["gain", "render", "photo"])
def test_files_outside_the_run_are_refused(run: Path, field: str):
    record = json.loads((run / "information.json").read_text())
    record["maps"]["views"][0][field] = "../secret"
    (run / "information.json").write_text(json.dumps(record))
    with pytest.raises(InputError, match=r"information\.json"):
        write_report(run)
    assert not (run / "report.html").exists()
