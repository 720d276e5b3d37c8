"""Training and evaluation of feed-forward models."""

from veduta.recipes.training.evaluation import ExampleScore, Scores, evaluate_feedforward
from veduta.recipes.training.events import (
    TrainingEvent,
    TrainingSaved,
    TrainingScored,
    TrainingStarted,
    TrainingStepped,
)
from veduta.recipes.training.loop import train_feedforward
from veduta.recipes.training.models import NAMES, fresh_model, model_of_run, opened_model
from veduta.recipes.training.plan import TrainPlan
from veduta.recipes.training.pool import Pool
from veduta.recipes.training.processes import Processes

__all__ = [
    "NAMES",
    "ExampleScore",
    "Pool",
    "Processes",
    "Scores",
    "TrainPlan",
    "TrainingEvent",
    "TrainingSaved",
    "TrainingScored",
    "TrainingStarted",
    "TrainingStepped",
    "evaluate_feedforward",
    "fresh_model",
    "model_of_run",
    "opened_model",
    "train_feedforward",
]
