"""Curves out of a log that may have been torn, resumed, or written by somebody else."""

from __future__ import annotations

import json
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from veduta.viewer.curves import Log, charts, parse_log, read_log


def lines(*records: object) -> list[bytes]:
    return [json.dumps(record).encode() + b"\n" for record in records]


def stepped(step: int, **values: float) -> dict[str, object]:
    return {"event": "Stepped", "step": step, **values}


def test_values_go_to_the_curve_of_their_event():
    log = parse_log(
        lines(
            {"event": "Started", "step": 0, "gaussians": 100, "views": 42, "backend": "cpu", "memory_bytes": 10**9},
            stepped(20, loss=0.2, psnr=14.0, gaussians=120, seconds=1.5, memory_bytes=900),
            {"event": "Edited", "step": 30, "before": 120, "after": 150},
            stepped(40, loss=0.1, psnr=18.0, gaussians=150, seconds=3.0, memory_bytes=800),
            {"event": "Scored", "step": 40, "psnr": 17.0, "ssim": 0.5, "views": 50},
            {"event": "Saved", "step": 40, "path": "checkpoints/step_40.safetensors"},
        )
    )
    assert log.loss == ((20, 0.2), (40, 0.1))
    assert log.psnr == ((20, 14.0), (40, 18.0))
    assert log.held_out_psnr == ((40, 17.0),)
    assert log.gaussians == ((0, 100), (20, 120), (40, 150))
    assert log.facts == {"seconds": 3.0, "memory_bytes": 900, "step": 40, "views": 42}
    assert (log.backend, log.unreadable) == ("cpu", 0)


def test_steps_taken_again_after_a_resume_count_once_and_in_order():
    log = parse_log(lines(stepped(20, loss=0.5), stepped(40, loss=0.4), stepped(20, loss=0.3), stepped(60, loss=0.2)))
    assert log.loss == ((20, 0.3), (40, 0.4), (60, 0.2))


def test_torn_and_foreign_lines_are_counted_and_skipped():
    log = parse_log([*lines(stepped(1, loss=0.5)), b'{"step": 2, "lo', b"\n", b"[1]\n", b"\xff\xfe\n", b"[" * 100_000])
    assert log.loss == ((1, 0.5),)
    assert log.unreadable == 4


def test_values_that_are_no_numbers_are_ignored():
    hostile = [b'{"step": NaN, "loss": 1}', b'{"step": 1, "loss": "x"}', b'{"step": true, "loss": 1}']
    hostile += [b'{"step": 2, "loss": 1e999}', b'{"step": 3, "loss": ' + b"9" * 400 + b"}", b'{"step": [1], "loss": 2}']
    assert parse_log(hostile).loss == ()


@given(st.lists(st.binary(max_size=80), max_size=20))
def test_any_bytes_give_a_log(garbage: list[bytes]):
    assert isinstance(parse_log(garbage), Log)


def test_a_run_without_a_log_has_no_curves(tmp_path: Path):
    assert read_log(tmp_path / "log.jsonl") == Log()
    assert charts(Log()) == ()


def test_a_loss_that_falls_far_is_drawn_on_a_logarithmic_axis():
    steep = parse_log(lines(stepped(1, loss=1.0), stepped(2, loss=0.01)))
    flat = parse_log(lines(stepped(1, loss=1.0), stepped(2, loss=0.5)))
    assert [chart.log for chart in (*charts(steep), *charts(flat))] == [True, False]
    assert [chart.title for chart in charts(parse_log(lines(stepped(1, loss=1.0, psnr=3.0))))] == ["Loss", "PSNR"]
