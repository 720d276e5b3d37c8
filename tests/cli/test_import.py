"""``import veduta`` is light, and everything that it promises is there."""

from __future__ import annotations

import inspect
import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

import veduta
from tests.cli.tiny import tiny_cameras, tiny_scene, write_capture

HEAVY = [
    *("torch", "numpy", "scipy", "PIL", "imageio", "imageio_ffmpeg", "safetensors", "jaxtyping"),
    *("tyro", "rich", "viser", "pycolmap", "torchvision"),
]
GENEROUS_S = 5.0
"""The budget is 0.5 s on an idle computer; this notices a mistake on a very busy one."""

PROBE = f"""
import json, sys, time
start = time.perf_counter()
import veduta
spent = time.perf_counter() - start
print(json.dumps([spent, [name for name in {HEAVY!r} if name in sys.modules]]))
"""


def python(code: str) -> str:
    """What a fresh interpreter prints."""
    return subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout


def test_importing_veduta_brings_nothing_heavy() -> None:
    spent, heavy = json.loads(python(PROBE))
    assert heavy == []
    assert spent < GENEROUS_S


def test_rendering_brings_nothing_that_only_files_viewers_and_commands_need() -> None:
    needless = [name for name in HEAVY if name not in ("torch", "numpy", "jaxtyping")]
    code = f"import veduta, sys; veduta.render; veduta.Gaussians; print([n for n in {needless!r} if n in sys.modules])"
    assert python(code) == "[]\n"


def test_nothing_brings_pycolmap_or_viser_before_they_are_used() -> None:
    code = (
        "import sys, veduta; [getattr(veduta, n) for n in veduta.__all__]; import veduta.cli.parsing; "
        "print([n for n in ('pycolmap', 'viser', 'torchvision') if n in sys.modules])"
    )
    assert python(code) == "[]\n"


def test_every_public_name_is_there_and_listed() -> None:
    for name in veduta.__all__:
        assert getattr(veduta, name) is not None
        assert name in dir(veduta)
    assert list(veduta.__all__) == sorted(veduta.__all__)


def test_public_names_are_documented() -> None:
    for name in veduta.__all__:
        if name != "__version__":
            assert inspect.getdoc(getattr(veduta, name)), name


def test_type_checkers_see_what_python_sees() -> None:
    source = inspect.getsource(veduta)
    block = source[source.index("if TYPE_CHECKING:") : source.index("__all__ =")]
    imported = set(re.findall(r"\b(?!from\b|import\b|as\b|if\b|veduta\b)[A-Za-z_]+\b(?=[,\n])", block))
    assert set(veduta.__all__) - {"__version__"} <= imported


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="has no attribute 'splatter'"):
        veduta.splatter  # noqa: B018 # pyright: ignore[reportAttributeAccessIssue]


def test_fit_and_render_are_packages_and_functions_in_any_order_of_imports() -> None:
    for first in ("import veduta.fit.plan, veduta.render.backends", "pass"):
        code = (
            f"import veduta; {first}; import veduta.fit.plan as plan; from veduta.fit import FitPlan; "
            "print(callable(veduta.fit), callable(veduta.render), plan.FitPlan is FitPlan is veduta.fit.FitPlan)"
        )
        assert python(code) == "True True True\n"


def test_the_version_is_the_project_s(root: Path) -> None:
    written = re.search(r'^version = "(.*)"$', (root / "pyproject.toml").read_text(), re.MULTILINE)
    assert written is not None
    assert veduta.__version__ == written[1]


def test_the_whole_way_in_python(tmp_path: Path) -> None:
    capture = veduta.open_capture(write_capture(tmp_path / "capture"))
    scene = veduta.fit(capture, veduta.FitPlan(steps=4), threads=1)
    scores = veduta.evaluate(scene, capture.test)
    assert len(scores.views) == 2
    drawn = veduta.render(scene, tiny_cameras(2))
    assert drawn.color.shape == (2, 32, 40, 3)
    veduta.save(scene, tmp_path / "scene.ply")
    assert len(veduta.load(tmp_path / "scene.ply").background) == len(scene.background)
    with pytest.raises(TypeError, match="paln"):
        veduta.fit(capture, paln=veduta.FitPlan())  # pyright: ignore[reportCallIssue]


def test_the_function_and_the_package_s_function_are_one() -> None:
    from veduta.render import render_scene

    drawn, expected = veduta.render(tiny_scene(), tiny_cameras(1)), render_scene(tiny_scene(), tiny_cameras(1))
    assert bool((drawn.color == expected.color).all())
