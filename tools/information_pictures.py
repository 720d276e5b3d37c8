"""mkdocs hook: the pictures of docs/information.md, from synthetic scenes; kept in build/docs until code changes.

``python tools/information_pictures.py FOLDER`` makes them without mkdocs.
"""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch
from jaxtyping import Float
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

import veduta
from veduta import information
from veduta.core import Cameras, InformationMap, Posterior, Scene
from veduta.data.synthetic import PRESETS, Preset, SyntheticScene, synthetic_capture
from veduta.geometry.trajectories import lateral_shift
from veduta.io.images import write_png
from veduta.recipes.colors import INFORMATION_RAMP, colorize, information_overlay
from veduta.recipes.information_maps import unknown_gain
from veduta.recipes.information_pictures import with_bar

Spent = TypeVar("Spent")
"""What says how much is drawn."""
ROOT = Path(__file__).resolve().parents[1]
CACHE = ROOT / "build" / "docs"
PLACE = "images/information"
"""Where pages find the pictures."""
NAMES = ("inside.png", "outside.png", "lateral.png")
GAP, CAPTION = 6, 16
"""Pixels between pictures of a row and above them."""
RIGHT_M = {"where the car drove": 0.0, "half a lane to the right": 1.75, "a lane to the right": 3.5}
"""Steps to the right of the street's camera."""


@dataclass(frozen=True)
class Effort:
    """How much is spent on the pictures."""

    steps: int = 800
    views: int = 16
    width: int = 176
    height: int = 132
    max_gaussians: int = 6000


def on_files(files: Any, *, config: Any) -> Any:
    """Mkdocs calls this with the site's files; the pictures are added to them."""
    return added(files, cached(CACHE), place=PLACE, config=config)


def cached(cache: Path, effort: Effort | None = None) -> list[Path]:
    """The pictures, made unless they are there for the code as it is."""
    return made_once(cache, Effort() if effort is None else effort, NAMES, make)


def added(files: Any, paths: Sequence[Path], *, place: str, config: Any) -> Any:
    """The site's files with pictures in a folder of it."""
    from mkdocs.structure.files import File  # pyright: ignore[reportMissingImports]

    for path in paths:
        files.append(File.generated(config, f"{place}/{path.name}", abs_src_path=str(path)))
    return files


def made_once(cache: Path, effort: Spent, names: Sequence[str], draw: Callable[[Path, Spent], None]) -> list[Path]:
    """Pictures in the cache, by ``draw`` unless all are there for the code as it is."""
    folder = cache / state(effort)
    paths = [folder / name for name in names]
    if not all(path.is_file() for path in paths):
        draw(folder, effort)
    return paths


def state(effort: object) -> str:
    """A hash of everything that the pictures depend on."""
    digest = hashlib.sha256(repr(effort).encode())
    kinds = "*.py", "csrc/*", "*.safetensors"
    tools = sorted(Path(__file__).parent.glob("*_pictures.py"))
    sources = [*tools, *(path for kind in kinds for path in sorted((ROOT / "src").rglob(kind)))]
    for path in sources:
        digest.update(path.name.encode() + path.read_bytes())
    return digest.hexdigest()[:16]


def make(folder: Path, effort: Effort) -> None:
    """Draw all of :data:`NAMES` into ``folder``, on one thread."""
    torch.set_num_threads(1)
    told = learned("room", effort)
    inside, outside = told.test, step_aside(told.test, right_m=1.5)
    write_png(folder / "inside.png", told.row(inside))
    write_png(folder / "outside.png", told.row(outside))
    street = learned("street", effort)
    moved = [(name, street.map(step_aside(street.test, right_m=right))) for name, right in RIGHT_M.items()]
    covered = [(name, information_overlay(m.color[0].clamp(0, 1), m.gain[0], street.top)) for name, m in moved]
    write_png(folder / "lateral.png", with_bar(row(covered), top=street.top, title="gain, nats", end="nothing known"))


@dataclass(frozen=True)
class Learned:
    """A scene, what is known about it, and the truth."""

    truth: SyntheticScene
    scene: Scene
    posterior: Posterior
    test: Cameras
    """A camera that was held out."""

    @property
    def top(self) -> float:
        """The gain where nothing is known, nats."""
        return unknown_gain(self.posterior.noise)

    def map(self, camera: Cameras) -> InformationMap:
        """What is known of one camera's picture."""
        return information.map(self.scene, self.posterior, camera)

    def row(self, camera: Cameras) -> Float[Tensor, "h w 3"]:
        """What is there, what is drawn, what is known of it, and how wrong it is."""
        found, tau = self.map(camera), self.posterior.noise.tau
        drawn, there = found.color[0].clamp(0, 1), self.truth.render(camera).rgb[0]
        pictures = [
            ("what is there", there),
            ("drawn", drawn),
            ("gain over it", information_overlay(drawn, found.gain[0], self.top)),
            ("predicted std of the colour", colorize(found.variance[0].sqrt() / tau, INFORMATION_RAMP)),
            ("its error", colorize((drawn - there).abs().mean(dim=-1) / tau, INFORMATION_RAMP)),
        ]
        title = f"gain, nats; std and error to {tau:.2f}"
        return with_bar(row(pictures), top=self.top, title=title, end="nothing known")


def learned(preset: Preset, effort: Effort) -> Learned:
    """A short fit, and the evidence of its photographs."""
    capture = synthetic_capture(preset, views=effort.views, width=effort.width, height=effort.height, seed=0)
    scene = veduta.fit(capture, veduta.FitPlan(steps=effort.steps, max_gaussians=effort.max_gaussians), threads=1)
    posterior = information.posterior(scene, information.gather(scene, capture.train))
    middle = capture.test[len(capture.test) // 2].cameras
    return Learned(PRESETS[preset](0), scene, posterior, middle)


def step_aside(camera: Cameras, *, right_m: float) -> Cameras:
    """The camera, moved."""
    return lateral_shift(camera, right_m=right_m)


def row(pictures: Sequence[tuple[str, Float[Tensor, "h w 3"]]]) -> Float[Tensor, "h2 w2 3"]:
    """Pictures of one size beside one another, with their captions above."""
    height, width = pictures[0][1].shape[:2]
    page = Image.new("RGB", (len(pictures) * (width + GAP) - GAP, height + CAPTION), (13, 15, 24))
    pen, font = ImageDraw.Draw(page), ImageFont.load_default(size=CAPTION - 5)
    for place, (caption, picture) in enumerate(pictures):
        left = place * (width + GAP)
        pen.text((left + 2, 1), caption, font=font, fill=(235, 235, 240))
        page.paste(Image.fromarray((picture.clamp(0, 1) * 255 + 0.5).to(torch.uint8).numpy()), (left, CAPTION))
    return torch.from_numpy(np.asarray(page, dtype=np.float32) / np.float32(255))


if __name__ == "__main__":
    make(Path(sys.argv[1]), Effort())
