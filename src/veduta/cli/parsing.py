"""The command line's grammar: verbs by name, and presets that change the defaults of ``fit``."""

from __future__ import annotations

import functools
import inspect
import operator
from collections.abc import Mapping, Sequence
from typing import Annotated, Any

import tyro
from tyro.conf import CascadeSubcommandArgs, subcommand

from veduta.cli.calibrate import Calibrate
from veduta.cli.demo import Demo
from veduta.cli.doctor import Doctor
from veduta.cli.eval import Eval
from veduta.cli.eval_feedforward import EvalFeedforward
from veduta.cli.export import Export
from veduta.cli.fit import Fit
from veduta.cli.gain import Gain
from veduta.cli.next_view import NextView
from veduta.cli.predict import Predict
from veduta.cli.render import Render
from veduta.cli.report import Report
from veduta.cli.sfm import Sfm
from veduta.cli.train import Train
from veduta.cli.trust import Trust
from veduta.cli.verb import Verb
from veduta.cli.view import View
from veduta.cli.weights import WeightsVerb
from veduta.fit import FitPlan
from veduta.recipes.presets import PRESETS, Preset

ABOUT = """From photographs to a 3D Gaussian scene, fast, on any computer.

    veduta fit PHOTOS -o RUN         poses if there are none, the fit, its scores and a report
    veduta render RUN --path orbit   pictures and a video
    veduta export RUN scene.ply      a file that other programs open
    veduta gain RUN --path lateral   how much the photographs say, pixel by pixel
    veduta VERB --help               everything that a verb can do, with examples
"""

VERBS: Mapping[str, type[Verb]] = {
    "sfm": Sfm,
    "fit": Fit,
    "predict": Predict,
    "render": Render,
    "eval": Eval,
    "export": Export,
    "view": View,
    "report": Report,
    "gain": Gain,
    "calibrate": Calibrate,
    "next-view": NextView,
    "trust": Trust,
    "weights": WeightsVerb,
    "train": Train,
    "eval-feedforward": EvalFeedforward,
    "demo": Demo,
    "doctor": Doctor,
}
"""A new verb is a file of its own and a line here."""


def parse(args: Sequence[str]) -> Verb:
    """The verb with its settings; SystemExit, with 0 after help and 2 after a mistake, once the user has been told."""
    shown = args or ["--help"]
    # Cascading: options may stand before or after a choice such as plan.densify:mcmc.
    return tyro.cli(
        _grammar(shown[0], PRESETS[preset_in(args)]),
        prog="veduta",
        description=ABOUT,
        args=shown,
        config=(CascadeSubcommandArgs,),
    )


def preset_in(args: Sequence[str]) -> Preset:
    """The preset that the arguments name; the default one without, or for a name that the parser will refuse."""
    for i, arg in enumerate(args):
        name = arg.removeprefix("--preset=") if arg.startswith("--preset=") else None
        if arg == "--preset" and i + 1 < len(args):
            name = args[i + 1]
        for preset in PRESETS:
            if name == preset:
                return preset
    return "default"


def _grammar(chosen: str, plan: FitPlan) -> Any:
    """All verbs as alternatives: the chosen one with its whole docstring, the others with its first line."""
    choices = []
    for name, kind in VERBS.items():
        line = None if name == chosen else (inspect.getdoc(kind) or "").partition("\n")[0]
        default = Fit(capture=tyro.MISSING, output=tyro.MISSING, plan=plan) if kind is Fit else tyro.MISSING_NONPROP
        choices.append(Annotated[kind, subcommand(name, description=line, default=default)])
    return functools.reduce(operator.or_, choices)
