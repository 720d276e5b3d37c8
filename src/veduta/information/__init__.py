"""How much the photographs say about each Gaussian of a scene, and about each pixel of a picture taken of it."""

from veduta.information.calibration import Calibration, Coverage, calibrate, calibration_from, measure_coverage
from veduta.information.candidates import candidate_cameras
from veduta.information.errors import ErrorModel, error_map, fit_errors
from veduta.information.gather import add, gather, no_evidence, reduce
from veduta.information.maps import Warp, information_gain, map
from veduta.information.next_view import Ranking, next_view
from veduta.information.noise import ASSUMED_NOISE, noise_of
from veduta.information.posterior import KINDS, Prior, measured_noise, posterior
from veduta.information.trust import PruneRow, confidence, prune, prune_report, removal_cost
from veduta.information.warp import WarpConsistency

__all__ = [
    "ASSUMED_NOISE",
    "KINDS",
    "Calibration",
    "Coverage",
    "ErrorModel",
    "Prior",
    "PruneRow",
    "Ranking",
    "Warp",
    "WarpConsistency",
    "add",
    "calibrate",
    "calibration_from",
    "candidate_cameras",
    "confidence",
    "error_map",
    "fit_errors",
    "gather",
    "information_gain",
    "map",
    "measure_coverage",
    "measured_noise",
    "next_view",
    "no_evidence",
    "noise_of",
    "posterior",
    "prune",
    "prune_report",
    "reduce",
    "removal_cost",
]
