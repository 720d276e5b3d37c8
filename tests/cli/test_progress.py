"""What the terminal shows while a fit runs."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from tests.cli.tiny import tiny_scene
from veduta.cli.fit_progress import LINES_WITHOUT_TERMINAL, FitProgress, Speed, clock, readings
from veduta.cli.sfm import sfm_progress, tell_poses
from veduta.cli.terminal import counting, tell
from veduta.data.sfm import Attempt, SfmReport
from veduta.fit import Edited, Event, Saved, Scored, Started, Stepped
from veduta.fit.memory import MemoryEstimate


def stepped(step: int, *, steps: int = 1000, **changes: Any) -> Stepped:
    values: dict[str, Any] = {
        "step": step,
        "steps": steps,
        "loss": 0.1234,
        "psnr": 21.5,
        "gaussians": 12_345,
        "sh_degree": 0,
        "width": 40,
        "height": 32,
        "seconds": step / 50,
        "eta_seconds": (steps - step) / 50,
        "memory_bytes": 500_000_000,
        "scene": tiny_scene,
    }
    return Stepped(**(values | changes))


def started(step: int = 0) -> Started:
    memory = MemoryEstimate(gaussians=10**8, rasteriser=10**8, images=10**8, base=4 * 10**8)
    return Started(
        step=step,
        steps=1000,
        gaussians=40,
        views=7,
        held_out=2,
        backend="cpu",
        device="cpu",
        memory=memory,
        scene=tiny_scene,
    )


def shown(events: list[Event], *, terminal: bool) -> str:
    """What a console of 120 columns was told."""
    out = io.StringIO()
    console = Console(file=out, force_terminal=terminal, width=120, color_system=None, legacy_windows=False)
    with FitProgress(console) as progress:
        for event in events:
            progress.show(event)
    return out.getvalue()


EVENTS: list[Event] = [
    started(),
    *(stepped(step) for step in range(20, 520, 20)),
    Edited(step=500, reason="densify", before=40, after=60, changed=20),
    Scored(step=500, psnr=24.125, ssim=0.875, views=2),
    Saved(step=500, path=Path("step_0000500.safetensors")),
    *(stepped(step) for step in range(520, 1020, 20)),
]


def test_a_terminal_shows_everything_live() -> None:
    text = shown(EVENTS, terminal=True)
    for said in ("1000/1000", "ETA", "it/s", "50.0", "0.1234", "21.50 dB", "12,345", "500 MB", "24.12 dB", "40x32"):
        assert said in text
    assert "\x1b[?25h" in text  # the cursor is shown again


def test_a_file_gets_few_lines() -> None:
    text = shown(EVENTS, terminal=False)
    assert "\x1b" not in text
    assert sum(line.startswith("step") and "of 1,000" in line for line in text.splitlines()) == LINES_WITHOUT_TERMINAL
    assert "step 500: held out 24.12 dB, SSIM 0.8750" in text


def test_the_start_says_what_is_to_come() -> None:
    assert shown([started()], terminal=False).startswith("1,000 steps on 7 photographs (2 held out), 40 Gaussians")
    assert "memory at most 0.70 GB" in shown([started()], terminal=False)
    assert shown([started(250)], terminal=False).startswith("going on from step 250 of 1,000")


def test_a_line_leaves_out_a_speed_that_is_not_known_yet() -> None:
    line = shown([started(), stepped(1000)], terminal=False).splitlines()[1]
    assert line.startswith("step 1,000 of 1,000: ETA")
    assert "it/s" not in line
    assert ", ," not in line


def test_the_terminal_is_restored_after_an_error() -> None:
    out = io.StringIO()
    console = Console(file=out, force_terminal=True, width=100, color_system=None, legacy_windows=False)
    progress = FitProgress(console)

    def interrupted() -> None:
        with progress:
            progress.show(stepped(20))
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert out.getvalue().count("\x1b[?25l") == out.getvalue().count("\x1b[?25h") == 1  # hidden, and shown again
    assert progress.last_step == 20


def test_speed_is_of_the_last_steps() -> None:
    speed = Speed()
    assert speed.measure(stepped(20, seconds=10.0)) is None
    assert speed.measure(stepped(40, seconds=11.0)) == pytest.approx(20.0)
    assert speed.measure(stepped(60, seconds=11.0)) is None


def test_unknown_memory_is_left_out() -> None:
    assert "memory" not in readings(stepped(20, memory_bytes=None), 1.0)


@pytest.mark.parametrize(
    ("seconds", "text"), [(0.2, "0:00"), (59.6, "1:00"), (125, "2:05"), (3725, "1:02:05"), (-1, "0:00")]
)
def test_durations_read_like_a_clock(seconds: float, text: str) -> None:
    assert clock(seconds) == text


def test_names_with_markup_are_told_as_they_are(capsys: pytest.CaptureFixture[str]) -> None:
    tell(Console(width=20), "photos [bold] of a very long name [/x]", style="dim")
    assert capsys.readouterr().out == "photos [bold] of a very long name [/x]\n"


def test_a_bar_counts_on_a_terminal_and_is_silent_elsewhere() -> None:
    for terminal in (True, False):
        out = io.StringIO()
        console = Console(file=out, force_terminal=terminal, width=80, legacy_windows=False)
        with counting(console, "drawing") as count:
            count(1, 2)
            count(2, 2)
        with sfm_progress(console) as stage:
            stage("features", 1, 3)
            stage("features", 3, 3)
            stage("matching", 3, 3)
        assert ("drawing" in out.getvalue()) == terminal
        assert ("matching" in out.getvalue()) == terminal


def sfm_report(registered: int) -> SfmReport:
    return SfmReport(
        registered=registered,
        total=10,
        unregistered=tuple(f"{i:03d}.jpg" for i in range(registered, 10)),
        points=1234,
        reprojection_px=0.512,
        method="exhaustive",
        attempts=(Attempt("exhaustive", registered, 1234),),
        capture=Path("photos"),
        model=Path("photos/sparse/0"),
    )


def test_poses_are_told_with_advice_where_some_are_missing(capsys: pytest.CaptureFixture[str]) -> None:
    tell_poses(sfm_report(10), Console(width=80))
    assert capsys.readouterr().out == (
        "10 of 10 photographs have a pose (100 %): 1,234 points, reprojection error 0.51 px, by exhaustive matching\n"
    )
    tell_poses(sfm_report(6), Console(width=80))
    first, advice = capsys.readouterr().out.splitlines()
    assert first.startswith("6 of 10 photographs have a pose (60 %)")
    assert "006.jpg" in advice
