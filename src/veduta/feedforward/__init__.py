"""Images to Gaussians in one pass, and the densifier that makes coarse ones fine."""

from veduta.feedforward.decode import COARSE_SCALE, FINE_SCALE, object_gaussians
from veduta.feedforward.densify import Densifier, DensifierPlan, Leaves

__all__ = ["COARSE_SCALE", "FINE_SCALE", "Densifier", "DensifierPlan", "Leaves", "object_gaussians"]
