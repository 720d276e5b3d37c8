"""The pictures of docs/information.md are made by the build of the page, once for each state of the code."""

from __future__ import annotations

import importlib.util
import re
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace

import pytest

from veduta.io.images import image_size, read_image


@pytest.fixture(scope="module")
def hook(root: Path) -> ModuleType:
    """The mkdocs hook as a module, with next to no effort."""
    spec = importlib.util.spec_from_file_location("information_pictures", root / "tools" / "information_pictures.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["information_pictures"] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    return module


def test_the_page_shows_what_the_build_makes(root: Path, hook: ModuleType) -> None:
    page = (root / "docs" / "information.md").read_text(encoding="utf-8")
    shown = re.findall(rf"!\[[^\]]+\]\({hook.PLACE}/([\w.]+)\)", page)
    assert sorted(shown) == sorted(hook.NAMES)
    assert "tools/information_pictures.py" in (root / "mkdocs.yml").read_text(encoding="utf-8")


@pytest.mark.slow
def test_pictures_are_made_once(hook: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    effort = hook.Effort(steps=3, views=9, width=64, height=48, max_gaussians=300)
    paths = hook.cached(tmp_path, effort)
    assert [path.name for path in paths] == list(hook.NAMES)
    assert image_size(paths[0])[0] == 5 * 64 + 4 * hook.GAP
    for path in paths:
        assert float(read_image(path)[0].std()) > 0.02, path.name
    monkeypatch.setattr(hook, "make", lambda *_: pytest.fail("made again"))
    assert hook.cached(tmp_path, effort) == paths


def test_pictures_become_files_of_the_site(hook: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = SimpleNamespace(generated=lambda config, name, *, abs_src_path: (name, abs_src_path))
    monkeypatch.setitem(sys.modules, "mkdocs", SimpleNamespace())
    monkeypatch.setitem(sys.modules, "mkdocs.structure", SimpleNamespace())
    monkeypatch.setitem(sys.modules, "mkdocs.structure.files", SimpleNamespace(File=made))
    monkeypatch.setattr(hook, "cached", lambda cache: [tmp_path / "inside.png"])
    files: list[object] = []
    assert hook.on_files(files, config=None) is files
    assert files == [("images/information/inside.png", str(tmp_path / "inside.png"))]


def test_another_effort_is_another_state(hook: ModuleType) -> None:
    assert hook.state(hook.Effort()) == hook.state(hook.Effort())
    assert hook.state(hook.Effort()) != hook.state(hook.Effort(steps=1))
