"""The report of a run's folder: what is there is shown, what is broken is named, and nothing else is needed."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from tests.viewer.test_page import Document
from veduta.core import InputError, OutputError
from veduta.io.images import write_png
from veduta.io.runs import SCHEMA_VERSION
from veduta.io.tensors import save_tensors
from veduta.recipes.evaluate import Evaluation, ViewScore
from veduta.viewer.gather import MAX_VIEWS, RunStats, chosen
from veduta.viewer.report import read_evaluation, write_report

WIDTH, HEIGHT = 48, 32
HOSTILE = '"><img src="http://evil.test/x.png" onerror="alert(1)">&'


def view(name: str, psnr: float | None = 30.0, **changes: object) -> ViewScore:
    stem = "".join(c for c in name if c.isalnum())
    files = {
        "photo": f"eval/{stem}_photo.png",
        "render": f"eval/{stem}_render.png",
        "depth": f"eval/{stem}.safetensors",
    }
    values = {"name": name, "psnr": psnr, "ssim": 0.9, "depth_error": None, "width": WIDTH, "height": HEIGHT, **files}
    return ViewScore(**{**values, **changes})


def write_record(folder: Path, **changes: object) -> None:
    told = {"capture": "/photos/garden", "command": "veduta fit", "created": "2026-11-22T10:34:00+00:00"}
    about = {"schema_version": SCHEMA_VERSION, "veduta_version": "0.1.0", "fingerprint": "", "seed": 0}
    config = {"config": {"steps": 40, "rates": {"means": 0.1}}}
    (folder / "run.json").write_text(json.dumps({**about, **told, **config, **changes}))


def make_run(
    folder: Path, names: tuple[str, ...] = ("a.png", "b.png"), *, width: int = WIDTH, height: int = HEIGHT
) -> Path:
    generator = torch.Generator().manual_seed(0)
    evaluation = Evaluation(views=tuple(view(name, 25.0 + i) for i, name in enumerate(names)), protocol="As ever.")
    for score in evaluation.views:
        picture = torch.rand(height, width, 3, generator=generator)
        (folder / "eval").mkdir(parents=True, exist_ok=True)
        write_png(folder / str(score.photo), picture)
        write_png(folder / str(score.render), picture.flip(0))
        save_tensors(folder / str(score.depth), {"depth": torch.rand(height, width, generator=generator) + 1.0})
    (folder / "eval.json").write_text(json.dumps(evaluation.as_dict()))
    write_record(folder)
    steps = [
        {"event": "Stepped", "step": s, "loss": 1 / s, "psnr": s / 2, "gaussians": 5 * s, "seconds": s}
        for s in (20, 40)
    ]
    (folder / "log.jsonl").write_text("".join(json.dumps(step) + "\n" for step in steps))
    return folder


@pytest.fixture
def run(tmp_path: Path) -> Path:
    return make_run(tmp_path / "run")


def read(report: Path) -> tuple[str, Document]:
    text = report.read_text(encoding="utf-8")
    return text, Document(text)


def test_a_report_shows_what_the_folder_holds(run: Path):
    target = write_report(run)
    assert target == run / "report.html"
    text, document = read(target)
    for part in (
        "garden",
        "25.50",
        "a.png",
        "b.png",
        "As ever.",
        "veduta fit",
        "means",
        "200",
        "40 s",
    ):
        assert part in document.text
    layers = ("photo", "render", "error", "depth")
    assert len(document.all("img")) == 2 * (len(layers) + 1)
    assert len(document.all("svg")) == 3
    assert "http" not in text.replace("http://www.w3.org/2000/svg", "").replace("http-equiv", "")


def test_what_is_given_goes_before_what_the_files_say(run: Path):
    scores = Evaluation(views=(view("a.png", 12.34),), protocol="Otherwise.")
    stats = RunStats(gaussians=98765, seconds=61.0, peak_bytes=1_500_000_000, photos=7, hardware="an abacus")
    _, document = read(write_report(run, evaluation=scores, stats=stats, depth_unit="m"))
    for part in ("12.34", "Otherwise.", "98,765", "1 min 01 s", "1.50", "7 photographs", "an abacus"):
        assert part in document.text


def test_a_capture_that_was_a_file_is_called_by_its_folder(run: Path):
    write_record(run, capture="/photos/meadow/transforms.json")
    _, document = read(write_report(run))
    assert "meadow" in document.text
    assert "transforms.json" not in document.text


def test_an_empty_folder_has_a_report_that_says_so(tmp_path: Path):
    _, document = read(write_report(tmp_path))
    assert tmp_path.name in document.text
    assert "No photographs were held out" in document.text


def test_a_view_without_anything_to_compare_is_a_dash(run: Path):
    record = json.loads((run / "eval.json").read_text())
    record["views"][0] |= {"psnr": None, "ssim": None}
    (run / "eval.json").write_text(json.dumps(record))
    evaluation = read_evaluation(run)
    assert evaluation is not None
    assert (evaluation.views[0].psnr, evaluation.psnr) == (None, 26.0)
    _, document = read(write_report(run))
    assert "nan" not in document.text.split()
    assert "judged on 1 photograph that it never saw" in document.text
    assert "–" in document.text
    assert "26.00" in document.text


def test_views_without_anything_to_compare_give_way_to_others():
    views = [view(f"{i:03d}", psnr=None if i % 2 else float(i)) for i in range(4 * MAX_VIEWS)]
    assert [one.name for one in chosen(views, 3)] == ["000", f"{2 * MAX_VIEWS:03d}", f"{4 * MAX_VIEWS - 2:03d}"]
    assert chosen([view(str(i), psnr=None) for i in range(9)], 3) == []
    assert len(chosen([view("a", psnr=None), view("b")], 3)) == 2


def test_scores_without_pictures_are_a_table(run: Path):
    scores = Evaluation(views=(view("a.png", photo=None, render=None, depth=None),), protocol="")
    _, document = read(write_report(run, evaluation=scores))
    assert document.all("img") == []
    assert "a.png" in document.text


def test_hostile_names_stay_text(tmp_path: Path):
    run = make_run(tmp_path / "run", (HOSTILE,))
    write_record(run, capture=HOSTILE, created=HOSTILE, command=HOSTILE, config={HOSTILE: HOSTILE})
    _, document = read(write_report(run))
    assert HOSTILE in document.text
    assert all(str(attrs["src"]).startswith("data:image/jpeg;base64,") for attrs in document.all("img"))


def test_many_large_views_stay_a_few_megabytes(tmp_path: Path):
    run = make_run(tmp_path / "run", ("a", "b"), width=1000, height=600)
    one = json.loads((run / "eval.json").read_text())["views"][0]
    views = tuple(ViewScore(**{**one, "name": f"{i:03d}", "psnr": float(i)}) for i in range(40))
    target = write_report(run, evaluation=Evaluation(views=views, protocol=""))
    _, document = read(target)
    assert len(document.all("figure")) == MAX_VIEWS
    assert len(document.all("tr")) == 1 + len(views)
    noise = 800 * 480 * 4 * MAX_VIEWS  # pure noise does not compress: no picture takes more than a byte per pixel
    assert target.stat().st_size < noise * 4 / 3 * 1.1


def test_the_chosen_views_reach_from_the_worst_to_the_best():
    views = [view(str(i), float((7 * i) % 40)) for i in range(40)]
    picked = chosen(views)
    assert len(picked) == MAX_VIEWS
    assert {0.0, 39.0} <= {v.psnr for v in picked}
    assert picked == [v for v in views if v in picked]
    assert chosen(views[:3]) == views[:3]


@pytest.mark.parametrize("address", ["../secret.png", "/etc/hostname", "eval/../../secret.png"])
def test_pictures_outside_the_run_are_refused(run: Path, address: str):
    write_png(run.parent / "secret.png", torch.zeros(HEIGHT, WIDTH, 3))
    record = json.loads((run / "eval.json").read_text())
    record["views"][0]["photo"] = address
    (run / "eval.json").write_text(json.dumps(record))
    with pytest.raises(InputError, match=r"eval\.json"):
        write_report(run)
    assert not (run / "report.html").exists()


def test_a_missing_picture_is_named(run: Path):
    (run / "eval" / "apng_photo.png").unlink()
    with pytest.raises(InputError, match="apng_photo"):
        write_report(run)


def test_pictures_of_two_sizes_are_named(run: Path):
    write_png(run / "eval" / "apng_render.png", torch.zeros(HEIGHT, WIDTH + 1, 3))
    with pytest.raises(InputError, match="apng_render"):
        write_report(run)


def test_a_run_of_another_version_is_named(run: Path):
    write_record(run, schema_version=SCHEMA_VERSION + 1)
    with pytest.raises(InputError, match=r"run\.json, field schema_version"):
        write_report(run)


@pytest.mark.parametrize("name", ["run.json", "eval.json"])
@pytest.mark.parametrize("text", ["{", "[]", "\xff", "[" * 100_000])
def test_files_that_are_not_json_objects_are_named(run: Path, name: str, text: str):
    (run / name).write_text(text, encoding="latin-1")
    with pytest.raises(InputError, match=name.replace(".", r"\.")):
        write_report(run)


@pytest.mark.parametrize("views", [None, {}, [1], [{}], [{"name": 3}]])
def test_evaluations_of_another_form_are_named(run: Path, views: object):
    (run / "eval.json").write_text(json.dumps({"views": views}))
    with pytest.raises(InputError, match=r"eval\.json, field views"):
        write_report(run)


def test_numbers_that_are_not_there_are_dashes(run: Path):
    (run / "eval.json").write_text(json.dumps({"views": [{"name": "x", "psnr": None, "ssim": "good"}]}))
    _, document = read(write_report(run))
    assert document.text.count("–") >= 2


def test_a_run_that_is_not_there_is_named(tmp_path: Path):
    with pytest.raises(InputError, match="nowhere"):
        write_report(tmp_path / "nowhere")


def test_a_report_that_cannot_be_written_harms_nothing(run: Path):
    (run / "report.html").mkdir()
    with pytest.raises(OutputError, match=r"report\.html"):
        write_report(run)
