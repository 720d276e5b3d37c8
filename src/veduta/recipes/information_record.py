"""What RUN/information.json keeps of maps and their errors, for the report."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from veduta import information
from veduta.core import InformationMap, Noise, Posterior, Views
from veduta.information import Calibration, ErrorModel, Warp
from veduta.io.images import write_png
from veduta.io.information import (
    GainMaps,
    GainView,
    InformationRecord,
    Reliability,
    SignalCurve,
    Sparsification,
    read_information,
    write_information,
)
from veduta.io.tensors import save_tensors
from veduta.measure import ause, oracle_curve, removed_fractions, sparsification_curve, spearman
from veduta.recipes.captures import names_of
from veduta.recipes.evaluate import as_seen, file_stems
from veduta.recipes.information import FOLDER, Subject
from veduta.recipes.information_maps import unknown_gain

MAX_PICTURES = 12
"""Held-out views that are kept for the report, evenly chosen, so that a run stays small."""
POOLED_PIXELS = 200_000
"""Of each view, evenly chosen, for the order of all pixels together."""
PICTURES = "checked"
"""In the run's folder of information: the report's maps and pictures."""
ERROR = "mean |e| over RGB"
SIGNALS: tuple[tuple[str, Callable[[InformationMap], Tensor]], ...] = (
    ("gain", lambda found: found.gain[0]),
    ("predicted std", lambda found: found.variance[0].sqrt()),
    ("edges of the render", lambda found: edges(found.color[0])),
)
"""What pixels are sorted by: ours first, and what needs no information at all to compare with."""


@dataclass
class ErrorOrder:
    """How well maps of held-out views sort the pixels by their errors; views are added one after the other."""

    views: int = 0
    oracle: list[Tensor] = field(default_factory=list)
    curves: dict[str, list[Tensor]] = field(default_factory=dict)
    areas: dict[str, list[float]] = field(default_factory=dict)
    ranks: dict[str, list[float]] = field(default_factory=dict)
    errors: list[Tensor] = field(default_factory=list)
    values: dict[str, list[Tensor]] = field(default_factory=dict)

    def add_(
        self, found: InformationMap, seen: Views, further: Mapping[str, Float[Tensor, "h w"]] | None = None
    ) -> None:
        """One view of which the map and the photograph are known; pixels without trust are left out.

        ``further`` are more signals to sort by, the same in every view.
        """
        error = (as_seen(found.color[0]) - seen.rgb[0].to(found.color)).abs().mean(dim=-1)
        trusted = (seen.weight[0] > 0).flatten().to(error.device)
        error = error.flatten()[trusted]
        if error.numel() == 0:
            return
        every = math.ceil(len(error) / POOLED_PIXELS)
        self.views += 1
        self.oracle.append(oracle_curve(error))
        self.errors.append(error[::every])
        signals = {name: signal(found) for name, signal in SIGNALS} | dict(further or {})
        for name, signal in signals.items():
            value = signal.flatten()[trusted]
            self.curves.setdefault(name, []).append(sparsification_curve(error, value))
            self.areas.setdefault(name, []).append(float(ause(error, value)))
            self.ranks.setdefault(name, []).append(float(spearman(error, value)))
            self.values.setdefault(name, []).append(value[::every])

    def result(self) -> Sparsification | None:
        """The means over the views; None before the first."""
        if self.views == 0:
            return None
        errors = torch.cat(self.errors)
        return Sparsification(
            views=self.views,
            error=ERROR,
            fractions=tuple(removed_fractions().tolist()),
            oracle=_mean_curve(self.oracle),
            curves=tuple(
                SignalCurve(
                    name=name,
                    values=_mean_curve(self.curves[name]),
                    ause=float(np.mean(self.areas[name])),
                    pooled=_finite(float(ause(errors, torch.cat(self.values[name])))),
                    spearman=_mean_of_known(self.ranks[name]),
                )
                for name in self.curves
            ),
        )


def edges(color: Float[Tensor, "h w 3"]) -> Float[Tensor, "h w"]:
    """The blurred magnitude of a picture's gradient: a simple guess at where errors are."""
    grey = torch.nn.functional.pad(color.mean(dim=-1)[None, None], (1, 1, 1, 1), mode="replicate")[0, 0]
    across, down = (grey[1:-1, 2:] - grey[1:-1, :-2]) / 2, (grey[2:, 1:-1] - grey[:-2, 1:-1]) / 2
    size = torch.nn.functional.pad((across.square() + down.square()).sqrt()[None, None], (1,) * 4, mode="replicate")
    kernel = torch.tensor([1.0, 2.0, 1.0]).outer(torch.tensor([1.0, 2.0, 1.0])).to(size) / 16
    return torch.nn.functional.conv2d(size, kernel[None, None])[0, 0]


def check_maps(
    subject: Subject,
    posterior: Posterior,
    *,
    backend: str = "auto",
    calibration: Calibration | None = None,
    warp: Warp | None = None,
    errors: ErrorModel | None = None,
    on_view: Callable[[int, int], None] | None = None,
) -> tuple[Sparsification | None, GainMaps | None]:
    """Map every held-out view and compare with its photograph; some are kept for the report of a run."""
    source, order = subject.capture.test, ErrorOrder()
    shown: list[GainView] = []
    stems = file_stems(names_of(source))
    kept = set(np.linspace(0, len(stems) - 1, min(len(stems), MAX_PICTURES)).round().astype(int).tolist())
    number = 0
    for i in range(len(source)):
        views = source[i]
        for k in range(len(views)):
            seen = views[k]
            found = information.map(
                subject.scene,
                posterior,
                seen.cameras,
                options=subject.run.raster,
                backend=backend,
                calibration=calibration,
                warp=warp,
            )
            order.add_(found, seen, _with_errors(subject, found, errors, calibration, backend))
            if number in kept and subject.run.folder is not None:
                shown.append(_keep(subject.run.folder, stems[number], found, seen))
            number += 1
        if on_view is not None:
            on_view(i + 1, len(source))
    maps = GainMaps(top=unknown_gain(posterior.noise), views=tuple(shown)) if shown else None
    return order.result(), maps


def _with_errors(
    subject: Subject, found: InformationMap, errors: ErrorModel | None, calibration: Calibration | None, backend: str
) -> dict[str, Float[Tensor, "h w"]]:
    """The predicted error, alone and with what is unknown."""
    if errors is None or calibration is None:
        return {}
    predicted = information.error_map(
        subject.scene, errors, found.cameras, options=subject.run.raster, backend=backend
    )[0]
    return {"predicted error": predicted, "both": calibration.std(found.variance[0], predicted)}


def update_record(
    run: Path,
    *,
    posterior: str,
    noise: Noise,
    sparsification: Sparsification | None = None,
    reliability: Reliability | None = None,
    maps: GainMaps | None = None,
    protocol: str | None = None,
) -> Path:
    """Replace the parts given in RUN/information.json, and keep the others. Raises OutputError, InputError."""
    before = read_information(run) or InformationRecord()
    return write_information(
        run,
        replace(
            before,
            posterior=posterior,
            noise=noise,
            sparsification=sparsification or before.sparsification,
            reliability=reliability or before.reliability,
            maps=maps or before.maps,
            protocol=before.protocol if protocol is None else protocol,
        ),
    )


def _keep(run: Path, stem: str, found: InformationMap, seen: Views) -> GainView:
    """Write what the report shows of one view."""
    place = f"{FOLDER}/{PICTURES}"
    names = {
        "gain": f"{place}/{stem}.safetensors",
        "render": f"{place}/{stem}_render.png",
        "photo": f"{place}/{stem}_photo.png",
    }
    save_tensors(run / names["gain"], {"gain": found.gain[0].float().contiguous()}, metadata={"unit": "nats"})
    write_png(run / names["render"], found.color[0])
    write_png(run / names["photo"], seen.rgb[0])
    return GainView(name=seen.names[0], **names)


def _mean_curve(curves: Sequence[Tensor]) -> tuple[float, ...]:
    return tuple(torch.stack(list(curves)).mean(dim=0).tolist())


def _mean_of_known(values: Sequence[float]) -> float | None:
    """A view without any error has no order."""
    known = [value for value in values if math.isfinite(value)]
    return float(np.mean(known)) if known else None


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None
