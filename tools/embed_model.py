"""Makes the object model that comes with the package out of a finished training.

    python tools/embed_model.py RUN benchmarks/results/feedforward.json --command "veduta train densifier small -o RUN"

Weights are kept in float16; beside them go what was asked of the training, what it told on the way, and the measured
quality. The weights are the averaged ones of the run's last checkpoint.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

from veduta.feedforward.small_weights import EMBEDDED
from veduta.io.atomic import write_bytes, write_json
from veduta.io.runs import RunFolder
from veduta.io.weights import save_weights
from veduta.recipes.training import model_of_run
from veduta.recipes.training.models import how_trained, weights_of
from veduta.recipes.training.plan import plan_from_config


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path)
    parser.add_argument("quality", type=Path, help="the benchmark's result")
    parser.add_argument("--command", required=True, help="that trains it, with RUN for the folder")
    parser.add_argument("--notes", default="", help="what else is to be known of the training")
    chosen = parser.parse_args()
    run = RunFolder.open(chosen.run)
    record = run.record()
    plan = plan_from_config(record.config)
    model, weights = model_of_run(chosen.run)
    step = weights.settings["training"]["steps"]
    save_weights(EMBEDDED, weights_of(model, plan, step=step, data=record.fingerprint, half=True))
    trained = how_trained(chosen.run)
    log = _log(chosen.run)
    measured = json.loads(chosen.quality.read_text(encoding="utf-8"))
    told = {
        "command": chosen.command,
        "veduta_version": record.veduta_version,
        "seed": record.seed,
        "notes": chosen.notes,
        **trained,
        "quality": {key: measured[key] for key in ("title", "commit", "date", "rows")},
    }
    write_json(EMBEDDED.with_suffix(".json"), told)
    lines = [json.dumps({key: _short(value) for key, value in event.items()}) for event in log]
    write_bytes(EMBEDDED.with_suffix(".log.jsonl"), ("\n".join(lines) + "\n").encode())
    print(f"{EMBEDDED}: {EMBEDDED.stat().st_size / 1e6:.1f} MB after {step} steps")


def _log(folder: Path) -> list[dict[str, Any]]:
    """What a training told, after what the one told that it began with."""
    run = RunFolder.open(folder)
    start = run.record().config.get("start")
    before = _log(Path(start)) if start is not None and Path(start).is_dir() else []
    return before + [event for event in run.log() if event["event"] in ("TrainingStepped", "TrainingScored")]


def _short(value: object) -> object:
    return round(value, 6) if isinstance(value, float) else value


if __name__ == "__main__":
    main()
