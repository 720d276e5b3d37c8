"""Whole methods that join data, fit, render and measure."""

from veduta.recipes.captures import CaptureOptions
from veduta.recipes.evaluate import Evaluation, ViewScore, evaluate
from veduta.recipes.export import export_scene
from veduta.recipes.fitting import fit_capture
from veduta.recipes.flights import Flight, render_path
from veduta.recipes.paths import PATHS, PathOptions, camera_path
from veduta.recipes.presets import PRESETS
from veduta.recipes.runs import Run, load, open_run, save

__all__ = [
    "PATHS",
    "PRESETS",
    "CaptureOptions",
    "Evaluation",
    "Flight",
    "PathOptions",
    "Run",
    "ViewScore",
    "camera_path",
    "evaluate",
    "export_scene",
    "fit_capture",
    "load",
    "open_run",
    "render_path",
    "save",
]
