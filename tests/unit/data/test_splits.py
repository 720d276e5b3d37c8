from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from veduta.core import InputError
from veduta.data.splits import Split, aliases, choose_split, every_nth, read_splits

NAMES = [f"{i:03d}.png" for i in range(9)]


@given(st.integers(0, 30), st.integers(0, 12).filter(lambda n: n != 1))
def test_every_nth_is_a_partition(count: int, every: int) -> None:
    names = [f"{i:02d}" for i in range(count)]
    split = every_nth(names[::-1], every)
    assert sorted(split.train + split.test) == names
    assert split.test == tuple(names[::every] if every else [])


def written(folder: Path, content: object) -> Path:
    (folder / "splits.json").write_text(content if isinstance(content, str) else json.dumps(content))
    return folder / "splits.json"


def test_one_list_leaves_the_others_to_the_other_side(tmp_path: Path) -> None:
    assert read_splits(written(tmp_path, {"test": ["003.png"]}), NAMES) == Split(
        train=tuple(n for n in NAMES if n != "003.png"), test=("003.png",)
    )
    assert read_splits(written(tmp_path, {"train": ["001", "images/002.png"]}), NAMES) == Split(
        train=("001.png", "002.png"), test=tuple(n for n in NAMES if n not in ("001.png", "002.png"))
    )


def test_two_lists_leave_out_what_they_do_not_name(tmp_path: Path) -> None:
    assert read_splits(written(tmp_path, {"train": NAMES[:3], "test": NAMES[5:6]}), NAMES) == Split(
        train=tuple(NAMES[:3]), test=("005.png",)
    )


def test_another_programs_file_is_ignored(tmp_path: Path) -> None:
    assert read_splits(written(tmp_path, {"A": {"train": ["x"]}}), NAMES) is None
    assert read_splits(tmp_path / "nothing.json", NAMES) is None


def test_the_file_wins_over_the_format_and_the_format_over_every_nth(tmp_path: Path) -> None:
    of_format = Split(train=tuple(NAMES[:5]), test=tuple(NAMES[5:]))
    assert choose_split(tmp_path, NAMES, test_every=8, of_format=None).test == ("000.png", "008.png")
    assert choose_split(tmp_path, NAMES, test_every=8, of_format=of_format) == of_format
    written(tmp_path, {"test": ["004.png"]})
    assert choose_split(tmp_path, NAMES, test_every=8, of_format=of_format).test == ("004.png",)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{", r"splits.json:1: not valid JSON"),
        ("[1]", r"not a JSON object"),
        ({"train": "001.png"}, r"field train: not a list of names"),
        ({"train": [1]}, r"field train: not a list of names"),
        ({"test": ["a", "b", "c", "d"]}, r"field test: 4 photographs .* got a, b, c and 1 more"),
        ({"train": NAMES, "test": NAMES[:1]}, r"both trained on and held out.* got 000.png"),
        ({"train": NAMES[:1], "test": NAMES[1:]}, r"too few photographs to train on.* at least 2"),
    ],
)
def test_mistakes_are_named(tmp_path: Path, content: object, message: str) -> None:
    written(tmp_path, content)
    with pytest.raises(InputError, match=message):
        choose_split(tmp_path, NAMES, test_every=8, of_format=None)


def test_ambiguous_short_names_are_not_guessed() -> None:
    known = aliases(["left/1.png", "right/1.png", "left/2.png"])
    assert known["left/1.png"] == "left/1.png"
    assert known["2"] == "left/2.png"
    assert "1.png" not in known
    assert "1" not in known
