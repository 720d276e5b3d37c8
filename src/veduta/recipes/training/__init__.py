"""Training and evaluation of feed-forward models."""

from veduta.recipes.training.events import (
    TrainingEvent,
    TrainingSaved,
    TrainingScored,
    TrainingStarted,
    TrainingStepped,
)
from veduta.recipes.training.loop import train_feedforward
from veduta.recipes.training.models import MODELS, fresh_model
from veduta.recipes.training.plan import TrainPlan
from veduta.recipes.training.pool import Pool
from veduta.recipes.training.processes import Processes

__all__ = [
    "MODELS",
    "Pool",
    "Processes",
    "TrainPlan",
    "TrainingEvent",
    "TrainingSaved",
    "TrainingScored",
    "TrainingStarted",
    "TrainingStepped",
    "fresh_model",
    "train_feedforward",
]
