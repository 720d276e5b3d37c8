"""Names from files stay inside their folder."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from veduta.core import InputError
from veduta.io.paths import inside, require_file


@pytest.mark.parametrize("name", ["a.jpg", "left/0001.png", "./a.jpg", "odd..name.jpg", "with space/ä.jpg"])
def test_ordinary_names(name: str) -> None:
    assert inside(Path("images"), name, where="images.txt:3") == Path("images") / name


@pytest.mark.parametrize(
    "name", ["/etc/passwd", "../a.jpg", "a/../../b", "..\\a", "C:\\a", "C:a", "\\\\host\\a", "", ".", "a\0b"]
)
def test_names_that_leave_are_refused(name: str) -> None:
    with pytest.raises(InputError, match="leaves its folder") as caught:
        inside(Path("images"), name, where="images.txt:3")
    assert caught.value.where == "images.txt:3"


def test_names_that_are_no_text_are_refused() -> None:
    with pytest.raises(InputError, match=r"images.txt:3, field name: the name is not valid UTF-8.* got 'a\\udcff.jpg'"):
        inside(Path("images"), "a\udcff.jpg", where="images.txt:3")


def test_require_file(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("")
    assert require_file(tmp_path / "a", what="an image") == tmp_path / "a"
    with pytest.raises(InputError, match="no such file: expected an image"):
        require_file(tmp_path / "b", what="an image")
    with pytest.raises(InputError, match="no such file"):
        require_file(tmp_path / "a" / "b", what="an image")
    with pytest.raises(InputError, match="cannot read: File name too long"):
        require_file(tmp_path / ("n" * 300), what="an image")
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(InputError, match="not an ordinary file"):
        require_file(tmp_path / "pipe", what="an image")
    with pytest.raises(InputError, match="is a folder"):
        require_file(tmp_path, what="an image")
