"""What is known of a scene, in a run's folder: RUN/information.json, which the report shows.

One JSON object; every part may be null or missing, and each of the commands that measure one replaces its own::

    {"schema_version": 1,
     "posterior": "sandwich",
     "noise": {"sigma": 0.031, "kappa": 9.7, "tau": 0.26, "assumed": false},
     "sparsification": {
       "views": 12, "error": "mean |e| over RGB",
       "fractions": [0.0, 0.01, ...], "oracle": [1.0, 0.97, ...],
       "curves": [{"name": "gain", "values": [1.0, 0.98, ...], "ause": 0.27, "pooled": 0.19, "spearman": 0.46}, ...]},
     "reliability": {
       "views": 12, "levels": [0.05, 0.1, ...], "before": [...], "after": [...], "scale": 1.7},
     "maps": {
       "top": 4.5,
       "views": [{"name": "0001.png", "gain": "information/0001.safetensors", "render": "information/0001_render.png",
                  "photo": "information/0001_photo.png"}, ...]},
     "protocol": "How these numbers came about, in full sentences."}

Files are named relative to the run's folder and lie in it. A number that was not finite is null.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any, TypeVar

from veduta.core import InputError, Noise
from veduta.io.atomic import finite_or_null, write_json
from veduta.io.paths import inside
from veduta.io.runs import finite_number, read_json_object

INFORMATION_SCHEMA_VERSION = 1
"""Raised when a field changes its meaning."""
FILE_NAME = "information.json"
MAX_POINTS, MAX_CURVES, MAX_VIEWS, MAX_TEXT = 10_000, 50, 10_000, 4_000
"""More points on a curve, curves, views or characters than this are refused."""

_Part = TypeVar("_Part")


@dataclass(frozen=True, kw_only=True)
class SignalCurve:
    """How well one signal sorts the pixels of held-out views by their error."""

    name: str
    values: tuple[float, ...]
    """Mean error of what is kept over the mean of all, mean over the views; NaN where unknown."""
    ause: float
    """Area between it and the oracle's curve, mean over the views; 0 is perfect."""
    pooled: float | None = None
    """The same with the pixels of all views in one order."""
    spearman: float | None = None
    """Rank correlation with the error, mean over the views."""


@dataclass(frozen=True, kw_only=True)
class Sparsification:
    """Sparsification on held-out views: ours is the first curve, the others are for comparison."""

    views: int
    error: str
    """Which error, in words."""
    fractions: tuple[float, ...]
    """Shares of the pixels taken away, rising from 0 to below 1."""
    oracle: tuple[float, ...]
    curves: tuple[SignalCurve, ...]


@dataclass(frozen=True, kw_only=True)
class Reliability:
    """Nominal and empirical coverage on held-out views."""

    views: int
    levels: tuple[float, ...]
    """Nominal, rising between 0 and 1."""
    before: tuple[float, ...]
    """Empirical, with the predicted std as it is."""
    after: tuple[float, ...] | None = None
    """Empirical, calibrated; on other views than the scale was found on."""
    scale: float | None = None
    """What calibration multiplies the std by."""


@dataclass(frozen=True, kw_only=True)
class GainView:
    """The files of one camera, relative to the run's folder."""

    name: str
    gain: str
    """A safetensors file with ``gain`` ("h w", nats)."""
    render: str
    photo: str | None = None
    """The photograph, where one was taken there."""


@dataclass(frozen=True, kw_only=True)
class GainMaps:
    """Maps to look at, in one scale of colours."""

    top: float
    """The gain that takes the last colour, in nats."""
    views: tuple[GainView, ...]


@dataclass(frozen=True, kw_only=True)
class InformationRecord:
    """What information.json says; None where it has not been measured."""

    posterior: str | None = None
    noise: Noise | None = None
    sparsification: Sparsification | None = None
    reliability: Reliability | None = None
    maps: GainMaps | None = None
    protocol: str = ""
    """How these numbers came about, in full sentences."""


def write_information(run: Path, record: InformationRecord) -> Path:
    """Write ``RUN/information.json``, whole, and return its path.

    To change a part, write what :func:`read_information` gives with that part replaced. Raises OutputError, and
    InputError for a record that could not be read again.
    """
    path = run / FILE_NAME
    values = {"schema_version": INFORMATION_SCHEMA_VERSION, **asdict(record)}
    _record(json.loads(json.dumps(finite_or_null(values))), run, path)
    write_json(path, values)
    return path


def read_information(run: Path) -> InformationRecord | None:
    """What ``RUN/information.json`` says; None where there is no such file; InputError where anything in it is wrong.

    Lists that belong together are equally long, and file names stay inside the run's folder.
    """
    path = run / FILE_NAME
    return _record(read_json_object(path), run, path) if path.exists() else None


def _record(values: Mapping[str, Any], run: Path, path: Path) -> InformationRecord:
    fields = _Fields(values, path, "", {"schema_version", *InformationRecord.__dataclass_fields__})
    version = values.get("schema_version")
    if type(version) is not int or version != INFORMATION_SCHEMA_VERSION:
        raise fields.wrong("schema_version", str(INFORMATION_SCHEMA_VERSION))
    posterior = fields.optional("posterior", fields.text)
    return InformationRecord(
        posterior=posterior,
        noise=fields.optional("noise", lambda name: _noise(fields.part(name, Noise))),
        sparsification=fields.optional(
            "sparsification", lambda name: _sparsification(fields.part(name, Sparsification))
        ),
        reliability=fields.optional("reliability", lambda name: _reliability(fields.part(name, Reliability))),
        maps=fields.optional("maps", lambda name: _maps(fields.part(name, GainMaps), run)),
        protocol=fields.optional("protocol", fields.text) or "",
    )


def _noise(fields: _Fields) -> Noise:
    return Noise(
        sigma=fields.number("sigma", least=0.0),
        kappa=fields.number("kappa", least=0.0),
        tau=fields.number("tau", least=0.0),
        assumed=fields.flag("assumed"),
    )


def _sparsification(fields: _Fields) -> Sparsification:
    fractions = fields.rising("fractions")
    return Sparsification(
        views=fields.whole("views"),
        error=fields.text("error"),
        fractions=fractions,
        oracle=fields.numbers("oracle", len(fractions)),
        curves=tuple(
            SignalCurve(
                name=curve.text("name"),
                values=curve.numbers("values", len(fractions)),
                ause=curve.unknown("ause"),
                pooled=curve.optional("pooled", curve.number),
                spearman=curve.optional("spearman", curve.number),
            )
            for curve in fields.parts("curves", SignalCurve, MAX_CURVES)
        ),
    )


def _reliability(fields: _Fields) -> Reliability:
    levels = fields.rising("levels")
    if levels[0] == 0.0:
        raise fields.wrong("levels", "numbers between 0 and 1")
    return Reliability(
        views=fields.whole("views"),
        levels=levels,
        before=fields.numbers("before", len(levels), most=1.0),
        after=fields.optional("after", lambda name: fields.numbers(name, len(levels), most=1.0)),
        scale=fields.optional("scale", fields.number),
    )


def _maps(fields: _Fields, run: Path) -> GainMaps:
    top = fields.number("top", least=0.0)
    if top == 0.0:
        raise fields.wrong("top", "more than 0 nats")
    views = fields.parts("views", GainView, MAX_VIEWS)
    return GainMaps(
        top=top,
        views=tuple(
            GainView(
                name=view.text("name"),
                gain=view.file("gain", run),
                render=view.file("render", run),
                photo=view.optional("photo", lambda name, view=view: view.file(name, run)),
            )
            for view in views
        ),
    )


@dataclass(frozen=True)
class _Fields:
    """A JSON object whose values come out with the type that is asked for, or as an InputError that names the field."""

    values: Mapping[str, Any]
    where: Path
    prefix: str
    known: set[str]

    def __post_init__(self) -> None:
        for name in sorted(self.values.keys() - self.known):
            raise InputError("unknown field", where=self.where, field=f"{self.prefix}{name}"[:80], hint=_HINT)

    def wrong(self, name: str, expected: str) -> InputError:
        value = self.values.get(name)
        got = f"{len(value)} entries" if isinstance(value, list | dict) else json.dumps(value)[:40]
        field = f"{self.prefix}{name}"
        return InputError(
            "not what it should be", where=self.where, field=field, expected=expected, got=got, hint=_HINT
        )

    def optional(self, name: str, read: Callable[[str], _Part]) -> _Part | None:
        return None if self.values.get(name) is None else read(name)

    def text(self, name: str) -> str:
        value = self.values.get(name)
        if not isinstance(value, str) or len(value) > MAX_TEXT or any("\ud800" <= c <= "\udfff" for c in value):
            raise self.wrong(name, f"a text of at most {MAX_TEXT} characters")
        return value

    def flag(self, name: str) -> bool:
        value = self.values.get(name)
        if not isinstance(value, bool):
            raise self.wrong(name, "true or false")
        return value

    def whole(self, name: str) -> int:
        value = self.values.get(name)
        if type(value) is not int or not 0 <= value <= 10**9:
            raise self.wrong(name, "a whole number")
        return value

    def number(self, name: str, least: float = -math.inf) -> float:
        value = finite_number(self.values.get(name))
        if value is None or value < least:
            raise self.wrong(name, "a number" if least == -math.inf else f"a number of at least {least:g}")
        return value

    def unknown(self, name: str) -> float:
        """A number, or NaN for null."""
        return math.nan if name in self.values and self.values[name] is None else self.number(name)

    def numbers(self, name: str, count: int | None = None, *, most: float = math.inf) -> tuple[float, ...]:
        """Numbers from 0 to ``most``, or NaN for null."""
        value = self.values.get(name)
        if not isinstance(value, list) or len(value) > MAX_POINTS or count not in {None, len(value)}:
            raise self.wrong(name, f"a list of {f'at most {MAX_POINTS}' if count is None else count} numbers")
        numbers = [math.nan if item is None else finite_number(item) for item in value]
        for number in numbers:
            if number is None or not (math.isnan(number) or 0.0 <= number <= most):
                raise self.wrong(name, f"numbers from 0 to {most:g}, or null")
        return tuple(number for number in numbers if number is not None)

    def rising(self, name: str) -> tuple[float, ...]:
        """Numbers that rise, from 0 to below 1."""
        numbers = self.numbers(name)
        if not numbers or not all(a < b for a, b in pairwise((*numbers, 1.0))):
            raise self.wrong(name, "numbers that rise, from 0 to below 1")
        return numbers

    def file(self, name: str, run: Path) -> str:
        value = self.text(name)
        inside(run, value, where=self.where, field=f"{self.prefix}{name}")
        return value

    def part(self, name: str, kind: type) -> _Fields:
        value = self.values.get(name)
        if not isinstance(value, dict):
            raise self.wrong(name, "an object")
        return _Fields(value, self.where, f"{self.prefix}{name}.", set(kind.__dataclass_fields__))

    def parts(self, name: str, kind: type, most: int) -> list[_Fields]:
        value = self.values.get(name)
        if not isinstance(value, list) or len(value) > most or not all(isinstance(item, dict) for item in value):
            raise self.wrong(name, f"a list of at most {most} objects")
        known = set(kind.__dataclass_fields__)
        return [_Fields(item, self.where, f"{self.prefix}{name}.{i}.", known) for i, item in enumerate(value)]


_HINT = "Measure again, or delete the file."
