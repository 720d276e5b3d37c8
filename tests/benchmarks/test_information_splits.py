"""Splits by geometry, and tables of what was measured."""

from __future__ import annotations

from pathlib import Path

import information_splits as splits
import information_tables as tables
import pytest
import torch
from information import measure_view
from information_signals import Seen


def test_every_second_in_order_of_name() -> None:
    split = splits.every_second(["d", "a", "c", "b", "e"])
    assert split.train == ("a", "c", "e")
    assert split.interpolating == ("b", "d")
    assert split.extrapolating == ()


def test_one_side_starts_after_the_widest_gap() -> None:
    azimuths = {f"{a:03d}": float(a) for a in (170, 180, 190, 200, 210, 220, 230, 240, 250, 260)}
    azimuths = {name: (angle + 180) % 360 - 180 for name, angle in azimuths.items()}
    split = splits.one_side(azimuths)
    assert split.train == ("170", "180", "200", "210", "220")
    assert split.interpolating == ("190",)
    assert split.extrapolating == ("230", "240", "250", "260")
    assert sorted(split.train + split.held_out) == sorted(azimuths)


def test_interpolating_photographs_are_never_the_ends_of_the_side() -> None:
    for count in range(5, 60):
        azimuths = {f"{i:02d}": 3.0 * i for i in range(count)}
        split = splits.one_side(azimuths)
        side = sorted(split.train + split.interpolating)
        assert side[0] in split.train
        assert max(split.interpolating) < max(side) or len(side) % splits.SIDE_EVERY == splits.SIDE_FIRST + 1
        assert min(split.extrapolating) > max(side)


def test_azimuth_and_elevation_of_cameras_on_a_sphere() -> None:
    up, centre = torch.tensor([0.0, 0.0, 1.0], dtype=torch.float64), torch.tensor([3.0, -1.0, 2.0], dtype=torch.float64)
    wanted = [(-40.0, 10.0), (0.0, -20.0), (40.0, 10.0)]
    poses = torch.stack([pose_at(centre, a, e) for a, e in wanted])
    torch.testing.assert_close(splits.looked_at(poses), centre)
    places = splits._places(poses, up)
    for place, (azimuth, elevation) in zip(places, wanted, strict=True):
        assert place.azimuth_deg == pytest.approx(azimuth, abs=1e-6)
        assert place.elevation_deg == pytest.approx(elevation, abs=1e-6)


def pose_at(centre: torch.Tensor, azimuth: float, elevation: float) -> torch.Tensor:
    """Five units away from the centre, looking at it."""
    a, e = (torch.deg2rad(torch.tensor(angle, dtype=torch.float64)) for angle in (azimuth, elevation))
    away = torch.stack([e.cos() * a.cos(), e.cos() * a.sin(), e.sin()])
    right = torch.nn.functional.normalize(
        torch.linalg.cross(-away, torch.tensor([0.0, 0.0, 1.0], dtype=torch.float64)), dim=0
    )
    pose = torch.eye(4, dtype=torch.float64)
    pose[:3, :3] = torch.stack([right, torch.linalg.cross(-away, right), -away], dim=1)
    pose[:3, 3] = centre + 5 * away
    return pose


def test_a_list_must_name_every_photograph_once() -> None:
    content = {"about": "words", "A": {"train": ["a", "b"], "interp": ["c"], "extrap": []}}
    assert splits.listed(content, ["a", "b", "c"])["A"].held_out == ("c",)
    with pytest.raises(AssertionError):
        splits.listed(content, ["a", "b", "c", "d"])


def test_splits_of_real_captures(shared_data: Path) -> None:
    fox = splits.open_whole(shared_data / "static" / "fox", max_size=480)
    found = splits.splits_of(fox)
    sizes = {name: (len(s.train), len(s.interpolating), len(s.extrapolating)) for name, s in found.items()}
    assert sizes == {"A": (25, 6, 19), "B": (9, 8, 33), "C": (25, 25, 0)}
    places = splits.places_of(fox)
    side = found["A"].train + found["A"].interpolating
    assert max(places[n].azimuth_deg for n in side) < min(places[n].azimuth_deg for n in found["A"].extrapolating)
    capture = splits.resplit(fox, found["B"])
    assert (len(capture.train), len(capture.test)) == (9, 41)
    assert tuple(capture.train[i].names[0] for i in range(9)) == found["B"].train
    assert tuple(capture.test[i].names[0] for i in range(41)) == found["B"].held_out
    assert capture.points is not None
    assert fox.points is not None
    assert 0 < len(capture.points) < len(fox.points)
    assert splits.mean_gap_deg(places, found["B"]) > splits.mean_gap_deg(places, found["A"]) > 0
    assert splits.mean_gap_deg(places, found["C"]) == 0


def scene(seed: int, scores: list[tuple[bool, float, float]]) -> dict[str, object]:
    """Measures of a scene with signals a and b."""
    views = [
        {
            "interpolating": between,
            "signals": {"a": {"mae": a, "mse": 2 * a, "rho": 0.5}, "b": {"mae": b, "mse": b, "rho": 0.1}},
        }
        for between, a, b in scores
    ]
    coverage = {"a": {"scale": [1.0 + seed], "noise": [2.0], "after, interpolating": [0.5, 0.75 + 0.1 * seed]}}
    pooled = {"a": 0.1, "b": 0.2}
    return {"capture": "c", "split": "s", "seed": seed, "views": views, "pooled": pooled, "coverage": coverage}


def test_seeds_are_averaged_before_photographs() -> None:
    measured = [
        scene(0, [(True, 0.1, 0.3), (False, 0.2, 0.1), (False, 0.4, 0.5)]),
        scene(1, [(True, 0.3, 0.5), (False, 0.4, 0.3), (False, 0.6, 0.7)]),
    ]
    row = tables.summary(measured, ["a", "b"])[0]
    assert row["signal"] == "a"
    assert row["interpolating MAE"].startswith("0.200")
    assert row["extrapolating MAE"] == "0.400 ± 0.100"
    assert row["seeds"] == f"{tables.deviation([0.7 / 3, 1.3 / 3]):.3f}"
    against = tables.differences(measured, "a", ["a", "b"])
    assert [r["against"] for r in against] == ["b"]
    gains = [0.2, -0.1, 0.1]
    assert against[0]["c s"] == f"{tables.with_error(gains)} (2/3)"
    parts = tables.overview(measured, ["b"])
    assert [(r["photographs"], r["seeds"]) for r in parts] == [("interpolating", 2), ("extrapolating", 2), ("all", 2)]
    assert parts[2]["b"] == row_of(measured, "b")["MAE"]
    (held,) = tables.intervals(measured)
    assert (held["scale"], held["after, interpolating"], held["after, extrapolating"]) == ("1.50", "50 / 80", "")


def row_of(measured: list[dict[str, object]], signal: str) -> dict[str, str]:
    """The row of one signal."""
    return next(row for row in tables.summary(measured, [signal]))


def test_errors_themselves_are_the_best_signal() -> None:
    differences = torch.rand(30, 40, 3, generator=torch.Generator().manual_seed(0)) - 0.5
    error, squared = differences.abs().mean(dim=-1), differences.square().mean(dim=-1)
    seen = Seen(
        name="x",
        interpolating=True,
        error=error,
        squared_error=squared,
        weight=torch.ones_like(error),
        signals={"itself": error, "square": squared, "against": -error},
    )
    scores = measure_view(seen)["signals"]
    assert scores["itself"]["mae"] == pytest.approx(0, abs=1e-9)
    assert scores["itself"]["rho"] == pytest.approx(1)
    assert scores["square"]["mse"] == pytest.approx(0, abs=1e-9)
    assert scores["against"]["mae"] > 0.5
    assert scores["against"]["rho"] == pytest.approx(-1)
