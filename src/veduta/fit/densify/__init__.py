"""Strategies that add, move and remove Gaussians; a new one is a file here and a line in ``DENSIFIERS``."""

from collections.abc import Callable, Mapping

from veduta.fit.densify.adaptive import Adaptive
from veduta.fit.densify.base import Densifier, Moment, State, started
from veduta.fit.densify.fixed import Fixed
from veduta.fit.densify.mcmc import Mcmc

DENSIFIERS: Mapping[str, Callable[[], Densifier]] = {"adaptive": Adaptive, "mcmc": Mcmc, "fixed": Fixed}

__all__ = ["DENSIFIERS", "Adaptive", "Densifier", "Fixed", "Mcmc", "Moment", "State", "started"]
