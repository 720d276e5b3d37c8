"""What tables print is what they were given: names of files may hold square brackets, and some numbers are missing."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
from rich.console import Console
from rich.table import Table

from tests.cli.tiny import tiny_cameras
from veduta.cli import demo, doctor
from veduta.cli import eval as eval_verb
from veduta.cli import eval_feedforward as feedforward_verb
from veduta.cli.next_view import plan_table
from veduta.cli.terminal import counting
from veduta.recipes.evaluate import Evaluation, ViewScore
from veduta.recipes.information_views import Plan
from veduta.recipes.training import Scores
from veduta.recipes.training.evaluation import NUMBERS, ExampleScore
from veduta.render.backends import Availability

NAMES = ("[copy] 1.jpg", "front[/b].jpg", "[red]x[/red].jpg")


def printed(table: Table) -> str:
    """As on a terminal of 200 columns without colours."""
    file = io.StringIO()
    Console(file=file, width=200, color_system=None).print(table)
    return file.getvalue()


def view(name: str, psnr: float | None, ssim: float | None, depth_error: float | None = None) -> ViewScore:
    return ViewScore(name=name, psnr=psnr, ssim=ssim, depth_error=depth_error, width=4, height=3)


def test_scores_name_photographs_as_they_are_called() -> None:
    table = eval_verb.score_table(Evaluation(views=tuple(view(name, 20.0, 0.5) for name in NAMES), protocol=""))
    assert all(name in printed(table) for name in NAMES)


def test_scores_of_examples_name_them_as_they_are_called() -> None:
    examples = tuple(ExampleScore(**{"name": name} | dict.fromkeys(NUMBERS, 1)) for name in NAMES)  # type: ignore[arg-type]
    table = feedforward_verb.score_table(Scores(examples=examples, protocol="", oracle=False, memory_bytes=0))
    assert all(name in printed(table) for name in NAMES)


def test_a_plan_names_photographs_as_they_are_called() -> None:
    numbers = (3.0, 2.0, 1.0)
    plan = Plan(names=NAMES, cameras=tiny_cameras(3), gains=numbers, alone=numbers, typical=1.0, candidates=9)
    assert all(name in printed(plan_table(plan)) for name in NAMES)


def test_what_the_demo_made_is_named_as_it_lies_there() -> None:
    path = Path("[copy] demo/scene.ply")
    assert str(path) in printed(demo._list_of([path]))


def test_doctor_says_the_whole_command(monkeypatch: pytest.MonkeyPatch) -> None:
    missing = Availability("cuda", False, "Triton is not installed: pip install 'veduta[cuda]'")
    monkeypatch.setattr(doctor.backends, "report", lambda: [missing])
    assert "pip install 'veduta[cuda]'" in printed(doctor._backends())


def test_a_bar_says_what_it_counts_as_it_is_called() -> None:
    file = io.StringIO()
    console = Console(file=file, width=120, force_terminal=True, color_system=None)
    with counting(console, "mapping plan[/b]") as progress:
        progress(1, 2)
    assert "mapping plan[/b]" in file.getvalue()


def test_a_view_without_anything_to_compare_has_a_dash_and_does_not_count() -> None:
    views = (view("a.jpg", 20.0, 0.5, 0.25), view("masked.jpg", None, None), view("border.jpg", 30.0, None))
    lines = printed(eval_verb.score_table(Evaluation(views=views, protocol=""))).splitlines()
    cells = {
        row[0]: row[1:] for row in ([part.strip(" │┃") for part in line.split("│")[1:-1]] for line in lines) if row
    }
    assert cells["masked.jpg"] == ["-", "-", ""]
    assert cells["border.jpg"] == ["30.00", "-", ""]
    assert cells["mean"] == ["25.00", "0.5000", "0.25"]


def test_views_that_are_all_masked_have_no_mean_to_print() -> None:
    assert "mean" in printed(eval_verb.score_table(Evaluation(views=(view("a.jpg", None, None),), protocol="")))
