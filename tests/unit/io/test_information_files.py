"""information.json: what was written is read again, and nothing that is wrong gets through."""

from __future__ import annotations

import copy
import json
import math
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from veduta.core import InputError, Noise, OutputError
from veduta.io.information import (
    FILE_NAME,
    MAX_CURVES,
    MAX_POINTS,
    GainMaps,
    GainView,
    InformationRecord,
    Reliability,
    SignalCurve,
    Sparsification,
    read_information,
    write_information,
)

WHOLE = InformationRecord(
    posterior="sandwich",
    noise=Noise(sigma=0.031, kappa=9.7, tau=0.26),
    sparsification=Sparsification(
        views=12,
        error="mean |e| over RGB",
        fractions=(0.0, 0.5, 0.75),
        oracle=(1.0, 0.2, 0.0),
        curves=(
            SignalCurve(name="gain", values=(1.0, 0.5, 0.25), ause=0.27, pooled=0.19, spearman=-0.46),
            SignalCurve(name="1 - alpha", values=(1.0, 0.9, 1.25), ause=0.5),
        ),
    ),
    reliability=Reliability(views=3, levels=(0.5, 0.9), before=(0.3, 0.7), after=(0.5, 1.0), scale=1.7),
    maps=GainMaps(
        top=4.5,
        views=(GainView(name="a", gain="information/a.safetensors", render="information/a.png", photo="a.png"),),
    ),
    protocol="In full sentences.",
)


def spoil(path: str, value: Any, *, missing: bool = False) -> dict[str, Any]:
    """A file that is right but for the value at ``a.b.0.c``."""
    spoiled: Any = {"schema_version": 1, **json.loads(json.dumps(asdict(WHOLE)))}
    *way, last = (int(step) if step.isdigit() else step for step in path.split("."))
    place = spoiled
    for step in way:
        place = place[step]
    place[last] = copy.deepcopy(value)
    if missing:
        del place[last]
    return spoiled


def read(folder: Path, content: dict[str, Any]) -> InformationRecord | None:
    (folder / FILE_NAME).write_text(json.dumps(content))
    return read_information(folder)


def test_what_was_written_is_read_again(tmp_path: Path):
    assert write_information(tmp_path, WHOLE) == tmp_path / "information.json"
    assert read_information(tmp_path) == WHOLE


@pytest.mark.parametrize("part", ["posterior", "noise", "sparsification", "reliability", "maps"])
def test_each_part_may_be_missing_or_null(tmp_path: Path, part: str):
    expected = replace(WHOLE, **{part: None})
    write_information(tmp_path, expected)
    assert read_information(tmp_path) == expected
    assert read(tmp_path, spoil(part, None, missing=True)) == expected


def test_a_part_is_replaced_and_the_others_stay(tmp_path: Path):
    write_information(tmp_path, replace(WHOLE, maps=None))
    before = read_information(tmp_path)
    assert before is not None
    write_information(tmp_path, replace(before, maps=WHOLE.maps))
    assert read_information(tmp_path) == WHOLE


def test_nothing_is_known_of_an_empty_folder(tmp_path: Path):
    assert read_information(tmp_path) is None
    assert read(tmp_path, {"schema_version": 1}) == InformationRecord()


def test_numbers_that_are_not_finite_are_unknown(tmp_path: Path):
    assert WHOLE.sparsification is not None
    curve = SignalCurve(name="none", values=(1.0, math.nan, math.inf), ause=math.nan, spearman=math.nan)
    write_information(tmp_path, replace(WHOLE, sparsification=replace(WHOLE.sparsification, curves=(curve,))))
    found = read_information(tmp_path)
    assert found is not None
    assert found.sparsification is not None
    (curve,) = found.sparsification.curves
    assert curve.values[0] == 1.0
    assert all(math.isnan(x) for x in (*curve.values[1:], curve.ause))
    assert curve.spearman is None


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("schema_version", 2),
        ("schema_version", True),
        ("schema_version", None),
        ("posterior", 7),
        ("posterior", "x" * 5000),
        ("protocol", ["x"]),
        ("protocol", "\ud800"),
        ("noise", [1]),
        ("noise.sigma", None),
        ("noise.sigma", "0.1"),
        ("noise.sigma", -0.1),
        ("noise.kappa", True),
        ("noise.tau", 10**400),
        ("noise.tau", math.nan),
        ("noise.assumed", 1),
        ("sparsification", "x"),
        ("sparsification.views", 1.5),
        ("sparsification.views", -1),
        ("sparsification.error", None),
        ("sparsification.fractions", [0.0, 0.5]),
        ("sparsification.fractions", [0.0, 0.75, 0.5]),
        ("sparsification.fractions", [0.0, 0.5, 1.0]),
        ("sparsification.fractions", [0.0, 0.5, None]),
        ("sparsification.fractions", {}),
        ("sparsification.fractions", [0.5 * i / MAX_POINTS for i in range(MAX_POINTS + 1)]),
        ("sparsification.oracle", [1.0, -0.1, 0.0]),
        ("sparsification.oracle", [1.0, "0.1", 0.0]),
        ("sparsification.oracle", [1.0, math.inf, 0.0]),
        ("sparsification.curves", [{}]),
        ("sparsification.curves", ["gain"]),
        ("sparsification.curves", {"gain": []}),
        ("sparsification.curves", [{}] * (MAX_CURVES + 1)),
        ("sparsification.curves.0.values", [1.0, 2.0]),
        ("sparsification.curves.0.ause", "good"),
        ("sparsification.curves.1.spearman", []),
        ("reliability.levels", [0.9, 0.5]),
        ("reliability.levels", [0.0, 0.5]),
        ("reliability.levels", []),
        ("reliability.before", [0.5, 1.1]),
        ("reliability.before", None),
        ("reliability.after", [0.5]),
        ("reliability.scale", "1"),
        ("maps.top", 0),
        ("maps.top", -1.0),
        ("maps.top", None),
        ("maps.views", None),
        ("maps.views.0.name", 3),
        ("maps.views.0.gain", None),
        ("maps.views.0.gain", "../secret.safetensors"),
        ("maps.views.0.render", "/etc/passwd"),
        ("maps.views.0.render", "information/../../x.png"),
        ("maps.views.0.photo", "C:\\x.png"),
        ("maps.views.0.photo", "a\0.png"),
    ],
)
def test_what_is_wrong_is_named(tmp_path: Path, path: str, value: Any):
    with pytest.raises(InputError) as caught:
        read(tmp_path, spoil(path, value))
    assert caught.value.where == str(tmp_path / FILE_NAME)
    assert (caught.value.field or "").startswith(path.rsplit(".", 1)[0])
    assert caught.value.hint


@pytest.mark.parametrize("path", ["color", "noise.color", "sparsification.curves.1.color", "maps.views.0.color"])
def test_unknown_fields_are_named(tmp_path: Path, path: str):
    with pytest.raises(InputError, match="unknown field") as caught:
        read(tmp_path, spoil(path, 1))
    assert caught.value.field == path


@pytest.mark.parametrize("path", ["noise.kappa", "sparsification.oracle", "reliability.before", "maps.views.0.render"])
def test_missing_fields_are_named(tmp_path: Path, path: str):
    with pytest.raises(InputError, match=path.rpartition(".")[2]):
        read(tmp_path, spoil(path, None, missing=True))


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)
PATHS = st.sampled_from(
    [
        *("posterior", "noise", "noise.sigma", "sparsification", "sparsification.fractions", "sparsification.oracle"),
        *("sparsification.curves", "sparsification.curves.0.values", "reliability", "reliability.after", "maps"),
        *("maps.top", "maps.views", "maps.views.0", "maps.views.0.gain", "protocol", "schema_version"),
    ]
)


@given(PATHS, JSON)
def test_any_value_anywhere_is_read_or_refused(tmp_path_factory: pytest.TempPathFactory, path: str, value: Any):
    folder = tmp_path_factory.mktemp("run")
    try:
        record = read(folder, spoil(path, value))
    except InputError:
        return
    assert record is not None
    write_information(folder, record)  # and what was read can be written


def test_what_could_not_be_read_again_is_not_written(tmp_path: Path):
    assert WHOLE.reliability is not None
    write_information(tmp_path, WHOLE)
    uneven = replace(WHOLE, reliability=replace(WHOLE.reliability, before=(0.1,)))
    with pytest.raises(InputError, match=r"reliability\.before"):
        write_information(tmp_path, uneven)
    assert read_information(tmp_path) == WHOLE


def test_a_place_that_cannot_be_written(tmp_path: Path):
    (tmp_path / FILE_NAME).mkdir()
    with pytest.raises(OutputError):
        write_information(tmp_path, WHOLE)
    with pytest.raises(InputError):
        read_information(tmp_path)


@pytest.mark.parametrize("text", ["{", "[]", "\xff", "[" * 100_000, '{"noise":' * 950 + "1" + "}" * 950])
def test_files_that_are_not_json_objects_are_named(tmp_path: Path, text: str):
    (tmp_path / FILE_NAME).write_text(text, encoding="latin-1")
    with pytest.raises(InputError, match=r"information\.json"):
        read_information(tmp_path)
