"""The public names with their parameters, as text: ``python tests/architecture/public_api.py`` prints it."""

from __future__ import annotations

import enum
import importlib
import inspect
import types
import typing
from collections.abc import Iterator
from types import ModuleType

PACKAGES = (
    "veduta",
    "veduta.core",
    "veduta.geometry",
    "veduta.render",
    "veduta.measure",
    "veduta.io.atomic",
    "veduta.io.colmap",
    "veduta.io.evidence",
    "veduta.io.images",
    "veduta.io.information",
    "veduta.io.ply",
    "veduta.io.runs",
    "veduta.io.scenes",
    "veduta.io.splat",
    "veduta.io.tensors",
    "veduta.io.video",
    "veduta.data",
    "veduta.data.synthetic",
    "veduta.fit",
    "veduta.information",
    "veduta.nets",
    "veduta.feedforward",
    "veduta.recipes",
    "veduta.kernels",
)


def public_api() -> Iterator[str]:
    """One line per public name, in order."""
    for package in PACKAGES:
        module = importlib.import_module(package)
        for name in sorted(public_names(module)):
            yield f"{package}.{name}{parameters(getattr(module, name))}"


def public_names(module: ModuleType) -> list[str]:
    """What the module says is public, or else the functions and classes that it defines without an underscore."""
    if hasattr(module, "__all__"):
        return list(module.__all__)
    own = {name for name, value in vars(module).items() if getattr(value, "__module__", "") == module.__name__}
    return [name for name in own if not name.startswith("_")]


def parameters(value: object) -> str:
    """The parameters of a function or of a class's constructor, without types; nothing for other values."""
    if inspect.ismodule(value):  # veduta.fit and veduta.render are packages that can be called
        verb = {"fit": "fit", "render": "render_scene"}.get(value.__name__.rpartition(".")[2])
        value = None if verb is None else getattr(value, verb)
    if not callable(value) or getattr(value, "_is_protocol", False):
        return ""
    if inspect.isclass(value) and issubclass(value, BaseException | enum.Enum):
        return ""
    if isinstance(value, types.GenericAlias) or typing.get_origin(value) is not None:  # the name of a type
        return ""
    signature = inspect.signature(value)
    # Whether there is a default is part of the interface; its value is a number that may be tuned.
    bare = [
        parameter.replace(
            annotation=inspect.Parameter.empty,
            default=inspect.Parameter.empty if parameter.default is inspect.Parameter.empty else Default(),
        )
        for parameter in signature.parameters.values()
    ]
    return str(signature.replace(parameters=bare, return_annotation=inspect.Signature.empty))


class Default:
    """Prints as three dots."""

    def __repr__(self) -> str:
        return "..."


if __name__ == "__main__":
    print("\n".join(public_api()))  # noqa: T201
