"""Do maps of information find the errors of held-out photographs? AUSE on real captures, against other signals.

    python benchmarks/information.py ../shared/data --cache fits             # 27 fits and their maps, hours on 2 cores
    python benchmarks/information.py ../shared/data --cache fits --only fox  # scenes whose name contains a word
    python benchmarks/information.py ../shared/data --cache fits --show      # the tables of what was measured before

Every scene is fitted to some photographs of a capture (splits: ``information_splits.py``) by our own fit of 1,500
steps, and every signal is asked for the uncertainty of each pixel of the held-out ones. AUSE: area between the
sparsification curve of a signal and that of the errors themselves (100 fractions, mean error of the kept pixels over
the mean error of all), for |e| (MAE) and for e^2 (MSE), per photograph; 0 is a perfect order, and random is about 0.6.
Pooled: every second row and column of all held-out photographs in one order. Spearman: rank correlation with |e|.
Signals are ours by ``veduta.information`` and the baselines of ``information_baselines.py``. Scenes and measures are
kept in the cache's folder, one file each, so that an interrupted benchmark goes on where it was.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import torch
from common import RESULTS, commit, table, write
from information_fits import STEPS, Fit, all_fits, all_splits, fitted
from information_signals import BASELINES, DEFAULT, OURS, Knowledge, Seen
from information_splits import Chosen
from information_tables import differences, intervals, overview, summary

from veduta import information, kernels
from veduta.measure import ause_pooled, oracle_curve, sparsification_curve, spearman

LEVELS = (0.5, 0.8, 0.95)
"""Of the intervals whose coverage is reported."""
POOLED_EVERY = 2
"""Pixels of every so many-th row and column are pooled."""


def measure(fit: Fit, *, data: Path, cache: Path) -> dict[str, Any]:
    """Everything that is measured about one scene; kept in the cache."""
    path = cache / f"{fit.name}.measures.json"
    if path.exists():
        return json.loads(path.read_text())
    subject = fitted(fit, data=data, cache=cache)
    knowledge = Knowledge.of(subject)
    noise = knowledge.default.noise
    found: dict[str, Any] = {"capture": fit.capture, "split": fit.split, "seed": fit.seed, "steps": STEPS}
    found |= {"noise": vars(noise), "facts": subject.facts, "commit": commit(), "views": []}
    pooled: dict[str, list[torch.Tensor]] = {}
    for seen in knowledge.look():
        found["views"].append(measure_view(seen))
        sparse = {"error": seen.error, **seen.signals}
        for name, image in sparse.items():
            pooled.setdefault(name, []).append(image[::POOLED_EVERY, ::POOLED_EVERY].clone())
    errors = pooled.pop("error")
    found["pooled"] = {name: float(ause_pooled(errors, images)) for name, images in pooled.items()}
    found["coverage"] = measure_intervals(knowledge)
    path.write_text(json.dumps(found))
    return found


def measure_intervals(knowledge: Knowledge) -> dict[str, dict[str, list[float]]]:
    """Shares of errors within intervals of LEVELS: as they are, and calibrated on half of the interpolating views."""
    fitted, rows = knowledge.fitted, {}
    scene, test, between = fitted.scene, fitted.capture.test, len(fitted.split.interpolating)
    interpolating, extrapolating = Chosen(test, range(between)), Chosen(test, range(between, len(test)))
    for name, errors in (("default", None), ("default + predicted error", knowledge.errors)):
        found = information.calibrate(scene, knowledge.default, interpolating, errors=errors)
        rows[name] = {"scale": [found.scale], "noise": [found.noise]}
        parts = {"before, interpolating": found.before, "after, interpolating": found.after}
        if len(extrapolating):
            parts["after, extrapolating"] = information.measure_coverage(
                scene, knowledge.default, extrapolating, found, errors=errors
            )
        rows[name] |= {part: [c.at(level) for level in LEVELS] for part, c in parts.items() if c is not None}
    return rows


def measure_view(seen: Seen) -> dict[str, Any]:
    """AUSE and rank correlation of every signal on one photograph."""
    signals = torch.stack([image.flatten() for image in seen.signals.values()])
    weight = seen.weight.flatten()
    by_kind: dict[str, list[float]] = {}
    for kind, error in (("mae", seen.error.flatten()), ("mse", seen.squared_error.flatten())):
        curve = sparsification_curve(error.expand_as(signals), signals, weight=weight.expand_as(signals))
        above = curve - oracle_curve(error, weight=weight)
        by_kind[kind] = torch.trapezoid(above, dx=1 / curve.shape[-1], dim=-1).tolist()
    by_kind["rho"] = [float(spearman(signal, seen.error.flatten())) for signal in signals]
    names = list(seen.signals)
    scores = {name: {kind: by_kind[kind][i] for kind in by_kind} for i, name in enumerate(names)}
    mean_square = float(seen.squared_error.mean())
    return {"name": seen.name, "interpolating": seen.interpolating, "mse": mean_square, "signals": scores}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, help="the folder that holds static/")
    parser.add_argument("--cache", type=Path, required=True, help="folder for fitted scenes and measures")
    parser.add_argument("--only", default="", help="scenes whose name contains this")
    parser.add_argument("--show", action="store_true", help="only print the tables")
    parser.add_argument("--out", type=Path, default=RESULTS / "information.json")
    arguments = parser.parse_args()
    kernels.set_threads(1)
    torch.set_num_threads(1)
    for fit in [] if arguments.show else all_fits(arguments.data):
        if arguments.only in fit.name:
            found = measure(fit, data=arguments.data, cache=arguments.cache)
            scores = [view["signals"][DEFAULT]["mae"] for view in found["views"]]
            print(f"{fit.name}: AUSE-MAE {sum(scores) / len(scores):.3f}", flush=True)
    if arguments.show:
        stored = json.loads(arguments.out.read_text())
    else:
        stored = report(arguments.cache, arguments.out, splits=all_splits(arguments.data))
    for part in ("splits", "rows", "signals", "differences", "coverage"):
        print(table(list(stored[part][0]), [list(row.values()) for row in stored[part]]), end="\n\n")


def report(cache: Path, out: Path, *, splits: list[dict[str, Any]]) -> dict[str, Any]:
    """Tables of everything measured so far, written to ``out``."""
    measured = [json.loads(path.read_text()) for path in sorted(cache.glob("*.measures.json"))]
    signals = [*OURS, *BASELINES]
    write(
        out,
        "Information: AUSE-MAE on held-out photographs, mean ± standard error",
        overview(measured, signals),
        signals=summary(measured, signals),
        differences=differences(measured, DEFAULT, signals),
        coverage=intervals(measured),
        splits=splits,
        scenes=[{key: value for key, value in scene.items() if key != "views"} for scene in measured],
    )
    return json.loads(out.read_text())


if __name__ == "__main__":
    main()
