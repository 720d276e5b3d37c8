"""From photographs to a 3D Gaussian scene, on any computer.

    import veduta

    capture = veduta.open_capture("photos/")
    scene = veduta.fit(capture, out="runs/photos")
    print(veduta.evaluate(scene, capture.test).psnr)
    veduta.save(scene, "photos.ply")

    known = veduta.information.gather(scene, capture.train)  # how much do we know?

Everything is loaded when first used, so that ``import veduta`` costs nothing. ``veduta.fit`` and ``veduta.render`` are
functions and, at the same time, the packages of that name.
"""

from __future__ import annotations

import importlib
import sys
from types import ModuleType
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from veduta import information
    from veduta.core import (
        Actor,
        Cameras,
        Capture,
        Gaussians,
        InputError,
        PointCloud,
        RasterOptions,
        Render,
        Scene,
        Sky,
        Track,
        VedutaError,
        Views,
        ViewSource,
    )
    from veduta.data import open_capture
    from veduta.fit import FitPlan, fit, train
    from veduta.recipes import Evaluation, camera_path, evaluate, load, render_path, save
    from veduta.render import rasterize
    from veduta.render import render_scene as render

__all__ = [
    "Actor",
    "Cameras",
    "Capture",
    "Evaluation",
    "FitPlan",
    "Gaussians",
    "InputError",
    "PointCloud",
    "RasterOptions",
    "Render",
    "Scene",
    "Sky",
    "Track",
    "VedutaError",
    "ViewSource",
    "Views",
    "__version__",
    "camera_path",
    "evaluate",
    "fit",
    "information",
    "load",
    "open_capture",
    "rasterize",
    "render",
    "render_path",
    "save",
    "train",
]

_HOMES = {
    "veduta.core": (
        "Actor",
        "Cameras",
        "Capture",
        "Gaussians",
        "InputError",
        "PointCloud",
        "RasterOptions",
        "Render",
        "Scene",
        "Sky",
        "Track",
        "VedutaError",
        "ViewSource",
        "Views",
    ),
    "veduta.data": ("open_capture",),
    "veduta.fit": ("FitPlan", "train"),
    "veduta.recipes": ("Evaluation", "camera_path", "evaluate", "load", "render_path", "save"),
    "veduta.render": ("rasterize",),
}
_HOME_OF = {name: home for home, names in _HOMES.items() for name in names}
_VERBS = {"fit": "fit", "render": "render_scene"}
"""Packages that are called like functions, and which of their functions that is."""

_PACKAGES = ("information",)
"""Packages that are used by their own name: ``veduta.information.gather(...)``."""


class _CallablePackage(ModuleType):
    """A package that is a verb, too: ``veduta.fit(...)`` calls ``veduta.fit.fit(...)``."""

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Forward everything to the function, whose own signature refuses what it does not know."""
        return getattr(self, _VERBS[self.__name__.rpartition(".")[2]])(*args, **kwargs)


class _Package(ModuleType):
    """The package veduta, which makes its verbs callable at the moment that Python binds them to it."""

    def __setattr__(self, name: str, value: object) -> None:
        if name in _VERBS and isinstance(value, ModuleType):
            value.__class__ = _CallablePackage
        super().__setattr__(name, value)


sys.modules[__name__].__class__ = _Package


def __getattr__(name: str) -> Any:
    if name in _VERBS or name in _PACKAGES:
        return importlib.import_module(f"{__name__}.{name}")
    if name in _HOME_OF:
        value = getattr(importlib.import_module(_HOME_OF[name]), name)
        globals()[name] = value
        return value
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
