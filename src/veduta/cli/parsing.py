"""The command line's grammar: verbs by name, and presets that change the defaults of ``fit``."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, cast

import tyro
from tyro.conf import CascadeSubcommandArgs, FlagCreatePairsOff, subcommand

from veduta.cli.demo import Demo
from veduta.cli.doctor import Doctor
from veduta.cli.eval import Eval
from veduta.cli.export import Export
from veduta.cli.fit import Fit
from veduta.cli.render import Render
from veduta.cli.report import Report
from veduta.cli.sfm import Sfm
from veduta.cli.verb import Verb
from veduta.cli.view import View
from veduta.recipes.presets import PRESETS, Preset

ABOUT = """From photographs to a 3D Gaussian scene, fast, on any computer.

    veduta fit PHOTOS -o RUN        poses if there are none, then the fit, its scores and a report
    veduta render RUN --path orbit  pictures and a video
    veduta export RUN scene.ply     a file that other programs open
    veduta VERB --help              everything that a verb can do, with examples
"""
STYLE = (CascadeSubcommandArgs, FlagCreatePairsOff)
"""Options may stand before or after a choice such as ``plan.densify:mcmc``; a flag has one spelling."""

Command = (
    Annotated[Sfm, subcommand("sfm")]
    | Annotated[Fit, subcommand("fit")]
    | Annotated[Render, subcommand("render")]
    | Annotated[Eval, subcommand("eval")]
    | Annotated[Export, subcommand("export")]
    | Annotated[View, subcommand("view")]
    | Annotated[Report, subcommand("report")]
    | Annotated[Demo, subcommand("demo")]
    | Annotated[Doctor, subcommand("doctor")]
)


def parse(args: Sequence[str]) -> Verb:
    """The verb with its settings; SystemExit, with 0 after help and 2 after a mistake, once the user has been told."""
    if args and args[0] == "fit":
        plan = PRESETS[preset_in(args)]
        default = Fit(capture=tyro.MISSING, output=tyro.MISSING, plan=plan)
        return tyro.cli(Fit, prog="veduta fit", args=args[1:], default=default, config=STYLE)
    shown = args or ["--help"]
    return cast(Verb, tyro.cli(Command, prog="veduta", description=ABOUT, args=shown, config=STYLE))  # pyright: ignore


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
