"""Images to Gaussians in one pass, and the densifier that makes coarse ones fine."""

from veduta.feedforward.coarse import Backbone, Coarse, Intake
from veduta.feedforward.compatibility import Compatibility
from veduta.feedforward.decode import COARSE_SCALE, FINE_SCALE, object_gaussians
from veduta.feedforward.densify import Densifier, DensifierPlan, Leaves
from veduta.feedforward.drawing import BLACK, WHITE, Drawing
from veduta.feedforward.learned_selection import LearnedSelector, selection_loss
from veduta.feedforward.models import BACKBONES, FeedForward, Finer, Prediction
from veduta.feedforward.objects import ObjectDensifier
from veduta.feedforward.scene import SceneDensifier
from veduta.feedforward.select import SELECTORS, AtRandom, ByGradient, Look, Selector, look, select, view_space_scores

__all__ = [
    "BACKBONES",
    "BLACK",
    "COARSE_SCALE",
    "FINE_SCALE",
    "SELECTORS",
    "WHITE",
    "AtRandom",
    "Backbone",
    "ByGradient",
    "Coarse",
    "Compatibility",
    "Densifier",
    "DensifierPlan",
    "Drawing",
    "FeedForward",
    "Finer",
    "Intake",
    "LearnedSelector",
    "Leaves",
    "Look",
    "ObjectDensifier",
    "Prediction",
    "SceneDensifier",
    "Selector",
    "look",
    "object_gaussians",
    "select",
    "selection_loss",
    "view_space_scores",
]
