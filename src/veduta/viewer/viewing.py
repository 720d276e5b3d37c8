"""The live page of a finished run."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from veduta.recipes.information import Subject, evidence_of, has_evidence, posterior_of
from veduta.recipes.runs import open_run
from veduta.render.devices import choose_device
from veduta.viewer.known import ShownKnowledge
from veduta.viewer.live import LiveViewer


def view_run(
    run: Path,
    *,
    capture: Path | None = None,
    host: str = "127.0.0.1",
    port: int = 8080,
    tell: Callable[[str], None] | None = None,
    device: str = "cpu",
) -> LiveViewer:
    """A page with a run's scene (or a scene's file) and the cameras it was made from; show its ``url``, then ``wait``.

    ``capture`` is the folder of photographs, by default the one that the run was made from; if that is gone, the scene
    is shown without cameras. Where evidence was gathered (``veduta gain``), the page also shows what is known.
    ``tell`` is called with one line if showing fails; gain maps are drawn on the ``device``. InputError for a run or a
    capture that cannot be read.
    """
    opened, chosen = open_run(run), choose_device(device)
    found = opened.open_capture(capture) if capture is not None or opened.has_capture else None
    viewer = LiveViewer(host=host, port=port, tell=tell)
    if found is not None:
        viewer.show_capture(found)
    viewer.show(opened.scene)
    if found is not None and has_evidence(opened):
        subject = Subject.of(opened.to(chosen), found)
        viewer.show_knowledge(lambda: _knowledge(subject))
    return viewer


def _knowledge(subject: Subject) -> ShownKnowledge:
    """The posterior from the kept evidence, gathered anew where that is stale."""
    posterior = posterior_of(subject, evidence_of(subject).evidence)
    return ShownKnowledge(scene=subject.scene, posterior=posterior, options=subject.run.raster)
