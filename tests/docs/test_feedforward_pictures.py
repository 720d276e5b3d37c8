"""The picture of docs/feedforward.md is made by the build of the page, once for each state of the code."""

from __future__ import annotations

import importlib.util
import re
import sys
from pathlib import Path
from types import ModuleType

import pytest

from veduta.io.images import image_size, read_image


@pytest.fixture(scope="module")
def hook(root: Path) -> ModuleType:
    """The mkdocs hook as a module; as for mkdocs, its folder is searched for modules."""
    path = root / "tools" / "feedforward_pictures.py"
    spec = importlib.util.spec_from_file_location("feedforward_pictures", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["feedforward_pictures"] = module
    sys.path.insert(0, str(path.parent))
    try:
        spec.loader.exec_module(module)
    finally:
        sys.path.remove(str(path.parent))
    return module


def test_the_page_shows_what_the_build_makes(root: Path, hook: ModuleType) -> None:
    page = (root / "docs" / "feedforward.md").read_text(encoding="utf-8")
    assert re.findall(rf"!\[[^\]]+\]\({hook.PLACE}/([\w.]+)\)", page) == list(hook.NAMES)
    assert "tools/feedforward_pictures.py" in (root / "mkdocs.yml").read_text(encoding="utf-8")


def test_the_picture_is_made_once(hook: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (path,) = hook.cached(tmp_path, hook.Effort(objects=(2,)))
    assert image_size(path)[0] > 5 * 128
    there, coarse, fine = (read_image(path)[0][-128:, k * (128 + hook.GAP) :][:, :128] for k in (1, 2, 3))
    assert (there - fine).square().mean() < (there - coarse).square().mean()
    monkeypatch.setattr(hook, "make", lambda *_: pytest.fail("made again"))
    assert hook.cached(tmp_path, hook.Effort(objects=(2,))) == [path]
