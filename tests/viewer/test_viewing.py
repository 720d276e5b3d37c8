"""The page of a finished run: its cameras where they are still there, and what is known where it was gathered."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from tests.cli.tiny import tiny_cameras, tiny_scene, write_capture
from tests.viewer.test_live import centers
from tests.viewer.test_splats import some
from veduta.core import Scene
from veduta.recipes.information import Subject, evidence_of
from veduta.recipes.runs import Run
from veduta.viewer import viewing

pytestmark = pytest.mark.filterwarnings("default")  # viser's dependencies warn about each other


@pytest.mark.parametrize("there", [True, False])
def test_a_run_is_shown_with_the_cameras_that_are_still_there(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, there: bool
):
    if there:
        write_capture(tmp_path / "capture", views=5)
    run = Run(scene=Scene(background=some(9)), source=tmp_path / "capture")
    monkeypatch.setattr(viewing, "open_run", lambda path: run)
    with viewing.view_run(Path("run"), port=0) as viewer:
        assert len(centers(viewer, "background")) == 9
        assert len(viewer._eyes) == (5 if there else 0)
        assert viewer._known is None


def test_what_is_known_is_shown_where_it_was_gathered(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    run = Run(scene=tiny_scene(), folder=tmp_path / "run", source=write_capture(tmp_path / "capture"))
    evidence_of(Subject.of(run, run.open_capture()))
    monkeypatch.setattr(viewing, "open_run", lambda path: run)
    with viewing.view_run(tmp_path / "run", port=0) as viewer:
        assert viewer._known is not None
        before = viewer._splats["background"].rgbs.copy()
        viewer._known._paint.value = "uncertainty of the colour"
        viewer._known._paint_anew()
        assert not (viewer._splats["background"].rgbs == before).all()
        knowledge = viewer._known._knowledge()
        assert knowledge.overlay(tiny_cameras()[0]).shape == (32, 40, 3)
        assert torch.isfinite(torch.stack(list(knowledge.paints.values()))).all()
