"""The nouns of veduta: frozen types, errors and seeds. No files, no kernels, no device logic."""

from veduta.core.cameras import Cameras, Lens
from veduta.core.edit import Edit
from veduta.core.errors import (
    DivergedError,
    InputError,
    MemoryFullError,
    MissingDependencyError,
    OutputError,
    UnsupportedError,
    VedutaError,
    WeightsError,
)
from veduta.core.examples import Example, Examples
from veduta.core.gaussians import MAX_SH_DEGREE, Gaussians, PointCloud
from veduta.core.information import (
    BLOCK,
    LAG,
    PACKED_BLOCK,
    DirectionMap,
    Evidence,
    InformationMap,
    Noise,
    Posterior,
    ResidualSums,
)
from veduta.core.record import TensorRecord
from veduta.core.rendering import RasterOptions, Render, Screen, ScreenCovariance, ScreenMoments
from veduta.core.scene import Actor, Motion, Scene, Sky
from veduta.core.seeds import Streams
from veduta.core.views import Capture, Track, Views, ViewSource

__all__ = [
    "BLOCK",
    "LAG",
    "MAX_SH_DEGREE",
    "PACKED_BLOCK",
    "Actor",
    "Cameras",
    "Capture",
    "DirectionMap",
    "DivergedError",
    "Edit",
    "Evidence",
    "Example",
    "Examples",
    "Gaussians",
    "InformationMap",
    "InputError",
    "Lens",
    "MemoryFullError",
    "MissingDependencyError",
    "Motion",
    "Noise",
    "OutputError",
    "PointCloud",
    "Posterior",
    "RasterOptions",
    "Render",
    "ResidualSums",
    "Scene",
    "Screen",
    "ScreenCovariance",
    "ScreenMoments",
    "Sky",
    "Streams",
    "TensorRecord",
    "Track",
    "UnsupportedError",
    "VedutaError",
    "ViewSource",
    "Views",
    "WeightsError",
]
