"""What a reader of captures is, and the settings that every reader takes."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, runtime_checkable

from veduta.core import Capture, InputError


@dataclass(frozen=True, kw_only=True)
class ReadOptions:
    """How photographs are split, sized and kept in memory."""

    test_every: int = 8
    """Hold out every n-th photograph by sorted name, the first included; 0: none. A split in the capture wins."""
    max_size: int | None = None
    """Photographs are reduced (area filter) so that their longer side is at most this many pixels; None: not at all."""
    image_budget_mb: int = 1024
    """MiB of photographs kept in memory; the others are read again when asked for."""
    masks: Path | None = None
    """Folder of masks (black: do not trust); None: ``masks`` in the capture, if there is one."""
    only_cameras: bool = False
    """The photographs themselves may be missing: they are not looked for, and asking for one fails."""

    def __post_init__(self) -> None:
        if self.test_every < 0 or self.test_every == 1:
            raise InputError(
                "nothing could be trained on",
                field="test_every",
                expected="0 (hold out nothing) or at least 2",
                got=self.test_every,
            )
        if self.max_size is not None and self.max_size < 1:
            raise InputError("an image without pixels", field="max_size", expected="at least 1 px", got=self.max_size)
        if self.image_budget_mb < 0:
            raise InputError(
                "a negative amount of memory",
                field="image_budget_mb",
                expected="0 or more MiB",
                got=self.image_budget_mb,
            )


@runtime_checkable
class Reader(Protocol):
    """One way in which captures lie on disk."""

    name: str
    """As people call the format."""

    def recognises(self, path: Path) -> bool:
        """Whether ``path`` looks like this format; looks at names only, reads nothing."""
        ...

    def read(self, path: Path, options: ReadOptions) -> Capture:
        """The capture; InputError names file and field of whatever is wrong with it."""
        ...
