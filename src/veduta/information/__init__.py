"""How much the photographs say about each Gaussian of a scene, and about each pixel of a picture taken of it."""

from veduta.information.gather import add, gather, no_evidence, reduce
from veduta.information.maps import Warp, information_gain, map
from veduta.information.noise import ASSUMED_NOISE, noise_of
from veduta.information.posterior import KINDS, Prior, measured_noise, posterior

__all__ = [
    "ASSUMED_NOISE",
    "KINDS",
    "Prior",
    "Warp",
    "add",
    "gather",
    "information_gain",
    "map",
    "measured_noise",
    "no_evidence",
    "noise_of",
    "posterior",
    "reduce",
]
