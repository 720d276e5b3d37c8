"""A plan as plain JSON values and back; unknown names and wrong types are refused by their path."""

from __future__ import annotations

import dataclasses
import types
import typing
from collections.abc import Mapping
from typing import Any

from veduta.core import InputError
from veduta.fit.densify import DENSIFIERS
from veduta.fit.plan import FitPlan

NO_EFFECT_ON_RESULT = frozenset({"log_every", "eval_every", "checkpoint_every", "image_budget_mb"})
"""Fields that may differ when a run is resumed."""


def config_from_plan(plan: FitPlan) -> dict[str, Any]:
    """All of a plan as JSON values; the densification strategy is named under ``densify.kind``."""
    config = dataclasses.asdict(plan)
    config["doublings"] = list(plan.doublings)
    kind = next(name for name, strategy in DENSIFIERS.items() if strategy is type(plan.densify))
    config["densify"] = {"kind": kind, **config["densify"]}
    return config


def plan_from_config(config: Mapping[str, Any], *, where: str = "plan") -> FitPlan:
    """The inverse of :func:`config_from_plan`; missing fields have their defaults. Raises InputError."""
    return record_from_values(FitPlan, config, where=where)


def differences(plan: FitPlan, config: Mapping[str, Any]) -> list[str]:
    """Paths of the settings in which a plan differs from a stored one, save those without effect on the result.

    What is not stored had its default: the plan was stored before there was such a setting.
    """
    mine, theirs = _flat(config_from_plan(plan)), _flat(config_from_plan(plan_from_config(config)))
    names = sorted(mine.keys() | theirs.keys())
    return [n for n in names if n not in NO_EFFECT_ON_RESULT and mine.get(n) != theirs.get(n)]


def _flat(config: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for name, value in config.items():
        if isinstance(value, Mapping):
            flat |= _flat(value, f"{prefix}{name}.")
        else:
            flat[prefix + name] = value
    return flat


def record_from_values(kind: type, config: object, *, where: str, path: str = "") -> Any:
    """A dataclass from plain JSON values, nested ones too; ``path`` stands before names in what InputError tells."""
    if not isinstance(config, Mapping):
        raise InputError("not a group of settings", where=where, field=path or None, expected="an object", got=config)
    hints = typing.get_type_hints(kind)
    for name in config:
        if name not in hints:
            raise InputError("unknown setting", where=where, field=f"{path}{name}", expected=", ".join(hints))
    values = {name: _value(hints[name], config[name], where=where, path=f"{path}{name}") for name in config}
    return kind(**values)


def _value(hint: Any, value: object, *, where: str, path: str) -> Any:
    if path == "densify":
        return _densifier(value, where=where)
    if dataclasses.is_dataclass(hint):
        assert isinstance(hint, type)
        return record_from_values(hint, value, where=where, path=f"{path}.")
    if typing.get_origin(hint) is tuple and isinstance(value, list | tuple):
        return tuple(_value(typing.get_args(hint)[0], item, where=where, path=path) for item in value)
    if typing.get_origin(hint) is typing.Literal:
        allowed: tuple[object, ...] = typing.get_args(hint)
        if value in allowed:
            return value
        raise InputError("unknown choice", where=where, field=path, expected=" or ".join(map(str, allowed)), got=value)
    number = isinstance(value, int | float) and not isinstance(value, bool)
    if hint is float and number:
        return float(typing.cast(float, value))
    if isinstance(hint, type) and type(value) is hint:
        return value
    if typing.get_origin(hint) in (types.UnionType, typing.Union):
        optional = typing.get_args(hint)
        assert len(optional) == 2 and optional[1] is types.NoneType, f"{path} needs its own rule"  # noqa: PT018
        return None if value is None else _value(optional[0], value, where=where, path=path)
    expected = getattr(hint, "__name__", str(hint))
    raise InputError("setting of the wrong type", where=where, field=path, expected=expected, got=value)


def _densifier(value: object, *, where: str) -> Any:
    settings = dict(value) if isinstance(value, Mapping) else {}
    kind = settings.pop("kind", None)
    if kind not in DENSIFIERS:
        expected = ", ".join(DENSIFIERS)
        raise InputError("unknown strategy", where=where, field="densify.kind", expected=expected, got=kind)
    strategy = DENSIFIERS[kind]
    assert isinstance(strategy, type)
    return record_from_values(strategy, settings, where=where, path="densify.")
