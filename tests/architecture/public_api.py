"""The public names with their parameters, as text: ``python tests/architecture/public_api.py`` prints it."""

from __future__ import annotations

import enum
import importlib
import inspect
from collections.abc import Iterator

PACKAGES = (
    "veduta",
    "veduta.core",
    "veduta.geometry",
    "veduta.render",
    "veduta.measure",
    "veduta.io",
    "veduta.data",
    "veduta.fit",
    "veduta.recipes",
    "veduta.kernels",
)


def public_api() -> Iterator[str]:
    """One line per public name, in order."""
    for package in PACKAGES:
        module = importlib.import_module(package)
        for name in sorted(module.__all__):
            yield f"{package}.{name}{parameters(getattr(module, name))}"


def parameters(value: object) -> str:
    """The parameters of a function or of a class's constructor, without types; nothing for other values."""
    if inspect.ismodule(value):  # veduta.fit and veduta.render are packages that can be called
        value = getattr(value, {"fit": "fit", "render": "render_scene"}[value.__name__.rpartition(".")[2]])
    if not callable(value) or getattr(value, "_is_protocol", False):
        return ""
    if inspect.isclass(value) and issubclass(value, BaseException | enum.Enum):
        return ""
    signature = inspect.signature(value)
    bare = [
        parameter.replace(annotation=inspect.Parameter.empty, default=shown(parameter.default))
        for parameter in signature.parameters.values()
    ]
    return str(signature.replace(parameters=bare, return_annotation=inspect.Signature.empty))


def shown(default: object) -> object:
    """A default that prints alike everywhere."""
    if default is inspect.Parameter.empty or isinstance(default, str | int | float | bool | tuple | None):
        return default
    return Ellipsis


if __name__ == "__main__":
    print("\n".join(public_api()))  # noqa: T201
