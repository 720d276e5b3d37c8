"""Tracks and times beside a capture: written and read alike, and every field checked."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from veduta.core import InputError, Track
from veduta.data import fingerprint, open_capture
from veduta.data.moving import read_times, read_tracks, write_times, write_tracks
from veduta.geometry import rigid, so3_exp

Make = Callable[..., Path]


def track(count: int = 4) -> Track:
    generator = torch.Generator().manual_seed(3)
    turns, places = torch.randn(2, count, 3, generator=generator, dtype=torch.float64)
    return Track(
        times=torch.arange(count, dtype=torch.float64) / 7,
        world_from_object=rigid(so3_exp(turns), places),
        size_m=torch.tensor([4.2, 1.8, 1.46], dtype=torch.float64),
        category="car",
    )


@pytest.mark.parametrize("count", [1, 4])
def test_tracks_are_read_as_written(count: int, tmp_path: Path) -> None:
    given = {"a car": track(count), "ü": track(count)}
    write_tracks(tmp_path, given)
    found = read_tracks(tmp_path)
    assert list(found) == list(given)
    for name, one in found.items():
        assert one.category == "car"
        assert torch.equal(one.times, given[name].times)
        assert torch.equal(one.size_m, given[name].size_m)
        assert torch.allclose(one.world_from_object, given[name].world_from_object, rtol=0, atol=1e-14)
    assert read_tracks(tmp_path / "elsewhere") == {}


@pytest.mark.parametrize("make", ["colmap_capture", "transforms_capture"])
def test_tracks_belong_to_the_capture(make: str, request: pytest.FixtureRequest) -> None:
    folder = request.getfixturevalue(make)()
    before = open_capture(folder)
    assert before.tracks == {}
    write_tracks(folder, {"car": track()})
    capture = open_capture(folder)
    assert torch.equal(capture.tracks["car"].times, track().times)
    assert fingerprint(capture) != fingerprint(before)
    write_tracks(folder, {"car": track().replace(times=track().times + 1)})
    assert fingerprint(open_capture(folder)) != fingerprint(capture)


def set_pose(matrix: object) -> Callable[[dict[str, Any]], None]:
    return lambda entry: entry["world_from_object"].__setitem__(2, matrix)


def scaled(entry: dict[str, Any]) -> None:
    entry["world_from_object"][1] = [[2 * v for v in row] for row in entry["world_from_object"][1]]


SQUARE = [[0.0] * 4 for _ in range(4)]
WRONG: dict[str, tuple[Callable[[dict[str, Any]], object], str]] = {
    "no category": (lambda e: e.pop("category"), r"field car.category: missing.*got size_m, times, world_from_object"),
    "no times": (lambda e: e.pop("times"), r"field car.times: missing"),
    "category of another kind": (lambda e: e.update(category=3), r"field car.category: not text.* got 3"),
    "no list": (lambda e: e.update(times=0.5), r"field car.times: not a list.* got 0.5"),
    "empty": (lambda e: e.update(times=[], world_from_object=[]), r"field car.times: no times"),
    "text among times": (lambda e: e["times"].__setitem__(0, "0"), r"field car.times: not a finite number.* got '0'"),
    "true among times": (lambda e: e["times"].__setitem__(0, True), r"field car.times: not a finite number.* True"),
    "infinite": (lambda e: e["times"].__setitem__(3, math.inf), r"field car.times: not a finite number.* got inf"),
    "beyond floating point": (lambda e: e["times"].__setitem__(3, 10**400), r"field car.times: not a finite number"),
    "twice": (lambda e: e["times"].__setitem__(2, 1 / 7), r"field car.times\[2\]: times do not increase.* 0.142857"),
    "one pose too few": (
        lambda e: e["world_from_object"].pop(),
        r"field car.world_from_object: not as many.* list of 3",
    ),
    "poses by name": (lambda e: e.update(world_from_object={}), r"field car.world_from_object: .*got an object"),
    "three rows": (set_pose(SQUARE[:3]), r"field car.world_from_object\[2\]: not a pose"),
    "rows of three": (set_pose([row[:3] for row in SQUARE]), r"field car.world_from_object\[2\]: not a pose"),
    "text in a row": (set_pose([*SQUARE[:3], [0, 0, 0, "1"]]), r"world_from_object\[2\]\[3\]: not a finite number"),
    "no inverse": (set_pose(SQUARE), r"world_from_object\[2\]: the pose cannot be inverted"),
    "scaled": (scaled, r"world_from_object\[1\]: the pose is not a rigid motion"),
    "NaN": (set_pose([[math.nan] * 4] * 4), r"world_from_object\[2\]\[0\]: not a finite number"),
    "flat": (lambda e: e.update(size_m=[4, 0, 1]), r"field car.size_m: not the size of an object.* \[4.0, 0.0, 1.0\]"),
    "two lengths": (lambda e: e.update(size_m=[4, 2]), r"field car.size_m: not the size of an object"),
}


@pytest.mark.parametrize("kind", WRONG)
def test_mistakes_in_tracks_are_named(kind: str, tmp_path: Path) -> None:
    change, message = WRONG[kind]
    write_tracks(tmp_path, {"car": track()})
    content = json.loads((tmp_path / "tracks.json").read_text())
    change(content["car"])
    (tmp_path / "tracks.json").write_text(json.dumps(content))
    with pytest.raises(InputError, match=r"tracks.json, " + (message if "field" in message else ".*" + message)):
        read_tracks(tmp_path)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"car": [1]}', "field car: not a track.* got a list"),
        ('{"car": null}', "field car: not a track.* got null"),
        ("[]", "not a JSON object"),
        ('{"car": ', r"tracks.json:1: not valid JSON"),
        ('{"car": {"category": "car", "size_m": [1' + "0" * 5000 + ", 1, 1]}}", "field car.times: missing"),
    ],
)
def test_files_that_hold_no_tracks_are_named(text: str, message: str, tmp_path: Path) -> None:
    (tmp_path / "tracks.json").write_text(text)
    with pytest.raises(InputError, match=message):
        read_tracks(tmp_path)


def test_a_colmap_model_takes_its_times_from_beside_it(colmap_capture: Make) -> None:
    folder = colmap_capture()
    before = open_capture(folder, test_every=0)
    assert not before.cameras["camera"].time.any()
    times = {f"{i:03d}.png": (8 - i) / 3 for i in range(9)}
    write_times(folder, times | {"not in the model.png": 1e9})
    capture = open_capture(folder, test_every=0)
    for i in range(9):
        view = capture.train[i]
        assert view.cameras.time.tolist() == [times[view.names[0]]]
        assert view.cameras.time.dtype == torch.float64
    assert capture.cameras["camera"].time.tolist() == sorted(times.values())
    order = [8 - i for i in range(9)]
    poses = before.cameras["camera"].world_from_camera[order]
    assert torch.equal(capture.cameras["camera"].world_from_camera, poses)  # in time order
    assert fingerprint(capture) != fingerprint(before)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"a.png": 0}, r"field b.png: 1 of 2 photographs have no time.* got nothing for b.png"),
        ({"a.png": 0, "b.png": "1"}, r"field b.png: not a finite number.* got '1'"),
        ({"a.png": 0, "b.png": math.nan}, r"field b.png: not a finite number.* got nan"),
        ({"a.png": 0, "b.png": [1]}, r"field b.png: not a finite number"),
        ({"a.png": 0, "b.png": 1, "c.png": None}, r"field c.png: not a finite number.* got None"),
    ],
)
def test_mistakes_in_times_are_named(content: dict[str, Any], message: str, tmp_path: Path) -> None:
    (tmp_path / "times.json").write_text(json.dumps(content))
    with pytest.raises(InputError, match=r"times.json, " + message):
        read_times(tmp_path, ["a.png", "b.png"])
