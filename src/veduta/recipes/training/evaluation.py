"""How well a feed-forward model predicts views that it was not shown, by the protocols of published tables."""

from __future__ import annotations

import math
import resource
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, fields
from typing import Any, Literal, TypeAlias

import torch
from jaxtyping import Float
from torch import Tensor

from veduta.core import Example, Examples, Gaussians, InputError
from veduta.feedforward import FeedForward, Prediction
from veduta.measure import psnr, ssim
from veduta.recipes.evaluate import PSNR_CAP_DB
from veduta.recipes.training.step import Judged, drawn, shown_views, strip, to_judge

Protocol: TypeAlias = Literal["object", "scene"]
"""``object``: all views side by side are one picture; ``scene``: every view is one, and a scene takes their mean."""
SCORES_SCHEMA = 1
WHAT = {
    "object": "An object's views that were not shown, over white, side by side as one picture",
    "scene": "A scene's views that were not shown, each by itself, averaged over the scene",
}
MEASURES = (
    "PSNR: 10 log10(1 / mean squared error) over RGB values, 0 to 1. SSIM: Gaussian window 11x11, sigma 1.5, K1 0.01, "
    "K2 0.03, valid windows only, mean over RGB. Renders are clamped to 0..1. Means over examples; +- is the standard "
    "error of the mean. Seconds: one prediction, photographs in memory to Gaussians in memory."
)
ORACLE = {
    "object": "ORACLE: PSNR is the better of coarse and densified, which one being decided by the truth; SSIM is of "
    "the densified.",
    "scene": "ORACLE: each view is the better (PSNR) of coarse and densified, which one being decided by the truth.",
}


@dataclass(frozen=True, kw_only=True)
class ExampleScore:
    """One object or scene."""

    name: str
    coarse_psnr: float
    """dB."""
    coarse_ssim: float
    psnr: float
    """Of the densified Gaussians, dB."""
    ssim: float
    coarse_gaussians: float
    gaussians: float
    seconds: float
    """Of the prediction."""


NUMBERS = tuple(field.name for field in fields(ExampleScore) if field.name != "name")


@dataclass(frozen=True, kw_only=True)
class Scores:
    """A model on a set of examples."""

    examples: tuple[ExampleScore, ...]
    protocol: str
    """How these numbers came about, in full sentences."""
    oracle: bool
    memory_bytes: int
    """The most that was in use: on the GPU, or of the whole process on a CPU."""

    def mean(self, name: str) -> float:
        """Of one of :data:`NUMBERS`."""
        return statistics.fmean(getattr(one, name) for one in self.examples)

    def error(self, name: str) -> float:
        """Standard error of that mean; NaN for a single example."""
        values = [getattr(one, name) for one in self.examples]
        return statistics.stdev(values) / math.sqrt(len(values)) if len(values) > 1 else math.nan

    def as_dict(self) -> dict[str, Any]:
        """Plain JSON values."""
        return {
            "schema_version": SCORES_SCHEMA,
            "oracle": self.oracle,
            "protocol": self.protocol,
            "mean": {name: self.mean(name) for name in NUMBERS},
            "standard_error": {name: self.error(name) for name in NUMBERS},
            "memory_bytes": self.memory_bytes,
            "examples": [asdict(one) for one in self.examples],
        }


def evaluate_feedforward(
    model: FeedForward,
    examples: Examples,
    *,
    protocol: Protocol = "object",
    indices: Sequence[int] | None = None,
    oracle: bool = False,
    backend: str = "auto",
    seed: int = 0,
    on_example: Callable[[int, int], None] | None = None,
) -> Scores:
    """Predict every example (or those of ``indices``) from its evaluation views and compare on its target views.

    Numbers are those of the densified Gaussians; ``oracle`` gives the better of coarse and densified by the truth
    instead, as some published tables do. ``seed`` is of what is random in a model, a random selector for instance.
    ``on_example`` is told how many are done, and of how many. InputError for no examples.
    """
    chosen = range(len(examples)) if indices is None else indices
    if len(chosen) == 0:
        raise InputError("there is nothing to evaluate on", expected="at least one object or scene", got="none")
    device = next(model.parameters()).device
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
    was_training = model.training
    model.eval()
    scores: list[ExampleScore] = []
    for done, index in enumerate(chosen):
        example = examples.evaluation(index).to(device)
        generator = torch.Generator().manual_seed(seed * 1_000_003 + index)
        scores.append(_score(model, example, protocol, oracle=oracle, backend=backend, generator=generator))
        if on_example is not None:
            on_example(done + 1, len(chosen))
    model.train(was_training)
    told = [f"{WHAT[protocol]}.", MEASURES, *([ORACLE[protocol]] if oracle else [])]
    return Scores(examples=tuple(scores), protocol=" ".join(told), oracle=oracle, memory_bytes=_peak_bytes(device))


def _score(
    model: FeedForward,
    example: Example,
    protocol: Protocol,
    *,
    oracle: bool,
    backend: str,
    generator: torch.Generator,
) -> ExampleScore:
    made, seconds = predicted(model, example, generator=generator)
    judged = to_judge(example, model.drawing, behind=None)
    truth = judged.pictures[judged.shown :]
    pictures = [unseen(one, judged, model, backend=backend) for one in (made.coarse, made.fine)]
    coarse, fine = (_peaks(one, truth, protocol) for one in pictures)
    coarse_likeness, likeness = (_likenesses(one, truth, protocol) for one in pictures)
    if oracle and protocol == "scene":
        likeness = torch.where(fine >= coarse, likeness, coarse_likeness)
    if oracle:
        fine = torch.maximum(coarse, fine)
    return ExampleScore(
        name=example.name,
        coarse_psnr=float(coarse.mean()),
        coarse_ssim=float(coarse_likeness.mean()),
        psnr=float(fine.mean()),
        ssim=float(likeness.mean()),
        coarse_gaussians=float(len(made.coarse)),
        gaussians=float(len(made.fine)),
        seconds=seconds,
    )


@torch.no_grad()
def predicted(model: FeedForward, example: Example, *, generator: torch.Generator) -> tuple[Prediction, float]:
    """What the model makes of an example, and how long that took (s)."""
    views = shown_views(example, model.drawing)
    on_gpu = views.rgb.is_cuda
    if on_gpu:
        torch.cuda.synchronize()
    began = time.perf_counter()
    made = model(views, near=example.near, far=example.far, generator=generator)
    if on_gpu:
        torch.cuda.synchronize()
    return made, time.perf_counter() - began


@torch.no_grad()
def unseen(
    gaussians: Gaussians, judged: Judged, model: FeedForward, *, backend: str = "auto"
) -> Float[Tensor, "v h w 3"]:
    """The Gaussians in the views that were not shown, 0 to 1."""
    rest = Judged(
        cameras=judged.cameras[slice(judged.shown, None)],
        pictures=judged.pictures[judged.shown :],
        behind=judged.behind[judged.shown :],
        shown=0,
    )
    return drawn(gaussians, rest, model.drawing, backend=backend).clamp(0, 1)


def _peaks(pictures: Tensor, truth: Tensor, protocol: Protocol) -> Float[Tensor, " p"]:
    if protocol == "object":
        return psnr(strip(pictures), strip(truth))[None].clamp(max=PSNR_CAP_DB)
    return psnr(pictures, truth).clamp(max=PSNR_CAP_DB)


def _likenesses(pictures: Tensor, truth: Tensor, protocol: Protocol) -> Float[Tensor, " p"]:
    return ssim(strip(pictures), strip(truth))[None] if protocol == "object" else ssim(pictures, truth)


def _peak_bytes(device: torch.device) -> int:
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
