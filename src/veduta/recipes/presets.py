"""Named plans for a fit."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Literal

from veduta.fit.plan import FitPlan

Preset = Literal["fast", "default", "quality"]

DEFAULT = FitPlan()
FAST = replace(DEFAULT, steps=2000)
"""A first look: under two minutes for small photographs on two cores."""
QUALITY = replace(DEFAULT, steps=20_000, max_gaussians=150_000)
"""Several times the time of the default, for its last decibel."""

PRESETS: Mapping[Preset, FitPlan] = {"fast": FAST, "default": DEFAULT, "quality": QUALITY}
"""A new preset is a line here and its name above; any field is then varied with ``dataclasses.replace``."""
