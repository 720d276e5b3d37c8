from __future__ import annotations

import json
import os
import shutil
import sys
from itertools import combinations, pairwise
from pathlib import Path

import pytest
import torch
from PIL import Image

from veduta.core import InputError, MissingDependencyError, OutputError, VedutaError
from veduta.data import open_capture, reconstruct
from veduta.data.sfm import GOOD_SHARE, MANY_PHOTOS, Attempt, SfmReport, plan, sequential_pairs
from veduta.data.sfm_pycolmap import Model, camera_groups, missing_chunks, pair_blocks
from veduta.io.images import write_png

from .conftest import picture

pycolmap = pytest.importorskip("pycolmap")


def frames(count: int, pattern: str = "frame_{:04d}.jpg") -> list[str]:
    return [pattern.format(i) for i in range(count)]


def test_sequential_pairs_are_neighbours_once_each() -> None:
    names = frames(100)
    pairs = sequential_pairs(names[::-1])
    assert len(set(pairs)) == len(pairs)
    assert all(one < other for one, other in pairs)
    assert set(pairwise(names)) <= set(pairs)
    assert (names[0], names[64]) in pairs
    assert (names[0], names[65]) not in pairs
    assert len(pairs) < len(names) * 14


def test_cameras_of_a_rig_are_matched_at_like_places() -> None:
    pairs = sequential_pairs([f"{side}/{i:02d}.jpg" for side in ("left", "right") for i in range(30)])
    assert ("left/05.jpg", "right/06.jpg") in pairs
    assert ("left/05.jpg", "right/20.jpg") not in pairs


@pytest.mark.parametrize(
    ("names", "matcher", "methods"),
    [
        (frames(10, "IMG_{}.jpg"), "auto", ["exhaustive", "global"]),
        (frames(30), "auto", ["sequential", "exhaustive", "global"]),
        (frames(MANY_PHOTOS + 1, "IMG_{}.jpg"), "auto", ["sequential", "exhaustive", "global"]),
        (frames(400), "auto", ["sequential", "global"]),
        (frames(400), "exhaustive", ["exhaustive", "global"]),
        (frames(10), "sequential", ["sequential", "global"]),
        (frames(10), "global", ["global"]),
    ],
)
def test_methods_follow_number_and_names(names: list[str], matcher: str, methods: list[str]) -> None:
    steps = plan(names, matcher)  # type: ignore[arg-type]
    assert [method for method, _, _ in steps] == methods
    assert steps[0][1]


def test_blocks_hold_every_pair_once() -> None:
    names = frames(23)
    pairs = list(combinations(names, 2))
    blocks = pair_blocks(names, pairs)
    assert sorted(pair for block in blocks for pair in block) == sorted(pairs)
    assert max(len({name for pair in block for name in pair}) for block in blocks) <= 10


def test_chunks_hold_every_photograph_once_and_one_camera_each() -> None:
    missing = [(1, "a"), (2, "b"), (1, "c"), (1, "d")]
    assert list(missing_chunks(missing, 2)) == [(1, ["a", "c"]), (1, ["d"]), (2, ["b"])]


def test_one_lens_is_shared_by_what_it_took(tmp_path: Path) -> None:
    for name, size, focal in (("a", (8, 6), 35), ("b", (8, 6), 35), ("c", (8, 6), 50), ("d", (6, 8), 35)):
        image = Image.new("RGB", size)
        exif = image.getexif()
        exif.get_ifd(0x8769)[0x920A] = focal
        image.save(tmp_path / f"{name}.jpg", exif=exif)
    assert camera_groups(tmp_path, ["a.jpg", "b.jpg", "c.jpg", "d.jpg"]) == [["a.jpg", "b.jpg"], ["c.jpg"], ["d.jpg"]]


def report(registered: int, total: int) -> SfmReport:
    return SfmReport(
        registered=registered,
        total=total,
        unregistered=tuple(f"{i}.jpg" for i in range(total - registered)),
        points=1,
        reprojection_px=0.5,
        method="exhaustive",
        attempts=(Attempt("exhaustive", registered, 1),),
        capture=Path(),
        model=Path(),
    )


def test_advice_is_given_where_photographs_are_left_out() -> None:
    assert report(20, 20).advice() is None
    advice = report(10, 20).advice()
    assert report(10, 20).share == 0.5 < GOOD_SHARE
    assert advice is not None
    assert "10 of 20 photographs have no pose (0.jpg, 1.jpg, 2.jpg and 7 more)" in advice


@pytest.fixture(scope="module")
def castle(shared_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Five photographs of the castle, without poses."""
    folder = tmp_path_factory.mktemp("castle") / "images"
    folder.mkdir()
    for path in sorted((shared_data / "static" / "sceaux_castle" / "images").iterdir())[:5]:
        shutil.copy(path, folder / path.name)
    return folder


def test_photographs_become_a_capture(castle: Path, shared_data: Path, tmp_path: Path) -> None:
    told: list[tuple[str, int, int]] = []
    result = reconstruct(
        castle, out=tmp_path / "out", max_image_size=480, threads=2, on_progress=lambda *event: told.append(event)
    )
    assert (result.registered, result.total, result.unregistered) == (5, 5, ())
    assert result.reprojection_px < 1
    assert result.advice() is None
    assert result.model == tmp_path / "out" / "sparse" / "0"
    assert {stage for stage, _, _ in told} == {"features", "matching", "mapping"}
    assert all(0 <= done <= total for _, done, total in told)
    written = json.loads((tmp_path / "out" / "sparse" / "sfm.json").read_text())
    assert (written["registered"], written["method"]) == (5, "exhaustive")
    assert sorted(p.name for p in (tmp_path / "out" / "sparse").iterdir()) == [
        "0",
        "sfm.db",
        "sfm.json",
        "sfm_settings.json",
    ]

    capture = open_capture(tmp_path / "out")
    assert capture.train[0].rgb.std() > 0.1
    ours = capture.cameras["camera"].positions_world
    theirs = open_capture(shared_data / "static" / "sceaux_castle").cameras["camera"].positions_world[:5]
    ours, theirs = torch.pdist(ours), torch.pdist(theirs)
    assert torch.allclose(ours / ours.mean(), theirs / theirs.mean(), rtol=0.1)  # the same shape, at any scale

    before = {p: p.stat().st_mtime_ns for p in result.model.iterdir()}
    with pytest.raises(InputError, match="there is a model already"):
        reconstruct(castle, out=tmp_path / "out")
    assert {p: p.stat().st_mtime_ns for p in result.model.iterdir()} == before


def test_a_second_call_goes_on_where_the_first_stopped(castle: Path, tmp_path: Path) -> None:
    class StoppedError(Exception):
        pass

    def stop(stage: str, done: int, total: int) -> None:
        if (stage, done) == ("features", 4):
            raise StoppedError

    settings = {"out": tmp_path, "max_image_size": 320, "threads": 1}
    with pytest.raises(StoppedError):
        reconstruct(castle, on_progress=stop, **settings)
    told: list[tuple[str, int, int]] = []
    resumed = reconstruct(castle, on_progress=lambda *event: told.append(event), **settings)
    assert told[0] == ("features", 4, 5)
    fresh = reconstruct(castle, out=tmp_path / "fresh", max_image_size=320, threads=1)
    assert resumed.points == fresh.points
    assert (resumed.model / "images.bin").read_bytes() == (fresh.model / "images.bin").read_bytes()


def test_names_with_spaces_are_matched_too(castle: Path, tmp_path: Path) -> None:
    spaced = tmp_path / "my photos"
    spaced.mkdir()
    for path in sorted(castle.iterdir())[:3]:
        shutil.copy(path, spaced / f"photo {path.name}")
    result = reconstruct(spaced, max_image_size=480, threads=2)
    assert result.registered == 3
    assert result.capture == spaced
    assert len(open_capture(spaced, sfm=True).cameras["camera"]) == 3  # opened, not estimated again


def test_images_that_are_a_link_get_their_model_beside_the_link(castle: Path, tmp_path: Path) -> None:
    """Several captures may share photographs, whose own place is nobody's to write to."""
    album = tmp_path / "album" / "2026"
    album.mkdir(parents=True)
    for path in sorted(castle.iterdir())[:3]:
        shutil.copy(path, album / path.name)
    before = sorted((tmp_path / "album").rglob("*"))
    for name in ("capture", "other"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "images").symlink_to(album, target_is_directory=True)
    result = reconstruct(tmp_path / "capture", max_image_size=320, threads=1)
    assert (result.capture, result.model) == (tmp_path / "capture", tmp_path / "capture" / "sparse" / "0")
    assert sorted((tmp_path / "album").rglob("*")) == before
    for opened in (tmp_path / "capture", tmp_path / "capture" / "images"):
        assert open_capture(opened).source == tmp_path / "capture"
    assert open_capture(tmp_path / "other" / "images", sfm=True).source == tmp_path / "other"
    assert sorted((tmp_path / "album").rglob("*")) == before


def test_the_output_may_be_the_folder_around_the_photographs(castle: Path, tmp_path: Path) -> None:
    (tmp_path / "photos").mkdir()
    for path in sorted(castle.iterdir())[:3]:
        shutil.copy(path, tmp_path / "photos" / path.name)
    result = reconstruct(tmp_path / "photos", out=tmp_path, max_image_size=320, threads=1)
    assert len(open_capture(result.capture, test_every=0).train) == 3


def test_global_mapping_is_there_too(castle: Path, tmp_path: Path) -> None:
    result = reconstruct(castle, out=tmp_path, max_image_size=480, threads=1, matcher="global")
    assert (result.registered, result.method) == (5, "global")


def test_poses_that_hang_on_a_few_points_are_not_kept(
    castle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("veduta.data.sfm_pycolmap.MIN_POINTS", 100_000)
    with pytest.raises(InputError, match=r"no poses were found.* global: 0 of 5"):
        reconstruct(castle, out=tmp_path, max_image_size=320, threads=1)


def test_a_damaged_database_is_made_anew(castle: Path, tmp_path: Path) -> None:
    class StoppedError(Exception):
        pass

    def stop(stage: str, done: int, total: int) -> None:
        raise StoppedError

    few = tmp_path / "few"
    few.mkdir()
    for path in sorted(castle.iterdir())[:3]:
        shutil.copy(path, few / path.name)
    with pytest.raises(StoppedError):
        reconstruct(few, max_image_size=320, threads=1, on_progress=stop)
    assert (few / "sparse" / "sfm_settings.json").is_file()
    (few / "sparse" / "sfm.db").write_bytes(b"no database" * 100)
    assert reconstruct(few, max_image_size=320, threads=1).registered == 3


def test_a_model_that_cannot_be_written_leaves_nothing_behind(
    castle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def write_half(self: Model, folder: Path) -> None:
        self.reconstruction.write_binary(str(folder))
        (folder / "images.bin").write_bytes((folder / "images.bin").read_bytes()[:1000])

    monkeypatch.setattr(Model, "write", write_half)
    few = tmp_path / "few"
    few.mkdir()
    for path in sorted(castle.iterdir())[:3]:
        shutil.copy(path, few / path.name)
    with pytest.raises(OutputError, match="the model could not be written"):
        reconstruct(few, max_image_size=320, threads=1)
    assert not list((few / "sparse").glob("[0-9.]*"))


def test_a_disk_that_fills_up_is_told_before_colmap_meets_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    free = iter([64 * 2**20, 17 * 2**20, 17 * 2**20])  # enough to begin with
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage._replace(free=next(free)))
    with pytest.raises(OutputError, match=r"sparse: the disk is full.* expected 20 MiB of free space, got 17 MiB"):
        reconstruct(plain(tmp_path / "photos", 3), threads=1)
    assert (tmp_path / "photos" / "sparse" / "sfm_settings.json").is_file()  # there to go on from


@pytest.mark.parametrize(
    ("message", "free", "error"),
    [
        ("[database_sqlite.cc:1] SQLite error: database or disk is full", 2**40, OutputError),
        ("[database_sqlite.cc:1] SQLite error: disk I/O error", 2**40, OutputError),
        ("No registered database factory succeeded.", 2**20, OutputError),
        ("No registered database factory succeeded.", 2**40, InputError),
    ],
)
def test_failures_of_colmap_are_the_disks_where_that_can_be_told(
    message: str, free: int, error: type[VedutaError], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = shutil.disk_usage(tmp_path)
    photos = plain(tmp_path / "photos", 3)

    def fail(*_: object) -> None:
        monkeypatch.setattr(shutil, "disk_usage", lambda _: usage._replace(free=free))
        raise RuntimeError(message)

    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage._replace(free=2**40))
    monkeypatch.setattr(pycolmap, "import_images", fail)
    with pytest.raises(error) as caught:
        reconstruct(photos, threads=1)
    assert caught.value.got == message
    assert caught.value.hint is not None


def test_an_output_that_cannot_be_a_folder_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("mine")
    with pytest.raises(OutputError, match="cannot write"):
        reconstruct(plain(tmp_path / "photos", 3), out=tmp_path / "file")
    assert (tmp_path / "file").read_text() == "mine"


def test_two_photographs_are_posed(castle: Path, tmp_path: Path) -> None:
    for path in sorted(castle.iterdir())[1:3]:
        shutil.copy(path, tmp_path / path.name)
    report = reconstruct(tmp_path)
    assert (report.registered, report.total) == (2, 2)
    assert report.points > 100
    assert report.reprojection_px < 1.5
    assert len(open_capture(report.capture, test_every=0).train) == 2


def plain(folder: Path, count: int) -> Path:
    for i in range(count):
        write_png(folder / f"{i}.png", picture(i, 64, 48))
    return folder


def test_photographs_that_show_nothing_are_an_input_error(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(InputError) as caught:
        open_capture(plain(tmp_path / "photos", 3), sfm=True)
    assert caught.value.problem == "no poses were found"
    assert caught.value.got == "exhaustive: 0 of 3; global: 0 of 3"
    assert not (tmp_path / "photos" / "sparse" / "0").exists()
    assert capfd.readouterr() == ("", "")  # COLMAP's log says nothing that the error does not


def test_a_format_that_pycolmap_does_not_know_is_named(tmp_path: Path) -> None:
    plain(tmp_path, 4)
    for i in (1, 2):
        with Image.open(tmp_path / f"{i}.png") as image:
            image.save(tmp_path / f"{i}.webp", lossless=True)
        (tmp_path / f"{i}.png").unlink()
    for _ in range(2):  # the second call does not take what the first left for whole
        with pytest.raises(InputError, match=r"1.webp: pycolmap cannot read the photograph: expected JPEG, PNG"):
            reconstruct(tmp_path)


def test_mistakes_are_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such folder"):
        reconstruct(tmp_path / "nowhere")
    with pytest.raises(InputError, match="too few photographs: expected at least 2 that overlap, got 1"):
        reconstruct(plain(tmp_path / "one", 1))
    (plain(tmp_path / "bad", 3) / "1.png").write_bytes(b"no picture")
    with pytest.raises(InputError, match=r"1.png: cannot read the picture"):
        reconstruct(tmp_path / "bad")
    (plain(tmp_path / "bytes", 3) / os.fsdecode(b"\xff.png")).write_bytes(b"")
    with pytest.raises(InputError, match=r"bytes, field name: the name is not valid UTF-8.* got '.udcff.png'"):
        reconstruct(tmp_path / "bytes")
    with pytest.raises(InputError, match=r"field camera_model: no such camera model.* got PINHOEL"):
        reconstruct(plain(tmp_path / "lens", 3), camera_model="PINHOEL")
    plain(tmp_path / "out" / "images", 1)
    with pytest.raises(InputError, match="the output folder has other images"):
        reconstruct(plain(tmp_path / "three", 3), out=tmp_path / "out")


def test_without_pycolmap_the_remedy_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pycolmap", None)
    with pytest.raises(MissingDependencyError, match=r"pip install 'veduta\[sfm\]'"):
        reconstruct(plain(tmp_path, 3))
