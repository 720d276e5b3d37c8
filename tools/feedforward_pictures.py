"""mkdocs hook: the picture of docs/feedforward.md, from procedural objects; kept in build/docs until code changes.

``python tools/feedforward_pictures.py FOLDER`` makes it without mkdocs.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from information_pictures import CACHE, GAP, added, made_once, row
from jaxtyping import Float
from torch import Tensor

from veduta.core import Example
from veduta.data import SyntheticObjects
from veduta.feedforward import FeedForward
from veduta.feedforward.checkpoints import embedded
from veduta.io.images import write_png
from veduta.recipes.colors import INFORMATION_RAMP, colorize
from veduta.recipes.training.evaluation import predicted
from veduta.recipes.training.models import shown_size_px
from veduta.render import rasterize

PLACE = "images/feedforward"
"""Where pages find the picture."""
NAMES = ("objects.png",)


@dataclass(frozen=True)
class Effort:
    """What is drawn."""

    objects: tuple[int, ...] = (2, 3, 7, 9)
    """Of a supply that no training uses."""
    seed: int = 1_000


def on_files(files: Any, *, config: Any) -> Any:
    """Mkdocs calls this with the site's files; the picture is added to them."""
    return added(files, cached(CACHE), place=PLACE, config=config)


def cached(cache: Path, effort: Effort | None = None) -> list[Path]:
    """The picture, made unless it is there for the code as it is."""
    return made_once(cache, Effort() if effort is None else effort, NAMES, make)


def make(folder: Path, effort: Effort) -> None:
    """Draw :data:`NAMES` into ``folder``, on one thread."""
    torch.set_num_threads(1)
    model = embedded()
    supply = SyntheticObjects(max(effort.objects) + 1, size_px=shown_size_px(model), seed=effort.seed, samples=4)
    rows = [shown(model, supply.evaluation(index)) for index in effort.objects]
    gap = torch.zeros(GAP, *rows[0].shape[1:])
    write_png(folder / NAMES[0], torch.cat([part for each in rows for part in (gap, each)][1:]))


@torch.no_grad()
def shown(model: FeedForward, example: Example) -> Float[Tensor, "h w 3"]:
    """One of the photographs; from elsewhere what is there, coarse, densified, and where the network was at work."""
    found, _ = predicted(model, example, generator=torch.Generator().manual_seed(0))
    camera, white = example.targets.cameras[0], torch.ones(3)
    chosen = torch.zeros(len(found.coarse), 1)
    chosen[found.chosen] = 1.0
    coarse = rasterize(found.coarse, camera, features=chosen, background=white)
    fine = rasterize(found.fine, camera, background=white)
    assert coarse.features is not None
    pictures = [
        ("one of four photographs", over_white(example.inputs.rgb[0], example.input_alpha, 0)),
        ("from elsewhere", over_white(example.targets.rgb[0], example.target_alpha, 0)),
        (f"coarse, {len(found.coarse):,}", coarse.color[0].clamp(0, 1)),
        (f"densified, {len(found.fine):,}", fine.color[0].clamp(0, 1)),
        ("where", colorize(coarse.features[0, ..., 0], INFORMATION_RAMP)),
    ]
    return row(pictures)


def over_white(rgb: Float[Tensor, "h w 3"], alpha: Float[Tensor, "v h w"] | None, view: int) -> Float[Tensor, "h w 3"]:
    """Straight colour over white."""
    return rgb if alpha is None else rgb * alpha[view, ..., None] + 1 - alpha[view, ..., None]


if __name__ == "__main__":
    make(Path(sys.argv[1]), Effort())
