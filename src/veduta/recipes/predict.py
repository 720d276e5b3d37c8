"""A capture to Gaussians in one pass of a feed-forward model."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import torch
from jaxtyping import Bool, Float
from torch import Tensor
from torch.nn.functional import pad

from veduta.core import Cameras, Capture, Example, Gaussians, InputError, Scene, Views, WeightsError
from veduta.data import border_mask, capture_object, capture_scene
from veduta.feedforward import Drawing, FeedForward
from veduta.feedforward.checkpoints import embedded
from veduta.feedforward.mvsplat import MIN_TRUST
from veduta.fit import Event, FitPlan, fit
from veduta.geometry import interpolate, order_cameras, transform_gaussians
from veduta.recipes.training import opened_model

MOST_ENLARGED = 4.0
"""A model's pictures have at most this many times the resolution of the photographs, along a side."""
LEAST_KEPT = 0.5
"""Share of a photograph of a scene that its square middle must be."""
GAP_PX = 4
"""Between pictures side by side."""
MEMORY_FILE = Path("/proc/meminfo")


@dataclass(frozen=True, eq=False)
class Predicted:
    """What became of a capture."""

    gaussians: Gaussians
    """In the capture's frame, to be looked at with any renderer."""
    names: tuple[str, ...]
    """Of the photographs that the model was shown."""
    outline: Literal["cut out", "masks", "guessed", "none"]
    """Where the object's outline comes from: ``cut out``, ``masks`` or ``guessed``; ``none`` of scenes."""
    coarse: int
    """Gaussians of the backbone."""
    densified: int
    """Those of them that became many."""
    size_px: int
    """Side of the pictures that the model was shown."""
    input_psnr: float
    """dB, of those pictures drawn again where they are not masked; not a measure of quality, which takes other
    photographs."""
    masked: float
    """Share of the pixels of a scene's pictures that are masked, of which no Gaussians were made."""
    seconds: float
    """Of the model alone."""
    picture: Float[Tensor, "h w 3"] | None
    """If asked for, in rows: what the model was shown, the same drawn again, and drawn from between."""


def open_model(name: str) -> FeedForward:
    """``object``: the model that comes with veduta; else a file of weights, or the folder of a training.

    Raises InputError and WeightsError.
    """
    if name == "object":
        return embedded()
    if name == "scene":
        raise WeightsError(
            "no scene model comes with veduta",
            field="model",
            expected="object, or a file of weights",
            got=repr(name),
            hint="import a published one with veduta weights import, and name its file with --model",
        )
    return opened_model(name)[0]


def predict(
    capture: Capture,
    model: FeedForward,
    *,
    views: int | None = None,
    guess_masks: bool = False,
    picture: bool = False,
) -> Predicted:
    """Choose photographs, give them to the model as it takes them, and move what it makes into the capture's frame.

    ``views`` photographs; None: as many as the model usually takes. ``guess_masks``: an object that has neither
    transparency nor masks is told from the background by the colour of the photographs' border. ``picture``: also draw
    :attr:`Predicted.picture`. Raises InputError for a capture that the model cannot be given, and where memory does not
    suffice.
    """
    intake = model.intake
    count = intake.usual_views if views is None else views
    side = intake.side_px
    check_memory(model, views=count, side_px=side)
    intake.check_count(count)
    if intake.masked:
        made = capture_object(capture, inputs=count, targets=0, size_px=side, mask=border_mask if guess_masks else None)
    else:
        check_shape(capture)
        made = capture_scene(capture, inputs=count, targets=0, size_px=side)
    example = made.example
    check_enlargement(capture, example, side_px=side)
    shown = composited(example, model.drawing.background)
    seen = trusted(shown, capture)
    began = time.perf_counter()
    with torch.no_grad():
        told = model(shown, near=example.near, far=example.far)
    seconds = time.perf_counter() - began
    with torch.no_grad():
        drawn = model.drawing.draw(told.fine, shown.cameras).color.clamp(0, 1)
    errors = (drawn - shown.rgb).square()
    error = float((errors if bool(seen.all()) else errors[seen]).mean().clamp_min(1e-10))
    return Predicted(
        gaussians=transform_gaussians(model.drawing.viewable(told.fine), made.capture_from_example),
        names=shown.names,
        outline=made.outline,
        coarse=len(told.coarse),
        densified=len(told.chosen),
        size_px=side,
        input_psnr=float(-10 * torch.tensor(error).log10()),
        masked=float((~seen).double().mean()),
        seconds=seconds,
        picture=_rows([shown.rgb, drawn, _between(told.fine, shown.cameras, model.drawing)]) if picture else None,
    )


@torch.no_grad()
def _between(gaussians: Gaussians, cameras: Cameras, drawing: Drawing) -> Float[Tensor, "_ h w 3"]:
    """Drawn from one camera less, each about halfway between two neighbours."""
    halfway = interpolate(order_cameras(cameras), 2 * len(cameras) - 1)[1::2]
    return drawing.draw(gaussians, halfway).color.clamp(0, 1)


def _rows(rows: list[Float[Tensor, "_ h w 3"]]) -> Float[Tensor, "_ _ 3"]:
    """Pictures side by side, white between them and where a row is shorter."""
    most = max(len(row) for row in rows)
    filled = [torch.cat([row, row.new_ones(most - len(row), *row.shape[1:])]) for row in rows]
    apart = [pad(row, (0, 0, 0, GAP_PX, 0, GAP_PX), value=1.0) for row in filled]
    return torch.cat([torch.cat([*row], dim=1) for row in apart])[:-GAP_PX, :-GAP_PX]


def refine(
    capture: Capture,
    gaussians: Gaussians,
    *,
    steps: int,
    plan: FitPlan | None = None,
    backend: str = "auto",
    threads: int | None = None,
    on_event: Callable[[Event], None] | None = None,
) -> Gaussians:
    """Fit the prediction to all training photographs of the capture for so many steps; see :func:`veduta.fit.fit`."""
    check_steps(steps)
    chosen = replace(FitPlan() if plan is None else plan, steps=steps)
    start = Scene(background=gaussians, actors={})
    return fit(capture, chosen, initial=start, backend=backend, threads=threads, on_event=on_event).at(0.0)


def check_steps(steps: int) -> None:
    """InputError for a number of steps that :func:`refine` does not take."""
    if steps < 1:
        raise InputError("too few steps", field="refine", expected="at least 1", got=steps)


def composited(example: Example, background: tuple[float, float, float]) -> Views:
    """The inputs as a model is shown them: over its background where they are cut out."""
    inputs, alpha = example.inputs, example.input_alpha
    if alpha is None:
        return inputs
    rgb = inputs.rgb * alpha[..., None] + inputs.rgb.new_tensor(background) * (1 - alpha[..., None])
    return inputs.replace(rgb=rgb, alpha=alpha, weight=torch.ones_like(alpha))


def trusted(shown: Views, capture: Capture) -> Bool[Tensor, "v h w"]:
    """The pixels that are not masked. InputError for a photograph without any."""
    seen = shown.weight >= MIN_TRUST
    for name, own in zip(shown.names, seen, strict=True):
        if not bool(own.any()):
            raise InputError(
                "a photograph of which nothing is to be seen",
                where=f"{capture.source}, {name}",
                expected="masks that leave something of its middle square",
                got="a mask over all of it",
                hint="leave the photograph or its mask out, or name other masks with --masks",
            )
    return seen


def check_memory(model: FeedForward, *, views: int, side_px: int) -> None:
    """InputError where less memory is free than the model will need at most."""
    needed, free = model.needed_bytes(views=views, pixels=side_px**2), available_bytes()
    if free is not None and needed > free:
        raise InputError(
            "not enough memory for the model",
            field="views",
            expected=f"about {needed / 1e9:.1f} GB free for {views} views of {side_px} x {side_px} pixels",
            got=f"{free / 1e9:.1f} GB",
            hint="close other programs, or use fewer views or a smaller model",
        )


def available_bytes() -> int | None:
    """Memory that programs can still take; None where the system does not tell."""
    try:
        lines = MEMORY_FILE.read_text(encoding="ascii").splitlines()
    except OSError:
        return None
    told = [line.split()[1] for line in lines if line.startswith("MemAvailable:")]
    return int(told[0]) * 1024 if told else None


def check_shape(capture: Capture) -> None:
    """InputError for photographs whose middle square is too small a part of them."""
    for name, cameras in capture.cameras.items():
        kept = min(cameras.width, cameras.height) / max(cameras.width, cameras.height)
        if kept < LEAST_KEPT:
            raise InputError(
                "the photographs' shape is too far from the model's square",
                where=capture.source,
                field=f"cameras {name!r}",
                expected=f"sides of at most {1 / LEAST_KEPT:.0f} : 1",
                got=f"{cameras.width} x {cameras.height} pixels, of which {kept:.0%} would be kept",
                hint="crop the photographs before their poses are estimated",
            )


def check_enlargement(capture: Capture, example: Example, *, side_px: int) -> None:
    """InputError where the pictures made for the model have far more pixels than the photographs."""
    finest = max(float(cameras.intrinsics[:, 0, 0].max()) for cameras in capture.cameras.values())
    enlarged = float(example.inputs.cameras.intrinsics[:, 0, 0].max()) / finest
    if enlarged > MOST_ENLARGED:
        raise InputError(
            "the photographs are too small for the model",
            where=capture.source,
            expected=f"about {side_px / MOST_ENLARGED:.0f} pixels or more across what is to be seen",
            got=f"{side_px / enlarged:.0f}",
            hint="use larger photographs (--max-size reduces them), or a model for smaller ones",
        )
