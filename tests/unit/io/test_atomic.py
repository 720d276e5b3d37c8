"""A path holds its old bytes or all of its new ones, whatever happens."""

from __future__ import annotations

import errno
import json
import os
import stat
from pathlib import Path

import pytest

from veduta.core import OutputError
from veduta.io.atomic import as_output_error, atomic_path, write_bytes, write_json, write_text


def listing(folder: Path) -> list[str]:
    return sorted(entry.name for entry in folder.iterdir())


def test_the_new_bytes_take_the_old_ones_place_and_nothing_else_is_left(tmp_path: Path) -> None:
    path = tmp_path / "a.bin"
    write_bytes(path, b"old")
    write_bytes(path, b"new")
    assert path.read_bytes() == b"new"
    assert listing(tmp_path) == ["a.bin"]


def test_missing_folders_are_made(tmp_path: Path) -> None:
    write_text(tmp_path / "x" / "y" / "a.txt", "später\n")
    assert (tmp_path / "x" / "y" / "a.txt").read_bytes() == "später\n".encode()


def test_the_temporary_path_lies_in_the_same_folder_with_the_same_suffix(tmp_path: Path) -> None:
    with atomic_path(tmp_path / "film.mp4") as temporary:
        assert temporary.parent == tmp_path
        assert temporary.suffix == ".mp4"
        assert not (tmp_path / "film.mp4").exists()
        temporary.write_bytes(b"")
    assert listing(tmp_path) == ["film.mp4"]


@pytest.mark.parametrize("interruption", [ValueError, KeyboardInterrupt])
def test_an_error_in_the_block_passes_and_leaves_the_old_file(tmp_path: Path, interruption: type) -> None:
    path = tmp_path / "a.txt"
    path.write_text("old")

    def write_half() -> None:
        with atomic_path(path) as temporary:
            temporary.write_text("half of the n")
            raise interruption

    with pytest.raises(interruption):
        write_half()
    assert path.read_text() == "old"
    assert listing(tmp_path) == ["a.txt"]


@pytest.mark.parametrize("call", ["fsync", "replace"])
@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EROFS, errno.EDQUOT])
def test_a_failing_disk_gives_output_error_and_leaves_the_old_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str, code: int
) -> None:
    path = tmp_path / "a.txt"
    path.write_text("old")

    def fail(*_: object) -> None:
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(os, call, fail)
    with pytest.raises(OutputError) as caught:
        write_text(path, "new")
    monkeypatch.undo()
    assert str(path) in caught.value.line()
    assert os.strerror(code) in caught.value.line()
    assert caught.value.hint
    assert path.read_text() == "old"
    assert listing(tmp_path) == ["a.txt"]


def test_a_disk_that_is_full_for_real(tmp_path: Path, full_disk) -> None:
    path = tmp_path / "a.bin"
    path.write_bytes(b"old")
    with pytest.raises(OutputError), full_disk():
        write_bytes(path, bytes(100_000))
    assert path.read_bytes() == b"old"
    assert listing(tmp_path) == ["a.bin"]


def test_a_file_where_a_folder_is_needed(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("mine")
    with pytest.raises(OutputError, match="cannot write"):
        write_text(tmp_path / "file" / "a.txt", "new")
    assert (tmp_path / "file").read_text() == "mine"


def test_a_folder_of_that_name_is_kept(tmp_path: Path) -> None:
    (tmp_path / "a.txt").mkdir()
    with pytest.raises(OutputError, match="folder of that name"):
        write_text(tmp_path / "a.txt", "new")
    assert listing(tmp_path) == ["a.txt"]


def test_a_read_only_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(Path, "write_bytes", refuse)
    with pytest.raises(OutputError, match="Permission denied") as caught:
        write_text(tmp_path / "a.txt", "new")
    assert "permissions" in (caught.value.hint or "")


def test_a_read_only_file_is_not_replaced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a.txt"
    path.write_text("precious")
    monkeypatch.setattr(os, "access", lambda *_: False)  # root may write anywhere
    with pytest.raises(OutputError, match="read-only"):
        write_text(path, "new")
    assert path.read_text() == "precious"


def test_a_pipe_is_not_replaced(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(OutputError, match="not an ordinary file"):
        write_text(tmp_path / "pipe", "new")
    assert stat.S_ISFIFO((tmp_path / "pipe").stat().st_mode)


def test_a_link_keeps_pointing_where_it_does(tmp_path: Path) -> None:
    (tmp_path / "real.txt").write_text("old")
    (tmp_path / "link.txt").symlink_to("real.txt")
    write_text(tmp_path / "link.txt", "new")
    assert (tmp_path / "link.txt").is_symlink()
    assert (tmp_path / "real.txt").read_text() == "new"


def test_the_old_files_mode_is_kept(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_text("old")
    path.chmod(0o640)
    write_text(path, "new")
    assert stat.S_IMODE(path.stat().st_mode) == 0o640


def test_a_very_long_name(tmp_path: Path) -> None:
    write_text(tmp_path / ("n" * 250 + ".txt"), "fits")
    with pytest.raises(OutputError, match="too long"):
        write_text(tmp_path / ("n" * 300), "does not")


def test_json_is_strict_and_readable(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    write_json(path, {"psnr": float("inf"), "views": ({"ssim": float("nan")}, 1, "é")})
    assert json.loads(path.read_text(), parse_constant=pytest.fail) == {"psnr": None, "views": [{"ssim": None}, 1, "é"]}
    assert "é" in path.read_text(encoding="utf-8")


def test_names_that_are_no_text_are_written_as_escapes(tmp_path: Path) -> None:
    name = os.fsdecode(b"r\xe4ume")  # Latin-1, which no UTF-8 is
    write_json(tmp_path / "a.json", {"capture": name, "city": "Köln"})
    assert json.loads((tmp_path / "a.json").read_text(encoding="utf-8")) == {"capture": name, "city": "Köln"}
    write_text(tmp_path / "a.txt", name)
    assert (tmp_path / "a.txt").read_bytes() == rb"r\udce4ume"


def test_other_errors_are_not_disguised() -> None:
    with pytest.raises(ZeroDivisionError), as_output_error("a"):
        raise ZeroDivisionError
