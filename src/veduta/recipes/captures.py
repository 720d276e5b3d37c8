"""How a run opened its capture, kept with the run so that it can be opened again in the same way."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from veduta.core import Capture, InputError, ViewSource
from veduta.data import FileViews, SfmReport, open_capture
from veduta.data.splits import every_nth
from veduta.io.atomic import write_json
from veduta.io.runs import read_json_object

FILE = "capture.json"


@dataclass(frozen=True, kw_only=True)
class CaptureOptions:
    """Which photographs are held out, how large they are, what is masked; see :func:`veduta.data.open_capture`."""

    test_every: int = 8
    max_size: int | None = None
    masks: Path | None = None

    def open(
        self,
        path: Path,
        *,
        sfm: bool = False,
        on_progress: Callable[[str, int, int], None] | None = None,
        on_poses: Callable[[SfmReport], None] | None = None,
    ) -> Capture:
        """The capture in ``path``; with ``sfm``, poses are estimated where there are none."""
        return open_capture(
            path,
            test_every=self.test_every,
            max_size=self.max_size,
            masks=self.masks,
            sfm=sfm,
            on_progress=on_progress,
            on_poses=on_poses,
        )

    def save(self, run: Path) -> None:
        """Keep them in a run's folder. Raises OutputError."""
        masks = None if self.masks is None else str(self.masks.resolve())
        write_json(run / FILE, {"test_every": self.test_every, "max_size": self.max_size, "masks": masks})

    @staticmethod
    def load(run: Path) -> CaptureOptions:
        """Those of a run; the defaults where it keeps none. Raises InputError for a file of another form."""
        path = run / FILE
        if not path.exists():
            return CaptureOptions()
        record = read_json_object(path)
        return CaptureOptions(
            test_every=_whole(record, "test_every", path, default=8) or 0,
            max_size=_whole(record, "max_size", path, default=None),
            masks=_path(record, "masks", path),
        )


def split_rule(capture: Capture, options: CaptureOptions, which: Literal["test", "train"]) -> str:
    """In a sentence: how the photographs of one side were chosen, and whether they were reduced."""
    train, test = names_of(capture.train), names_of(capture.test)
    if (capture.source / "splits.json").is_file():
        rule = "splits.json of the capture"
    elif options.test_every and set(test) == set(every_nth([*train, *test], options.test_every).test):
        rule = f"one in {options.test_every} by sorted name, the first included"
    else:
        rule = "the capture's own split"
    side = "" if which == "test" else f"; the numbers are of the {len(train)} others"
    size = "" if options.max_size is None else f" Photographs were reduced to at most {options.max_size} pixels."
    return f"{len(test)} of {len(train) + len(test)} photographs were held out ({rule}){side}.{size}"


def names_of(source: ViewSource) -> tuple[str, ...]:
    """All photographs' names, in order; photographs on disk are not read for it."""
    if isinstance(source, FileViews):
        return source.names
    return tuple(name for i in range(len(source)) for name in source[i].names)


def _whole(record: dict[str, object], field: str, path: Path, *, default: int | None) -> int | None:
    value = record.get(field, default)
    if value is None or (isinstance(value, int) and not isinstance(value, bool)):
        return value
    raise InputError("corrupt", where=path, field=field, expected="a whole number", got=value)


def _path(record: dict[str, object], field: str, path: Path) -> Path | None:
    value = record.get(field)
    if value is None or isinstance(value, str):
        return None if value is None else Path(value)
    raise InputError("corrupt", where=path, field=field, expected="a path", got=value)
